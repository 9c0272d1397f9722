//! The store's contract: batches of meaning, not tables. Every database offers the same operations and
//! passes the same conformance suite (`tests/it/store`); nothing here names one.
//!
//! Four groups: [`Store::commit`] makes what somebody asked for durable, whole; [`Store::claim`] and
//! [`Store::record`] are the two sides of delivery, and write what the operator must learn of it;
//! [`Store::purge`] lets go of what is old and [`Store::erase`] of access tokens; the rest reads.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    domain::{
        access::Access,
        api_key::ApiKey,
        delivery::{Attempt, Delivery},
        enterprise::{Application, Enterprise},
        event::Event,
        integration::Integration,
        operational::OperationalMessage,
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, IntegrationId, KeyId, ReplayId, WebhookId},
};

mod access_memory;
pub mod audit;
mod claim;
mod commit;
pub mod copy;
mod credentials;
mod erasure;
mod id_bounds;
mod leaf;
mod operational;
mod overview;
pub mod postgres;
mod purge;
mod read;
mod replay;
mod resealing;
mod sealed;
mod selection;
mod sign_in;
pub mod sqlite;
mod tally;

pub use audit::{
    AuditFilter, AuditKey, AuditLink, AuditLinked, AuditLog, Audited, MAX_AUDIT_SCANNED, Shown,
};
pub use claim::{Attempted, Claim, ClaimRequest, Fence, Recorded, Want, WebhookClaims};
pub use commit::{
    Answer, Commit, CommitError, NewWebhook, Noun, Receipt, Remember, WebhookPatch, Write, Written,
};
pub use erasure::{Erase, Erased};
pub use leaf::Leaf;
pub use operational::{OperationalAttempted, OperationalClaim, OperationalDue, OperationalRequest};
pub use overview::{
    Failing, MOST_FAILING, MOST_LEAFED, MOST_LOOKED_AT, MOST_NAMES, MOST_RECENT, MOST_SAMPLED,
    RecentAttempt, Span, Views,
};
pub use purge::{Purge, Purged};
pub use read::{DeliveryFilter, IntegrationFilter, MessageBody, Page, Stats, StoredMessage};
pub use replay::{
    Candidate, Counted, MAX_COUNTED_WEBHOOKS, MAX_DUE, MAX_OPEN, MAX_SCANNED, MAX_STEP, MAX_TOTAL,
    MAX_WAITING, NewReplay, Position, Replay, ReplayCount, ReplayStep, Selection,
};
pub use resealing::{Census, Resealed, ResealingShown, Standing};
pub use sign_in::{LINK_IS_OVER, SignInWrite};

/// Where everything durable is.
#[async_trait]
pub trait Store: Views + Send + Sync + std::fmt::Debug {
    /// Makes one write durable before it answers. Concurrent calls share one write to the disk.
    /// A write that is refused changes nothing.
    async fn commit(&self, commit: Commit) -> Result<Receipt, CommitError>;

    /// Takes due deliveries for sending: at most one of each lane, never one that is taken already,
    /// none of a webhook that is held, and no more of one than its health lets be in flight. What is claimed stays
    /// claimed until it is recorded, released, or the claimer is gone.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<WebhookClaims>, StoreError>;

    /// Makes the outcome of an attempt durable, what it shows of the webhook's health
    /// ([`Health::after`](crate::domain::health::Health::after)), and the next delivery of its lane due. Answers
    /// [`Recorded::Lost`] and changes nothing if the claim is no longer held.
    async fn record(&self, attempted: Attempted) -> Result<Recorded, StoreError>;

    /// Gives back claims whose attempts were not begun.
    async fn release(&self, claims: Vec<(DeliveryId, Fence)>) -> Result<(), StoreError>;

    /// The clock was set back, perhaps: what was planned by a clock that had gone further waits from now for as long
    /// as it was to wait then, never shorter, and not until the clock has come there again. Says how many
    /// deliveries that were. A store whose plans are by a clock that is not set back has nothing to do.
    async fn replan(&self, now: Timestamp) -> Result<usize, StoreError> {
        let _ = now;
        Ok(0)
    }

    /// Each webhook that has something to send, with the moment at which its earliest is due; not before its circuit
    /// lets an attempt through.
    async fn due(&self) -> Result<Vec<(WebhookId, Timestamp)>, StoreError>;

    /// Lets go of some of what is older than it is kept. Never so much that others wait for it.
    async fn purge(&self, what: Purge) -> Result<Purged, StoreError>;

    /// Erases some of the bodies that carry an access token and are not needed any more. Never so many that others wait
    /// for it. What is erased is really gone as far as the database can see to that, and does not come back.
    async fn erase(&self, what: Erase) -> Result<Erased, StoreError>;

    /// Seals some of what a former key has sealed with the newest one, and keeps account of how far that has come. Never so
    /// much that others wait for it. Begins anew when the newest key has changed, and once more in each process that
    /// begins to seal with it: another one may have been used until then.
    async fn reseal(&self, now: Timestamp) -> Result<Resealed, StoreError>;

    /// Tells what was gathered of failed deliveries, if its time is over, and says which operational message each
    /// destination is to have now. What is handed out is handed out again until it is recorded.
    async fn operational_due(
        &self,
        request: OperationalRequest,
    ) -> Result<OperationalDue, StoreError>;

    /// Makes the outcome of an attempt of an operational message durable. Answers false and changes nothing if an
    /// attempt of that number was recorded already, or the message is no longer to be sent there.
    async fn record_operational(&self, attempted: OperationalAttempted)
    -> Result<bool, StoreError>;

