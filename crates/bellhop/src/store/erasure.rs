//! Erasing bodies that carry an access token.

use jiff::Timestamp;

/// What may be erased, and how thoroughly to look for it.
#[derive(Debug, Clone, Copy)]
pub struct Erase {
    /// What time it is: it is noted as the time of the erasure.
    pub now: Timestamp,
    /// A body may go if every delivery of it ended at this moment or earlier. One that has none may go if it was
    /// made at this moment or earlier. Never while a delivery is pending or is to be sent again, nor while a run may
    /// still come to it. A delivery to a webhook that was deleted keeps nothing: it cannot be sent again.
    pub ended: Timestamp,
    /// Whether to look again at what was passed earlier and was not allowed to go then. Costs as much as there is of it.
    pub again: bool,
}

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Messages whose bodies are gone.
    pub bodies: u64,
    /// Whether there is more to look at now. An erasure does a little at a time, so that nobody waits for it.
    pub has_more: bool,
}
