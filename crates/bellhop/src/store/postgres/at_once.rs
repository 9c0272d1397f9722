//! What is made already claimed: a delivery that this replica will send at once is claimed by the transaction that makes
//! it, and need not be looked for, read and locked. Its claim is one as any other: a row in `claims`, under a lease.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Shared,
    claims::{self, LEASE_MARGIN_MS, turn},
    connect::Failed,
    connection::{Ask as _, Transaction, execute, query, settled_soon},
    held::HeldClaim,
    ready::Made,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        delivery::DeliveryState,
        integration::{Integration, NewMessage},
        webhook::Subscription,
    },
    id::{DeliveryId, WebhookId},
    store::{Claim, ClaimRequest, Fence, StoreError, Want, WebhookClaims},
};
use bellhop_webhook::Profile;

/// Shares the turn of each webhook whose turn nobody has: who claims in the ordinary way waits for it, this does not. Which
/// ones it has got is known to the transaction alone, and is what the next statement reads: one of its own, since a
/// statement sees what was there when it began.
pub const TRY_TURNS: &str = "SELECT set_config('bellhop.turns', COALESCE((SELECT string_agg(turn::text, ',') \
    FROM unnest($1::bigint[]) AS u (turn) WHERE pg_try_advisory_xact_lock_shared(turn)), ''), true)";

/// Claims what was just made, of webhooks whose turn it has, that nothing holds back, and as much as may be in flight of
/// them over all replicas. Others may be claiming so too, and what they have not committed is not seen here: each keeps to
/// its share (`presence.rs`), and of more than two none claims so while another holds more than a share: several would take
/// what that one leaves. Whether another delivery of the lane waits can only be if it is not the first of its integration.
/// A lane that has an attempt under way is left to an ordinary claim.
pub const CLAIM_AT_ONCE: &str = "\
    WITH there AS MATERIALIZED ( \
        SELECT count(*) AS n FROM replicas WHERE until > clock_timestamp() - interval '30 seconds' \
        HAVING bool_or(holder = $4 AND number = $12 AND until > clock_timestamp()) \
    ), free AS MATERIALIZED ( \
        SELECT w.webhook_id, h.timeout_ms, (SELECT CASE WHEN t.n > 2 AND max(held) FILTER (WHERE holder <> $4) > h.max_in_flight / t.n \
                THEN 0 ELSE LEAST(h.max_in_flight / t.n - COALESCE(sum(held) FILTER (WHERE holder = $4), 0), \
                    h.max_in_flight - COALESCE(sum(held), 0)) END \
            FROM (SELECT holder, count(*) AS held FROM claims c WHERE uuid_send(c.webhook_id) = uuid_send(w.webhook_id) \
                AND c.lease_until > clock_timestamp() GROUP BY holder) s) AS n \
        FROM there t CROSS JOIN unnest($1::uuid[], $2::bigint[]) AS w (webhook_id, turn) \
        CROSS JOIN LATERAL (SELECT timeout_ms, max_in_flight FROM webhooks \
            WHERE id = w.webhook_id AND deleted_ms IS NULL AND state = 'Enabled' \
            AND COALESCE(not_before_ms, 0) <= $3 AND rate_limit IS NULL AND failures = 0 \
            AND failing_since_ms IS NULL AND opened = 0 AND open_until_ms IS NULL AND ramp IS NULL LIMIT 1) h \
        WHERE w.turn = ANY (string_to_array(current_setting('bellhop.turns'), ',')::bigint[]) \
    ) \
    INSERT INTO claims (webhook_id, integration_id, application_id, delivery_id, fence, holder, lease_until, waits) \
    SELECT u.webhook_id, u.integration_id, u.application_id, u.id, nextval('claim_fences'), $4, \
        clock_timestamp() + (f.timeout_ms + $5) * interval '1 millisecond', \
        u.sequence > 1 AND EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = u.integration_id \
            AND d.webhook_id = u.webhook_id AND d.next_attempt_ms IS NOT NULL AND d.id <> u.id) \
    FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::uuid[], $10::bigint[], $11::bigint[]) \
        AS u (id, webhook_id, integration_id, application_id, sequence, place) \
    CROSS JOIN LATERAL (SELECT timeout_ms FROM free WHERE webhook_id = u.webhook_id AND n >= u.place) f \
    ON CONFLICT DO NOTHING RETURNING delivery_id, fence";

