//! Transitions: the state, its message and the deliveries of the message, in one transaction.

use bellhop_webhook::{Action, Profile, Requestor};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::{Apply, database},
    erasure,
    ready::Head,
    rows,
};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        delivery::DeliveryState,
        integration::{Change, Command, Decision, Integration, NewIntegration, NewMessage},
        retry::later,
        webhook::Subscription,
    },
    id::{ApplicationId, DeliveryId, IntegrationId, WebhookId},
    store::{Claim, CommitError, Fence, Noun, Written},
    vault::Place,
};

type Outcome = Result<(Written, Vec<WebhookId>), CommitError>;

/// Creates an integration.
pub fn create(
    apply: &mut Apply<'_>,
    new: &NewIntegration,
    by: Option<&Requestor>,
    at: Timestamp,
) -> Outcome {
    if apply
        .batch
        .subscriptions
        .of(apply.connection, new.application_id)?
        .is_none()
    {
        return Err(CommitError::NotFound {
            noun: Noun::Application,
            id: new.application_id.0,
        });
    }
    let enterprise = apply
        .batch
        .enterprises
        .name(apply.connection, new.enterprise_id)
        .map_err(database)?;
    let Some(enterprise) = enterprise else {
        return Err(CommitError::NotFound {
            noun: Noun::Enterprise,
            id: new.enterprise_id.0,
        });
    };
    let change = new.create(&enterprise, by, at);
    if !insert(apply.connection, &change.integration).map_err(database)? {
        return Err(CommitError::Exists {
            noun: Noun::Integration,
            id: new.id.0,
        });
    }
    tell(apply, change)
}

/// Runs a command on an integration.
pub fn command(
    apply: &mut Apply<'_>,
    id: IntegrationId,
    command: &Command,
    by: Option<&Requestor>,
    at: Timestamp,
) -> Outcome {
    let before = integration(apply.connection, id).map_err(database)?;
    let before = before.ok_or(CommitError::NotFound {
        noun: Noun::Integration,
        id: id.0,
    })?;
    match before.apply(command, by, at)? {
        Decision::Unchanged => {
            let written = Written::Integration {
                integration: Box::new(before),
                changed: false,
            };
            Ok((written, Vec::new()))
        }
        Decision::Changed(change) => {
            update(apply.connection, &change.integration).map_err(database)?;
            tell(apply, *change)
        }
    }
}

/// Writes the message and a delivery for each webhook that wants it.
fn tell(apply: &mut Apply<'_>, change: Change) -> Outcome {
    let Change {
        integration,
        message,
    } = change;
    insert_message(apply, integration.id, &message).map_err(database)?;
    let subscriptions = apply
        .batch
        .subscriptions
        .of(apply.connection, integration.application_id)?
        .unwrap_or_default();
    let told = Told::new(&integration, message);
    let mut due = Vec::with_capacity(subscriptions.len());
    let mut is_wanted = false;
    for subscription in subscriptions.iter() {
        if subscription.wants(told.action) {
            is_wanted = true;
            if insert_delivery(apply, &told, *subscription).map_err(database)? {
                due.push(subscription.webhook_id);
            }
        }
    }
    if !is_wanted && told.action.carries_secret() {
        let key = (integration.id, told.sequence);
        erasure::leave(apply.connection, key).map_err(database)?;
    }
    Ok((
        Written::Integration {
            integration: Box::new(integration),
            changed: true,
        },
        due,
    ))
}

/// A message on its way to its deliveries.
struct Told {
    integration_id: IntegrationId,
    application_id: ApplicationId,
    sequence: u64,
    action: Action,
    at: Timestamp,
    bytes: Bytes,
    bytes_2025: Option<Bytes>,
}

impl Told {
    fn new(integration: &Integration, message: NewMessage) -> Self {
        Self {
            integration_id: integration.id,
            application_id: integration.application_id,
            sequence: message.sequence,
            action: message.action,
            at: message.at,
            bytes: message.body.bytes.into(),
            bytes_2025: message.body.bytes_2025.map(Bytes::from),
        }
    }

    fn body(&self, profile: Profile) -> Bytes {
        match (profile, &self.bytes_2025) {
            (Profile::V2025, Some(bytes)) => bytes.clone(),
            _ => self.bytes.clone(),
        }
    }
}

/// Adds a delivery at the end of its lane. Says whether it is the head, and so due.
fn insert_delivery(
    apply: &mut Apply<'_>,
    message: &Told,
    subscription: Subscription,
) -> rusqlite::Result<bool> {
    let (webhook, integration) = (subscription.webhook_id, message.integration_id);
    let tail = if message.sequence == 1 {
        Tail {
            previous: 0,
            is_waiting: false,
        }
    } else {
        let in_order = !apply.batch.backfilled.contains(&webhook);
        tail(apply.connection, integration, webhook, in_order)?
    };
    let id: DeliveryId = apply.batch.ids.next(message.at);
    let at = to_ms(message.at);
    let first_try = from_ms(to_ms(later(message.at, subscription.first_wait)));
    let is_head = !tail.is_waiting;
    apply
        .connection
        .prepare_cached(
            "INSERT INTO deliveries (id, webhook_id, application_id, integration_id, sequence, previous, action, \
             profile, state, attempt_count, tries, next_attempt_ms, created_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'Pending', 0, 0, ?9, ?10)",
        )?
        .execute(params![
            id,
            webhook,
            message.application_id,
            integration,
            message.sequence,
            tail.previous,
            message.action.as_str(),
            subscription.profile.as_str(),
            is_head.then(|| to_ms(first_try)),
            at,
        ])?;
    apply.batch.counts.added(DeliveryState::Pending);
    if !is_head {
        if !apply.batch.claims.follow(webhook, integration) {
            apply.batch.ready.follow(webhook, integration);
        }
        return Ok(false);
    }
    apply.batch.ready.make(Head {
        due: first_try,
        is_alone: true,
        is_waited_for: false,
        claim: Claim {
            delivery_id: id,
            fence: Fence(0),
            webhook_id: webhook,
            integration_id: integration,
            sequence: message.sequence,
            previous: tail.previous,
            action: message.action,
            state: DeliveryState::Pending,
            number: 1,
            tries: 0,
            planned: None,
            created: from_ms(at),
            body: Some(message.body(subscription.profile)),
            replay_id: None,
        },
    });
    Ok(true)
}

