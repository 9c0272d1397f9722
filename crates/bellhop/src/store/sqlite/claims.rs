//! Claims. This process is the only one on its database, so they live in memory: a process that died
//! holds nothing, and what it had claimed is due at once.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{ahead::read_ahead, apply::advance_lane, batch::Batch, health, ready::Head, replays};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        cause::Cause,
        delivery::{Attempt, DeliveryState, Next},
        health::Circuit,
        webhook::WebhookState,
    },
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{Attempted, Claim, ClaimRequest, Fence, Recorded, StoreError, Want, WebhookClaims},
    vault::Vault,
};

/// What is claimed.
#[derive(Default)]
pub struct Claims {
    held: HashMap<DeliveryId, Held>,
    /// The lanes that have an attempt under way.
    lanes: HashMap<LaneId, Lane>,
    last_fence: u64,
}

type LaneId = (WebhookId, IntegrationId);

/// A lane that has an attempt under way.
#[derive(Debug, Clone, Copy)]
struct Lane {
    holder: DeliveryId,
    /// Whether another of its deliveries is due, and waits for the one under way.
    is_waited_for: bool,
}

/// One claim.
#[derive(Debug, Clone, Copy)]
struct Held {
    fence: Fence,
    webhook_id: WebhookId,
    integration_id: IntegrationId,
    sequence: u64,
    state: DeliveryState,
    tries: u32,
    is_replay: bool,
    replay_id: Option<ReplayId>,
    /// Whether nothing of its lane waits behind it.
    is_alone: bool,
}

impl Claims {
    /// Whether it is claimed.
    pub fn holds(&self, id: DeliveryId) -> bool {
        self.held.contains_key(&id)
    }

    /// Whether an attempt of the lane is under way.
    pub fn is_busy(&self, webhook: WebhookId, integration: IntegrationId) -> bool {
        self.lanes.contains_key(&(webhook, integration))
    }

    /// It is claimed no longer.
    pub fn end(&mut self, id: DeliveryId) {
        if let Some(held) = self.held.remove(&id) {
            self.lanes.remove(&held.lane());
        }
    }

    /// Nothing of this webhook is claimed any longer.
    pub fn end_all_of(&mut self, webhook: WebhookId) {
        self.held.retain(|_, held| held.webhook_id != webhook);
        self.lanes.retain(|(of, _), _| *of != webhook);
    }

    /// How many of this webhook are claimed. Looks at all that is: for webhooks that fail, not for every one.
    pub fn held_of(&self, webhook: WebhookId) -> usize {
        let held = self.held.values();
        held.filter(|held| held.webhook_id == webhook).count()
    }

    /// Gives a claim back. Says of which webhook it was.
    fn release(&mut self, id: DeliveryId, fence: Fence) -> Option<WebhookId> {
        let held = self.held.get(&id).filter(|held| held.fence == fence)?;
        let webhook = held.webhook_id;
        self.end(id);
        Some(webhook)
    }

    /// Claims a head in whose lane no attempt is under way.
    fn take(&mut self, head: Head) -> Claim {
        let mut claim = head.claim;
        self.last_fence += 1;
        claim.fence = Fence(self.last_fence);
        let held = Held {
            fence: claim.fence,
            webhook_id: claim.webhook_id,
            integration_id: claim.integration_id,
            sequence: claim.sequence,
            state: claim.state,
            tries: claim.tries,
            is_replay: claim.planned.is_some(),
            replay_id: claim.replay_id,
            is_alone: head.is_alone,
        };
        self.held.insert(claim.delivery_id, held);
        let lane = Lane {
            holder: claim.delivery_id,
            is_waited_for: head.is_waited_for,
        };
        self.lanes.insert(held.lane(), lane);
        claim
    }

    /// Anything may have been put behind or before what is under way.
    pub fn doubt(&mut self) {
        for held in self.held.values_mut() {
            held.is_alone = false;
        }
    }

    /// A delivery was put behind the head of its lane. Says whether the head is under way.
    pub fn follow(&mut self, webhook: WebhookId, integration: IntegrationId) -> bool {
        let lane = self.lanes.get(&(webhook, integration));
        let held = lane.and_then(|lane| self.held.get_mut(&lane.holder));
        held.is_some_and(|held| {
            held.is_alone = false;
            held.state == DeliveryState::Pending
        })
    }

    /// Notes that a delivery waits for the attempt that is under way in its lane. Says whether one is.
    pub fn wait_for_lane(&mut self, webhook: WebhookId, integration: IntegrationId) -> bool {
        let lane = self.lanes.get_mut(&(webhook, integration));
        lane.is_some_and(|lane| {
            lane.is_waited_for = true;
            true
        })
    }
}

impl Held {
    fn lane(&self) -> LaneId {
        (self.webhook_id, self.integration_id)
    }
}

