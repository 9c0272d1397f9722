//! A webhook's rate limit: a bucket that fills with time and empties with requests.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::retry::later;

/// The part of a second's requests that may go at once. Small, so that no second sees many more than its share.
const BURST: f64 = 0.1;

/// How many requests may begin.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    per_second: f64,
    level: f64,
    at: Timestamp,
}

impl Pace {
    /// So many requests a second, from now on.
    pub fn new(per_second: u32, now: Timestamp) -> Self {
        let per_second = f64::from(per_second.max(1));
        let pace = Self {
            per_second,
            level: 0.0,
            at: now,
        };
        Self {
            level: pace.capacity(),
            ..pace
        }
    }

    /// The same limit, or another from now on.
    pub fn limited(self, per_second: u32, now: Timestamp) -> Self {
        let is_same = (self.per_second - f64::from(per_second.max(1))).abs() < f64::EPSILON;
        if is_same {
            self
        } else {
            Self::new(per_second, now)
        }
    }

    /// How many requests may begin now.
    pub fn room(&mut self, now: Timestamp) -> usize {
        // A clock that fell fills nothing, and begins again from where it is.
        let passed = Duration::try_from(now.duration_since(self.at)).unwrap_or_default();
        self.level = (self.level + self.per_second * passed.as_secs_f64()).min(self.capacity());
        self.at = now;
        self.level.max(0.0).floor() as usize
    }

    /// So many have begun.
    pub fn took(&mut self, requests: usize) {
        self.level -= requests as f64;
    }

    /// When the next one may begin.
    pub fn next(&self) -> Timestamp {
        let missing = (1.0 - self.level).max(0.0);
        // Rounded up to the millisecond, the grain of due times.
        later(
            self.at,
            Duration::from_millis((missing / self.per_second * 1000.0).ceil() as u64),
        )
    }

    fn capacity(&self) -> f64 {
        (self.per_second * BURST).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn the_next_request_has_room_when_it_is_told_to_come() {
        let mut pace = Pace::new(2, at(0));
        assert_eq!(pace.room(at(0)), 1);
        pace.took(1);
        assert_eq!(pace.room(at(0)), 0);
        assert_eq!(pace.next(), at(500));
        assert_eq!(pace.room(at(499)), 0);
        assert_eq!(pace.room(pace.next()), 1);
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_its_share(per_second in 1u32..200, steps in prop::collection::vec(0i64..50, 1..400)) {
            let (mut pace, mut now, mut begun) = (Pace::new(per_second, at(0)), 0, Vec::new());
            for step in steps {
                now += step;
                let room = pace.room(at(now));
                pace.took(room);
                begun.extend(std::iter::repeat_n(now, room));
            }
            let share = f64::from(per_second) * (1.0 + BURST) + 1.0;
            for start in &begun {
                let seen = begun.iter().filter(|other| (*start..start + 1000).contains(other)).count();
                prop_assert!(seen as f64 <= share, "{seen} in a second at {per_second}");
            }
        }
    }
}
