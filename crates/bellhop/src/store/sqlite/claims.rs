//! Claims. This process is the only one on its database, so they live in memory: a process that died
//! holds nothing, and what it had claimed is due at once.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{apply::advance_lane, batch::Batch, health, replays, rows, values::text};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        cause::Cause,
        delivery::{Attempt, DeliveryState, Next},
        health::Circuit,
        webhook::WebhookState,
    },
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Attempted, Claim, ClaimRequest, Fence, MessageBody, Recorded, StoreError, Want,
        WebhookClaims,
    },
    vault::Vault,
};

/// What is claimed.
#[derive(Default)]
pub struct Claims {
    held: HashMap<DeliveryId, Held>,
    /// The lanes that have an attempt under way, and whether another of their deliveries waits for it.
    lanes: HashMap<Lane, bool>,
    last_fence: u64,
}

type Lane = (WebhookId, IntegrationId);

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

    /// Gives claims back.
    pub fn release(&mut self, claims: &[(DeliveryId, Fence)]) {
        for (id, fence) in claims {
            if self.held.get(id).is_some_and(|held| held.fence == *fence) {
                self.end(*id);
            }
        }
    }

    fn hold(&mut self, id: DeliveryId, held: Held) {
        self.held.insert(id, held);
        self.lanes.insert(held.lane(), false);
    }

    /// Notes that a delivery waits for the attempt that is under way in its lane. Says whether one is.
    pub fn wait_for_lane(&mut self, webhook: WebhookId, integration: IntegrationId) -> bool {
        let waits = self.lanes.get_mut(&(webhook, integration));
        waits.is_some_and(|waits| {
            *waits = true;
            true
        })
    }
}

impl Held {
    fn lane(&self) -> Lane {
        (self.webhook_id, self.integration_id)
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
        return Ok(());
    };
    taken.revision = gate.revision;
    if gate.state != WebhookState::Enabled {
        return Ok(());
    }
    if let Some(not_before) = gate.not_before.filter(|not_before| now < *not_before) {
        taken.next_due = earliest(connection, batch, webhook_id)?.map(|due| due.max(not_before));
        return Ok(());
    }
    let mut limit = want.limit;
    if !gate.health.is_clean() {
        if let Circuit::Open { until } = gate.health.circuit(now) {
            taken.next_due = earliest(connection, batch, webhook_id)?.map(|due| due.max(until));
            return Ok(());
        }
        taken.most_in_flight = gate.health.most_in_flight(now);
        if let Some(most) = taken.most_in_flight {
            limit = limit.min((most as usize).saturating_sub(batch.claims.held_of(webhook_id)));
        }
    }
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
        let due = from_ms(row.get(10)?);
        if due > now || taken.claims.len() == limit {
            taken.next_due = Some(due);
            break;
        }
        let fence = Fence(batch.claims.last_fence + 1);
        let claim = read_claim(row, vault, webhook_id, id, fence)?;
        batch.claims.last_fence += 1;
        batch.claims.hold(
            id,
            Held {
                fence,
                webhook_id,
                integration_id: claim.integration_id,
                sequence: claim.sequence,
                state: claim.state,
                tries: claim.tries,
                is_replay: claim.planned.is_some(),
                replay_id: claim.replay_id,
            },
        );
        taken.claims.push(claim);
    }
    Ok(())
}

fn read_claim(
    row: &rusqlite::Row<'_>,
    vault: &Vault,
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
    fence: Fence,
) -> Result<Claim, StoreError> {
    let (integration_id, sequence) = (row.get(1)?, row.get(2)?);
    let place = rows::body_row(integration_id, sequence);
    Ok(Claim {
        delivery_id,
        fence,
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
        body: match rows::body(row, 11, 12, vault, &place)? {
            MessageBody::Bytes(bytes) => Some(bytes),
            MessageBody::Erased => None,
        },
        replay_id: row.get(13)?,
    })
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
    }
    let has_ended = held.state == DeliveryState::Pending && after != DeliveryState::Pending;
    let lane_goes_on = has_ended
        && advance_lane(
            connection,
            batch,
            held.integration_id,
            held.webhook_id,
            held.sequence,
            attempted.at,
        )?;
    let is_waited_for = batch.claims.lanes.get(&held.lane()) == Some(&true);
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
