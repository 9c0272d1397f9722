//! The embedded store: one file, one process. A writer thread with group commit, and readers beside it.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;

use self::{
    batch::Batch,
    log::Log,
    read::Readers,
    writer::{Request, Writer},
};
use super::{
    Attempted, AuditFilter, AuditKey, AuditLinked, Audited, ClaimRequest, Commit, CommitError,
    Counted, DeliveryFilter, Erase, Erased, Fence, IntegrationFilter, MessageBody,
    OperationalAttempted, OperationalDue, OperationalRequest, Page, Purge, Purged, Receipt,
    Recorded, Replay, ReplayCount, ReplayStep, Resealed, Selection, Standing, Stats, Store,
    StoreError, StoredMessage, WebhookClaims,
    access_memory::{AccessMemory, Remembered},
};
use crate::{
    domain::{
        access::Access,
        api_key::ApiKey,
        delivery::{Attempt, Delivery},
        enterprise::{Application, Enterprise},
        integration::Integration,
        operational::{Destination, OperationalMessage},
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, Ids, IntegrationId, KeyId, ReplayId, WebhookId},
    random::SharedRandom,
    vault::Vault,
};

mod ahead;
mod apply;
mod audit;
mod audit_purge;
mod backfill;
mod backup;
mod batch;
mod claims;
mod erasure;
mod health;
mod leaf;
mod lifecycle;
pub(super) mod lock;
mod log;
pub(super) mod moved;
mod operational;
mod overview;
mod purge;
mod read;
mod ready;
mod registry;
mod replan;
mod replay_reads;
mod replay_rows;
mod replays;
mod resealing;
mod rows;
pub(super) mod schema;
mod sign_ins;
mod values;
mod writer;

pub use audit::SqliteAuditLog;
pub use backup::{BackupReport, FileState, copy_into, file_state, look_through};
pub use moved::Mark;
pub use resealing::census;
pub use schema::StoreObserver;

/// Most requests that wait for the writer; beyond it the store is busy.
const MAX_WAITING: usize = 16_384;

/// How to open the store.
pub struct SqliteOptions {
    /// The database file. Its directory must exist.
    pub path: PathBuf,
    /// What seals and opens.
    pub vault: Arc<Vault>,
    /// For the ids of deliveries.
    pub random: SharedRandom,
    /// Where operational messages are sent to; those that are made while there is nowhere are kept all the same.
    pub destinations: Vec<Destination>,
    /// Who wants to know.
    pub observer: Arc<dyn StoreObserver>,
}

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    requests: mpsc::SyncSender<Request>,
    readers: Arc<Readers>,
    access: Arc<AccessMemory>,
    vault: Arc<Vault>,
    /// Held while the store is open, so that no second process writes.
    _lock: File,
}

