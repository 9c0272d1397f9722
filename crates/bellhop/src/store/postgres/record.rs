//! Records of attempts, as groups: each table gets all of its rows with one statement.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::try_join;
use uuid::Uuid;

use super::{
    Shared,
    connect::Failed,
    connection::{Transaction, execute, query, settled_soon},
    counts::{Counts, Writer},
    health,
    held::HeldClaim,
    queue::Write,
    ready::Ready,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        cause::Cause,
        delivery::{DeliveryState, Next, Response},
    },
    id::{IntegrationId, WebhookId},
    store::{Attempted, Recorded, StoreError},
};

/// The queue of records.
pub struct Records;

/// A record whose claim is held.
struct Ours<'a> {
    attempted: &'a Attempted,
    held: HeldClaim,
    after: DeliveryState,
}

type Lane = (WebhookId, IntegrationId);

#[async_trait]
impl Write for Records {
    type Asked = Arc<Attempted>;
    type Answer = Result<Recorded, StoreError>;

    async fn write(shared: &Shared, asked: &[Self::Asked]) -> Result<Vec<Self::Answer>, Failed> {
        let held = asked
            .iter()
            .map(|attempted| shared.held.find(attempted.delivery_id, attempted.fence));
        let mut seen = HashSet::new();
        let ours: Vec<Ours<'_>> = asked
            .iter()
            .zip(held)
            .filter(|(attempted, _)| seen.insert(attempted.delivery_id))
            .filter_map(|(attempted, held)| Some(Ours::new(attempted, held?)))
            .collect();
        let recorded = if ours.is_empty() {
            HashMap::new()
        } else {
            let connection = shared.writers.get().await?;
            settled_soon(connection, async |connection| {
                let transaction = connection.transaction();
                record(&transaction, shared, ours).await
            })
            .await?
        };
        let mut recorded = recorded;
        let answers = asked.iter().map(|attempted| {
            shared.held.end(attempted.delivery_id, attempted.fence);
            let goes_on = recorded.remove(&(attempted.delivery_id.0, attempted.fence.0));
            Ok(
                goes_on.map_or(Recorded::Lost, |lane_goes_on| Recorded::Done {
                    lane_goes_on,
                }),
            )
        });
        Ok(answers.collect())
    }

    fn failed(error: StoreError) -> Self::Answer {
        Err(error)
    }
}

impl<'a> Ours<'a> {
    fn new(attempted: &'a Attempted, held: HeldClaim) -> Self {
        let after = match attempted.next {
            Next::Delivered => DeliveryState::Delivered,
            Next::Failed => DeliveryState::Failed,
            Next::Retry { .. } => DeliveryState::Pending,
            Next::Unchanged => held.state,
        };
        Self {
            attempted,
            held,
            after,
        }
    }

    fn lane(&self) -> Lane {
        (self.held.webhook_id, self.held.integration_id)
    }

    /// Whether its run has had of it what it wanted. A replay is one attempt; a delivery that a backfill made has all of
    /// its schedule.
    fn is_settled(&self, is_one_attempt: bool) -> bool {
        match self.held.state {
            DeliveryState::Pending => {
                matches!(self.attempted.next, Next::Delivered | Next::Failed)
                    || (self.held.is_replay && is_one_attempt)
            }
            DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Discarded => true,
        }
    }

    /// What it means for what lies ready of its webhook.
    fn tell(&self, ready: &Ready, lane_goes_on: bool) {
        let (webhook, attempted) = (self.held.webhook_id, self.attempted);
        if attempted.attempt.cause.is_some() || attempted.effect.is_some() {
            ready.forget(webhook);
        } else if lane_goes_on {
            ready.ask(webhook);
        }
    }

    /// Whether the lane goes on after it.
    fn has_ended(&self) -> bool {
        self.held.state == DeliveryState::Pending && self.after != DeliveryState::Pending
    }
}

