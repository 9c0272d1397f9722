//! A clock that was set back. A plan is a time of day, so it would wait until the clock has come there once more.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::clock::to_ms;

/// The heads that were planned at a time which, by the clock, has not come yet: by the last attempt, or by the commit
/// that made them. A plan that was made since has its attempt in the future and itself not: it is right.
const FROM_THE_FUTURE: &str = "CREATE TEMP TABLE replanned AS \
    SELECT id, webhook_id, next_attempt_ms, planned_at_ms FROM ( \
        SELECT d.id, d.webhook_id, d.next_attempt_ms, COALESCE( \
            (SELECT a.started_ms FROM attempts a WHERE a.delivery_id = d.id AND a.number = d.attempt_count), \
            d.created_ms) AS planned_at_ms \
        FROM deliveries d WHERE d.next_attempt_ms IS NOT NULL AND d.next_attempt_ms > ?1) \
    WHERE planned_at_ms > ?1 AND next_attempt_ms >= planned_at_ms";

/// What it was to wait then, it waits from now.
const DELIVERIES: &str = "UPDATE deliveries SET next_attempt_ms = ?1 + r.next_attempt_ms - r.planned_at_ms \
    FROM replanned r WHERE deliveries.id = r.id";

/// A receiver's `Retry-After` bears no time at which it came. The newest plan was made no earlier.
const WEBHOOKS: &str = "UPDATE webhooks SET not_before_ms = ?1 + MAX(0, not_before_ms - r.planned_at_ms) \
    FROM (SELECT webhook_id, MAX(planned_at_ms) AS planned_at_ms FROM replanned GROUP BY webhook_id) r \
    WHERE webhooks.id = r.webhook_id AND webhooks.not_before_ms > ?1";

/// Moves what was planned by a clock that had gone further. Says how many deliveries that were.
pub fn replan(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let now = to_ms(now);
    let transaction = connection.transaction()?;
    transaction.execute(FROM_THE_FUTURE, params![now])?;
    let replanned = transaction.execute(DELIVERIES, params![now])?;
    transaction.execute(WEBHOOKS, params![now])?;
    transaction.execute("DROP TABLE temp.replanned", [])?;
    transaction.commit()?;
    Ok(replanned)
}
