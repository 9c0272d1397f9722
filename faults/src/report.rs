//! What the judge says.

use std::fmt;

/// How many violations are told in words; the rest is counted.
const TOLD: usize = 40;

/// The judgement of a run. Its `Display` is the one line of the battery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Faults that were made.
    pub faults: u64,
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Messages that did not reach a webhook that subscribes to them.
    pub lost: u64,
    /// Arrivals that no command caused, or whose bytes are not the message's.
    pub phantom: u64,
    /// Arrivals out of their lane's order, and gaps.
    pub order_violations: u64,
    /// Signatures that do not verify, and timestamps that are not the attempt's time.
    pub bad_signatures: u64,
    /// Arrivals before the schedule or `Retry-After` allowed them.
    pub early: u64,
    /// Arrivals after a 2xx.
    pub duplicates: u64,
    /// The most that the faults can explain: what may be in flight, at each fault.
    pub bound: u64,
    /// Duplicates with no fault between the 2xx and them, or more at one fault than may be in flight.
    pub unexplained_duplicates: u64,
    /// Requests that the server cut off with no fault to make it.
    pub cut_off: u64,
    /// Tokens of deleted integrations that an introspection called active.
    pub active_after_revocation: u64,
    /// Healthy webhooks that sick receivers slowed.
    pub slowed: u64,
    /// The violations in words.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether every invariant holds.
    pub fn holds(&self) -> bool {
        let violations = self.lost
            + self.phantom
            + self.order_violations
            + self.bad_signatures
            + self.early
            + self.unexplained_duplicates
            + self.cut_off
            + self.active_after_revocation
            + self.slowed;
        violations == 0 && self.duplicates <= self.bound
    }

    /// Takes another run's verdict in: the sum of both.
    pub fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.messages += other.messages;
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.order_violations += other.order_violations;
        self.bad_signatures += other.bad_signatures;
        self.early += other.early;
        self.duplicates += other.duplicates;
        self.bound += other.bound;
        self.unexplained_duplicates += other.unexplained_duplicates;
        self.cut_off += other.cut_off;
        self.active_after_revocation += other.active_after_revocation;
        self.slowed += other.slowed;
        self.notes.extend(other.notes);
    }

    /// The violations in words, the first of them.
    pub fn told(&self) -> String {
        let mut lines: Vec<&str> = self.notes.iter().take(TOLD).map(String::as_str).collect();
        let more = format!("... and {} more", self.notes.len().saturating_sub(TOLD));
        if self.notes.len() > TOLD {
            lines.push(&more);
        }
        lines.join("\n")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "faults={} messages={} lost={} phantom={} order_violations={} bad_signatures={} early={} \
             duplicates={} bound={}",
            self.faults,
            self.messages,
            self.lost,
            self.phantom,
            self.order_violations,
            self.bad_signatures,
            self.early,
            self.duplicates,
            self.bound
        )
    }
}
