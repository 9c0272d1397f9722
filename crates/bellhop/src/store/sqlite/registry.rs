//! Enterprises, applications, webhooks and API keys.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::{Apply, database},
    read, rows,
};
use crate::{
    clock::to_ms,
    domain::{
        api_key::{ApiKey, KeyRotation},
        delivery::DeliveryState,
        enterprise::{Application, Enterprise},
        secret_text::SecretText,
        webhook::Webhook,
    },
    id::{ApplicationId, EnterpriseId, KeyId, WebhookId},
    store::{
        CommitError, NewWebhook, Noun, WebhookPatch, Written,
        audit::Before,
        credentials::{seal_authentication, seal_certificate},
    },
    vault::Vault,
};

type Outcome = Result<Written, CommitError>;

pub fn put_enterprise(
    apply: &mut Apply<'_>,
    id: EnterpriseId,
    name: &str,
    at: Timestamp,
) -> Outcome {
    let sql = format!("SELECT {} FROM enterprises WHERE id = ?1", rows::NAMED);
    let found = one(apply.connection, &sql, id, rows::enterprise)?;
    let is_new = found.is_none();
    let created = found.as_ref().map_or(at, |enterprise| enterprise.created);
    apply.before = found.map(|enterprise| Before::Name(enterprise.name));
    execute(
        apply.connection,
        "INSERT OR REPLACE INTO enterprises VALUES (?1, ?2, ?3)",
        params![id, name, to_ms(created)],
    )?;
    apply.batch.enterprises.forget(id);
    let enterprise = Enterprise {
        id,
        name: name.to_owned(),
        created,
    };
    Ok(Written::Enterprise { enterprise, is_new })
}

pub fn create_application(
    apply: &mut Apply<'_>,
    id: ApplicationId,
    name: &str,
    at: Timestamp,
) -> Outcome {
    if application(apply.connection, id)?.is_some() {
        return Err(CommitError::Exists {
            noun: Noun::Application,
            id: id.0,
        });
    }
    execute(
        apply.connection,
        "INSERT INTO applications VALUES (?1, ?2, ?3)",
        params![id, name, to_ms(at)],
    )?;
    apply.batch.subscriptions.forget(id);
    Ok(Written::Application(Application {
        id,
        name: name.to_owned(),
        created: at,
    }))
}

pub fn rename_application(apply: &mut Apply<'_>, id: ApplicationId, name: &str) -> Outcome {
    let found = application(apply.connection, id)?;
    let found = found.ok_or(CommitError::NotFound {
        noun: Noun::Application,
        id: id.0,
    })?;
    execute(
        apply.connection,
        "UPDATE applications SET name = ?2 WHERE id = ?1",
        params![id, name],
    )?;
    apply.before = Some(Before::Name(found.name.clone()));
    Ok(Written::Application(Application {
        name: name.to_owned(),
        ..found
    }))
}

pub fn create_webhook(apply: &mut Apply<'_>, new: &NewWebhook, at: Timestamp) -> Outcome {
    if application(apply.connection, new.application_id)?.is_none() {
        return Err(CommitError::NotFound {
            noun: Noun::Application,
            id: new.application_id.0,
        });
    }
    let is_taken = apply
        .connection
        .prepare_cached("SELECT 1 FROM webhooks WHERE id = ?1")
        .and_then(|mut select| select.exists([new.id]))
        .map_err(database)?;
    if is_taken {
        return Err(CommitError::Exists {
            noun: Noun::Webhook,
            id: new.id.0,
        });
    }
    let webhook = new.clone().into_webhook(at);
    write_webhook(apply, &webhook)?;
    Ok(Written::Webhook(Box::new(webhook)))
}

pub fn update_webhook(
    apply: &mut Apply<'_>,
    id: WebhookId,
    if_revision: Option<u64>,
    patch: &WebhookPatch,
) -> Outcome {
    let mut webhook = find_webhook(apply, id)?;
    if if_revision.is_some_and(|revision| revision != webhook.revision) {
        return Err(CommitError::Changed);
    }
    apply.before = Some(Before::Webhook(Box::new(webhook.clone())));
    patch.clone().apply_to(&mut webhook);
    write_webhook(apply, &webhook)?;
    Ok(Written::Webhook(Box::new(webhook)))
}

