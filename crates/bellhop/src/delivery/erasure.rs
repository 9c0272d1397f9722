//! Erasure: how long a body that carries an access token outlives its deliveries, and who asks the store to erase it.

use std::{sync::Arc, time::Duration};

use super::steps::{Steps, Walk, take_until};
use crate::{
    clock::SharedClock,
    store::{Erase, Erased, Store, StoreError},
};

/// Who wants to know what was erased.
pub trait ErasureObserver: Send + Sync + std::fmt::Debug {
    /// That was.
    fn erased(&self, erased: &Erased);
}

/// Asks the store to erase what has outlived its deliveries.
#[derive(Debug)]
pub struct Erasure {
    store: Arc<dyn Store>,
    clock: SharedClock,
    /// `None`: nothing is erased.
    grace: Option<Duration>,
    observer: Arc<dyn ErasureObserver>,
    /// Over all that was left.
    walk: Walk,
}

impl Erasure {
    /// Over this store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: SharedClock,
        grace: Option<Duration>,
        observer: Arc<dyn ErasureObserver>,
    ) -> Self {
        Self {
            store,
            clock,
            grace,
            observer,
            walk: Walk::default(),
        }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        take_until(self, stop).await;
    }

    /// One erasure. Says what it came to.
    pub async fn step(&mut self) -> Result<Erased, StoreError> {
        let now = self.clock.now();
        let Some((grace, ended)) = self
            .grace
            .and_then(|grace| Some((grace, now.checked_sub(grace).ok()?)))
        else {
            return Ok(Erased::default());
        };
        let again = self.walk.is_due(now, grace);
        let erased = self.store.erase(Erase { now, ended, again }).await?;
        if again {
            self.walk.began(now);
        }
        if erased.bodies > 0 {
            self.observer.erased(&erased);
            tracing::debug!(bodies = erased.bodies, "erased");
        }
        Ok(erased)
    }
}

impl Steps for Erasure {
    /// A step takes 2 ms at most and erases some hundred bodies: fast enough for 10,000 of them a second, and most of
    /// the writer's time is for those who wait for it.
    const PAUSE: Duration = Duration::from_millis(5);
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    const FAILED: &'static str = "bodies that carry an access token could not be erased";

    async fn next(&mut self) -> Result<bool, StoreError> {
        Ok(self.step().await?.has_more)
    }
}
