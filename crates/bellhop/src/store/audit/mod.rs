//! The audit log in the store's contract: entries that are written with their causes, links that chain them, and how both
//! are read.

mod fact;
mod purge;
mod verify;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

pub use fact::{Before, Shown, disabled, fact};
pub use purge::{Search, is_worth_it};
pub use verify::{Broken, Newest, Verified, Verifier, Watch, verify_newest};

use super::StoreError;
use crate::{
    domain::audit::{AuditAction, AuditEntry, AuditSubject, Chain},
    id::ApplicationId,
};

/// Most entries that one question looks at: a filter that fits little does not keep a reader for long.
pub const MAX_AUDIT_SCANNED: u32 = 8192;

/// The place of an entry in the order of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AuditKey {
    /// First by the transaction that wrote it; 0 where there is one writer, whose ids are the order.
    pub group: u64,
    /// Then by its id.
    pub id: Uuid,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this action.
    pub action: Option<AuditAction>,
    /// Done by the key or session with this id.
    pub actor_id: Option<Uuid>,
    /// Done to what has this id.
    pub subject_id: Option<Uuid>,
    /// Of this application.
    pub application_id: Option<ApplicationId>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// Some of the entries that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Audited {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Where to go on; `None` at the end. May be there although few entries are, or none: see [`MAX_AUDIT_SCANNED`].
    pub next: Option<AuditKey>,
}

/// Where the chain stood after an entry, written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLink {
    /// Position and hash of that entry.
    pub chain: Chain,
    /// Its place.
    pub last: AuditKey,
    /// When this was written down.
    pub at_ms: i64,
}

/// Where the chain stands after linking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLinked {
    /// Position and hash of the newest entry that is linked.
    pub chain: Chain,
    /// Whether there is more to link at once.
    pub has_more: bool,
}

/// The log and its links as they are kept, for those who verify and export it. Reads beside a server that runs.
#[async_trait]
pub trait AuditLog: std::fmt::Debug + Send + Sync {
    /// Entries after this place and up to that one, oldest first.
    async fn entries(
        &self,
        after: AuditKey,
        up_to: Option<AuditKey>,
        limit: u32,
    ) -> Result<Vec<(AuditKey, AuditEntry)>, StoreError>;

    /// Links after this position, oldest first.
    async fn links(&self, after: u64, limit: u32) -> Result<Vec<AuditLink>, StoreError>;

    /// The newest link.
    async fn newest(&self) -> Result<Option<AuditLink>, StoreError>;

    /// How far the log may have gone: entries up to there may be missing, the chain goes on from its hash.
    async fn purged(&self) -> Result<Option<AuditLink>, StoreError>;

    /// Whether each entry is linked by the transaction that writes it: then none may be without a link.
    fn links_at_once(&self) -> bool;
}

impl AuditFilter {
    /// Whether no entry about an integration fits, so that the others, which are few, are all there is to look at.
    pub fn leaves_integrations_out(&self) -> bool {
        self.action
            .is_some_and(|action| !action.can_be_of(AuditSubject::Integration))
    }
}