pub fn rotate_secret(
    apply: &mut Apply<'_>,
    id: WebhookId,
    secret: &SecretText,
    overlap_until: Timestamp,
    at: Timestamp,
) -> Outcome {
    let mut webhook = find_webhook(apply, id)?;
    webhook.rotate_secret(secret.clone(), overlap_until, at);
    write_webhook(apply, &webhook)?;
    Ok(Written::Webhook(Box::new(webhook)))
}

pub fn delete_webhook(apply: &mut Apply<'_>, id: WebhookId, at: Timestamp) -> Outcome {
    let webhook = find_webhook(apply, id)?;
    let at = to_ms(at);
    execute(
        apply.connection,
        "UPDATE webhooks SET deleted_ms = ?2 WHERE id = ?1",
        params![id, at],
    )?;
    let discarded = execute(
        apply.connection,
        // A lane with anything pending has a head that is due at some time: no lane else is looked at.
        "UPDATE deliveries SET state = 'Discarded', reason = 'The webhook was deleted.', ended_ms = ?2, \
         planned_ms = NULL, replay_id = NULL WHERE state = 'Pending' AND id IN \
         (SELECT lane.id FROM deliveries head INDEXED BY deliveries_due CROSS JOIN deliveries lane \
          ON lane.integration_id = head.integration_id AND lane.webhook_id = head.webhook_id \
          WHERE head.webhook_id = ?1 AND head.next_attempt_ms IS NOT NULL)",
        params![id, at],
    )?;
    // Replays of what had ended are not due any more either.
    execute(
        apply.connection,
        "UPDATE deliveries SET next_attempt_ms = NULL, replay_id = NULL WHERE webhook_id = ?1 AND next_attempt_ms IS NOT NULL",
        params![id],
    )?;
    apply
        .batch
        .counts
        .moved_many(DeliveryState::Pending, DeliveryState::Discarded, discarded);
    apply.batch.forget_webhook(id, webhook.application_id);
    apply.batch.dropped.push(id);
    apply.before = Some(Before::Webhook(Box::new(webhook)));
    Ok(Written::Deleted)
}

pub fn create_key(apply: &mut Apply<'_>, key: &ApiKey) -> Outcome {
    if let Some(id) = key.scope.application_id()
        && application(apply.connection, id)?.is_none()
    {
        return Err(CommitError::NotFound {
            noun: Noun::Application,
            id: id.0,
        });
    }
    let is_taken = apply
        .connection
        .prepare_cached("SELECT 1 FROM api_keys WHERE id = ?1")
        .and_then(|mut select| select.exists([key.id]))
        .map_err(database)?;
    if is_taken {
        return Err(CommitError::Exists {
            noun: Noun::Key,
            id: key.id.0,
        });
    }
    execute(
        apply.connection,
        "INSERT INTO api_keys (id, name, scope, application_id, hash, created_ms, expires_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            key.id,
            key.name,
            key.scope.as_str(),
            key.scope.application_id(),
            key.hash,
            to_ms(key.created),
            key.expires.map(to_ms),
        ],
    )?;
    Ok(Written::Key(Box::new(key.clone())))
}

pub fn delete_key(apply: &mut Apply<'_>, id: KeyId) -> Outcome {
    let found = read::keys(apply.connection, Some(id))?.pop();
    let found = found.ok_or(CommitError::NotFound {
        noun: Noun::Key,
        id: id.0,
    })?;
    execute(
        apply.connection,
        "DELETE FROM api_keys WHERE id = ?1",
        params![id],
    )?;
    apply.before = Some(Before::Key(Box::new(found)));
    Ok(Written::Deleted)
}