/// The end of a lane.
struct Tail {
    /// The sequence of its newest delivery, 0 if there is none.
    previous: u64,
    /// Whether a delivery of it is pending.
    is_waiting: bool,
}

/// Reads a lane backwards. Deliveries end in order, but for those that a person discards (and perhaps
/// sends again later): before the newest one that ended by itself, nothing is pending. Where a backfill has put
/// deliveries before others that had ended, all of the lane is read.
fn tail(
    connection: &Connection,
    integration: IntegrationId,
    webhook: WebhookId,
    in_order: bool,
) -> rusqlite::Result<Tail> {
    let mut select = connection.prepare_cached(
        "SELECT sequence, state, reason IS NOT NULL FROM deliveries \
         WHERE integration_id = ?1 AND webhook_id = ?2 ORDER BY sequence DESC",
    )?;
    let mut rows = select.query(params![integration, webhook])?;
    let (mut previous, mut is_waiting) = (None, false);
    while let Some(row) = rows.next()? {
        previous = previous.or(Some(row.get(0)?));
        let (state, was_discarded): (DeliveryState, bool) =
            (super::values::text(row, 1)?, row.get(2)?);
        if state == DeliveryState::Pending {
            is_waiting = true;
            break;
        }
        if in_order && !was_discarded {
            break;
        }
    }
    // What a backfill has made may be earlier than what was purged.
    let end = if previous.is_none() || !in_order {
        purged_end(connection, integration, webhook)?
    } else {
        0
    };
    Ok(Tail {
        previous: previous.unwrap_or(0).max(end),
        is_waiting,
    })
}

/// Where a lane stood whose deliveries were all purged; 0 if it had none.
pub fn purged_end(
    connection: &Connection,
    integration: IntegrationId,
    webhook: WebhookId,
) -> rusqlite::Result<u64> {
    let end = connection
        .prepare_cached(
            "SELECT sequence FROM lane_ends WHERE integration_id = ?1 AND webhook_id = ?2",
        )?
        .query_row(params![integration, webhook], |row| row.get(0))
        .optional()?;
    Ok(end.unwrap_or(0))
}

fn insert_message(
    apply: &Apply<'_>,
    integration: IntegrationId,
    message: &NewMessage,
) -> rusqlite::Result<()> {
    let is_sealed = message.action.carries_secret();
    let row = rows::body_row(integration, message.sequence);
    let seal = |bytes: &[u8]| {
        apply.vault.seal(
            Place {
                column: "messages.body",
                row: &row,
            },
            bytes,
        )
    };
    let kept = |bytes: &Vec<u8>| {
        if is_sealed {
            seal(bytes)
        } else {
            bytes.clone()
        }
    };
    let requestor = message
        .requestor
        .as_ref()
        .map(|by| serde_json::to_string(by).expect("text is JSON"));
    apply
        .connection
        .prepare_cached(
            "INSERT INTO messages (integration_id, sequence, action, created_ms, requestor, is_sealed, body, \
             body_2025) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            integration,
            message.sequence,
            message.action.as_str(),
            to_ms(message.at),
            requestor,
            is_sealed,
            kept(&message.body.bytes),
            message.body.bytes_2025.as_ref().map(kept),
        ])?;
    Ok(())
}

fn integration(
    connection: &Connection,
    id: IntegrationId,
) -> rusqlite::Result<Option<Integration>> {
    let sql = format!(
        "SELECT {} FROM integrations WHERE id = ?1",
        rows::INTEGRATION
    );
    connection
        .prepare_cached(&sql)?
        .query_row([id], rows::integration)
        .optional()
}

/// Says whether it is new: one that is there already stays as it is.
fn insert(connection: &Connection, integration: &Integration) -> rusqlite::Result<bool> {
    let token = integration.tokens.as_ref().map(|tokens| tokens.current);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO integrations (id, application_id, enterprise_id, name, is_enabled, created_ms, sequence, \
             service_id, service_name, token_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            integration.id,
            integration.application_id,
            integration.enterprise_id,
            integration.name,
            integration.is_enabled,
            to_ms(integration.created),
            integration.sequence,
            integration.service.as_ref().map(|service| *service.id.as_bytes()),
            integration.service.as_ref().map(|service| service.name.as_str()),
            token,
        ])?;
    Ok(inserted == 1)
}

fn update(connection: &Connection, integration: &Integration) -> rusqlite::Result<()> {
    let previous = integration
        .tokens
        .as_ref()
        .and_then(|tokens| tokens.previous);
    connection
        .prepare_cached(
            "UPDATE integrations SET is_enabled = ?2, canceled_ms = ?3, deleted_ms = ?4, sequence = ?5, \
             token_hash = ?6, previous_token_hash = ?7, previous_token_until_ms = ?8 WHERE id = ?1",
        )?
        .execute(params![
            integration.id,
            integration.is_enabled,
            integration.canceled.map(to_ms),
            integration.deleted.map(to_ms),
            integration.sequence,
            integration.tokens.as_ref().map(|tokens| tokens.current),
            previous.map(|(hash, _)| hash),
            previous.map(|(_, until)| to_ms(until)),
        ])?;
    Ok(())
}
