//! Reading what is due from the database, for claims: what is wanted, and some ahead.

use std::collections::VecDeque;

use jiff::Timestamp;
use rusqlite::Connection;

use super::{batch::Batch, ready::Head, rows, values::text};
use crate::{
    clock::from_ms,
    id::{DeliveryId, IntegrationId, WebhookId},
    store::{Claim, Fence, StoreError},
    vault::Vault,
};

/// Reads what is due and not claimed: as much as is missing, and some ahead.
pub fn read_ahead(
    connection: &Connection,
    vault: &Vault,
    batch: &mut Batch,
    webhook_id: WebhookId,
    now: Timestamp,
    missing: usize,
) -> Result<(), StoreError> {
    batch.ready.forget(webhook_id);
    let most = missing + batch.ready.ahead();
    // What is claimed stands in the index as well. Reading it there alone, and the rest of a row only for what
    // is not claimed, keeps a claim's cost from growing with what is in flight.
    let mut scan = connection.prepare_cached(
        "SELECT id FROM deliveries WHERE webhook_id = ?1 AND next_attempt_ms IS NOT NULL ORDER BY next_attempt_ms",
    )?;
    let mut select = connection.prepare_cached(
        "SELECT d.id, d.integration_id, d.sequence, d.previous, d.action, d.state, d.attempt_count, d.tries, \
         d.planned_ms, d.created_ms, d.next_attempt_ms, m.is_sealed, \
         CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END, d.replay_id \
         FROM deliveries d CROSS JOIN messages m ON m.integration_id = d.integration_id AND m.sequence = d.sequence \
         WHERE d.id = ?1",
    )?;
    let mut heads = VecDeque::new();
    let mut until = Timestamp::MAX;
    let mut ids = scan.query([webhook_id])?;
    while let Some(id) = ids.next()? {
        let id: DeliveryId = id.get(0)?;
        if batch.claims.holds(id) {
            continue;
        }
        let mut found = select.query([id])?;
        let Some(row) = found.next()? else { continue };
        // A replay and the head of its lane may both be due: one after the other.
        if batch.claims.wait_for_lane(webhook_id, row.get(1)?) {
            continue;
        }
        // The same before either is claimed: the second is read when the first has ended.
        let lane: IntegrationId = row.get(1)?;
        let first = heads
            .iter_mut()
            .find(|head: &&mut Head| head.claim.integration_id == lane);
        if let Some(first) = first {
            first.is_waited_for = true;
            continue;
        }
        let due = from_ms(row.get(10)?);
        if due > now || heads.len() == most {
            until = due;
            break;
        }
        match read_claim(row, vault, webhook_id, id) {
            Ok(claim) => heads.push_back(Head {
                due,
                claim,
                is_alone: false,
                is_waited_for: false,
            }),
            Err(error) if heads.is_empty() => return Err(error),
            // Those before it are fine; it fails when it is the next.
            Err(_) => {
                until = due;
                break;
            }
        }
    }
    batch.ready.learn(webhook_id, heads, until, now);
    Ok(())
}

fn read_claim(
    row: &rusqlite::Row<'_>,
    vault: &Vault,
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
) -> Result<Claim, StoreError> {
    let (integration_id, sequence) = (row.get(1)?, row.get(2)?);
    let place = rows::body_row(integration_id, sequence);
    Ok(Claim {
        delivery_id,
        fence: Fence(0),
        webhook_id,
        integration_id,
        sequence,
        previous: row.get(3)?,
        action: text(row, 4)?,
        state: text(row, 5)?,
        number: row.get::<_, u32>(6)? + 1,
        tries: row.get(7)?,
        planned: row.get::<_, Option<i64>>(8)?.map(from_ms),
        created: from_ms(row.get(9)?),
        body: rows::body(row, 11, 12, vault, &place)?,
        replay_id: row.get(13)?,
    })
}
