//! What faults explain.

use super::{AFTERGLOW_US, Expected, Lanes, PAUSE_GRACE_US, RECORD_WITHIN_US};
use crate::log::{Arrival, Fault, Parts};

impl<'a> Lanes<'a> {
    /// I5: the fault between a 2xx and its record. An attempt with a further number follows a failure that was recorded: if
    /// none was answered, the server did not learn of the 2xx, or somebody recorded who had no right to any more.
    pub fn explanation(&self, expected: &Expected<'_>, again: &Arrival) -> Option<u64> {
        let delivered_us = expected.delivered_us?;
        let taken = &self.arrivals[*expected.arrivals.last()?];
        let is_further =
            |since_us| self.follows_a_failure_nobody_saw(expected, taken, again, since_us);
        let within_us = again.at_us.saturating_sub(delivered_us);
        let near: Vec<u64> = self
            .faults_near(delivered_us, within_us.min(RECORD_WITHIN_US))
            .filter(|fault| match fault.parts {
                Parts::Nothing => false,
                Parts::Records => !is_further(0),
                Parts::UnderWay => !is_further(fault.at_us) || taken.at_us <= fault.at_us,
                Parts::Answers => true,
            })
            .map(|fault| fault.at_us)
            .filter(|at| expected.explained_by.is_none_or(|before| *at > before))
            .collect();
        // Two kills within a second are near the same answers: one that has explained all it can leaves the rest to the other.
        let has_room = |at: &u64| {
            self.duplicates_at.get(at).copied().unwrap_or(0) < self.webhook.max_in_flight
        };
        near.iter()
            .copied()
            .find(has_room)
            .or(near.first().copied())
    }

    /// Whether a duplicate has a further number although every attempt with the number before it was taken. Of several with
    /// the number of the one that was taken, those up to this moment do not count: another one was made in their place, and
    /// whoever made them records nothing any more.
    fn follows_a_failure_nobody_saw(
        &self,
        expected: &Expected<'_>,
        taken: &Arrival,
        again: &Arrival,
        since_us: u64,
    ) -> bool {
        let number = again.number("bellhop-attempt");
        let before = number.and_then(|number| number.checked_sub(1));
        let mut arrivals = expected.arrivals.iter().map(|place| &self.arrivals[*place]);
        let taken = taken.number("bellhop-attempt");
        let has_failed = arrivals.any(|arrival| {
            arrival.number("bellhop-attempt") == before
                && !arrival.is_delivered()
                && (arrival.at_us > since_us || before > taken)
        });
        number > taken && !has_failed
    }

    /// Whether no fault can have kept the server from learning, or from keeping, what it was answered then.
    pub fn is_surely_known(&self, answered_us: u64) -> bool {
        let mut faults = self.faults_near(answered_us, PAUSE_GRACE_US);
        faults.next().is_none()
    }

    /// The faults that hit so near an answer that they may have hit before its record: when each began.
    pub fn faults_near(&self, answered_us: u64, within_us: u64) -> impl Iterator<Item = &'a Fault> {
        let (from, until) = (
            answered_us.saturating_sub(AFTERGLOW_US),
            answered_us + within_us,
        );
        let faults = self.faults.iter();
        faults.filter(move |fault| {
            let ends_us = fault.ends_us.max(fault.at_us);
            fault.parts > Parts::Nothing && fault.at_us <= until && ends_us >= from
        })
    }
}
