//! Enterprises, applications, webhooks and API keys.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    alone::{Alone, Stop},
    connection::{execute, query_opt},
    rows,
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
        sealed::{seal_headers, seal_secrets, seal_url},
    },
};

type Outcome = Result<Written, Stop>;

pub async fn put_enterprise(
    alone: &mut Alone<'_>,
    id: EnterpriseId,
    name: &str,
    at: Timestamp,
) -> Outcome {
    let find = "SELECT name FROM enterprises WHERE id = $1 FOR NO KEY UPDATE";
    let found = query_opt(alone.on, find, &[&id.0]).await?;
    let former = found.map(|row| rows::get(&row, 0)).transpose()?;
    alone.before = former.map(Before::Name);
    // A row that this transaction has inserted has no transaction that changed it.
    let sql = format!(
        "INSERT INTO enterprises AS e (id, name, created_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING {}, xmax = 0",
        rows::NAMED
    );
    let row = query_opt(alone.on, &sql, &[&id.0, &name, &to_ms(at)]).await?;
    let row = row.ok_or_else(|| crate::store::sealed::corrupt("enterprises"))?;
    let enterprise: Enterprise = rows::enterprise(&row)?;
    let is_new = rows::get(&row, 3)?;
    Ok(Written::Enterprise { enterprise, is_new })
}

pub async fn create_application(
    alone: &mut Alone<'_>,
    id: ApplicationId,
    name: &str,
    at: Timestamp,
) -> Outcome {
    let inserted = execute(
        alone.on,
        "INSERT INTO applications (id, name, created_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&id.0, &name, &to_ms(at)],
    )
    .await?;
    if inserted == 0 {
        return Err(exists(Noun::Application, id.0));
    }
    Ok(Written::Application(Application {
        id,
        name: name.to_owned(),
        created: at,
    }))
}

pub async fn rename_application(alone: &mut Alone<'_>, id: ApplicationId, name: &str) -> Outcome {
    let find = "SELECT name FROM applications WHERE id = $1 FOR NO KEY UPDATE";
    let found = query_opt(alone.on, find, &[&id.0]).await?;
    let former = found.map(|row| rows::get(&row, 0)).transpose()?;
    alone.before = former.map(Before::Name);
    let sql = format!(
        "UPDATE applications SET name = $2 WHERE id = $1 RETURNING {}",
        rows::NAMED
    );
    let row = query_opt(alone.on, &sql, &[&id.0, &name]).await?;
    let row = row.ok_or_else(|| missing(Noun::Application, id.0))?;
    Ok(Written::Application(rows::application(&row)?))
}

pub async fn create_webhook(alone: &mut Alone<'_>, new: &NewWebhook, at: Timestamp) -> Outcome {
    has_application(alone, new.application_id).await?;
    let webhook = new.clone().into_webhook(at);
    if is_taken(alone, "SELECT 1 FROM webhooks WHERE id = $1", webhook.id.0).await? {
        return Err(exists(Noun::Webhook, webhook.id.0));
    }
    write_webhook(
        alone,
        &webhook,
        "INSERT INTO webhooks (id, application_id, url_sealed, description, actions, profile, state, state_reason, \
         timeout_ms, retry_schedule, max_in_flight, rate_limit, headers_sealed, secrets_sealed, created_ms, \
         not_before_ms, revision, failures, failing_since_ms, opened, open_until_ms, ramp, follow_redirects, \
         signatures, authentication_sealed, certificate_sealed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26)",
    )
    .await?;
    Ok(Written::Webhook(Box::new(webhook)))
}

pub async fn update_webhook(
    alone: &mut Alone<'_>,
    id: WebhookId,
    if_revision: Option<u64>,
    patch: &WebhookPatch,
) -> Outcome {
    let mut webhook = lock_webhook(alone, id).await?;
    if if_revision.is_some_and(|revision| revision != webhook.revision) {
        return Err(Stop::Refused(CommitError::Changed));
    }
    alone.before = Some(Before::Webhook(Box::new(webhook.clone())));
    patch.clone().apply_to(&mut webhook);
    rewrite_webhook(alone, webhook).await
}

pub async fn rotate_secret(
    alone: &mut Alone<'_>,
    id: WebhookId,
    secret: &SecretText,
    overlap_until: Timestamp,
    at: Timestamp,
) -> Outcome {
    let mut webhook = lock_webhook(alone, id).await?;
    webhook.rotate_secret(secret.clone(), overlap_until, at);
    rewrite_webhook(alone, webhook).await
}

