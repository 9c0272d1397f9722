//! Sealing anew with a newer encryption key, in the background: who asks the store, and says how far it is.

use std::{sync::Arc, time::Duration};

use super::steps::{Steps, take_until};
use crate::{
    clock::SharedClock,
    store::{Resealed, Standing, Store, StoreError},
};

/// Who wants to know what was sealed anew.
pub trait ResealingObserver: Send + Sync + std::fmt::Debug {
    /// A step came to that.
    fn resealed(&self, resealed: &Resealed);
}

/// Asks the store to seal anew what a former key has sealed.
#[derive(Debug)]
pub struct Resealing {
    store: Arc<dyn Store>,
    clock: SharedClock,
    observer: Arc<dyn ResealingObserver>,
    /// What was said last.
    standing: Standing,
}

impl Resealing {
    /// Over this store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        observer: Arc<dyn ResealingObserver>,
    ) -> Self {
        Self {
            store,
            clock,
            observer,
            standing: Standing::OneKey,
        }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        take_until(self, stop).await;
    }

    /// One step. Says what it came to.
    pub async fn step(&mut self) -> Result<Resealed, StoreError> {
        let resealed = self.store.reseal(self.clock.now()).await?;
        self.observer.resealed(&resealed);
        if resealed.standing != self.standing {
            self.standing = resealed.standing;
            self.say();
        }
        Ok(resealed)
    }

    fn say(&self) {
        match self.standing {
            Standing::OneKey => {}
            Standing::UnderWay => {
                tracing::info!(
                    "what a former encryption key has sealed is being sealed with the newest one"
                );
            }
            Standing::Done => tracing::info!(
                "nothing is sealed with a former encryption key any more: once that holds for every replica, \
                 take the former key out of the ring (bellhop key prune)"
            ),
            Standing::Behind => tracing::warn!(
                "another replica seals with a newer encryption key: put that key in front here, too; \
                 to go back to a former key is not possible, make a new one instead (bellhop key rotate)"
            ),
        }
    }
}

impl Steps for Resealing {
    /// A step takes 2 ms at most and seals some hundred values: a million take five minutes, and nobody notices.
    const PAUSE: Duration = Duration::from_millis(20);
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    const FAILED: &'static str = "what a former encryption key has sealed could not be sealed anew";

    async fn next(&mut self) -> Result<bool, StoreError> {
        Ok(self.step().await?.standing == Standing::UnderWay)
    }
}
