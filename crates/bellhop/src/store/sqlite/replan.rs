//! A clock that was set back. A plan is a time of day, so it would wait until the clock has come there once more.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::{clock::to_ms, domain::health::FIRST_OPEN};

/// The heads that were planned at a time which, by the clock, has not come yet: by the last attempt, or by the commit
/// that made them. What they were to wait then, they wait from now. An attempt that was under way when the clock was
/// set back has its plan before itself; what it waits is what the schedule says, at most.
const FROM_THE_FUTURE: &str = "CREATE TEMP TABLE replanned AS \
    SELECT p.id, p.webhook_id, p.planned_at_ms, CASE \
        WHEN p.next_attempt_ms >= p.planned_at_ms THEN ?1 + p.next_attempt_ms - p.planned_at_ms \
        ELSE MIN(p.next_attempt_ms, ?1 + 1200 * COALESCE(w.retry_schedule ->> p.tries, 0)) END AS next_attempt_ms \
    FROM ( \
        SELECT d.id, d.webhook_id, d.next_attempt_ms, d.tries, COALESCE( \
            (SELECT a.started_ms FROM attempts a WHERE a.delivery_id = d.id AND a.number = d.attempt_count), \
            d.created_ms) AS planned_at_ms \
        FROM deliveries d WHERE d.next_attempt_ms IS NOT NULL AND d.next_attempt_ms > ?1) p \
    JOIN webhooks w ON w.id = p.webhook_id WHERE p.planned_at_ms > ?1";

const DELIVERIES: &str = "UPDATE deliveries SET next_attempt_ms = r.next_attempt_ms FROM replanned r \
    WHERE deliveries.id = r.id";

/// A receiver's `Retry-After` bears no time at which it came. The newest plan was made no earlier; one that is later
/// than the pause ends was made by a clock that was set back before, and says nothing of it.
const WEBHOOKS: &str = "UPDATE webhooks SET not_before_ms = ?1 + MAX(0, not_before_ms - COALESCE( \
        (SELECT MAX(r.planned_at_ms) FROM replanned r \
            WHERE r.webhook_id = webhooks.id AND r.planned_at_ms <= webhooks.not_before_ms), not_before_ms)) \
    WHERE not_before_ms > ?1 AND id IN (SELECT webhook_id FROM replanned)";

/// How long a circuit was to stay open is not known any more. A probe that comes soon harms nobody, and makes no delivery
/// early: one that stays open until the clock has come there again would hold its webhook for as long.
const CIRCUITS: &str =
    "UPDATE webhooks SET open_until_ms = ?1 WHERE open_until_ms IS NOT NULL AND open_until_ms > ?1";

/// Moves what was planned by a clock that had gone further. Says how many deliveries that were.
pub fn replan(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let now = to_ms(now);
    let transaction = connection.transaction()?;
    transaction.execute(FROM_THE_FUTURE, params![now])?;
    let replanned = transaction.execute(DELIVERIES, [])?;
    transaction.execute(WEBHOOKS, params![now])?;
    transaction.execute(CIRCUITS, params![now + FIRST_OPEN.as_millis() as i64])?;
    transaction.execute("DROP TABLE temp.replanned", [])?;
    transaction.commit()?;
    Ok(replanned)
}