/// What it had still to send is discarded. Its claims end before, so that records do not wait for this, and after: a
/// claim may have been under way.
pub async fn delete_webhook(alone: &mut Alone<'_>, id: WebhookId, at: Timestamp) -> Outcome {
    let webhook = lock_webhook(alone, id).await?;
    alone.before = Some(Before::Webhook(Box::new(webhook)));
    let at = to_ms(at);
    let end_claims = "DELETE FROM claims WHERE webhook_id = $1";
    execute(alone.on, end_claims, &[&id.0]).await?;
    execute(
        alone.on,
        "UPDATE webhooks SET deleted_ms = $2 WHERE id = $1",
        &[&id.0, &at],
    )
    .await?;
    let discarded = execute(
        alone.on,
        // A lane with anything pending has a head that is due at some time: no lane else is looked at.
        "UPDATE deliveries d SET state = 'Discarded', reason = 'The webhook was deleted.', ended_ms = $2, \
         next_attempt_ms = NULL, planned_ms = NULL, replay_id = NULL \
         FROM (SELECT DISTINCT integration_id FROM deliveries WHERE webhook_id = $1 AND next_attempt_ms IS NOT NULL) \
         lane CROSS JOIN LATERAL (SELECT id FROM deliveries WHERE integration_id = lane.integration_id \
         AND webhook_id = $1 AND state = 'Pending') p WHERE d.id = p.id",
        &[&id.0, &at],
    )
    .await?;
    // Replays of what had ended are not due any more either.
    execute(
        alone.on,
        "UPDATE deliveries SET next_attempt_ms = NULL, replay_id = NULL WHERE webhook_id = $1 \
         AND next_attempt_ms IS NOT NULL",
        &[&id.0],
    )
    .await?;
    execute(alone.on, end_claims, &[&id.0]).await?;
    let forget_pace = "DELETE FROM paces WHERE webhook_id = $1";
    execute(alone.on, forget_pace, &[&id.0]).await?;
    alone
        .counts
        .moved(DeliveryState::Pending, DeliveryState::Discarded, discarded);
    Ok(Written::Deleted)
}

pub async fn create_key(alone: &mut Alone<'_>, key: &ApiKey) -> Outcome {
    if let Some(id) = key.scope.application_id() {
        has_application(alone, id).await?;
    }
    if is_taken(alone, "SELECT 1 FROM api_keys WHERE id = $1", key.id.0).await? {
        return Err(exists(Noun::Key, key.id.0));
    }
    let hash: &[u8] = &key.hash.0;
    execute(
        alone.on,
        "INSERT INTO api_keys (id, name, scope, application_id, hash, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &key.id.0,
            &key.name,
            &key.scope.as_str(),
            &key.scope.application_id().map(|id| id.0),
            &hash,
            &to_ms(key.created),
            &key.expires.map(to_ms),
        ],
    )
    .await?;
    Ok(Written::Key(Box::new(key.clone())))
}

pub async fn delete_key(alone: &mut Alone<'_>, id: KeyId) -> Outcome {
    let sql = format!(
        "DELETE FROM api_keys WHERE id = $1 RETURNING {}",
        rows::API_KEY
    );
    let row = query_opt(alone.on, &sql, &[&id.0]).await?;
    let row = row.ok_or_else(|| missing(Noun::Key, id.0))?;
    alone.before = Some(Before::Key(Box::new(rows::api_key(&row)?)));
    Ok(Written::Deleted)
}

pub async fn rotate_key(
    alone: &mut Alone<'_>,
    id: KeyId,
    to: KeyRotation,
    at: Timestamp,
) -> Outcome {
    let sql = format!(
        "SELECT {} FROM api_keys WHERE id = $1 FOR UPDATE",
        rows::API_KEY
    );
    let row = query_opt(alone.on, &sql, &[&id.0]).await?;
    let mut key = rows::api_key(&row.ok_or_else(|| missing(Noun::Key, id.0))?)?;
    key.rotate(to, at);
    let previous = key.previous.as_ref();
    execute(
        alone.on,
        "UPDATE api_keys SET hash = $2, previous_hash = $3, previous_until_ms = $4, first_hash = $5, expires_ms = $6 \
         WHERE id = $1",
        &[
            &id.0,
            &key.hash.0.as_slice(),
            &previous.map(|(hash, _)| hash.0.as_slice()),
            &previous.map(|(_, until)| to_ms(*until)),
            &key.first.as_ref().map(|hash| hash.0.as_slice()),
            &key.expires.map(to_ms),
        ],
    )
    .await?;
    Ok(Written::Key(Box::new(key)))
}

