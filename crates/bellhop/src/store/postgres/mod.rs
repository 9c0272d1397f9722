//! The store of several replicas: they share one PostgreSQL and nothing else. Group commit on the way in, claims under
//! leases on the way out, hints between replicas.
//!
//! Nothing here needs a session: every statement works behind a pooler in transaction mode that knows prepared statements
//! (PgBouncer 1.21 or later, `max_prepared_statements` above 0). Behind one, hints are lost and the question every second
//! takes their place.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use self::{
    connect::Failed,
    connection::{Connection, Connections, READ, WRITE, query_opt, settled},
    held::Held,
    lifecycle::Transitions,
    listen::ToTell,
    presence::Presence,
    proof::Proof,
    purge::Walks,
    queue::Queue,
    ready::Ready,
    record::Records,
};
use super::{
    Attempted, AuditFilter, AuditKey, AuditLinked, Audited, ClaimRequest, Commit, CommitError,
    Counted, DeliveryFilter, Erase, Erased, Fence, IntegrationFilter, MessageBody,
    OperationalAttempted, OperationalDue, OperationalRequest, Page, Purge, Purged, Receipt,
    Recorded, Replay, ReplayCount, ReplayStep, Resealed, Selection, Standing, Stats, Store,
    StoreError, StoredMessage, WebhookClaims, Write, sqlite::StoreObserver,
};
use crate::{
    domain::{
        access::Access,
        api_key::ApiKey,
        delivery::{Attempt, Delivery},
        enterprise::{Application, Enterprise},
        event::Event,
        integration::Integration,
        operational::{Destination, OperationalMessage},
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, Ids, IntegrationId, KeyId, ReplayId, WebhookId},
    random::{SharedRandom, bytes},
    vault::Vault,
};

mod alone;
mod at_once;
mod audit;
mod audit_purge;
mod backfill;
mod claims;
pub(super) mod connect;
pub(super) mod connection;
mod counts;
mod erasure;
mod events;
mod group;
mod health;
mod held;
mod leaf;
mod lifecycle;
mod listen;
mod made;
mod operational;
mod overview;
mod presence;
mod proof;
mod purge;
mod queue;
mod read;
mod ready;
mod record;
mod registry;
mod replan;
mod replay_reads;
mod replay_rows;
mod replays;
mod resealing;
mod rows;
pub(super) mod schema;
mod sign_ins;
mod walk;

pub use audit::PostgresAuditLog;
pub use connect::{Address, condition};
pub use listen::Hints;
pub use resealing::census;

/// Connections that write and claim. Two groups, claims, and a few writes that go alone.
const WRITERS: usize = 6;
/// How often something is tried that the database gave up for the sake of another transaction.
const TRIES: u32 = 5;
/// Who asks whether a commit is possible waits no longer than this: load balancers are impatient.
const PROVED_WITHIN: Duration = Duration::from_secs(2);
/// Connections that read.
const READERS: usize = 8;

/// How to open the store.
pub struct PostgresOptions {
    /// Where the database is.
    pub address: Address,
    /// What seals and opens.
    pub vault: Arc<Vault>,
    /// For ids.
    pub random: SharedRandom,
    /// Where operational messages are sent to.
    pub destinations: Vec<Destination>,
    /// Who wants to know how long writes take.
    pub observer: Arc<dyn StoreObserver>,
    /// Who wants to know what other replicas have committed.
    pub hints: Arc<dyn Hints>,
}

/// The store of several replicas.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    transitions: Queue<Transitions>,
    records: Queue<Records>,
}

/// What all parts of the store use.
struct Shared {
    writers: Connections,
    readers: Connections,
    vault: Arc<Vault>,
    ids: Ids,
    /// Names this replica while it is open.
    holder: Uuid,
    /// What is added to the numbers of transactions in the audit log.
    audit_base: i64,
    held: Held,
    presence: Presence,
    ready: Ready,
    to_tell: Arc<ToTell>,
    walks: Mutex<Walks>,
    destinations: Vec<Destination>,
    observer: Arc<dyn StoreObserver>,
    proof: Proof,
}