impl SqliteStore {
    /// Opens or creates the database, and starts the writer.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = lock::lock(&options.path)?;
        let connection = schema::open_writer(&options.path)?;
        moved::refuse(&connection)?;
        resealing::check_vault(&connection, &options.vault)?;
        let last = schema::last_id(&connection)?;
        let backfilled = schema::backfilled(&connection)?;
        let linking = audit::Linking::read(&connection)?;
        let access = Arc::new(AccessMemory::default());
        let log = Log::of(&connection);
        let writer = Writer {
            log,
            connection,
            vault: options.vault.clone(),
            batch: Batch::new(
                Ids::above(options.random, last),
                options.destinations.into(),
                backfilled,
                linking,
            ),
            access: access.clone(),
            observer: options.observer,
            proved: None,
        };
        let (requests, received) = mpsc::sync_channel(MAX_WAITING);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&received))
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self {
            requests,
            readers: Readers::new(&options.path, options.vault.clone()),
            vault: options.vault,
            access,
            _lock: lock,
        })
    }

    async fn ask<T, E: From<StoreError>>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Request,
    ) -> Result<T, E> {
        let (to, answer) = oneshot::channel();
        self.requests
            .try_send(request(to))
            .map_err(|error| match error {
                mpsc::TrySendError::Full(_) => StoreError::Busy,
                mpsc::TrySendError::Disconnected(_) => StoreError::Closed,
            })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        self.ask(|to| Request::Commit(Box::new(commit), to)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError> {
        self.ask(|to| Request::Claim(request, to)).await
    }

    async fn record(&self, attempted: Attempted) -> Result<Recorded, StoreError> {
        self.ask(|to| Request::Record(Box::new(attempted), to))
            .await
    }

    async fn release(&self, claims: Vec<(DeliveryId, Fence)>) -> Result<(), StoreError> {
        self.ask(|to| Request::Release(claims, to)).await
    }

    async fn replan(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.ask(|to| Request::Replan(now, to)).await
    }

    async fn due(&self) -> Result<Vec<(WebhookId, Timestamp)>, StoreError> {
        self.readers
            .read(|connection, _| Ok(claims::due(connection)?))
            .await
    }

    async fn purge(&self, what: Purge) -> Result<Purged, StoreError> {
        self.ask(|to| Request::Purge(Box::new(what), to)).await
    }

    async fn erase(&self, what: Erase) -> Result<Erased, StoreError> {
        self.ask(|to| Request::Erase(Box::new(what), to)).await
    }

    async fn reseal(&self, now: Timestamp) -> Result<Resealed, StoreError> {
        if !self.vault.has_former() {
            return Ok(Resealed::of(Standing::OneKey));
        }
        self.ask(|to| Request::Reseal(now, to)).await
    }

    async fn operational_due(
        &self,
        request: OperationalRequest,
    ) -> Result<OperationalDue, StoreError> {
        let now = request.now;
        // Most often no window is over, and the writer is not bothered.
        let is_over = self
            .readers
            .read(move |on, _| operational::is_window_over(on, now));
        if is_over.await? {
            self.ask(|to| Request::CloseWindows(now, to)).await?;
        }
        self.readers
            .read(move |on, _| operational::due(on, &request))
            .await
    }

    async fn record_operational(
        &self,
        attempted: OperationalAttempted,
    ) -> Result<bool, StoreError> {
        self.ask(|to| Request::RecordOperational(Box::new(attempted), to))
            .await
    }

    async fn operational_messages(
        &self,
        page: Page,
    ) -> Result<Vec<OperationalMessage>, StoreError> {
        self.readers
            .read(move |on, _| operational::list(on, page))
            .await
    }

    async fn enterprise(&self, id: EnterpriseId) -> Result<Option<Enterprise>, StoreError> {
        let of = (rows::NAMED, "enterprises");
        self.readers
            .read(move |on, _| read::by_id(on, of, &id, |row| Ok(rows::enterprise(row)?)))
            .await
    }

    async fn enterprises(&self, page: Page) -> Result<Vec<Enterprise>, StoreError> {
        let of = (rows::NAMED, "enterprises");
        self.readers
            .read(move |on, _| read::page(on, of, page, |row| Ok(rows::enterprise(row)?)))
            .await
    }

    async fn application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError> {
        let of = (rows::NAMED, "applications");
        self.readers
            .read(move |on, _| read::by_id(on, of, &id, |row| Ok(rows::application(row)?)))
            .await
    }

    async fn applications(&self, page: Page) -> Result<Vec<Application>, StoreError> {
        let of = (rows::NAMED, "applications");
        self.readers
            .read(move |on, _| read::page(on, of, page, |row| Ok(rows::application(row)?)))
            .await
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.readers
            .read(move |on, vault| read::webhook(on, vault, id))
            .await
    }

    async fn webhooks(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Webhook>, StoreError> {
        self.readers
            .read(move |on, vault| read::webhooks(on, vault, of, page))
            .await
    }

    async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError> {
        self.readers
            .read(move |on, _| read::integration(on, id))
            .await
    }

    async fn access(&self, id: IntegrationId) -> Result<Option<Arc<Access>>, StoreError> {
        let before = match self.access.look(id) {
            Remembered::Is(access) => return Ok(access),
            Remembered::Ask(before) => before,
        };
        let found = self.integration(id).await?;
        let access = found.map(|integration| Arc::new(Access::from(&integration)));
        self.access.learn(id, before, access.clone());
        Ok(access)
    }

    async fn integrations(
        &self,
        filter: IntegrationFilter,
        page: Page,
    ) -> Result<Vec<Integration>, StoreError> {
        self.readers
            .read(move |on, _| read::integrations(on, &filter, page))
            .await
    }

    async fn messages(
        &self,
        of: IntegrationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.readers
            .read(move |on, vault| read::messages(on, vault, of, after, limit))
            .await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.readers.read(move |on, _| read::delivery(on, id)).await
    }

    async fn attempts(&self, of: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.readers.read(move |on, _| read::attempts(on, of)).await
    }

    async fn body(&self, of: DeliveryId) -> Result<Option<MessageBody>, StoreError> {
        self.readers
            .read(move |on, vault| read::body(on, vault, of))
            .await
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.readers
            .read(move |on, _| read::deliveries(on, &filter, page))
            .await
    }

    async fn count_replay(
        &self,
        selection: Selection,
        counted: Option<Counted>,
        now: Timestamp,
    ) -> Result<ReplayCount, StoreError> {
        self.readers
            .read(move |on, _| replay_reads::count(on, &selection, counted, now))
            .await
    }

    async fn next_of_replay(&self, id: ReplayId) -> Result<Option<ReplayStep>, StoreError> {
        self.readers
            .read(move |on, _| replay_reads::next(on, id))
            .await
    }

    async fn running_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.readers.read(|on, _| replay_rows::running(on)).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.readers
            .read(move |on, _| replay_rows::one(on, id))
            .await
    }

    async fn replays(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Replay>, StoreError> {
        self.readers
            .read(move |on, _| replay_rows::replays(on, of, page))
            .await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.readers.read(|on, _| read::keys(on, None)).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        self.readers
            .read(move |on, _| Ok(read::keys(on, Some(id))?.pop()))
            .await
    }

    async fn audited(
        &self,
        filter: AuditFilter,
        before: Option<AuditKey>,
        limit: u32,
    ) -> Result<Audited, StoreError> {
        self.readers
            .read(move |on, _| audit::audited(on, &filter, before, limit))
            .await
    }

    /// The commits have done it.
    async fn link_audit(&self, _: Timestamp) -> Result<AuditLinked, StoreError> {
        let chain = self.readers.read(|on, _| audit::head(on)).await?;
        Ok(AuditLinked {
            chain,
            has_more: false,
        })
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        self.readers.read(move |on, _| read::stats(on, now)).await
    }

    async fn can_commit(&self) -> Result<(), StoreError> {
        self.ask(Request::Prove).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.ask(Request::Close).await
    }
}