/// Gives claims back: they are due as before.
pub fn release(batch: &mut Batch, claims: &[(DeliveryId, Fence)]) {
    for (id, fence) in claims {
        if let Some(webhook) = batch.claims.release(*id, *fence) {
            batch.ready.forget(webhook);
        }
    }
}

/// Takes what is due. Runs between transactions, so that it sees only what is durable.
pub fn claim(
    connection: &Connection,
    vault: &Vault,
    batch: &mut Batch,
    request: &ClaimRequest,
) -> Result<Vec<WebhookClaims>, StoreError> {
    let mut all = Vec::with_capacity(request.wants.len());
    for want in &request.wants {
        let mut taken = WebhookClaims {
            webhook_id: want.webhook_id,
            revision: 0,
            claims: Vec::new(),
            next_due: None,
            most_in_flight: None,
        };
        let result = claim_of_webhook(connection, vault, batch, request.now, *want, &mut taken);
        all.push(taken);
        if let Err(error) = result {
            // Nobody learns of what was taken: it is free again.
            for claim in all.iter().flat_map(|taken| &taken.claims) {
                batch.claims.end(claim.delivery_id);
                batch.ready.forget(claim.webhook_id);
            }
            return Err(error);
        }
    }
    Ok(all)
}

fn claim_of_webhook(
    connection: &Connection,
    vault: &Vault,
    batch: &mut Batch,
    now: Timestamp,
    want: Want,
    taken: &mut WebhookClaims,
) -> Result<(), StoreError> {
    let webhook_id = want.webhook_id;
    let Some(gate) = batch.webhooks.gate(connection, webhook_id)? else {
        batch.ready.forget(webhook_id);
        return Ok(());
    };
    taken.revision = gate.revision;
    if gate.state != WebhookState::Enabled {
        batch.ready.forget(webhook_id);
        return Ok(());
    }
    if let Some(not_before) = gate.not_before.filter(|not_before| now < *not_before) {
        batch.ready.forget(webhook_id);
        taken.next_due = earliest(connection, batch, webhook_id)?.map(|due| due.max(not_before));
        return Ok(());
    }
    let mut limit = want.limit;
    if !gate.health.is_clean() {
        if let Circuit::Open { until } = gate.health.circuit(now) {
            batch.ready.forget(webhook_id);
            taken.next_due = earliest(connection, batch, webhook_id)?.map(|due| due.max(until));
            return Ok(());
        }
        taken.most_in_flight = gate.health.most_in_flight(now);
        if let Some(most) = taken.most_in_flight {
            limit = limit.min((most as usize).saturating_sub(batch.claims.held_of(webhook_id)));
        }
    }
    let mut may_read = true;
    loop {
        skip_busy_lanes(batch, webhook_id);
        let missing = limit - taken.claims.len();
        if batch.ready.has_due(webhook_id, now) {
            if missing == 0 {
                break;
            }
            let head = batch.ready.next(webhook_id);
            taken
                .claims
                .extend(head.map(|head| batch.claims.take(head)));
            may_read = true;
        } else if may_read && !batch.ready.is_certain(webhook_id, now) {
            read_ahead(connection, vault, batch, webhook_id, now, missing)?;
            may_read = false;
        } else {
            break;
        }
    }
    taken.next_due = batch.ready.next_due(webhook_id);
    Ok(())
}

/// A replay and the head of its lane may both lie ready: one waits in the database until the other has ended.
fn skip_busy_lanes(batch: &mut Batch, webhook: WebhookId) {
    while let Some(integration) = batch.ready.first_lane(webhook)
        && batch.claims.wait_for_lane(webhook, integration)
    {
        batch.ready.next(webhook);
    }
}

/// The earliest due delivery of a webhook whose lane has no attempt under way.
fn earliest(
    connection: &Connection,
    batch: &Batch,
    webhook: WebhookId,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut select = connection.prepare_cached(
        "SELECT integration_id, next_attempt_ms FROM deliveries WHERE webhook_id = ?1 AND next_attempt_ms IS NOT NULL \
         ORDER BY next_attempt_ms",
    )?;
    let mut rows = select.query([webhook])?;
    while let Some(row) = rows.next()? {
        if !batch.claims.lanes.contains_key(&(webhook, row.get(0)?)) {
            return Ok(Some(from_ms(row.get(1)?)));
        }
    }
    Ok(None)
}

