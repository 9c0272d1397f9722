//! The contract in the plainest form: maps, one lock, and the domain's own functions. Slow, and easy
//! to see to be right.

mod audit;
mod claims;
mod commit;
mod erasure;
mod operational;
mod purge;
mod read;
mod replan;
mod replays;
mod selection;
mod views;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bellhop::{
    domain::retry::later,
    domain::{
        access::Access,
        api_key::ApiKey,
        audit::AuditEntry,
        delivery::{Attempt, Delivery, DeliveryState},
        enterprise::{Application, Enterprise},
        integration::{Integration, NewMessage},
        operational::{Destination, FailureWindow, OperationalMessage},
        sign_in::SignIn,
        webhook::Webhook,
    },
    id::{
        ApplicationId, DeliveryId, EnterpriseId, Ids, IntegrationId, KeyId, OperationalMessageId,
        ReplayId, WebhookId,
    },
    random::SharedRandom,
    store::{
        Answer, Attempted, AuditFilter, AuditKey, AuditLinked, Audited, ClaimRequest, Commit,
        CommitError, Counted, DeliveryFilter, Erase, Erased, Fence, IntegrationFilter, MessageBody,
        OperationalAttempted, OperationalDue, OperationalRequest, Page, Purge, Purged, Receipt,
        Recorded, Replay, ReplayCount, ReplayStep, Resealed, Selection, Standing, Stats, Store,
        StoreError, StoredMessage, WebhookClaims,
    },
};
use bytes::Bytes;
use jiff::Timestamp;

/// A store in memory. What it forgets when it is reopened is what a process forgets.
#[derive(Debug)]
pub struct ModelStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ids: Ids,
    enterprises: BTreeMap<EnterpriseId, Enterprise>,
    applications: BTreeMap<ApplicationId, Application>,
    webhooks: BTreeMap<WebhookId, KeptWebhook>,
    integrations: BTreeMap<IntegrationId, Integration>,
    messages: BTreeMap<(IntegrationId, u64), NewMessage>,
    /// Messages whose bodies were erased, and when.
    erased: BTreeMap<(IntegrationId, u64), Timestamp>,
    deliveries: BTreeMap<DeliveryId, KeptDelivery>,
    keys: BTreeMap<KeyId, ApiKey>,
    sign_ins: HashMap<[u8; 32], SignIn>,
    replays: BTreeMap<ReplayId, Replay>,
    remembered: HashMap<[u8; 32], Remembered>,
    claims: HashMap<DeliveryId, Fence>,
    /// The last sequence of lanes whose deliveries were all purged.
    lane_ends: HashMap<(WebhookId, IntegrationId), u64>,
    /// The run that a claim was made for.
    claimed_by_run: HashMap<DeliveryId, ReplayId>,
    last_fence: u64,
    destinations: Vec<Destination>,
    operational: BTreeMap<OperationalMessageId, OperationalMessage>,
    windows: BTreeMap<WebhookId, FailureWindow>,
    /// The audit log, oldest first.
    noted: Vec<AuditEntry>,
}

#[derive(Debug)]
struct KeptWebhook {
    webhook: Webhook,
    deleted: Option<Timestamp>,
    /// When the receiver asked for the pause that the webhook has.
    asked: Option<Timestamp>,
}

#[derive(Debug)]
struct KeptDelivery {
    delivery: Delivery,
    /// The try of the schedule that a replay has moved aside.
    planned: Option<Timestamp>,
    /// The run that it waits in.
    replay_id: Option<ReplayId>,
    body: Bytes,
    attempts: Vec<Attempt>,
}

#[derive(Debug)]
struct Remembered {
    fingerprint: [u8; 32],
    answer: Answer,
    until: Timestamp,
}

impl ModelStore {
    /// An empty store.
    pub fn new(random: SharedRandom) -> Self {
        Self {
            state: Mutex::new(State {
                ids: Ids::new(random),
                enterprises: BTreeMap::new(),
                applications: BTreeMap::new(),
                webhooks: BTreeMap::new(),
                integrations: BTreeMap::new(),
                messages: BTreeMap::new(),
                erased: BTreeMap::new(),
                deliveries: BTreeMap::new(),
                keys: BTreeMap::new(),
                sign_ins: HashMap::new(),
                replays: BTreeMap::new(),
                remembered: HashMap::new(),
                claims: HashMap::new(),
                lane_ends: HashMap::new(),
                claimed_by_run: HashMap::new(),
                last_fence: 0,
                destinations: Destination::ALL.to_vec(),
                operational: BTreeMap::new(),
                windows: BTreeMap::new(),
                noted: Vec::new(),
            }),
        }
    }