impl PostgresStore {
    /// Connects, migrates, and begins to listen.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let writers = Connections::new(&options.address, WRITERS, WRITE)?;
        let readers = Connections::new(&options.address, READERS, READ)?;
        let connection = writers.get().await?;
        let ready = async {
            let base = schema::migrate(&connection).await?;
            schema::check_vault(&connection, &options.vault).await?;
            resealing::register(&connection, &options.vault).await?;
            Ok(base)
        };
        let audit_base = ready.await.map_err(|failed: Failed| failed.error)?;
        let last = "(SELECT id FROM deliveries ORDER BY id DESC LIMIT 1) UNION ALL \
            (SELECT id FROM operational_messages ORDER BY id DESC LIMIT 1) ORDER BY id DESC LIMIT 1";
        let last = query_opt(&connection, last, &[])
            .await
            .map_err(|failed| failed.error)?;
        drop(connection);
        let last = last.map_or(Uuid::nil(), |row| row.get(0));
        let shared = Arc::new(Shared {
            writers,
            readers,
            vault: options.vault,
            holder: Uuid::from_bytes(bytes(&*options.random)),
            audit_base,
            ids: Ids::above(options.random, last),
            held: Held::default(),
            presence: Presence::default(),
            ready: Ready::default(),
            to_tell: Arc::new(ToTell::default()),
            walks: Mutex::default(),
            destinations: options.destinations,
            observer: options.observer,
            proof: Proof::default(),
        });
        let to_tell = shared.to_tell.clone();
        let weak = Arc::downgrade(&shared);
        tokio::spawn(listen::tell(weak.clone(), to_tell.clone()));
        tokio::spawn(listen::listen(weak, options.address, options.hints));
        Ok(Self {
            transitions: Queue::start(shared.clone()),
            records: Queue::start(shared.clone()),
            shared,
        })
    }

    async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&Connection, &Vault) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let connection = self.shared.readers.get().await?;
        let done = settled(connection, async |connection| {
            read(connection, &self.shared.vault).await
        });
        done.await.map_err(|failed| failed.error)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        match &commit.write {
            Write::CreateIntegration { .. } | Write::Command { .. } => {
                self.transitions.ask(commit).await?
            }
            _ => {
                // To its end, even if whoever asked goes away meanwhile.
                let shared = self.shared.clone();
                let done = tokio::spawn(async move { alone::commit(&shared, &commit).await });
                let receipt = done.await.map_err(|_| StoreError::Closed)??;
                if let Receipt::Done { due, .. } = &receipt {
                    self.shared.to_tell.due(due.iter().copied());
                }
                Ok(receipt)
            }
        }
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError> {
        at_once::claim(&self.shared, request).await
    }

    async fn record(&self, attempted: Attempted) -> Result<Recorded, StoreError> {
        self.records.ask(Arc::new(attempted)).await?
    }

    async fn release(&self, claims: Vec<(DeliveryId, Fence)>) -> Result<(), StoreError> {
        let connection = self.shared.writers.get().await?;
        let done = settled(connection, async |connection| {
            claims::release(connection, &self.shared, &claims).await
        });
        let done = done.await.map_err(|failed| failed.error);
        // It is due again, and nobody will say so.
        self.shared.ready.forget_all();
        done
    }

    async fn due(&self) -> Result<Vec<(WebhookId, Timestamp)>, StoreError> {
        self.read(async |on, _| claims::due(on).await).await
    }

    async fn replan(&self, now: Timestamp) -> Result<usize, StoreError> {
        replan::replan(&self.shared, now).await
    }

    async fn purge(&self, what: Purge) -> Result<Purged, StoreError> {
        Ok(purge::purge(&self.shared, &what).await?)
    }

    async fn erase(&self, what: Erase) -> Result<Erased, StoreError> {
        let done = erasure::erase(&self.shared, &what).await;
        done.map_err(|failed| failed.error)
    }

    async fn reseal(&self, now: Timestamp) -> Result<Resealed, StoreError> {
        if !self.shared.vault.has_former() {
            return Ok(Resealed::of(Standing::OneKey));
        }
        let done = resealing::reseal(&self.shared, now).await;
        done.map_err(|failed| failed.error)
    }

    async fn operational_due(
        &self,
        request: OperationalRequest,
    ) -> Result<OperationalDue, StoreError> {
        operational::due(&self.shared, &request).await
    }

    async fn record_operational(
        &self,
        attempted: OperationalAttempted,
    ) -> Result<bool, StoreError> {
        let connection = self.shared.writers.get().await?;
        let done = settled(connection, async |connection| {
            operational::record(connection, &attempted).await
        });
        done.await.map_err(|failed| failed.error)
    }

    async fn operational_messages(
        &self,
        page: Page,
    ) -> Result<Vec<OperationalMessage>, StoreError> {
        self.read(async |on, _| operational::list(on, page).await)
            .await
    }

    async fn enterprise(&self, id: EnterpriseId) -> Result<Option<Enterprise>, StoreError> {
        let of = (rows::NAMED, "enterprises");
        self.read(async |on, _| read::by_id(on, of, id.0, rows::enterprise).await)
            .await
    }

    async fn enterprises(&self, page: Page) -> Result<Vec<Enterprise>, StoreError> {
        let of = (rows::NAMED, "enterprises");
        self.read(async |on, _| read::page(on, of, page, rows::enterprise).await)
            .await
    }

    async fn application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError> {
        let of = (rows::NAMED, "applications");
        self.read(async |on, _| read::by_id(on, of, id.0, rows::application).await)
            .await
    }

    async fn applications(&self, page: Page) -> Result<Vec<Application>, StoreError> {
        let of = (rows::NAMED, "applications");
        self.read(async |on, _| read::page(on, of, page, rows::application).await)
            .await
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.read(async |on, vault| read::webhook(on, vault, id).await)
            .await
    }

    async fn webhooks(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Webhook>, StoreError> {
        self.read(async |on, vault| read::webhooks(on, vault, of, page).await)
            .await
    }

    async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError> {
        let of = (rows::INTEGRATION, "integrations");
        self.read(async |on, _| read::by_id(on, of, id.0, rows::integration).await)
            .await
    }

    /// Read each time: nothing is remembered that another replica may have changed.
    async fn access(&self, id: IntegrationId) -> Result<Option<Arc<Access>>, StoreError> {
        let found = self.integration(id).await?;
        Ok(found.map(|integration| Arc::new(Access::from(&integration))))
    }

    async fn integrations(
        &self,
        filter: IntegrationFilter,
        page: Page,
    ) -> Result<Vec<Integration>, StoreError> {
        self.read(async |on, _| read::integrations(on, &filter, page).await)
            .await
    }

    async fn messages(
        &self,
        of: IntegrationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.read(async |on, vault| read::messages(on, vault, of, after, limit).await)
            .await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let of = (rows::SHOWN_DELIVERY, "deliveries");
        self.read(async |on, _| read::by_id(on, of, id.0, rows::delivery).await)
            .await
    }

    async fn attempts(&self, of: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.read(async |on, _| read::attempts(on, of).await).await
    }

    async fn body(&self, of: DeliveryId) -> Result<Option<MessageBody>, StoreError> {
        self.read(async |on, vault| read::body(on, vault, of).await)
            .await
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read(async |on, _| read::deliveries(on, &filter, page).await)
            .await
    }

    async fn count_replay(
        &self,
        selection: Selection,
        counted: Option<Counted>,
        now: Timestamp,
    ) -> Result<ReplayCount, StoreError> {
        self.read(async |on, _| replay_reads::count(on, &selection, counted, now).await)
            .await
    }

    async fn next_of_replay(&self, id: ReplayId) -> Result<Option<ReplayStep>, StoreError> {
        self.read(async |on, _| replay_reads::next(on, id).await)
            .await
    }

    async fn running_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.read(async |on, _| replay_rows::running(on).await)
            .await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.read(async |on, _| replay_rows::one(on, id).await)
            .await
    }

    async fn replays(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Replay>, StoreError> {
        self.read(async |on, _| replay_rows::replays(on, of, page).await)
            .await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(async |on, _| read::keys(on, None).await).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read(async |on, _| Ok(read::keys(on, Some(id)).await?.pop()))
            .await
    }

    async fn audited(
        &self,
        filter: AuditFilter,
        before: Option<AuditKey>,
        limit: u32,
    ) -> Result<Audited, StoreError> {
        self.read(async |on, _| audit::audited(on, &filter, before, limit).await)
            .await
    }

    async fn link_audit(&self, now: Timestamp) -> Result<AuditLinked, StoreError> {
        Ok(audit::link(&self.shared, now).await?)
    }

    async fn tell_replicas(&self, events: &[(i64, Event)]) -> Result<(), StoreError> {
        events::tell(&self.shared, events).await
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        self.read(async |on, _| read::stats(on, now).await).await
    }

    /// By committing, unless that has just been done: a standby can be read, and so can a primary that waits in vain
    /// for one.
    async fn can_commit(&self) -> Result<(), StoreError> {
        if self.shared.proof.holds() {
            return Ok(());
        }
        let late = |_| StoreError::Database("it did not commit in time".into());
        let connection = tokio::time::timeout(PROVED_WITHIN, self.shared.writers.get());
        let connection = connection.await.map_err(late)??;
        let proved = settled(connection, async |connection| {
            let proved = tokio::time::timeout(PROVED_WITHIN, schema::prove(connection));
            proved.await.map_err(late)?
        });
        let proved = proved.await;
        self.shared.proof.note(proved.is_ok());
        proved.map_err(|failed| failed.error)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let done = claims::release_all(&self.shared).await;
        self.shared.writers.close();
        self.shared.readers.close();
        done.map_err(|failed| failed.error)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