/// Writes them, and makes that durable. Says for each that is still ours whether its lane has another that is due.
async fn record(
    on: &Transaction<'_>,
    shared: &Shared,
    mut ours: Vec<Ours<'_>>,
) -> Result<HashMap<(Uuid, u64), bool>, Failed> {
    let mut ending: Vec<Uuid> = ours
        .iter()
        .filter(|each| each.has_ended())
        .map(|each| each.held.integration_id.0)
        .collect();
    ending.sort_unstable();
    ending.dedup();
    let fails = |each: &&Ours<'_>| each.attempted.attempt.cause.is_some();
    let failing = webhooks(ours.iter().filter(fails));
    let all = webhooks(ours.iter());
    // One way there and back; the database works on them in this order, which is the order of locks.
    let ((), patients, ended) = try_join!(
        lock(on, &ending),
        health::lock(on, &all, &failing),
        end_claims(on, shared.holder, &ours),
    )?;
    ours.retain(|each| ended.contains_key(&each.lane()));
    let observed = ours
        .iter()
        .map(|each| (each.held.webhook_id, each.attempted));
    let mut counts = Counts::default();
    for each in &ours {
        counts.moved(each.held.state, each.after, 1);
    }
    health::affect(on, shared, patients, observed).await?;
    settle_replays(on, &ours).await?;
    let ((), advanced, (), ()) = try_join!(
        write_attempts(on, &ours),
        advance_lanes(on, &ours),
        counts.write(on, shared.holder, Writer::Records),
        on.commit(),
    )?;
    let told = ours.iter().map(|each| {
        let waits = ended.get(&each.lane()).copied().unwrap_or(false);
        let place = (each.attempted.delivery_id.0, each.attempted.fence.0);
        let goes_on = waits || advanced.contains(&each.lane());
        each.tell(&shared.ready, goes_on);
        (place, goes_on)
    });
    Ok(told.collect())
}

/// Nobody adds to these lanes until this transaction ends.
pub async fn lock(on: &Transaction<'_>, integrations: &[Uuid]) -> Result<(), Failed> {
    if !integrations.is_empty() {
        query(
            on,
            // Counted, so that the answer is one row.
            "SELECT count(*) FROM (SELECT 1 FROM integrations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE) locked",
            &[&integrations],
        )
        .await?;
    }
    Ok(())
}

/// Each of their webhooks, once.
fn webhooks<'a>(of: impl Iterator<Item = &'a Ours<'a>>) -> Vec<Uuid> {
    let webhooks: BTreeSet<Uuid> = of.map(|each| each.held.webhook_id.0).collect();
    webhooks.into_iter().collect()
}

