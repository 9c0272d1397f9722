//! A small platform on a store, and the short forms of what tests do to it.

use std::{sync::Arc, time::Duration};

use bellhop::{
    clock::Clock as _,
    domain::{
        access_token,
        audit::{AuditEntry, By},
        cause::Cause,
        delivery::{
            Attempt, Delivery, Next, Outcome, Response, Timings, Tried, WebhookEffect, decide,
        },
        integration::{Command, Integration, NewIntegration},
        retry::RetrySchedule,
        secret_text::SecretText,
        webhook::{Webhook, WebhookState},
    },
    id::{ApplicationId, EnterpriseId, Ids, IntegrationId, WebhookId},
    store::{
        Attempted, AuditFilter, AuditLinked, Claim, ClaimRequest, Commit, CommitError,
        DeliveryFilter, NewWebhook, Page, Receipt, Recorded, Remember, Store, Want, WebhookClaims,
        WebhookPatch, Write, Written,
    },
};
use bytes::Bytes;
use jiff::Timestamp;

use super::databases::Database;
use crate::support::{clock::ManualClock, random::SeededRandom};

/// A page that holds everything.
pub const ALL: Page = Page {
    after: None,
    limit: 1000,
};

/// A database with one enterprise and one application.
pub struct World<D> {
    pub database: D,
    pub clock: ManualClock,
    pub enterprise: EnterpriseId,
    pub application: ApplicationId,
    ids: Ids,
    random: Arc<SeededRandom>,
}

impl<D: Database> World<D> {
    /// On an empty database.
    pub async fn new() -> Self {
        let random = Arc::new(SeededRandom::new(2));
        let ids = Ids::new(random.clone());
        let clock = ManualClock::new();
        let mut world = Self {
            database: D::fresh().await,
            enterprise: ids.next(clock.now()),
            application: ids.next(clock.now()),
            clock,
            ids,
            random,
        };
        world.enterprise = world.new_enterprise("Hotel").await;
        world.application = world.new_application("Booking engine").await;
        world
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.database.store()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn id<Id: From<uuid::Uuid>>(&self) -> Id {
        self.ids.next(self.now())
    }

    /// A second later.
    pub fn later(&self) -> Timestamp {
        self.clock.advance(Duration::from_secs(1));
        self.now()
    }

    pub async fn commit(&self, write: Write) -> Result<Receipt, CommitError> {
        self.commit_once(write, None).await
    }

    pub async fn commit_once(
        &self,
        write: Write,
        remember: Option<Remember>,
    ) -> Result<Receipt, CommitError> {
        let at = self.now();
        let commit = Commit {
            at,
            write,
            by: By::system(),
            remember,
        };
        self.store().commit(commit).await
    }

    /// Commits what somebody asked for.
    pub async fn write_by(&self, write: Write, by: By) {
        let commit = Commit {
            at: self.now(),
            write,
            by,
            remember: None,
        };
        self.store().commit(commit).await.unwrap();
    }

    /// The audit log, oldest first.
    pub async fn audited(&self) -> Vec<AuditEntry> {
        let store = self.store();
        let all = store.audited(AuditFilter::default(), None, 1000).await;
        let mut entries = all.unwrap().entries;
        entries.reverse();
        entries
    }

    /// Links all that there is in the audit log. On a cluster, what others do in other databases may hold it up.
    pub async fn link_all(&self) -> AuditLinked {
        let entries = self.audited().await.len() as u64;
        for _ in 0..10_000 {
            let linked = self.store().link_audit(self.now()).await.unwrap();
            if linked.chain.position == entries {
                return linked;
            }
            tokio::task::yield_now().await;
        }
        panic!("{entries} entries were not linked");
    }

    /// Commits what must not be refused.
    pub async fn write(&self, write: Write) -> Written {
        self.write_due(write).await.0
    }

    /// The same, with the webhooks that it made due.
    pub async fn write_due(&self, write: Write) -> (Written, Vec<WebhookId>) {
        match self.commit(write).await.unwrap() {
            Receipt::Done { written, due } => (written, due),
            Receipt::Repeated(_) => panic!("nothing was to be remembered"),
        }
    }

    pub async fn new_enterprise(&self, name: &str) -> EnterpriseId {
        let (id, name) = (self.id(), name.to_owned());
        self.write(Write::PutEnterprise { id, name }).await;
        id
    }

    pub async fn new_application(&self, name: &str) -> ApplicationId {
        let (id, name) = (self.id(), name.to_owned());
        self.write(Write::CreateApplication { id, name }).await;
        id
    }

    /// A webhook with a schedule of three tries.
    pub async fn new_webhook(&self) -> WebhookId {
        self.new_webhook_with(WebhookPatch::default()).await
    }

    pub async fn new_webhook_with(&self, settings: WebhookPatch) -> WebhookId {
        self.new_webhook_of(self.application, settings).await
    }

    pub async fn new_webhook_of(
        &self,
        application_id: ApplicationId,
        settings: WebhookPatch,
    ) -> WebhookId {
        let new = NewWebhook {
            id: self.id(),
            application_id,
            secret: SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            settings: WebhookPatch {
                url: Some(SecretText::new("https://receiver.example/hooks?key=secret")),
                retry_schedule: Some(schedule()),
                ..settings
            },
        };
        let id = new.id;
        self.write(Write::CreateWebhook(Box::new(new))).await;
        id
    }

    pub async fn update(&self, id: WebhookId, patch: WebhookPatch) -> Webhook {
        let write = Write::UpdateWebhook {
            id,
            if_revision: None,
            patch: Box::new(patch),
        };
        match self.write(write).await {
            Written::Webhook(webhook) => *webhook,
            other => panic!("not a webhook: {other:?}"),
        }
    }

    pub async fn set_state(&self, id: WebhookId, state: WebhookState) -> Webhook {
        let patch = WebhookPatch {
            state: Some((state, None)),
            ..WebhookPatch::default()
        };
        self.update(id, patch).await
    }

    pub async fn webhook(&self, id: WebhookId) -> Webhook {
        self.store().webhook(id).await.unwrap().unwrap()
    }

    /// An integration that is to be created.
    pub fn integration_request(&self) -> NewIntegration {
        let id = self.id();
        NewIntegration {
            id,
            application_id: self.application,
            enterprise_id: self.enterprise,
            name: "Front desk".into(),
            is_enabled: true,
            service: None,
            access_token: access_token::generate(id, &*self.random),
        }
    }

    pub async fn create(&self, new: NewIntegration) -> Integration {
        let write = Write::CreateIntegration {
            new: Box::new(new),
            requestor: None,
        };
        integration(self.write(write).await)
    }

    pub async fn new_integration(&self) -> IntegrationId {
        self.create(self.integration_request()).await.id
    }

    pub async fn command(&self, id: IntegrationId, command: Command) -> Integration {
        let write = Write::Command {
            id,
            command,
            requestor: None,
        };
        integration(self.write(write).await)
    }

    /// Makes so many further messages of an integration.
    pub async fn toggle(&self, id: IntegrationId, times: usize) {
        for _ in 0..times {
            let integration = self.store().integration(id).await.unwrap().unwrap();
            let command = if integration.is_enabled {
                Command::Disable
            } else {
                Command::Enable
            };
            self.command(id, command).await;
        }
    }

    pub async fn claim_some(&self, webhook_id: WebhookId, limit: usize) -> WebhookClaims {
        let request = ClaimRequest {
            now: self.now(),
            wants: vec![Want { webhook_id, limit }],
        };
        let mut taken = self.store().claim(request).await.unwrap();
        assert_eq!(taken.len(), 1);
        taken.remove(0)
    }

    /// All that is due.
    pub async fn claim(&self, webhook: WebhookId) -> Vec<Claim> {
        self.claim_some(webhook, 1000).await.claims
    }

    /// The one delivery that is due.
    pub async fn claim_one(&self, webhook: WebhookId) -> Claim {
        let mut claims = self.claim(webhook).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    pub async fn record(
        &self,
        claim: &Claim,
        next: Next,
        effect: Option<WebhookEffect>,
    ) -> Recorded {
        let attempted = attempted(claim, next, effect, self.now());
        self.store().record(attempted).await.unwrap()
    }

    /// Gives claims back.
    pub async fn release_all(&self, claims: &[Claim]) {
        let proofs = claims.iter().map(|each| (each.delivery_id, each.fence));
        self.store().release(proofs.collect()).await.unwrap();
    }

    pub async fn succeed(&self, claim: &Claim) -> Recorded {
        self.record(claim, Next::Delivered, None).await
    }

    /// Fails, as the domain decides on it.
    pub async fn fail(&self, claim: &Claim) -> (Recorded, Next) {
        let tried = Tried {
            state: claim.state,
            tries: claim.tries,
            planned: claim.planned,
            ended: self.now(),
        };
        let outcome = Outcome::Failed {
            cause: Cause::ServerError,
            retry_after: None,
        };
        let (next, effect) = decide(tried, outcome, &schedule(), 0.0);
        (self.record(claim, next, effect).await, next)
    }

    /// The deliveries of a lane, in order.
    pub async fn lane(&self, webhook: WebhookId, integration: IntegrationId) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            webhook_id: Some(webhook),
            integration_id: Some(integration),
            ..DeliveryFilter::default()
        };
        let mut lane = self.store().deliveries(filter, ALL).await.unwrap();
        lane.sort_by_key(|each| each.sequence);
        lane
    }
}

