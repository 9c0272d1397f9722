//! A clock that was set back. A plan is a time of day, so it would wait until the clock has come there once more.

use jiff::Timestamp;

use super::{
    Shared, TRIES,
    connect::Failed,
    connection::{Transaction, execute, settled},
};
use crate::{
    clock::to_ms,
    domain::health::{FIRST_OPEN, LONGEST_OPEN},
    store::StoreError,
};

/// How far the clocks of replicas may be apart. What was planned by a clock that is ahead by less is left as it is: it
/// was planned right, by another replica.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// The heads that were planned by a clock that had gone further. One that was tried was planned by its last attempt: what
/// it was to wait then, it waits from now. If its plan is before that attempt, the clock was set back before or meanwhile;
/// what it waits is what the schedule says, at most. One that was never tried bears no time at which it became the head:
/// by a clock that is right it waits no longer than before a first try.
const PLANS: &str = "WITH replanned AS MATERIALIZED ( \
        SELECT p.id, CASE \
            WHEN p.attempt_count = 0 THEN $1 + p.first_ms \
            WHEN p.next_attempt_ms >= p.planned_at_ms THEN $1 + p.next_attempt_ms - p.planned_at_ms \
            ELSE LEAST(p.next_attempt_ms, $1 + 1200 * COALESCE(p.retry_schedule[p.tries + 1], 0)) \
            END AS next_attempt_ms \
        FROM ( \
            SELECT d.id, d.next_attempt_ms, d.tries, d.attempt_count, w.retry_schedule, \
                1000 * w.retry_schedule[1] AS first_ms, COALESCE( \
                (SELECT a.started_ms FROM attempts a WHERE a.delivery_id = d.id AND a.number = d.attempt_count), \
                d.created_ms) AS planned_at_ms \
            FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id \
            WHERE d.next_attempt_ms IS NOT NULL AND d.next_attempt_ms > $1::bigint) p \
        WHERE CASE WHEN p.attempt_count = 0 THEN p.next_attempt_ms > $1 + $2::bigint + p.first_ms \
            ELSE p.planned_at_ms > $1 + $2::bigint END \
    ) \
    UPDATE deliveries d SET next_attempt_ms = r.next_attempt_ms FROM replanned r WHERE d.id = r.id";

/// Pauses that a receiver asked for. One from before it was kept when they were asked for lasts a day at most, as any does.
const PAUSES: &str = "UPDATE webhooks SET not_before_ms = CASE \
        WHEN asked_ms IS NULL THEN LEAST(not_before_ms, $1::bigint + 86400000) \
        ELSE $1 + GREATEST(0, not_before_ms - asked_ms) END, asked_ms = $1 \
    WHERE not_before_ms > $1 AND (asked_ms IS NULL OR asked_ms > $1 + $2::bigint)";

/// How long a circuit was to stay open is not known any more. A probe that comes soon harms nobody, and makes no delivery
/// early: one that stays open until the clock has come there again would hold its webhook for as long.
const CIRCUITS: &str = "UPDATE webhooks SET open_until_ms = $1 \
    WHERE open_until_ms IS NOT NULL AND open_until_ms > $2";

/// Moves what was planned by a clock that had gone further. Says how many deliveries that were.
pub async fn replan(shared: &Shared, now: Timestamp) -> Result<usize, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let connection = shared.writers.get().await?;
        let done = settled(connection, async |connection| {
            let transaction = connection.transaction();
            let replanned = move_plans(&transaction, now).await?;
            transaction.commit().await?;
            Ok(replanned)
        });
        match done.await {
            Err(failed) if failed.again && tries < TRIES => {}
            done => return done.map_err(|failed| failed.error),
        }
    }
}

async fn move_plans(on: &Transaction<'_>, now: Timestamp) -> Result<usize, Failed> {
    let now = to_ms(now);
    let replanned = execute(on, PLANS, &[&now, &CLOCKS_DIFFER_MS]).await?;
    execute(on, PAUSES, &[&now, &CLOCKS_DIFFER_MS]).await?;
    let soon = now + FIRST_OPEN.as_millis() as i64;
    let never_so_late = now + LONGEST_OPEN.as_millis() as i64 + CLOCKS_DIFFER_MS;
    execute(on, CIRCUITS, &[&soon, &never_so_late]).await?;
    Ok(replanned as usize)
}
