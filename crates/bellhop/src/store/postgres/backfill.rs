//! Deliveries that a backfill makes: they take their place in a lane by their sequence, before what is later and has
//! not been sent.

use bellhop_webhook::Action;
use tokio::try_join;
use uuid::Uuid;

use super::{
    alone::Alone,
    connect::Failed,
    connection::{execute, query_opt},
    rows,
    walk::{Taken, Walk},
};
use crate::{
    clock::to_ms,
    domain::{delivery::DeliveryState, retry::later, webhook::Subscription},
    id::DeliveryId,
    store::Position,
};

/// A message of a live integration that the webhook has no delivery of, and the place of one in its lane.
struct Missing {
    application: Uuid,
    action: Action,
    /// The sequence before it, 0 if there is none.
    previous: i64,
    /// Whether one before it is pending.
    is_behind: bool,
    /// The first pending one after it, if that is the head of the lane.
    former_head: Option<Uuid>,
}

const MISSING: &str = "\
    SELECT i.application_id, m.action, GREATEST((SELECT max(d.sequence) FROM deliveries d \
            WHERE d.integration_id = $1 AND d.webhook_id = $2 AND d.sequence < $3), \
            (SELECT e.sequence FROM lane_ends e WHERE e.integration_id = $1 AND e.webhook_id = $2 \
            AND e.sequence < $3), 0), \
        EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = $1 AND d.webhook_id = $2 AND d.sequence < $3 \
            AND d.state = 'Pending'), \
        (SELECT CASE WHEN d.next_attempt_ms IS NOT NULL THEN d.id END FROM deliveries d WHERE d.integration_id = $1 \
            AND d.webhook_id = $2 AND d.sequence > $3 AND d.state = 'Pending' ORDER BY d.sequence LIMIT 1) \
    FROM integrations i JOIN messages m ON m.integration_id = i.id \
    WHERE i.id = $1 AND m.sequence = $3 AND i.deleted_ms IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries d \
        WHERE d.integration_id = $1 AND d.webhook_id = $2 AND d.sequence = $3)";

/// Makes the delivery of one message, if it is still wanted and missing.
pub async fn take(
    walk: &mut Walk,
    alone: &mut Alone<'_>,
    at: Position,
    to: Subscription,
) -> Result<Taken, Failed> {
    // What is under way cannot be overtaken any more, and must end before its lane changes.
    if walk.is_busy((at.integration_id, at.webhook_id)) {
        return Ok(Taken::NotNow { held_by: None });
    }
    let place: super::connection::Values<'_> = &[
        &at.integration_id.0,
        &at.webhook_id.0,
        &(at.sequence as i64),
    ];
    let Some(row) = query_opt(alone.on, MISSING, place).await? else {
        return Ok(Taken::Up);
    };
    let missing = Missing {
        application: rows::get(&row, 0)?,
        action: rows::text(&row, 1)?,
        previous: rows::get(&row, 2)?,
        is_behind: rows::get(&row, 3)?,
        former_head: rows::get(&row, 4)?,
    };
    if to.wants(missing.action) {
        insert(walk, alone, at, &to, &missing).await?;
    }
    Ok(Taken::Up)
}

async fn insert(
    walk: &mut Walk,
    alone: &mut Alone<'_>,
    at: Position,
    to: &Subscription,
    missing: &Missing,
) -> Result<(), Failed> {
    let on = alone.on;
    let (integration, webhook, sequence) =
        (at.integration_id.0, at.webhook_id.0, at.sequence as i64);
    if let Some(head) = missing.former_head {
        // Its planned try is kept for when its turn comes again.
        execute(
            on,
            "UPDATE deliveries SET planned_ms = COALESCE(planned_ms, next_attempt_ms), next_attempt_ms = NULL, \
             replay_id = CASE WHEN replay_id = $2 THEN replay_id END WHERE id = $1",
            &[&head, &walk.run.0],
        )
        .await?;
    }
    let first_try = later(walk.at, to.first_wait);
    let id: DeliveryId = alone.shared.ids.next(walk.at);
    let next_attempt_ms = (!missing.is_behind).then(|| to_ms(first_try));
    let (action, profile, created_ms) =
        (missing.action.as_str(), to.profile.as_str(), to_ms(walk.at));
    let delivery: super::connection::Values<'_> = &[
        &id.0,
        &webhook,
        &missing.application,
        &integration,
        &sequence,
        &missing.previous,
        &action,
        &profile,
        &next_attempt_ms,
        &created_ms,
        &walk.run.0,
    ];
    let lane: super::connection::Values<'_> = &[&integration, &webhook, &sequence];
    try_join!(
        execute(
            on,
            "INSERT INTO deliveries (id, webhook_id, application_id, integration_id, sequence, previous, action, \
             profile, state, attempt_count, tries, next_attempt_ms, created_ms, replay_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'Pending', 0, 0, $9, $10, $11)",
            delivery,
        ),
        // The next one says what comes before it, unless it was sent already and said something else.
        execute(
            on,
            "UPDATE deliveries SET previous = $3 WHERE integration_id = $1 AND webhook_id = $2 AND sequence = \
             (SELECT min(sequence) FROM deliveries WHERE integration_id = $1 AND webhook_id = $2 AND sequence > $3) \
             AND state = 'Pending' AND attempt_count = 0",
            lane,
        ),
    )?;
    alone.counts.added(DeliveryState::Pending);
    walk.waiting += 1;
    if !missing.is_behind {
        walk.note_due(at.webhook_id);
    }
    Ok(())
}