    /// What a restart of the process does.
    pub fn reopen(&self) {
        self.state().claims.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn webhook(&self, id: WebhookId) -> Option<&Webhook> {
        let kept = self
            .webhooks
            .get(&id)
            .filter(|kept| kept.deleted.is_none())?;
        Some(&kept.webhook)
    }

    fn webhook_mut(&mut self, id: WebhookId) -> Option<&mut Webhook> {
        let kept = self
            .webhooks
            .get_mut(&id)
            .filter(|kept| kept.deleted.is_none())?;
        Some(&mut kept.webhook)
    }

    /// The deliveries of a lane, in order of their sequence.
    fn lane(
        &self,
        webhook: WebhookId,
        integration: IntegrationId,
    ) -> impl DoubleEndedIterator<Item = &KeptDelivery> {
        let in_lane = |kept: &&KeptDelivery| {
            kept.delivery.webhook_id == webhook && kept.delivery.integration_id == integration
        };
        let mut lane: Vec<_> = self.deliveries.values().filter(in_lane).collect();
        lane.sort_by_key(|kept| kept.delivery.sequence);
        lane.into_iter()
    }

    /// A delivery as it is told.
    fn shown(&self, kept: &KeptDelivery) -> Delivery {
        let delivery = kept.delivery.clone();
        let newest = self.integrations[&delivery.integration_id].sequence;
        // No earlier than the webhook lets it be.
        let webhook = self.webhook(delivery.webhook_id);
        let until = webhook.and_then(|webhook| webhook.not_before.max(webhook.health.open_until));
        Delivery {
            next_attempt: delivery
                .next_attempt
                .map(|next| until.map_or(next, |until| next.max(until))),
            is_stale: newest > delivery.sequence,
            ..delivery
        }
    }

    /// Makes the first pending delivery of a lane due, if it is not. Says whether there is one.
    fn advance(&mut self, webhook: WebhookId, integration: IntegrationId, at: Timestamp) -> bool {
        let head = self
            .lane(webhook, integration)
            .find(|kept| kept.delivery.state == DeliveryState::Pending)
            .map(|kept| kept.delivery.id);
        let Some(head) = head.and_then(|id| self.deliveries.get_mut(&id)) else {
            return false;
        };
        let first = self.webhooks.get(&webhook).map_or(at, |kept| {
            later(
                // A commit after now was made before the clock was set back.
                head.delivery.created.min(at),
                kept.webhook.retry_schedule.first_wait(),
            )
        });
        if head.delivery.next_attempt.is_none() {
            // What a backfill had put others before keeps its planned try.
            let planned = head.planned.take().unwrap_or(first);
            head.delivery.next_attempt = Some(at.max(first).max(planned));
        }
        true
    }
}

#[async_trait]
impl Store for ModelStore {
    async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        self.state().commit(&commit)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError> {
        let mut state = self.state();
        let wants = request.wants.into_iter();
        Ok(wants
            .map(|want| state.claim_of_webhook(want, request.now))
            .collect())
    }

    async fn record(&self, attempted: Attempted) -> Result<Recorded, StoreError> {
        Ok(self.state().record(attempted))
    }