pub fn rotate_key(apply: &mut Apply<'_>, id: KeyId, to: KeyRotation, at: Timestamp) -> Outcome {
    let sql = format!("SELECT {} FROM api_keys WHERE id = ?1", rows::API_KEY);
    let mut key = {
        let mut select = apply.connection.prepare_cached(&sql).map_err(database)?;
        let mut found = select.query([id]).map_err(database)?;
        match found.next().map_err(database)? {
            Some(row) => rows::api_key(row)?,
            None => {
                return Err(CommitError::NotFound {
                    noun: Noun::Key,
                    id: id.0,
                });
            }
        }
    };
    key.rotate(to, at);
    execute(
        apply.connection,
        "UPDATE api_keys SET hash = ?2, previous_hash = ?3, previous_until_ms = ?4, first_hash = ?5, expires_ms = ?6 \
         WHERE id = ?1",
        params![
            id,
            key.hash,
            key.previous.map(|(hash, _)| hash),
            key.previous.map(|(_, until)| to_ms(until)),
            key.first,
            key.expires.map(to_ms),
        ],
    )?;
    Ok(Written::Key(Box::new(key)))
}

pub fn note_key_uses(apply: &mut Apply<'_>, uses: &[(KeyId, Timestamp)]) -> Outcome {
    for (id, at) in uses {
        execute(
            apply.connection,
            "UPDATE api_keys SET last_used_ms = max(COALESCE(last_used_ms, ?2), ?2) WHERE id = ?1",
            params![id, to_ms(*at)],
        )?;
    }
    Ok(Written::Noted)
}

fn write_webhook(apply: &mut Apply<'_>, webhook: &Webhook) -> Result<(), CommitError> {
    insert_webhook(apply.connection, apply.vault, webhook).map_err(database)?;
    apply
        .batch
        .forget_webhook(webhook.id, webhook.application_id);
    Ok(())
}

/// Writes every column of a webhook.
fn insert_webhook(
    connection: &Connection,
    vault: &Vault,
    webhook: &Webhook,
) -> rusqlite::Result<usize> {
    let schedule =
        serde_json::to_string(webhook.retry_schedule.seconds()).expect("numbers are JSON");
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO webhooks (id, application_id, url_sealed, description, actions, profile, state, \
             state_reason, timeout_ms, retry_schedule, max_in_flight, rate_limit, headers_sealed, secrets_sealed, \
             created_ms, not_before_ms, revision, failures, failing_since_ms, opened, open_until_ms, ramp, \
             follow_redirects, signatures, authentication_sealed, certificate_sealed, asked_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22, ?23, ?24, ?25, ?26, (SELECT asked_ms FROM webhooks WHERE id = ?1))",
        )?
        .execute(params![
            webhook.id,
            webhook.application_id,
            rows::seal_url(vault, webhook),
            webhook.description,
            webhook.actions.bits(),
            webhook.profile.as_str(),
            webhook.state,
            webhook.state_reason,
            webhook.timeout.as_millis() as i64,
            schedule,
            webhook.max_in_flight,
            webhook.rate_limit,
            rows::seal_headers(vault, webhook),
            rows::seal_secrets(vault, webhook),
            to_ms(webhook.created),
            webhook.not_before.map(to_ms),
            webhook.revision,
            webhook.health.failures,
            webhook.health.failing_since.map(to_ms),
            webhook.health.opened,
            webhook.health.open_until.map(to_ms),
            webhook.health.ramp,
            webhook.follow_redirects,
            webhook.signatures.bits(),
            seal_authentication(vault, webhook),
            seal_certificate(vault, webhook),
        ])
}

pub fn find_webhook(apply: &Apply<'_>, id: WebhookId) -> Result<Webhook, CommitError> {
    let sql = format!(
        "SELECT {} FROM webhooks WHERE id = ?1 AND deleted_ms IS NULL",
        rows::WEBHOOK
    );
    let mut select = apply.connection.prepare_cached(&sql).map_err(database)?;
    let mut found = select.query([id]).map_err(database)?;
    match found.next().map_err(database)? {
        Some(row) => Ok(rows::webhook(row, apply.vault)?),
        None => Err(CommitError::NotFound {
            noun: Noun::Webhook,
            id: id.0,
        }),
    }
}

fn application(
    connection: &Connection,
    id: ApplicationId,
) -> Result<Option<Application>, CommitError> {
    let sql = format!("SELECT {} FROM applications WHERE id = ?1", rows::NAMED);
    one(connection, &sql, id, rows::application)
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    id: impl rusqlite::ToSql,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, CommitError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row([id], read).optional())
        .map_err(database)
}

fn execute(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<usize, CommitError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map_err(database)
}