/// Ends the claims that are still ours. Says of each lane whether another of its deliveries waits. The holder is a part of
/// the proof: a database that lost what it had promised, after a failover, may give the number of a fence twice.
async fn end_claims(
    on: &Transaction<'_>,
    holder: Uuid,
    ours: &[Ours<'_>],
) -> Result<HashMap<Lane, bool>, Failed> {
    let found = query(
        on,
        "DELETE FROM claims c USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u (webhook_id, integration_id, \
         fence) WHERE c.webhook_id = u.webhook_id AND c.integration_id = u.integration_id AND c.fence = u.fence \
         AND c.holder = $4 RETURNING c.webhook_id, c.integration_id, c.waits",
        &[
            &column(ours, |each| each.held.webhook_id.0),
            &column(ours, |each| each.held.integration_id.0),
            &column(ours, |each| each.held.fence.0 as i64),
            &holder,
        ],
    )
    .await?;
    let lanes = rows::all(&found, |row| {
        Ok(((rows::id(row, 0)?, rows::id(row, 1)?), rows::get(row, 2)?))
    })?;
    Ok(lanes.into_iter().collect())
}

fn column<T>(of: &[Ours<'_>], value: impl Fn(&Ours<'_>) -> T) -> Vec<T> {
    of.iter().map(value).collect()
}

/// The deliveries and their attempts, with one statement.
async fn write_attempts(on: &Transaction<'_>, ours: &[Ours<'_>]) -> Result<(), Failed> {
    let next_attempt = |each: &Ours<'_>| match each.attempted.next {
        Next::Retry { at } => Some(to_ms(at)),
        Next::Delivered | Next::Failed | Next::Unchanged => None,
    };
    let tries = |each: &Ours<'_>| {
        let is_replay = each.held.is_replay || each.held.state != DeliveryState::Pending;
        i64::from(each.held.tries) + i64::from(!is_replay)
    };
    let ended = |each: &Ours<'_>| {
        let has_ended = each.after != each.held.state && each.after != DeliveryState::Pending;
        has_ended.then(|| to_ms(each.attempted.at))
    };
    let response = |each: &Ours<'_>| each.attempted.attempt.response.clone();
    let timing = |value: fn(&crate::domain::delivery::Timings) -> Option<u32>| {
        column(ours, |each| {
            value(&each.attempted.attempt.timings).map(i64::from)
        })
    };
    execute(
        on,
        "WITH ended AS (UPDATE deliveries d SET state = u.state, cause = u.cause, attempt_count = u.attempt_count, \
         tries = u.tries, next_attempt_ms = u.next_attempt_ms, planned_ms = NULL, \
         ended_ms = COALESCE(u.ended_ms, d.ended_ms) \
         FROM unnest($1::uuid[], $22::text[], $6::text[], $2::bigint[], $23::bigint[], $24::bigint[], $25::bigint[]) \
         AS u (id, state, cause, attempt_count, tries, next_attempt_ms, ended_ms) WHERE d.id = u.id) \
         INSERT INTO attempts (delivery_id, number, application_id, started_ms, duration_us, cause, detail, \
         signature, traceparent, status, response_headers, response_body, is_truncated, dns_us, connect_us, tls_us, \
         send_us, wait_us, receive_us, remote, is_replay) \
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], \
         $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bytea[], $13::boolean[], \
         $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::text[], \
         $21::boolean[]) \
         ON CONFLICT DO NOTHING",
        &[
            &column(ours, |each| each.attempted.delivery_id.0),
            &column(ours, |each| i64::from(each.attempted.attempt.number)),
            &column(ours, |each| each.held.application_id.0),
            &column(ours, |each| to_ms(each.attempted.attempt.started)),
            &column(ours, |each| each.attempted.attempt.duration.as_micros() as i64),
            &column(ours, |each| each.attempted.attempt.cause.map(Cause::as_str)),
            &column(ours, |each| each.attempted.attempt.detail.clone()),
            &column(ours, |each| each.attempted.attempt.signature.clone()),
            &column(ours, |each| each.attempted.attempt.traceparent.clone()),
            &column(ours, |each| response(each).map(|response| i64::from(response.status))),
            &column(ours, |each| response(each).and_then(|response| headers(&response))),
            &column(ours, |each| response(each).and_then(|response| body(&response))),
            &column(ours, |each| response(each).is_some_and(|response| response.is_truncated)),
            &timing(|timings| timings.dns_us),
            &timing(|timings| timings.connect_us),
            &timing(|timings| timings.tls_us),
            &timing(|timings| timings.send_us),
            &timing(|timings| timings.wait_us),
            &timing(|timings| timings.receive_us),
            &column(ours, |each| each.attempted.attempt.remote.map(|remote| remote.to_string())),
            &column(ours, |each| each.attempted.attempt.is_replay),
            &column(ours, |each| each.after.as_str()),
            &column(ours, tries),
            &column(ours, next_attempt),
            &column(ours, ended),
        ],
    )
    .await?;
    Ok(())
}

