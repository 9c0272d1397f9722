//! The real embedded store, asked synchronously, and broken by seed.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use async_trait::async_trait;
use bellhop::{
    domain::{
        access::Access,
        access_token::TokenHash,
        api_key::ApiKey,
        delivery::{Attempt, Delivery},
        enterprise::{Application, Enterprise},
        integration::Integration,
        operational::OperationalMessage,
        sign_in::SignIn,
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, IntegrationId, KeyId, ReplayId, WebhookId},
    store::{
        Attempted, AuditFilter, AuditKey, AuditLinked, Audited, ClaimRequest, Commit, CommitError,
        Counted, DeliveryFilter, Erase, Erased, Failing, Fence, IntegrationFilter, Leaf,
        MessageBody, OperationalAttempted, OperationalDue, OperationalRequest, Page, Purge, Purged,
        Receipt, RecentAttempt, Recorded, Replay, ReplayCount, ReplayStep, Resealed, Selection,
        Span, Stats, Store, StoreError, StoredMessage, Views, WebhookClaims, sqlite::SqliteStore,
    },
};
use jiff::Timestamp;

use crate::{
    plant::Plant,
    weather::{Fate, Kind, Weather},
};

/// The store of one life of the process.
#[derive(Debug)]
pub struct BrokenStore {
    /// `None` once the process has died.
    inner: Mutex<Option<Arc<SqliteStore>>>,
    alive: Arc<AtomicBool>,
    weather: Arc<Weather>,
    plant: Option<Plant>,
}

impl BrokenStore {
    pub fn new(
        inner: SqliteStore,
        alive: Arc<AtomicBool>,
        weather: Arc<Weather>,
        plant: Option<Plant>,
    ) -> Self {
        Self {
            inner: Mutex::new(Some(Arc::new(inner))),
            alive,
            weather,
            plant,
        }
    }

    /// What a dead process leaves to the next one: the file, and nobody who holds it.
    pub fn let_go(&self) {
        let inner = self.inner.lock().expect("no holder panics").take();
        if let Some(inner) = inner {
            // Nothing waits for the writer: all that was asked was answered.
            let _ = wait(inner.close());
        }
    }

    fn inner(&self) -> Option<Arc<SqliteStore>> {
        self.inner.lock().expect("no holder panics").clone()
    }

    /// One operation, with all that can become of it. A process that has died gets no answer.
    async fn through<T, E: From<StoreError>>(
        &self,
        kind: Kind,
        operation: impl AsyncFnOnce(Arc<SqliteStore>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.weather.pass().await;
        if !self.alive.load(Relaxed) {
            return pending().await;
        }
        let failed = || StoreError::Database("simulated".to_owned()).into();
        let fate = self.weather.fate(kind);
        match fate {
            Fate::FailsBefore => return Err(failed()),
            Fate::DiesBefore => return self.die().await,
            Fate::Fine | Fate::FailsAfter | Fate::DiesAfter => {}
        }
        // Nobody holds the store while it waits: it is to be opened again when the process has died.
        let inner = self.inner().ok_or(StoreError::Closed)?;
        let answer = wait(operation(inner));
        match fate {
            Fate::FailsAfter => return Err(failed()),
            Fate::DiesAfter => return self.die().await,
            _ => {}
        }
        self.weather.pass().await;
        if self.alive.load(Relaxed) {
            answer
        } else {
            pending().await
        }
    }

    async fn die<T>(&self) -> T {
        self.alive.store(false, Relaxed);
        self.weather.die();
        pending().await
    }
}

/// Waits on this thread, so that simulated time stands still while the writer's thread works.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // Otherwise the runtime's budget of this turn could be used up, and never filled again.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Operations that only read, one a line.
macro_rules! reads {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for BrokenStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.through(Kind::Reads, async move |store| store.$name($($argument),*).await).await
            })*

            async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
                self.through(Kind::Writes, async move |store| store.commit(commit).await).await
            }

            async fn claim(&self, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError> {
                let mut taken = self
                    .through(Kind::Reads, async move |store| store.claim(request).await)
                    .await?;
                if let Some(plant) = self.plant {
                    plant.spoil_claims(&mut taken);
                }
                Ok(taken)
            }

            async fn record(&self, mut attempted: Attempted) -> Result<Recorded, StoreError> {
                if self.plant.is_some_and(|plant| !plant.spoil_record(&mut attempted)) {
                    let claim = (attempted.delivery_id, attempted.fence);
                    self.release(vec![claim]).await?;
                    return Ok(Recorded::Done { lane_goes_on: true });
                }
                self.through(Kind::Writes, async move |store| store.record(attempted).await).await
            }

            async fn reseal(&self, now: Timestamp) -> Result<Resealed, StoreError> {
                self.through(Kind::Writes, async move |store| store.reseal(now).await).await
            }

            async fn erase(&self, what: Erase) -> Result<Erased, StoreError> {
                self.through(Kind::Writes, async move |store| store.erase(what).await).await
            }

            async fn purge(&self, what: Purge) -> Result<Purged, StoreError> {
                self.through(Kind::Writes, async move |store| store.purge(what).await).await
            }
        }
    };
}

