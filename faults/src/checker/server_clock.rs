//! What the server's clock showed, where the battery set it.

use crate::log::{Arrival, ClockSet};

/// A clock that was set shows it everywhere in the server within this.
const SETTLES_US: u64 = 3_000_000;

/// The settings of the server's clock, in order. Before the first it shows our time.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock<'a>(pub &'a [ClockSet]);

impl ServerClock<'_> {
    /// The seconds since 1970 that the server's clock may have shown when a request was made: more than one right
    /// after it was set.
    pub fn moments(self, arrival: &Arrival) -> impl Iterator<Item = i64> {
        let settled = arrival.at_us.saturating_sub(SETTLES_US);
        let before = self.offset_at(settled);
        let since = self
            .0
            .iter()
            .filter(move |set| set.at_us > settled && set.at_us <= arrival.at_us)
            .map(|set| set.offset_s);
        std::iter::once(before)
            .chain(since)
            .map(|offset_s| arrival.unix_s + offset_s)
    }

    /// How far it was put forward between two moments, in microseconds: a wait by that clock is shorter by so much.
    pub fn moved_forward_us(self, from_us: u64, until_us: u64) -> u64 {
        let mut offset_s = self.offset_at(from_us.saturating_sub(SETTLES_US));
        let mut forward_s = 0;
        let sets = self.0.iter();
        for set in sets
            .filter(|set| set.at_us > from_us.saturating_sub(SETTLES_US) && set.at_us <= until_us)
        {
            forward_s += (set.offset_s - offset_s).max(0);
            offset_s = set.offset_s;
        }
        u64::try_from(forward_s).unwrap_or(0) * 1_000_000
    }

    fn offset_at(self, at_us: u64) -> i64 {
        let before = self.0.iter().take_while(|set| set.at_us <= at_us);
        before.last().map_or(0, |set| set.offset_s)
    }
}