/// Writes an attempt, what becomes of its delivery and of the webhook, and moves the lane on.
pub fn record(
    connection: &Connection,
    vault: &Vault,
    batch: &mut Batch,
    attempted: &Attempted,
) -> Result<Recorded, StoreError> {
    let id = attempted.delivery_id;
    let Some(held) = batch
        .claims
        .held
        .get(&id)
        .copied()
        .filter(|held| held.fence == attempted.fence)
    else {
        return Ok(Recorded::Lost);
    };
    if batch.recorded.contains(&id) || batch.dropped.contains(&held.webhook_id) {
        return Ok(Recorded::Lost);
    }
    update_delivery(connection, held, attempted)?;
    insert_attempt(connection, id, &attempted.attempt)?;
    health::affect_webhook(connection, vault, batch, held.webhook_id, attempted)?;
    let after = state_after(held.state, attempted.next);
    if after != held.state {
        batch.counts.moved(held.state, after);
    }
    if let Some(run) = held.replay_id {
        let was = (held.state, held.is_replay);
        replays::recorded(connection, id, run, was, attempted.next)?;
        batch.ready.forget(held.webhook_id);
    }
    let has_ended = held.state == DeliveryState::Pending && after != DeliveryState::Pending;
    let lane_goes_on = has_ended
        && !held.is_alone
        && advance_lane(
            connection,
            batch,
            held.integration_id,
            held.webhook_id,
            held.sequence,
            attempted.at,
        )?;
    let lane = batch.claims.lanes.get(&held.lane());
    let is_waited_for = lane.is_some_and(|lane| lane.is_waited_for);
    if is_waited_for {
        // What waited may be due before what lies ready.
        batch.ready.forget(held.webhook_id);
    }
    if let Next::Retry { at } = attempted.next {
        batch.ready.expect(held.webhook_id, at);
    }
    batch.recorded.insert(id);
    Ok(Recorded::Done {
        lane_goes_on: lane_goes_on || is_waited_for,
    })
}

fn state_after(before: DeliveryState, next: Next) -> DeliveryState {
    match next {
        Next::Delivered => DeliveryState::Delivered,
        Next::Failed => DeliveryState::Failed,
        Next::Retry { .. } => DeliveryState::Pending,
        Next::Unchanged => before,
    }
}

fn update_delivery(
    connection: &Connection,
    held: Held,
    attempted: &Attempted,
) -> rusqlite::Result<()> {
    let after = state_after(held.state, attempted.next);
    let next_attempt = match attempted.next {
        Next::Retry { at } => Some(to_ms(at)),
        Next::Delivered | Next::Failed | Next::Unchanged => None,
    };
    let is_replay = held.is_replay || held.state != DeliveryState::Pending;
    let tries = held.tries + u32::from(!is_replay);
    let ended =
        (after != held.state && after != DeliveryState::Pending).then(|| to_ms(attempted.at));
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, cause = ?3, attempt_count = ?4, tries = ?5, next_attempt_ms = ?6, \
             planned_ms = NULL, ended_ms = COALESCE(?7, ended_ms) WHERE id = ?1",
        )?
        .execute(params![
            attempted.delivery_id,
            after,
            attempted.attempt.cause.map(Cause::as_str),
            attempted.attempt.number,
            tries,
            next_attempt,
            ended,
        ])?;
    Ok(())
}

fn insert_attempt(
    connection: &Connection,
    id: DeliveryId,
    attempt: &Attempt,
) -> rusqlite::Result<()> {
    let response = attempt.response.as_ref();
    let headers = response.filter(|response| !response.headers.is_empty());
    let headers =
        headers.map(|response| serde_json::to_string(&response.headers).expect("text is JSON"));
    let timings = attempt.timings;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempts VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?
        .execute(params![
            id,
            attempt.number,
            to_ms(attempt.started),
            attempt.duration.as_micros() as i64,
            attempt.cause.map(Cause::as_str),
            attempt.detail,
            attempt.signature,
            attempt.traceparent,
            response.map(|response| response.status),
            headers,
            response
                .filter(|response| !response.body.is_empty())
                .map(|response| response.body.as_ref()),
            response.is_some_and(|response| response.is_truncated),
            timings.dns_us,
            timings.connect_us,
            timings.tls_us,
            timings.send_us,
            timings.wait_us,
            timings.receive_us,
            attempt.remote.map(|remote| remote.to_string()),
            attempt.is_replay,
        ])?;
    Ok(())
}

/// Each webhook with something due, and when. One step of the index for each webhook, however much it holds.
pub fn due(connection: &Connection) -> rusqlite::Result<Vec<(WebhookId, Timestamp)>> {
    let mut next = connection.prepare_cached(
        "SELECT webhook_id, next_attempt_ms FROM deliveries WHERE webhook_id > ?1 AND next_attempt_ms IS NOT NULL \
         ORDER BY webhook_id, next_attempt_ms LIMIT 1",
    )?;
    let open = health::open(connection)?;
    let mut after = WebhookId(uuid::Uuid::nil());
    let mut found = Vec::new();
    loop {
        let mut rows = next.query([after])?;
        let Some(row) = rows.next()? else {
            return Ok(found);
        };
        after = row.get(0)?;
        let due = from_ms(row.get(1)?);
        found.push((after, open.get(&after).map_or(due, |until| due.max(*until))));
    }
}
