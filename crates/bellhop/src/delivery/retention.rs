//! Retention: how long things are kept, and who asks the store to let go of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::SharedClock,
    store::{Purge, Purged, Store, StoreError},
};

/// How often the store is asked when it had nothing more to purge.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a purge that left something over. A purge takes 2 ms at most and lets go of some 300 deliveries:
/// this is fast enough for 30,000 messages a second, and leaves most of the writer's time to those who wait for it.
const PAUSE: Duration = Duration::from_millis(5);
/// What an earlier purge had to leave is looked at again after this part of the time that deliveries are kept.
const AGAIN_PART: u32 = 64;
/// But not more often, nor more seldom.
const AGAIN_EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(1);

/// How long things are kept. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Deliveries and their attempts, after they have ended.
    pub deliveries: Option<Duration>,
    /// Integrations and webhooks after they were deleted, and API keys after they have expired.
    pub tombstones: Option<Duration>,
}

/// Who wants to know what was let go of.
pub trait RetentionObserver: Send + Sync + std::fmt::Debug {
    /// That went.
    fn purged(&self, purged: &Purged);
}

/// Asks the store to let go of what is old.
#[derive(Debug)]
pub struct Retention {
    store: Arc<dyn Store>,
    clock: SharedClock,
    keep: Keep,
    observer: Arc<dyn RetentionObserver>,
    /// When it last began with the oldest.
    began: Option<Timestamp>,
}

impl Keep {
    /// What may go now.
    pub fn at(&self, now: Timestamp, again: bool) -> Purge {
        let before = |kept: Option<Duration>| kept.and_then(|kept| now.checked_sub(kept).ok());
        Purge {
            now,
            deliveries: before(self.deliveries),
            tombstones: before(self.tombstones),
            again,
        }
    }

    fn again_every(&self) -> Duration {
        let kept = self.deliveries.or(self.tombstones).unwrap_or_default();
        (kept / AGAIN_PART).clamp(*AGAIN_EVERY.start(), *AGAIN_EVERY.end())
    }
}

impl Retention {
    /// Over this store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        keep: Keep,
        observer: Arc<dyn RetentionObserver>,
    ) -> Self {
        Self {
            store,
            clock,
            keep,
            observer,
            began: None,
        }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let pause = match self.step().await {
                Ok(purged) if purged.has_more => PAUSE,
                Ok(_) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "what is older than it is kept could not be purged; trying again");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One purge. Says whether there is more to do now.
    pub async fn step(&mut self) -> Result<Purged, StoreError> {
        let now = self.clock.now();
        let again = self.began.is_none_or(|began| {
            now.duration_since(began).unsigned_abs() >= self.keep.again_every()
        });
        let purged = self.store.purge(self.keep.at(now, again)).await?;
        if again {
            self.began = Some(now);
        }
        if purged.total() > 0 {
            self.observer.purged(&purged);
            tracing::debug!(
                deliveries = purged.deliveries,
                tombstones = purged.tombstones,
                replays = purged.replays,
                others = purged.others,
                "purged"
            );
        }
        Ok(purged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_ever_never_goes() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let keep = Keep {
            deliveries: Some(Duration::from_mins(1)),
            tombstones: None,
        };
        let purge = keep.at(now, false);
        assert_eq!(purge.deliveries, Timestamp::from_second(999_940).ok());
        assert_eq!(purge.tombstones, None);
    }

    #[test]
    fn what_was_left_is_looked_at_again_in_bounds() {
        let every = |seconds| {
            Keep {
                deliveries: Some(Duration::from_secs(seconds)),
                tombstones: None,
            }
            .again_every()
        };
        assert_eq!(every(1), Duration::from_secs(1));
        assert_eq!(every(64 * 5), Duration::from_secs(5));
        assert_eq!(every(30 * 86_400), Duration::from_hours(1));
    }
}