/// In the order of their ids, so that replicas which note the same keys do not wait for each other in a ring.
pub async fn note_key_uses(alone: &mut Alone<'_>, uses: &[(KeyId, Timestamp)]) -> Outcome {
    let mut uses: Vec<(Uuid, i64)> = uses.iter().map(|(id, at)| (id.0, to_ms(*at))).collect();
    uses.sort_unstable();
    let (ids, at): (Vec<Uuid>, Vec<i64>) = uses.into_iter().unzip();
    execute(
        alone.on,
        "WITH used AS MATERIALIZED (SELECT k.id, u.at_ms FROM unnest($1::uuid[], $2::bigint[]) AS u (id, at_ms) \
         JOIN api_keys k ON k.id = u.id ORDER BY k.id FOR UPDATE OF k) \
         UPDATE api_keys k SET last_used_ms = GREATEST(k.last_used_ms, used.at_ms) FROM used WHERE k.id = used.id",
        &[&ids, &at],
    )
    .await?;
    Ok(Written::Noted)
}

async fn rewrite_webhook(alone: &Alone<'_>, webhook: Webhook) -> Outcome {
    write_webhook(
        alone,
        &webhook,
        "UPDATE webhooks SET application_id = $2, url_sealed = $3, description = $4, actions = $5, profile = $6, \
         state = $7, state_reason = $8, timeout_ms = $9, retry_schedule = $10, max_in_flight = $11, \
         rate_limit = $12, headers_sealed = $13, secrets_sealed = $14, created_ms = $15, not_before_ms = $16, \
         revision = $17, failures = $18, failing_since_ms = $19, opened = $20, open_until_ms = $21, ramp = $22, \
         follow_redirects = $23, signatures = $24, \
         authentication_sealed = $25, certificate_sealed = $26 WHERE id = $1",
    )
    .await?;
    Ok(Written::Webhook(Box::new(webhook)))
}

/// Writes every column of a webhook.
async fn write_webhook(alone: &Alone<'_>, webhook: &Webhook, sql: &str) -> Result<(), Stop> {
    let vault = &alone.shared.vault;
    let schedule: Vec<i64> = webhook
        .retry_schedule
        .seconds()
        .iter()
        .map(|wait| i64::from(*wait))
        .collect();
    execute(
        alone.on,
        sql,
        &[
            &webhook.id.0,
            &webhook.application_id.0,
            &seal_url(vault, webhook),
            &webhook.description,
            &i16::from(webhook.actions.bits()),
            &webhook.profile.as_str(),
            &webhook.state.as_str(),
            &webhook.state_reason,
            &(webhook.timeout.as_millis() as i64),
            &schedule,
            &i64::from(webhook.max_in_flight),
            &webhook.rate_limit.map(i64::from),
            &seal_headers(vault, webhook),
            &seal_secrets(vault, webhook),
            &to_ms(webhook.created),
            &webhook.not_before.map(to_ms),
            &(webhook.revision as i64),
            &i64::from(webhook.health.failures),
            &webhook.health.failing_since.map(to_ms),
            &i64::from(webhook.health.opened),
            &webhook.health.open_until.map(to_ms),
            &webhook.health.ramp.map(i64::from),
            &webhook.follow_redirects,
            &i16::from(webhook.signatures.bits()),
            &seal_authentication(vault, webhook),
            &seal_certificate(vault, webhook),
        ],
    )
    .await?;
    Ok(())
}

/// Transitions that make deliveries for it hold it as it is: this waits for them, and they for this.
pub async fn lock_webhook(alone: &Alone<'_>, id: WebhookId) -> Result<Webhook, Stop> {
    let sql = format!(
        "SELECT {} FROM webhooks WHERE id = $1 AND deleted_ms IS NULL FOR UPDATE",
        rows::WEBHOOK
    );
    let row = query_opt(alone.on, &sql, &[&id.0]).await?;
    let row = row.ok_or_else(|| missing(Noun::Webhook, id.0))?;
    Ok(rows::webhook(&row, &alone.shared.vault)?)
}

async fn has_application(alone: &Alone<'_>, id: ApplicationId) -> Result<(), Stop> {
    if is_taken(alone, "SELECT 1 FROM applications WHERE id = $1", id.0).await? {
        return Ok(());
    }
    Err(missing(Noun::Application, id.0))
}

async fn is_taken(alone: &Alone<'_>, sql: &str, id: Uuid) -> Result<bool, Stop> {
    Ok(query_opt(alone.on, sql, &[&id]).await?.is_some())
}

fn missing(noun: Noun, id: Uuid) -> Stop {
    Stop::Refused(CommitError::NotFound { noun, id })
}

fn exists(noun: Noun, id: Uuid) -> Stop {
    Stop::Refused(CommitError::Exists { noun, id })
}