/// Three tries: at once, after 10 seconds, after 20.
pub fn schedule() -> RetrySchedule {
    RetrySchedule::try_new(vec![0, 10, 20]).unwrap()
}

/// The integration that was written.
pub fn integration(written: Written) -> Integration {
    match written {
        Written::Integration { integration, .. } => *integration,
        other => panic!("not an integration: {other:?}"),
    }
}

/// An attempt of a claim with this outcome, and all that can be kept of it.
pub fn attempted(
    claim: &Claim,
    next: Next,
    effect: Option<WebhookEffect>,
    at: Timestamp,
) -> Attempted {
    let has_failed = next != Next::Delivered;
    Attempted {
        delivery_id: claim.delivery_id,
        fence: claim.fence,
        at,
        attempt: Attempt {
            number: claim.number,
            is_replay: claim.is_replay(),
            started: at,
            duration: Duration::from_micros(1234),
            cause: has_failed.then_some(Cause::ServerError),
            detail: has_failed.then(|| "it said 500".to_owned()),
            signature: "v1,c2lnbmVk".into(),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            response: Some(Arc::new(Response {
                status: if has_failed { 500 } else { 204 },
                headers: vec![("server".into(), "x".into()), ("via".into(), "y".into())],
                body: Bytes::from_static(b"\x00not text\xff"),
                is_truncated: has_failed,
            })),
            timings: Timings {
                dns_us: Some(1),
                connect_us: None,
                tls_us: Some(3),
                send_us: Some(6),
                wait_us: Some(4),
                receive_us: Some(5),
            },
            remote: Some("2001:db8::1".parse().unwrap()),
        },
        next,
        effect,
        unit: 0.0,
    }
}
