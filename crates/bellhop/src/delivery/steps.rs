//! What goes on beside delivering goes in small steps: so that nobody who waits for the store's writer notices.

use std::{ops::RangeInclusive, time::Duration};

use jiff::Timestamp;

use crate::store::StoreError;

/// What was left because it was not over yet is looked at again after this part of the time that it is kept.
const AGAIN_PART: u32 = 64;
/// But not more often, nor more seldom.
const AGAIN_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Work that is done in small steps.
pub trait Steps: Send {
    /// How long after a step that left something over.
    const PAUSE: Duration;
    /// How long after one that did not, or that failed.
    const LOOK_EVERY: Duration;
    /// What it means that a step failed.
    const FAILED: &'static str;

    /// One step. Says whether it left something over.
    fn next(&mut self) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Takes step after step until `stop`.
pub async fn take_until<S: Steps>(mut steps: S, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        let pause = match steps.next().await {
            Ok(true) => S::PAUSE,
            Ok(false) => S::LOOK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "{}; trying again", S::FAILED);
                S::LOOK_EVERY
            }
        };
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// When a walk began with the oldest, the last time.
#[derive(Debug, Default)]
pub struct Walk {
    began: Option<Timestamp>,
}

impl Walk {
    /// Whether it is time to begin with the oldest again, for things that are kept that long.
    pub fn is_due(&self, now: Timestamp, kept: Duration) -> bool {
        self.began
            .is_none_or(|began| now.duration_since(began).unsigned_abs() >= again_every(kept))
    }

    /// It has begun.
    pub fn began(&mut self, now: Timestamp) {
        self.began = Some(now);
    }
}

fn again_every(kept: Duration) -> Duration {
    (kept / AGAIN_PART).clamp(*AGAIN_EVERY.start(), *AGAIN_EVERY.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_looked_at_again_in_bounds() {
        let every = |seconds| again_every(Duration::from_secs(seconds));
        assert_eq!(every(1), Duration::from_secs(1));
        assert_eq!(every(64 * 5), Duration::from_secs(5));
        assert_eq!(every(30 * 86_400), Duration::from_hours(1));
    }

    #[test]
    fn a_walk_is_due_at_first_and_after_its_time() {
        let kept = Duration::from_secs(64 * 5);
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut walk = Walk::default();
        assert!(walk.is_due(at(0), kept));
        walk.began(at(0));
        assert!(!walk.is_due(at(4), kept));
        assert!(walk.is_due(at(5), kept));
    }
}