/// Takes what lies ready, and asks the database for the rest.
pub async fn claim(
    shared: &Shared,
    request: ClaimRequest,
) -> Result<Vec<WebhookClaims>, StoreError> {
    let ClaimRequest { now, wants } = request;
    let handed = wants.iter().map(|want| shared.ready.hand_out(want, now));
    let (mut taken, asks): (Vec<_>, Vec<_>) = handed.map(|handed| (handed.of, handed.ask)).unzip();
    let wants: Vec<Want> = asks.iter().flatten().copied().collect();
    if wants.is_empty() {
        return Ok(taken);
    }
    let asked = match ask(shared, ClaimRequest { now, wants }).await {
        Ok(asked) => asked,
        Err(error) => {
            let lay_ready = taken.into_iter().flat_map(|of| of.claims);
            shared.ready.take_back(lay_ready);
            return Err(error);
        }
    };
    let places = taken.iter_mut().zip(asks).filter(|(_, ask)| ask.is_some());
    for ((of, _), asked) in places.zip(asked) {
        let lay_ready = of.claims.drain(..);
        if shared.ready.is_free(asked.webhook_id) {
            let claims = lay_ready.chain(asked.claims).collect();
            *of = WebhookClaims { claims, ..asked };
        } else {
            shared.ready.take_back(lay_ready);
            *of = asked;
        }
    }
    Ok(taken)
}

async fn ask(shared: &Shared, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError> {
    let connection = shared.writers.get().await?;
    let asked = settled_soon(connection, async |connection| {
        claims::claim(connection, shared, &request).await
    });
    asked.await.map_err(|failed| failed.error)
}

/// The deliveries of one group that are to be claimed as they are made.
pub struct AtOnce<'a> {
    shared: &'a Shared,
    epoch: u64,
    presence: Option<i64>,
    heads: Vec<Head>,
    /// How many there are of each webhook.
    places: HashMap<WebhookId, i64>,
    /// Others that are due: they wait for an ordinary claim.
    others: Vec<(WebhookId, Timestamp)>,
    is_settled: bool,
}

struct Head {
    claim: Claim,
    held: HeldClaim,
    due: Timestamp,
    /// Which of its webhook, from 1.
    place: i64,
}

