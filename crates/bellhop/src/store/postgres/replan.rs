//! A clock that was set back. A plan is a time of day, so it would wait until the clock has come there once more.

use jiff::Timestamp;

use super::{
    connect::Failed,
    connection::{Transaction, execute},
};
use crate::{
    clock::to_ms,
    domain::health::{FIRST_OPEN, LONGEST_OPEN},
};

/// How far the clocks of replicas may be apart. What was planned by a clock that is ahead by less is left as it is: it
/// was planned right, by another replica.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// The heads that were planned at a time which, by the clock, has not come yet: by the last attempt, or by the commit
/// that made them. What they were to wait then, they wait from now. An attempt that was under way when the clock was
/// set back has its plan before itself; what it waits is what the schedule says, at most.
///
/// A receiver's `Retry-After` bears no time at which it came. The newest plan was made no earlier; one that is later than
/// the pause ends was made by a clock that was set back before, and says nothing of it.
const PLANS: &str = "WITH replanned AS MATERIALIZED ( \
        SELECT p.id, p.webhook_id, p.planned_at_ms, CASE \
            WHEN p.next_attempt_ms >= p.planned_at_ms THEN $1 + p.next_attempt_ms - p.planned_at_ms \
            ELSE LEAST(p.next_attempt_ms, $1 + 1200 * COALESCE(w.retry_schedule[p.tries + 1], 0)) \
            END AS next_attempt_ms \
        FROM ( \
            SELECT d.id, d.webhook_id, d.next_attempt_ms, d.tries, COALESCE( \
                (SELECT a.started_ms FROM attempts a WHERE a.delivery_id = d.id AND a.number = d.attempt_count), \
                d.created_ms) AS planned_at_ms \
            FROM deliveries d WHERE d.next_attempt_ms IS NOT NULL AND d.next_attempt_ms > $1::bigint) p \
        JOIN webhooks w ON w.id = p.webhook_id WHERE p.planned_at_ms > $1 + $2::bigint \
    ), pauses AS ( \
        UPDATE webhooks w SET not_before_ms = $1 + GREATEST(0, w.not_before_ms - COALESCE( \
            (SELECT max(r.planned_at_ms) FROM replanned r \
                WHERE r.webhook_id = w.id AND r.planned_at_ms <= w.not_before_ms), w.not_before_ms)) \
        WHERE w.not_before_ms > $1 AND w.id IN (SELECT webhook_id FROM replanned) \
    ) \
    UPDATE deliveries d SET next_attempt_ms = r.next_attempt_ms FROM replanned r WHERE d.id = r.id";

/// How long a circuit was to stay open is not known any more. A probe that comes soon harms nobody, and makes no delivery
/// early: one that stays open until the clock has come there again would hold its webhook for as long.
const CIRCUITS: &str = "UPDATE webhooks SET open_until_ms = $1 \
    WHERE open_until_ms IS NOT NULL AND open_until_ms > $2";

/// Moves what was planned by a clock that had gone further. Says how many deliveries that were.
pub async fn replan(on: &Transaction<'_>, now: Timestamp) -> Result<usize, Failed> {
    let now = to_ms(now);
    let replanned = execute(on, PLANS, &[&now, &CLOCKS_DIFFER_MS]).await?;
    let soon = now + FIRST_OPEN.as_millis() as i64;
    let never_so_late = now + LONGEST_OPEN.as_millis() as i64 + CLOCKS_DIFFER_MS;
    execute(on, CIRCUITS, &[&soon, &never_so_late]).await?;
    Ok(replanned as usize)
}
