//! Claims: rows under a lease by the database's clock, one for each lane. This replica also remembers what it holds, so
//! that a record need not read its delivery again: while a claim is held, nobody else changes the delivery.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Shared,
    connect::{Failed, execute, query},
    rows,
};
use crate::{
    clock::to_ms,
    domain::{delivery::DeliveryState, webhook::WebhookState},
    id::{ApplicationId, DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{Claim, ClaimRequest, Fence, MessageBody, StoreError, WebhookClaims, sealed::body_row},
};

/// How much longer a lease is than the time-out of its webhook: time to begin the attempt, and to record its outcome
/// again and again while the database is away. A lease is never renewed.
const LEASE_MARGIN_MS: i64 = 30_000;

/// What this replica has claimed.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<DeliveryId, HeldClaim>>);

/// One claim.
#[derive(Debug, Clone, Copy)]
pub struct HeldClaim {
    pub fence: Fence,
    pub application_id: ApplicationId,
    pub webhook_id: WebhookId,
    pub integration_id: IntegrationId,
    pub sequence: u64,
    pub state: DeliveryState,
    pub tries: u32,
    pub is_replay: bool,
    pub replay_id: Option<ReplayId>,
}

impl Held {
    /// The claim, if it has this fence.
    pub fn find(&self, id: DeliveryId, fence: Fence) -> Option<HeldClaim> {
        let held = self.0.lock().expect("no holder panics");
        held.get(&id).filter(|held| held.fence == fence).copied()
    }

    /// It is held no longer, unless it was claimed anew.
    pub fn end(&self, id: DeliveryId, fence: Fence) {
        let mut held = self.0.lock().expect("no holder panics");
        if held.get(&id).is_some_and(|held| held.fence == fence) {
            held.remove(&id);
        }
    }

    fn hold(&self, id: DeliveryId, claim: HeldClaim) {
        self.0.lock().expect("no holder panics").insert(id, claim);
    }
}

/// Locks what is due, skips what another replica has locked, and claims the first of each lane. The subqueries are
/// written so that there is one plan for them whatever is known of the tables: a walk along the index of what is due,
/// with one look at the claims for each step. A claim whose lease is over is taken over with a new number.
const CLAIM: &str = "\
    WITH wanted AS MATERIALIZED ( \
        SELECT w.webhook_id, w.n, h.timeout_ms FROM unnest($1::uuid[], $2::bigint[]) AS w (webhook_id, n) \
        CROSS JOIN LATERAL (SELECT timeout_ms FROM webhooks WHERE id = w.webhook_id AND deleted_ms IS NULL \
            AND state = 'Enabled' AND COALESCE(not_before_ms, 0) <= $3 LIMIT 1) h \
    ), candidates AS MATERIALIZED ( \
        SELECT d.*, w.timeout_ms FROM wanted w CROSS JOIN LATERAL ( \
            SELECT id, application_id, webhook_id, integration_id, next_attempt_ms FROM deliveries \
            WHERE webhook_id = w.webhook_id AND next_attempt_ms <= $3 AND COALESCE((SELECT \
                c.lease_until <= clock_timestamp() FROM claims c WHERE c.webhook_id = deliveries.webhook_id \
                AND c.integration_id = deliveries.integration_id), true) \
            ORDER BY next_attempt_ms, id LIMIT w.n FOR NO KEY UPDATE SKIP LOCKED) d \
    ), ranked AS ( \
        SELECT *, row_number() OVER (PARTITION BY webhook_id, integration_id ORDER BY next_attempt_ms, id) AS place, \
            count(*) OVER (PARTITION BY webhook_id, integration_id) AS in_lane FROM candidates \
    ), taken AS ( \
        INSERT INTO claims (webhook_id, integration_id, application_id, delivery_id, fence, holder, lease_until, waits) \
        SELECT webhook_id, integration_id, application_id, id, (SELECT nextval('claim_fences')), $4, \
            clock_timestamp() + (timeout_ms + $5) * interval '1 millisecond', in_lane > 1 \
        FROM ranked WHERE place = 1 \
        ON CONFLICT (webhook_id, integration_id, application_id) DO UPDATE SET delivery_id = excluded.delivery_id, \
            fence = excluded.fence, holder = excluded.holder, lease_until = excluded.lease_until, \
            waits = excluded.waits WHERE claims.lease_until <= clock_timestamp() \
        RETURNING webhook_id, delivery_id, fence \
    ) \
    SELECT d.id, d.webhook_id, d.application_id, d.integration_id, d.sequence, d.previous, d.action, d.state, \
        d.attempt_count, d.tries, d.planned_ms, d.created_ms, m.is_sealed, \
        CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END, t.fence, \
        (SELECT count(*) FROM candidates c WHERE c.webhook_id = t.webhook_id), d.replay_id \
    FROM taken t \
    CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id = t.delivery_id LIMIT 1) d \
    CROSS JOIN LATERAL (SELECT is_sealed, body, body_2025 FROM messages \
        WHERE integration_id = d.integration_id AND sequence = d.sequence LIMIT 1) m \
    ORDER BY d.next_attempt_ms, d.id";

/// What a webhook is now, and when the first delivery is due whose lane has no attempt under way.
const GATES: &str = "\
    SELECT w.webhook_id, h.revision, h.state, h.not_before_ms, CASE WHEN h.state = 'Enabled' THEN ( \
        SELECT d.next_attempt_ms FROM deliveries d WHERE d.webhook_id = w.webhook_id \
            AND d.next_attempt_ms IS NOT NULL AND COALESCE((SELECT c.lease_until <= clock_timestamp() FROM claims c \
            WHERE c.webhook_id = d.webhook_id AND c.integration_id = d.integration_id), true) \
        ORDER BY d.next_attempt_ms, d.id LIMIT 1) END \
    FROM unnest($1::uuid[]) AS w (webhook_id) \
    CROSS JOIN LATERAL (SELECT revision, state, not_before_ms FROM webhooks \
        WHERE id = w.webhook_id AND deleted_ms IS NULL LIMIT 1) h";

/// Takes what is due. Each statement is a transaction of its own: none is open when the attempts begin.
pub async fn claim(
    connection: &Object,
    shared: &Shared,
    request: &ClaimRequest,
) -> Result<Vec<WebhookClaims>, Failed> {
    let mut all: Vec<_> = request
        .wants
        .iter()
        .map(|want| WebhookClaims {
            webhook_id: want.webhook_id,
            revision: 0,
            claims: Vec::new(),
            next_due: None,
        })
        .collect();
    let mut open: HashSet<usize> = (0..all.len())
        .filter(|index| request.wants[*index].limit > 0)
        .collect();
    // What is due of a lane that was just claimed used up a place: its webhook is asked again, and skips the lane.
    while !open.is_empty() {
        let left = |index: &usize| (request.wants[*index].limit - all[*index].claims.len()) as i64;
        let (webhooks, limits): (Vec<Uuid>, Vec<i64>) = open
            .iter()
            .map(|index| (all[*index].webhook_id.0, left(index)))
            .unzip();
        let values: super::connect::Values<'_> = &[
            &webhooks,
            &limits,
            &to_ms(request.now),
            &shared.holder,
            &LEASE_MARGIN_MS,
        ];
        let taken = query(connection, CLAIM, values).await?;
        let mut seen: HashMap<WebhookId, usize> = HashMap::new();
        for row in &taken {
            let claim = take(row, shared)?;
            seen.insert(claim.webhook_id, rows::number(row, 15)?);
            if let Some(of) = all.iter_mut().find(|of| of.webhook_id == claim.webhook_id) {
                of.claims.push(claim);
            }
        }
        let before: HashMap<Uuid, i64> = webhooks.into_iter().zip(limits).collect();
        open.retain(|index| {
            let of = &all[*index];
            let was_full = seen.get(&of.webhook_id).map(|n| *n as i64)
                == before.get(&of.webhook_id.0).copied();
            was_full && of.claims.len() < request.wants[*index].limit
        });
    }
    let webhooks: Vec<Uuid> = all.iter().map(|of| of.webhook_id.0).collect();
    for row in query(connection, GATES, &[&webhooks]).await? {
        let webhook: WebhookId = rows::id(&row, 0)?;
        for of in all.iter_mut().filter(|of| of.webhook_id == webhook) {
            gate(&row, request.now, of)?;
        }
    }
    Ok(all)
}

