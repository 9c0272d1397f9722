//! Deliveries that a backfill makes: they take their place in a lane by their sequence, before what is later
//! and has not been sent.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::database,
    lifecycle,
    replays::{Taken, Walk},
    values::text,
};
use crate::{
    clock::to_ms,
    domain::{delivery::DeliveryState, retry::later, webhook::Subscription},
    id::{ApplicationId, DeliveryId},
    store::{CommitError, Position},
};
use bellhop_webhook::Action;

/// The place of a delivery that is to be made, among those that there are.
struct Place {
    /// The sequence before it, 0 if there is none.
    previous: u64,
    /// Whether one before it is pending.
    is_behind: bool,
    /// The first pending one after it, if that is the head of the lane.
    former_head: Option<DeliveryId>,
}

/// Makes the delivery of one message, if it is still wanted and missing.
pub fn take(walk: &mut Walk<'_, '_>, at: Position) -> Result<Taken, CommitError> {
    // What is under way cannot be overtaken any more, and must end before its lane changes.
    if walk
        .apply
        .batch
        .claims
        .is_busy(at.webhook_id, at.integration_id)
    {
        return Ok(Taken::NotNow { held_by: None });
    }
    let connection = walk.apply.connection;
    let Some((application, action)) = missing(connection, at).map_err(database)? else {
        return Ok(Taken::Up);
    };
    let subscriptions = walk.apply.batch.subscriptions.of(connection, application)?;
    let subscription = subscriptions
        .iter()
        .flat_map(|all| all.iter())
        .find(|each| each.webhook_id == at.webhook_id && each.wants(action))
        .copied();
    if let Some(subscription) = subscription {
        insert(walk, at, application, action, subscription).map_err(database)?;
    }
    Ok(Taken::Up)
}

/// The application and the action of a message of a live integration that the webhook has no delivery of.
fn missing(
    connection: &Connection,
    at: Position,
) -> rusqlite::Result<Option<(ApplicationId, Action)>> {
    connection
        .prepare_cached(
            "SELECT i.application_id, m.action FROM integrations i CROSS JOIN messages m ON m.integration_id = i.id \
             WHERE i.id = ?1 AND m.sequence = ?3 AND i.deleted_ms IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries d \
             WHERE d.integration_id = ?1 AND d.webhook_id = ?2 AND d.sequence = ?3)",
        )?
        .query_row(params![at.integration_id, at.webhook_id, at.sequence], |row| {
            Ok((row.get(0)?, text(row, 1)?))
        })
        .optional()
}

fn insert(
    walk: &mut Walk<'_, '_>,
    at: Position,
    application: ApplicationId,
    action: Action,
    subscription: Subscription,
) -> rusqlite::Result<()> {
    let connection = walk.apply.connection;
    let place = place(connection, at)?;
    if let Some(head) = place.former_head {
        // Its planned try is kept for when its turn comes again.
        connection
            .prepare_cached(
                "UPDATE deliveries SET planned_ms = COALESCE(planned_ms, next_attempt_ms), next_attempt_ms = NULL, \
                 replay_id = CASE WHEN replay_id = ?2 THEN replay_id END WHERE id = ?1",
            )?
            .execute(params![head, walk.run])?;
    }
    let first_try = later(walk.at, subscription.first_wait);
    let id: DeliveryId = walk.apply.batch.ids.next(walk.at);
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, webhook_id, application_id, integration_id, sequence, previous, action, \
             profile, state, attempt_count, tries, next_attempt_ms, created_ms, replay_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'Pending', 0, 0, ?9, ?10, ?11)",
        )?
        .execute(params![
            id,
            at.webhook_id,
            application,
            at.integration_id,
            at.sequence,
            place.previous,
            action.as_str(),
            subscription.profile.as_str(),
            (!place.is_behind).then(|| to_ms(first_try)),
            to_ms(walk.at),
            walk.run,
        ])?;
    // The next one says what comes before it, unless it was sent already and said something else.
    connection
        .prepare_cached(
            "UPDATE deliveries SET previous = ?3 WHERE integration_id = ?1 AND webhook_id = ?2 AND sequence = \
             (SELECT MIN(sequence) FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 AND sequence > ?3) \
             AND state = 'Pending' AND attempt_count = 0",
        )?
        .execute(params![at.integration_id, at.webhook_id, at.sequence])?;
    walk.apply.batch.counts.added(DeliveryState::Pending);
    walk.waiting += 1;
    if !place.is_behind {
        walk.note_due(at.webhook_id);
    }
    Ok(())
}

fn place(connection: &Connection, at: Position) -> rusqlite::Result<Place> {
    let lane = params![at.integration_id, at.webhook_id, at.sequence];
    let previous: Option<u64> = connection
        .prepare_cached(
            "SELECT MAX(sequence) FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 AND sequence < ?3",
        )?
        .query_row(lane, |row| row.get(0))?;
    let purged = lifecycle::purged_end(connection, at.integration_id, at.webhook_id)?;
    let is_behind = connection
        .prepare_cached(
            "SELECT 1 FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 AND sequence < ?3 \
             AND state = 'Pending' ORDER BY sequence DESC LIMIT 1",
        )?
        .exists(lane)?;
    let after: Option<(DeliveryId, bool)> = connection
        .prepare_cached(
            "SELECT id, next_attempt_ms IS NOT NULL FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 \
             AND sequence > ?3 AND state = 'Pending' ORDER BY sequence LIMIT 1",
        )?
        .query_row(lane, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(Place {
        previous: previous
            .unwrap_or(0)
            .max(if purged < at.sequence { purged } else { 0 }),
        is_behind,
        former_head: after.filter(|(_, is_head)| *is_head).map(|(id, _)| id),
    })
}
