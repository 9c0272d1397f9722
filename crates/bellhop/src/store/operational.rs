//! Operational messages: what is to be sent to the operator, and what came of it.

use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    domain::{
        cause::Cause,
        operational::{Destination, OperationalNext, OperationalType},
    },
    id::OperationalMessageId,
};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct OperationalRequest {
    /// What is due at this moment.
    pub now: Timestamp,
    /// For which destinations: those to which nothing is under way.
    pub destinations: Vec<Destination>,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationalDue {
    /// At most one for each destination: the earliest that it has not had, if its time has come.
    pub claims: Vec<OperationalClaim>,
    /// When there will be something to do, if nothing happens before.
    pub next: Option<Timestamp>,
}

/// One operational message, for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationalClaim {
    /// Which.
    pub id: OperationalMessageId,
    /// Where to.
    pub destination: Destination,
    /// What it is about.
    pub about: OperationalType,
    /// When it was made.
    pub created: Timestamp,
    /// The number of this attempt: 1, 2, 3 …
    pub number: u32,
    /// The bytes to send.
    pub body: Bytes,
}

/// An attempt that was made.
#[derive(Debug, Clone)]
pub struct OperationalAttempted {
    /// Of which message.
    pub id: OperationalMessageId,
    /// Where to.
    pub destination: Destination,
    /// Its number, which is its fence as well: each is recorded once.
    pub number: u32,
    /// When it ended.
    pub at: Timestamp,
    /// Why it failed; `None` if it succeeded.
    pub cause: Option<Cause>,
    /// More of that, for people. Holds no secret.
    pub detail: Option<String>,
    /// What becomes of the message.
    pub next: OperationalNext,
}