fn gate(row: &Row, now: Timestamp, of: &mut WebhookClaims) -> Result<(), StoreError> {
    of.revision = rows::number(row, 1)?;
    if rows::text::<WebhookState>(row, 2)? == WebhookState::Enabled {
        let held_until = rows::moment_or_null(row, 3)?.filter(|not_before| now < *not_before);
        let due = rows::moment_or_null(row, 4)?;
        of.next_due = due.map(|due| held_until.map_or(due, |until| due.max(until)));
    }
    Ok(())
}

fn take(row: &Row, shared: &Shared) -> Result<Claim, StoreError> {
    let (integration_id, sequence) = (rows::id(row, 3)?, rows::number(row, 4)?);
    let place = body_row(integration_id, sequence);
    let claim = Claim {
        delivery_id: rows::id(row, 0)?,
        fence: Fence(rows::number(row, 14)?),
        webhook_id: rows::id(row, 1)?,
        integration_id,
        sequence,
        previous: rows::number(row, 5)?,
        action: rows::text(row, 6)?,
        state: rows::text(row, 7)?,
        number: rows::number::<u32>(row, 8)? + 1,
        tries: rows::number(row, 9)?,
        planned: rows::moment_or_null(row, 10)?,
        created: rows::moment(row, 11)?,
        body: match rows::body(row, (12, 13), &shared.vault, &place)? {
            MessageBody::Bytes(bytes) => Some(bytes),
            MessageBody::Erased => None,
        },
        replay_id: rows::id_or_null(row, 16)?,
    };
    let held = HeldClaim {
        fence: claim.fence,
        application_id: rows::id(row, 2)?,
        webhook_id: claim.webhook_id,
        integration_id,
        sequence,
        state: claim.state,
        tries: claim.tries,
        is_replay: claim.planned.is_some(),
        replay_id: claim.replay_id,
    };
    shared.held.hold(claim.delivery_id, held);
    Ok(claim)
}