impl<'a> AtOnce<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            epoch: shared.ready.epoch(),
            presence: shared.presence.number(),
            heads: Vec::new(),
            places: HashMap::new(),
            others: Vec::new(),
            is_settled: false,
        }
    }

    /// A delivery is made at the head of its lane, and is due then.
    pub fn head(
        &mut self,
        id: DeliveryId,
        integration: &Integration,
        message: &NewMessage,
        to: &Subscription,
        previous: u64,
        due: Timestamp,
    ) {
        let is_now = due <= message.at;
        if !is_now || !self.shared.ready.wants(to.webhook_id, id) {
            self.others.push((to.webhook_id, due));
            return;
        }
        let body = &message.body;
        let bytes = match to.profile {
            Profile::V2025 => body.bytes_2025.as_ref().unwrap_or(&body.bytes),
            Profile::Default => &body.bytes,
        };
        // Not one yet: the database gives it.
        let fence = Fence(0);
        let place = self.places.entry(to.webhook_id).or_default();
        *place += 1;
        let place = *place;
        let claim = Claim {
            delivery_id: id,
            fence,
            webhook_id: to.webhook_id,
            integration_id: integration.id,
            sequence: message.sequence,
            previous,
            action: message.action,
            state: DeliveryState::Pending,
            number: 1,
            tries: 0,
            planned: None,
            created: message.at,
            body: Some(Bytes::copy_from_slice(bytes)),
            replay_id: None,
        };
        let held = HeldClaim {
            fence,
            application_id: integration.application_id,
            webhook_id: claim.webhook_id,
            integration_id: claim.integration_id,
            sequence: claim.sequence,
            state: claim.state,
            tries: 0,
            is_replay: false,
            replay_id: None,
        };
        self.heads.push(Head {
            claim,
            held,
            due,
            place,
        });
    }

    /// Has the statements prepared, so that they are sent in their order.
    pub async fn prepare(&self, on: &Transaction<'_>) -> Result<(), Failed> {
        if self.heads.is_empty() {
            return Ok(());
        }
        on.connection().know(&[TRY_TURNS, CLAIM_AT_ONCE]).await
    }

    /// Takes the turns. Behind it comes [`AtOnce::claim`].
    pub async fn take_turns(&self, on: &Transaction<'_>) -> Result<(), Failed> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let turns: BTreeSet<i64> = self.webhooks().iter().map(turn).collect();
        let turns: Vec<i64> = turns.into_iter().collect();
        execute(on, TRY_TURNS, &[&turns]).await?;
        Ok(())
    }

    /// Claims, behind the statement that makes them. Says which.
    pub async fn claim(&self, on: &Transaction<'_>) -> Result<HashMap<DeliveryId, Fence>, Failed> {
        if self.heads.is_empty() {
            return Ok(HashMap::new());
        }
        let webhooks = self.webhooks();
        let turns: Vec<i64> = webhooks.iter().map(turn).collect();
        let now = self.heads.iter().map(|head| to_ms(head.due)).max();
        let margin = lease_margin_ms!(LEASE_MARGIN_MS);
        let found = query(
            on,
            CLAIM_AT_ONCE,
            &[
                &webhooks,
                &turns,
                &now.unwrap_or_default(),
                &self.shared.holder,
                &margin,
                &self.column(|head| head.claim.delivery_id.0),
                &self.column(|head| head.claim.webhook_id.0),
                &self.column(|head| head.claim.integration_id.0),
                &self.column(|head| head.held.application_id.0),
                &self.column(|head| head.claim.sequence as i64),
                &self.column(|head| head.place),
                &self.presence,
            ],
        )
        .await?;
        let claimed = rows::all(&found, |row| {
            Ok::<_, StoreError>((rows::id(row, 0)?, Fence(rows::number(row, 1)?)))
        })?;
        Ok(claimed.into_iter().collect())
    }

    /// It is durable, and these were claimed.
    pub fn settle(mut self, claimed: &HashMap<DeliveryId, Fence>) {
        self.is_settled = true;
        let (mut held, mut ready) = (Vec::new(), Vec::<Made>::new());
        let mut others = std::mem::take(&mut self.others);
        let heads = std::mem::take(&mut self.heads);
        let ids: Vec<DeliveryId> = heads.iter().map(|head| head.claim.delivery_id).collect();
        for mut head in heads {
            match claimed.get(&head.claim.delivery_id) {
                Some(fence) => {
                    head.claim.fence = *fence;
                    head.held.fence = *fence;
                    held.push((head.claim.delivery_id, head.held));
                    ready.push((head.claim, head.due));
                }
                None => others.push((head.claim.webhook_id, head.due)),
            }
        }
        self.shared.held.hold(&held);
        self.shared.ready.made(&ids, ready, self.epoch);
        for (webhook, due) in &others {
            self.shared.ready.expect(*webhook, *due);
        }
        // Other replicas need no word of what this one sends.
        self.shared
            .to_tell
            .due(others.into_iter().map(|(webhook, _)| webhook));
    }

    fn webhooks(&self) -> Vec<Uuid> {
        self.places.keys().map(|webhook| webhook.0).collect()
    }

    fn column<T>(&self, value: impl Fn(&Head) -> T) -> Vec<T> {
        self.heads.iter().map(value).collect()
    }
}

/// Nobody knows whether it is durable, if it was tried at all: what the database may have of these claims is ended by the
/// next ordinary claim.
impl Drop for AtOnce<'_> {
    fn drop(&mut self) {
        if self.is_settled || self.heads.is_empty() {
            return;
        }
        let ids: Vec<DeliveryId> = self
            .heads
            .iter()
            .map(|head| head.claim.delivery_id)
            .collect();
        self.shared.held.have_strays();
        self.shared.ready.made(&ids, Vec::new(), self.epoch);
    }
}