reads! {
    release(claims: Vec<(DeliveryId, Fence)>) -> ();
    due() -> Vec<(WebhookId, Timestamp)>;
    enterprise(id: EnterpriseId) -> Option<Enterprise>;
    enterprises(page: Page) -> Vec<Enterprise>;
    application(id: ApplicationId) -> Option<Application>;
    applications(page: Page) -> Vec<Application>;
    webhook(id: WebhookId) -> Option<Webhook>;
    webhooks(of: Option<ApplicationId>, page: Page) -> Vec<Webhook>;
    integration(id: IntegrationId) -> Option<Integration>;
    access(id: IntegrationId) -> Option<Arc<Access>>;
    integrations(filter: IntegrationFilter, page: Page) -> Vec<Integration>;
    messages(of: IntegrationId, after: u64, limit: u32) -> Vec<StoredMessage>;
    delivery(id: DeliveryId) -> Option<Delivery>;
    attempts(of: DeliveryId) -> Vec<Attempt>;
    body(of: DeliveryId) -> Option<MessageBody>;
    deliveries(filter: DeliveryFilter, page: Page) -> Vec<Delivery>;
    count_replay(selection: Selection, counted: Option<Counted>, now: Timestamp) -> ReplayCount;
    next_of_replay(id: ReplayId) -> Option<ReplayStep>;
    running_replays() -> Vec<ReplayId>;
    replay(id: ReplayId) -> Option<Replay>;
    replays(of: Option<ApplicationId>, page: Page) -> Vec<Replay>;
    keys() -> Vec<ApiKey>;
    key(id: KeyId) -> Option<ApiKey>;
    stats(now: Timestamp) -> Stats;
    operational_due(request: OperationalRequest) -> OperationalDue;
    record_operational(attempted: OperationalAttempted) -> bool;
    operational_messages(page: Page) -> Vec<OperationalMessage>;
    audited(filter: AuditFilter, before: Option<AuditKey>, limit: u32) -> Audited;
    link_audit(now: Timestamp) -> AuditLinked;
    close() -> ();
}

/// Nobody looks on in a simulation.
#[async_trait]
impl Views for BrokenStore {
    async fn sign_in(&self, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
        self.through(Kind::Reads, async move |store| store.sign_in(hash).await)
            .await
    }

    async fn failing(
        &self,
        of: Option<ApplicationId>,
        since: Timestamp,
    ) -> Result<Vec<Failing>, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.failing(of, since).await
        })
        .await
    }

    async fn recent_attempts(&self, webhook: WebhookId) -> Result<Vec<RecentAttempt>, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.recent_attempts(webhook).await
        })
        .await
    }

    async fn leaf(
        &self,
        filter: DeliveryFilter,
        page: Page,
        looked: u32,
    ) -> Result<Leaf, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.leaf(filter, page, looked).await
        })
        .await
    }

    async fn enterprises_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Enterprise>, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.enterprises_named(part, limit).await
        })
        .await
    }

    async fn applications_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.applications_named(part, limit).await
        })
        .await
    }

    async fn history(
        &self,
        webhook: WebhookId,
        moments: Vec<Timestamp>,
    ) -> Result<Vec<Span>, StoreError> {
        self.through(Kind::Reads, async move |store| {
            store.history(webhook, moments).await
        })
        .await
    }
}
