//! Retention: how long things are kept, and who asks the store to let go of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::steps::{Steps, Walk, take_until};
use crate::{
    clock::SharedClock,
    store::{Purge, Purged, Store, StoreError},
};

/// How long things are kept. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Deliveries and their attempts, after they have ended.
    pub deliveries: Option<Duration>,
    /// Integrations and webhooks after they were deleted, and API keys after they have expired.
    pub tombstones: Option<Duration>,
    /// Entries of the audit log.
    pub audit: Option<Duration>,
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
    /// Over what an earlier purge had to leave.
    walk: Walk,
}

impl Keep {
    /// What may go now.
    pub fn at(&self, now: Timestamp, again: bool) -> Purge {
        let before = |kept: Option<Duration>| kept.and_then(|kept| now.checked_sub(kept).ok());
        Purge {
            now,
            deliveries: before(self.deliveries),
            tombstones: before(self.tombstones),
            audit: before(self.audit),
            again,
        }
    }

    /// What an earlier purge had to leave is left for a part of this.
    fn shortest(&self) -> Duration {
        let kept = [self.deliveries, self.tombstones, self.audit];
        kept.into_iter().flatten().min().unwrap_or_default()
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
            walk: Walk::default(),
        }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        take_until(self, stop).await;
    }

    /// One purge. Says whether there is more to do now.
    pub async fn step(&mut self) -> Result<Purged, StoreError> {
        let now = self.clock.now();
        let again = self.walk.is_due(now, self.keep.shortest());
        let purged = self.store.purge(self.keep.at(now, again)).await?;
        if again {
            self.walk.began(now);
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

impl Steps for Retention {
    /// A step takes 2 ms at most and lets go of some 300 deliveries: this is fast enough for 30,000 messages a second, and
    /// leaves most of the writer's time to those who wait for it.
    const PAUSE: Duration = Duration::from_millis(5);
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    const FAILED: &'static str = "what is older than it is kept could not be purged";

    async fn next(&mut self) -> Result<bool, StoreError> {
        Ok(self.step().await?.has_more)
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
            audit: None,
        };
        let purge = keep.at(now, false);
        assert_eq!(purge.deliveries, Timestamp::from_second(999_940).ok());
        assert_eq!((purge.tombstones, purge.audit), (None, None));
    }
}