    async fn release(&self, claims: Vec<(DeliveryId, Fence)>) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, fence) in claims {
            if state.claims.get(&id) == Some(&fence) {
                state.claims.remove(&id);
            }
        }
        Ok(())
    }

    async fn replan(&self, now: Timestamp) -> Result<usize, StoreError> {
        Ok(self.state().replan(now))
    }

    async fn due(&self) -> Result<Vec<(WebhookId, Timestamp)>, StoreError> {
        Ok(self.state().due())
    }

    async fn purge(&self, what: Purge) -> Result<Purged, StoreError> {
        Ok(self.state().purge(&what))
    }

    /// Nothing is sealed here.
    async fn reseal(&self, _: Timestamp) -> Result<Resealed, StoreError> {
        Ok(Resealed {
            values: 0,
            unreadable: 0,
            standing: Standing::OneKey,
        })
    }

    async fn erase(&self, what: Erase) -> Result<Erased, StoreError> {
        Ok(self.state().erase(&what))
    }

    async fn operational_due(
        &self,
        request: OperationalRequest,
    ) -> Result<OperationalDue, StoreError> {
        Ok(self.state().operational_due(&request))
    }

    async fn record_operational(
        &self,
        attempted: OperationalAttempted,
    ) -> Result<bool, StoreError> {
        Ok(self.state().record_operational(attempted))
    }

    async fn operational_messages(
        &self,
        page: Page,
    ) -> Result<Vec<OperationalMessage>, StoreError> {
        Ok(self.state().operational_messages(page))
    }

    async fn enterprise(&self, id: EnterpriseId) -> Result<Option<Enterprise>, StoreError> {
        Ok(self.state().enterprises.get(&id).cloned())
    }

    async fn enterprises(&self, page: Page) -> Result<Vec<Enterprise>, StoreError> {
        let state = self.state();
        let all = state.enterprises.values().cloned();
        Ok(read::page(page, all, |each| each.id.0))
    }

    async fn application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError> {
        Ok(self.state().applications.get(&id).cloned())
    }

    async fn applications(&self, page: Page) -> Result<Vec<Application>, StoreError> {
        let state = self.state();
        let all = state.applications.values().cloned();
        Ok(read::page(page, all, |each| each.id.0))
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(self.state().webhook(id).cloned())
    }

    async fn webhooks(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Webhook>, StoreError> {
        Ok(self.state().webhooks_of(of, page))
    }

    async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError> {
        Ok(self.state().integrations.get(&id).cloned())
    }

    async fn access(&self, id: IntegrationId) -> Result<Option<Arc<Access>>, StoreError> {
        let state = self.state();
        let found = state.integrations.get(&id);
        Ok(found.map(|integration| Arc::new(Access::from(integration))))
    }

    async fn integrations(
        &self,
        filter: IntegrationFilter,
        page: Page,
    ) -> Result<Vec<Integration>, StoreError> {
        Ok(self.state().integrations_like(&filter, page))
    }

    async fn messages(
        &self,
        of: IntegrationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        Ok(self.state().messages_of(of, after, limit))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let state = self.state();
        Ok(state.deliveries.get(&id).map(|kept| state.shown(kept)))
    }

    async fn attempts(&self, of: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let state = self.state();
        let kept = state.deliveries.get(&of);
        Ok(kept.map_or_else(Vec::new, |kept| kept.attempts.clone()))
    }

    async fn body(&self, of: DeliveryId) -> Result<Option<MessageBody>, StoreError> {
        let state = self.state();
        let kept = state.deliveries.get(&of);
        let key = |kept: &KeptDelivery| (kept.delivery.integration_id, kept.delivery.sequence);
        Ok(kept.map(|kept| match state.erased.get(&key(kept)) {
            Some(at) => MessageBody::Erased { at: *at },
            None => MessageBody::Bytes(kept.body.clone()),
        }))
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.state().deliveries_like(&filter, page))
    }

    async fn count_replay(
        &self,
        selection: Selection,
        counted: Option<Counted>,
        now: Timestamp,
    ) -> Result<ReplayCount, StoreError> {
        Ok(self.state().count_replay(&selection, counted, now))
    }

    async fn next_of_replay(&self, id: ReplayId) -> Result<Option<ReplayStep>, StoreError> {
        Ok(self.state().next_of_replay(id))
    }

    async fn running_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        Ok(self.state().running_replays())
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        Ok(self.state().replay_shown(id))
    }

    async fn replays(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Replay>, StoreError> {
        Ok(self.state().replays_of(of, page))
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.state().keys.values().cloned().collect())
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.state().keys.get(&id).cloned())
    }

    async fn audited(
        &self,
        filter: AuditFilter,
        before: Option<AuditKey>,
        limit: u32,
    ) -> Result<Audited, StoreError> {
        Ok(self.state().audited(&filter, before, limit as usize))
    }

    async fn link_audit(&self, _: Timestamp) -> Result<AuditLinked, StoreError> {
        Ok(self.state().linked())
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        Ok(self.state().stats(now))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
