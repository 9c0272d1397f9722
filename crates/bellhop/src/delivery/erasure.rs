//! Erasure: how long a body that carries an access token outlives its deliveries, and who asks the store to erase it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::SharedClock,
    store::{Erase, Erased, Store, StoreError},
};

/// How often the store is asked when it had nothing more to erase.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after an erasure that left something over. One takes 2 ms at most and erases some hundred bodies: fast enough
/// for 10,000 of them a second, and most of the writer's time is for those who wait for it.
const PAUSE: Duration = Duration::from_millis(5);
/// What was left because it was not over yet is looked at again after this part of the grace period.
const AGAIN_PART: u32 = 64;
/// But not more often, nor more seldom.
const AGAIN_EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(1);

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
    /// When it last looked at all that was left.
    began: Option<Timestamp>,
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
            began: None,
        }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let pause = match self.step().await {
                Ok(erased) if erased.has_more => PAUSE,
                Ok(_) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "bodies that carry an access token could not be erased; trying again");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
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
        let every = (grace / AGAIN_PART).clamp(*AGAIN_EVERY.start(), *AGAIN_EVERY.end());
        let again = self
            .began
            .is_none_or(|began| now.duration_since(began).unsigned_abs() >= every);
        let erased = self.store.erase(Erase { now, ended, again }).await?;
        if again {
            self.began = Some(now);
        }
        if erased.bodies > 0 {
            self.observer.erased(&erased);
            tracing::debug!(bodies = erased.bodies, "erased");
        }
        Ok(erased)
    }
}