    /// Operational messages, newest first.
    async fn operational_messages(&self, page: Page)
    -> Result<Vec<OperationalMessage>, StoreError>;

    /// One enterprise.
    async fn enterprise(&self, id: EnterpriseId) -> Result<Option<Enterprise>, StoreError>;
    /// Enterprises in the order of their ids.
    async fn enterprises(&self, page: Page) -> Result<Vec<Enterprise>, StoreError>;
    /// One application.
    async fn application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError>;
    /// Applications in the order of their ids; only this one if `only` names it.
    async fn applications(&self, page: Page) -> Result<Vec<Application>, StoreError>;
    /// One webhook.
    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError>;
    /// The webhooks of an application, or all, in the order of their ids.
    async fn webhooks(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Webhook>, StoreError>;
    /// One integration.
    async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError>;
    /// What the access tokens of an integration open. Never older than the newest commit that was answered, by
    /// this process at least; and fast, because it is asked for each request to the operator's own API.
    async fn access(&self, id: IntegrationId) -> Result<Option<Arc<Access>>, StoreError>;
    /// Integrations in the order of their ids.
    async fn integrations(
        &self,
        filter: IntegrationFilter,
        page: Page,
    ) -> Result<Vec<Integration>, StoreError>;
    /// The history of an integration after this sequence, in order.
    async fn messages(
        &self,
        of: IntegrationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, StoreError>;
    /// One delivery. Its next attempt is shown no earlier than the webhook lets it be: `Retry-After`, open circuit.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;
    /// The attempts of a delivery, in order.
    async fn attempts(&self, of: DeliveryId) -> Result<Vec<Attempt>, StoreError>;
    /// The bytes that a delivery sends.
    async fn body(&self, of: DeliveryId) -> Result<Option<MessageBody>, StoreError>;
    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// What a run would be about: what there is now, or what there was when it was counted before. Stops
    /// counting above [`MAX_TOTAL`].
    async fn count_replay(
        &self,
        selection: Selection,
        counted: Option<Counted>,
        now: Timestamp,
    ) -> Result<ReplayCount, StoreError>;
    /// What a run takes up next; `None` unless it is running.
    async fn next_of_replay(&self, id: ReplayId) -> Result<Option<ReplayStep>, StoreError>;
    /// The runs that are running.
    async fn running_replays(&self) -> Result<Vec<ReplayId>, StoreError>;
    /// One run.
    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError>;
    /// Runs, newest first; only those that keep to this application, if one is named.
    async fn replays(
        &self,
        of: Option<ApplicationId>,
        page: Page,
    ) -> Result<Vec<Replay>, StoreError>;
    /// Every API key.
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// One API key.
    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>, StoreError>;
    /// Entries of the audit log, newest first: at most so many that fit, before this place.
    async fn audited(
        &self,
        filter: AuditFilter,
        before: Option<AuditKey>,
        limit: u32,
    ) -> Result<Audited, StoreError>;
    /// Links what is new in the audit log to the chain, where that is not done by the commits themselves. Says where the
    /// chain stands. More may be left: then it says so.
    async fn link_audit(&self, now: Timestamp) -> Result<AuditLinked, StoreError>;
    /// Tells live views of other replicas what happened here, and when. May be lost, as all hints may.
    async fn tell_replicas(&self, events: &[(i64, Event)]) -> Result<(), StoreError> {
        let _ = events;
        Ok(())
    }

    /// Figures for metrics.
    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError>;

    /// Whether a commit can be made durable now: a disk may be full that can still be read. A store that cannot
    /// tell its writes from its reads answers by reading.
    async fn can_commit(&self) -> Result<(), StoreError> {
        let page = Page {
            after: None,
            limit: 1,
        };
        self.enterprises(page).await.map(drop)
    }

    /// Writes what is left and lets go of the database.
    async fn close(&self) -> Result<(), StoreError>;
}

/// The store cannot answer.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The database refused or is away. Nothing was written, or it is unknown whether it was.
    #[error("the database did not answer: {0}")]
    Database(String),
    /// A row is not what it must be.
    #[error("the database holds a damaged value: {0}")]
    Corrupt(String),
    /// More is waiting to be written than the store takes.
    #[error("too many writes are waiting; try again in a moment")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// What is sealed in the database was sealed with another key.
    #[error(
        "the secrets in the database are encrypted with a key that is not configured: \
         give every replica the same BELLHOP_ENCRYPTION_KEY"
    )]
    OtherKey,
    /// Another process has the database open.
    #[error(
        "{}: another process has this data directory open; stop it, or give this one another BELLHOP_DATA_DIR",
        .0.display()
    )]
    InUse(PathBuf),
    /// The data lives elsewhere now: two servers would send everything twice.
    #[error("this database was moved to {target} at {}", shown(*at))]
    Moved {
        /// Where to: no user, no password.
        target: String,
        /// When.
        at: Timestamp,
    },
    /// The database is of an older version of Bellhop, and is only read.
    #[error(
        "the database has schema version {found}, and this version of Bellhop knows {known}: \
         start the server once, which brings it up to date"
    )]
    Older {
        /// What is there.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// The database is of a newer version of Bellhop.
    #[error(
        "the database has schema version {found}, and this version of Bellhop knows {known}: \
         run the newer version, or restore a backup"
    )]
    Newer {
        /// What is there.
        found: u32,
        /// What this version knows.
        known: u32,
    },
}

/// A moment for people, to the second.
fn shown(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}