/// Notes what became of attempts of deliveries that belong to runs. The rows of runs are locked last, by everybody who
/// changes them, and in the order of their ids.
async fn settle_replays(on: &Transaction<'_>, ours: &[Ours<'_>]) -> Result<(), Failed> {
    let mut runs: Vec<Uuid> = ours
        .iter()
        .filter_map(|each| each.held.replay_id.map(|run| run.0))
        .collect();
    if runs.is_empty() {
        return Ok(());
    }
    runs.sort_unstable();
    runs.dedup();
    let found = query(
        on,
        "SELECT id, kind = 'Replay' FROM replays WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        &[&runs],
    )
    .await?;
    let kinds = rows::all(&found, |row| {
        Ok((rows::get::<Uuid>(row, 0)?, rows::get::<bool>(row, 1)?))
    })?;
    let one_attempt: HashMap<Uuid, bool> = kinds.into_iter().collect();
    let (mut settled, mut of, mut arrived) = (Vec::new(), Vec::new(), Vec::new());
    for each in ours {
        if let Some(run) = each.held.replay_id
            && each.is_settled(one_attempt.get(&run.0).copied().unwrap_or(false))
        {
            settled.push(each.attempted.delivery_id.0);
            of.push(run.0);
            arrived.push(each.attempted.next == Next::Delivered);
        }
    }
    if settled.is_empty() {
        return Ok(());
    }
    // One may have been taken out of its run while the attempt was under way: it counts all the same.
    let take_out = "UPDATE deliveries SET replay_id = NULL WHERE id = ANY($1)";
    let count = "UPDATE replays r SET succeeded = r.succeeded + u.arrived, failed = r.failed + u.n - u.arrived \
         FROM (SELECT run, count(*) AS n, count(*) FILTER (WHERE has_arrived) AS arrived \
         FROM unnest($1::uuid[], $2::boolean[]) AS s (run, has_arrived) GROUP BY run) u WHERE r.id = u.run";
    execute(on, take_out, &[&settled]).await?;
    execute(on, count, &[&of, &arrived]).await?;
    Ok(())
}

fn headers(response: &Response) -> Option<String> {
    let headers = &response.headers;
    (!headers.is_empty()).then(|| serde_json::to_string(headers).expect("text is JSON"))
}

fn body(response: &Response) -> Option<Vec<u8>> {
    (!response.body.is_empty()).then(|| response.body.to_vec())
}

/// Makes the next pending delivery of each lane due whose head has ended. Says in which lanes there is one.
async fn advance_lanes(on: &Transaction<'_>, ours: &[Ours<'_>]) -> Result<HashSet<Lane>, Failed> {
    let ended: Vec<_> = ours.iter().filter(|each| each.has_ended()).collect();
    if ended.is_empty() {
        return Ok(HashSet::new());
    }
    let webhooks: Vec<Uuid> = ended.iter().map(|each| each.held.webhook_id.0).collect();
    let integrations: Vec<Uuid> = ended
        .iter()
        .map(|each| each.held.integration_id.0)
        .collect();
    let sequences: Vec<i64> = ended.iter().map(|each| each.held.sequence as i64).collect();
    let at: Vec<i64> = ended.iter().map(|each| to_ms(each.attempted.at)).collect();
    advance(on, &webhooks, &integrations, &sequences, &at).await
}

/// Makes the next pending delivery after each of these due. Says in which lanes there is one. A commit after now was
/// made by a clock that is ahead. A backfill may have put others before it: the try that was planned then is not made
/// earlier.
pub async fn advance(
    on: &Transaction<'_>,
    webhooks: &[Uuid],
    integrations: &[Uuid],
    sequences: &[i64],
    at: &[i64],
) -> Result<HashSet<Lane>, Failed> {
    let found = query(
        on,
        "UPDATE deliveries d SET next_attempt_ms = GREATEST(n.at_ms, LEAST(n.created_ms, n.at_ms) + n.first_wait * 1000, n.planned_ms), \
         planned_ms = NULL FROM (SELECT p.id, p.created_ms, p.planned_ms, u.at_ms, COALESCE((SELECT h.retry_schedule[1] FROM webhooks h \
          WHERE h.id = u.webhook_id AND h.deleted_ms IS NULL), 0) AS first_wait \
          FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS u (webhook_id, integration_id, \
          sequence, at_ms) CROSS JOIN LATERAL (SELECT id, created_ms, planned_ms FROM deliveries \
          WHERE integration_id = u.integration_id AND webhook_id = u.webhook_id AND sequence > u.sequence \
          AND state = 'Pending' ORDER BY sequence LIMIT 1) p) n \
         WHERE d.id = n.id RETURNING d.webhook_id, d.integration_id",
        &[&webhooks, &integrations, &sequences, &at],
    )
    .await?;
    let lanes = rows::all(&found, |row| Ok((rows::id(row, 0)?, rows::id(row, 1)?)))?;
    Ok(lanes.into_iter().collect())
}
