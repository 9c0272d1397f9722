//! What records mean for their webhook: its health, its pauses, and what people must learn of it.

use std::collections::{HashMap, hash_map::Entry};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{audit, batch::Batch, operational::Telling};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        audit::By,
        delivery::{Delivery, WebhookEffect},
        health::{Health, Observed},
    },
    id::WebhookId,
    store::{Attempted, StoreError, audit::disabled},
    vault::Vault,
};

/// Writes what an attempt means for its webhook. For a healthy one that succeeds that is nothing.
pub fn affect_webhook(
    connection: &Connection,
    vault: &Vault,
    batch: &mut Batch,
    id: WebhookId,
    attempted: &Attempted,
) -> Result<(), StoreError> {
    let Some(gate) = batch.webhooks.gate(connection, id)? else {
        return Ok(());
    };
    let cause = attempted.attempt.cause;
    if cause.is_none() && gate.health.is_clean() {
        return Ok(());
    }
    let observed = Observed {
        cause,
        started: attempted.attempt.started,
        ended: attempted.at,
        max_in_flight: gate.max_in_flight,
        state: gate.state,
        unit: attempted.unit,
    };
    let diagnosis = gate
        .health
        .after(observed, attempted.next, attempted.effect.as_ref());
    if diagnosis.health != gate.health {
        write_health(connection, id, diagnosis.health)?;
        batch.webhooks.fares(id, diagnosis.health);
    }
    if let Some(WebhookEffect::NotBefore(at)) = attempted.effect {
        connection
            .prepare_cached(
                "UPDATE webhooks SET asked_ms = CASE WHEN ?2 > COALESCE(not_before_ms, 0) THEN ?3 ELSE asked_ms END, \
                 not_before_ms = MAX(COALESCE(not_before_ms, 0), ?2) WHERE id = ?1",
            )?
            .execute(params![id, to_ms(at), to_ms(attempted.at)])?;
        batch.webhooks.forget(id);
    }
    if let Some(reason) = &diagnosis.disabled {
        connection
            .prepare_cached(
                "UPDATE webhooks SET state = 'Disabled', state_reason = ?2, revision = revision + 1 WHERE id = ?1",
            )?
            .execute(params![id, reason])?;
        batch.webhooks.forget(id);
        let of = connection
            .prepare_cached("SELECT application_id FROM webhooks WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        let fact = disabled(id, of, reason);
        audit::note(connection, batch, fact, attempted.at, &By::system())?;
    }
    // The one place where it is known, inside the transaction that makes it durable, what people must learn.
    let mut telling = Telling {
        connection,
        vault,
        batch,
    };
    telling.attempted(id, attempted, &diagnosis.events)
}

fn write_health(connection: &Connection, id: WebhookId, health: Health) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE webhooks SET failures = ?2, failing_since_ms = ?3, opened = ?4, open_until_ms = ?5, ramp = ?6 \
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            health.failures,
            health.failing_since.map(to_ms),
            health.opened,
            health.open_until.map(to_ms),
            health.ramp,
        ])
}

/// The webhooks whose circuit is not closed, and until when it is open.
pub fn open(connection: &Connection) -> rusqlite::Result<HashMap<WebhookId, Timestamp>> {
    let mut select = connection.prepare_cached(
        "SELECT id, open_until_ms FROM webhooks WHERE open_until_ms IS NOT NULL AND deleted_ms IS NULL",
    )?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, from_ms(row.get(1)?))))?;
    rows.collect()
}

/// Shows the next attempts no earlier than their webhooks let them be.
pub fn defer(connection: &Connection, deliveries: &mut [Delivery]) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT MAX(COALESCE(not_before_ms, open_until_ms), COALESCE(open_until_ms, not_before_ms)) \
         FROM webhooks WHERE id = ?1",
    )?;
    let mut known: HashMap<WebhookId, Option<Timestamp>> = HashMap::new();
    for delivery in deliveries {
        let Some(next) = delivery.next_attempt else {
            continue;
        };
        let of = delivery.webhook_id;
        let until = match known.entry(of) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let until = select.query_row([of], |row| row.get::<_, Option<i64>>(0))?;
                *unknown.insert(until.map(from_ms))
            }
        };
        delivery.next_attempt = Some(until.map_or(next, |until| next.max(until)));
    }
    Ok(())
}
