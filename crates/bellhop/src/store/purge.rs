//! Letting go of what is older than it is kept.

use jiff::Timestamp;

/// What may go, and how thoroughly to look for it.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// What time it is: what is remembered until an earlier moment may go.
    pub now: Timestamp,
    /// Deliveries that ended at this moment or earlier may go, with their attempts; `None`: none may. A delivery
    /// that is pending never goes, nor one that is to be sent again. Replays of that age go as well, and
    /// backfills but the newest of a webhook; and operational messages, whatever came of them.
    pub deliveries: Option<Timestamp>,
    /// What was deleted, or has expired, at this moment or earlier may go; `None`: none may. An integration goes
    /// with its messages, and once no delivery of it is left. A webhook goes once `deliveries` allows its
    /// deliveries to go as well.
    pub tombstones: Option<Timestamp>,
    /// Entries of the audit log that were linked at this moment or earlier may go; `None`: none may. How far is settled
    /// only when it begins `again`, and is an entry itself: what is left verifies from there on.
    pub audit: Option<Timestamp>,
    /// Whether to begin again with the oldest, to find what was old before and was not allowed to go then. Costs
    /// as much as there is of it; without it, a purge goes on where the one before stopped.
    pub again: bool,
}

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Deliveries, with all their attempts.
    pub deliveries: u64,
    /// Integrations, webhooks and API keys that had been deleted or had expired.
    pub tombstones: u64,
    /// Replays and backfills that had ended.
    pub replays: u64,
    /// Rows of whatever else is kept for a time only: messages of integrations that went, idempotency records, operational
    /// messages, the audit log.
    pub others: u64,
    /// Whether there is more to look at now. A purge does a little at a time, so that nobody waits for it.
    pub has_more: bool,
}

impl Purged {
    /// How much went.
    pub fn total(&self) -> u64 {
        self.deliveries + self.tombstones + self.replays + self.others
    }
}
