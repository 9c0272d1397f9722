//! When to try again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// The default schedule, in seconds: the table of Standard Webhooks 1.0.0, "Deliverability and reliability".
pub const DEFAULT_SECONDS: [u32; 10] = [
    0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
];
/// Most tries of one delivery.
pub const MAX_TRIES: usize = 50;
/// Longest wait before a try, in seconds: a week.
pub const MAX_WAIT_SECONDS: u32 = 7 * 86_400;
/// The longest `Retry-After` that is honoured.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// Each wait is up to this part longer, so that tries of many deliveries spread.
const JITTER: f64 = 0.2;

/// How long to wait before each try. At least one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<u32>);

/// A schedule that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// No try at all, or too many.
    #[error("a schedule has 1 to {MAX_TRIES} tries, not {0}")]
    Tries(usize),
    /// A wait that is too long.
    #[error("a wait is at most {MAX_WAIT_SECONDS} seconds, not {0}")]
    Wait(u32),
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self(DEFAULT_SECONDS.to_vec())
    }
}

impl RetrySchedule {
    /// A schedule of these waits, in seconds.
    pub fn try_new(seconds: Vec<u32>) -> Result<Self, ScheduleError> {
        if seconds.is_empty() || seconds.len() > MAX_TRIES {
            return Err(ScheduleError::Tries(seconds.len()));
        }
        match seconds.iter().find(|wait| **wait > MAX_WAIT_SECONDS) {
            Some(wait) => Err(ScheduleError::Wait(*wait)),
            None => Ok(Self(seconds)),
        }
    }

    /// The waits, in seconds.
    pub fn seconds(&self) -> &[u32] {
        &self.0
    }

    /// How long the first try waits. Has no jitter: there is nothing yet to spread.
    pub fn first_wait(&self) -> Duration {
        Duration::from_secs(self.0.first().copied().unwrap_or(0).into())
    }

    /// When to try again after `tries` tries, the last of which ended `at`; `None` when the schedule is
    /// used up. Never earlier than the schedule and the receiver's `Retry-After` say. `unit` is random, in `0..1`.
    pub fn after(
        &self,
        tries: u32,
        at: Timestamp,
        retry_after: Option<Duration>,
        unit: f64,
    ) -> Option<Timestamp> {
        let wait = Duration::from_secs(u64::from(*self.0.get(tries as usize)?));
        let wait = wait
            .mul_f64(1.0 + JITTER * unit)
            .max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        Some(later(at, wait))
    }
}

/// A moment that much later; the end of time if there is none.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| at.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_default_has_ten_tries() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.first_wait(), Duration::ZERO);
        assert_eq!(schedule.after(1, at(0), None, 0.0), Some(at(5)));
        assert_eq!(
            schedule
                .after(1, at(0), None, 0.5)
                .unwrap()
                .as_millisecond(),
            5500
        );
        assert_eq!(schedule.after(9, at(0), None, 0.0), Some(at(86_400)));
        assert_eq!(schedule.after(10, at(0), None, 0.0), None);
    }

    #[test]
    fn senseless_schedules_are_refused() {
        assert_eq!(RetrySchedule::try_new(vec![]), Err(ScheduleError::Tries(0)));
        assert_eq!(
            RetrySchedule::try_new(vec![0; 51]),
            Err(ScheduleError::Tries(51))
        );
        assert_eq!(
            RetrySchedule::try_new(vec![0, 604_801]),
            Err(ScheduleError::Wait(604_801))
        );
    }

    proptest! {
        #[test]
        fn a_try_is_never_early_and_at_most_a_fifth_late(
            tries in 0u32..12, told in proptest::option::of(0u64..200_000), unit in 0.0..1.0f64,
        ) {
            let schedule = RetrySchedule::default();
            let told = told.map(Duration::from_secs);
            match schedule.after(tries, at(1000), told, unit) {
                None => prop_assert!(tries >= 10),
                Some(next) => {
                    let waited = u64::try_from(next.as_millisecond() - 1_000_000).unwrap();
                    let planned = u64::from(DEFAULT_SECONDS[tries as usize]) * 1000;
                    let told = told.unwrap_or_default().min(MAX_RETRY_AFTER).as_millis() as u64;
                    prop_assert!(waited >= planned.max(told));
                    prop_assert!(waited <= (planned * 6 / 5 + 1).max(told));
                }
            }
        }
    }
}