/// Gives claims back.
pub async fn release(
    connection: &Object,
    shared: &Shared,
    claims: &[(DeliveryId, Fence)],
) -> Result<(), Failed> {
    let held: Vec<_> = claims
        .iter()
        .filter_map(|(id, fence)| shared.held.find(*id, *fence))
        .collect();
    let webhooks: Vec<Uuid> = held.iter().map(|held| held.webhook_id.0).collect();
    let integrations: Vec<Uuid> = held.iter().map(|held| held.integration_id.0).collect();
    let fences: Vec<i64> = held.iter().map(|held| held.fence.0 as i64).collect();
    if !held.is_empty() {
        execute(
            connection,
            "DELETE FROM claims c USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u (webhook_id, \
             integration_id, fence) WHERE c.webhook_id = u.webhook_id AND c.integration_id = u.integration_id \
             AND c.fence = u.fence",
            &[&webhooks, &integrations, &fences],
        )
        .await?;
    }
    for (id, fence) in claims {
        shared.held.end(*id, *fence);
    }
    Ok(())
}

/// Gives everything back that this replica holds: it is about to go.
pub async fn release_all(connection: &Object, shared: &Shared) -> Result<(), Failed> {
    execute(
        connection,
        "DELETE FROM claims WHERE holder = $1",
        &[&shared.holder],
    )
    .await?;
    Ok(())
}

/// Each webhook with something due, and when. One step of the index for each webhook, however much it holds.
pub async fn due(connection: &Object) -> Result<Vec<(WebhookId, Timestamp)>, Failed> {
    let found = query(
        connection,
        "WITH RECURSIVE heads (webhook_id, next_attempt_ms) AS ( \
         (SELECT webhook_id, next_attempt_ms FROM deliveries WHERE next_attempt_ms IS NOT NULL \
          ORDER BY webhook_id, next_attempt_ms LIMIT 1) \
         UNION ALL SELECT n.webhook_id, n.next_attempt_ms FROM heads h CROSS JOIN LATERAL ( \
          SELECT d.webhook_id, d.next_attempt_ms FROM deliveries d WHERE d.webhook_id > h.webhook_id \
          AND d.next_attempt_ms IS NOT NULL ORDER BY d.webhook_id, d.next_attempt_ms LIMIT 1) n) \
         SELECT webhook_id, next_attempt_ms FROM heads",
        &[],
    )
    .await?;
    Ok(rows::all(&found, |row| {
        Ok((rows::id(row, 0)?, rows::moment(row, 1)?))
    })?)
}
