//! What the store and the dispatcher do, as metrics.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::SharedClock, delivery::DeliveryObserver, domain::cause::Cause,
    store::sqlite::StoreObserver, telemetry::Metrics,
};

/// Counts, and tells the store's writer the time.
#[derive(Debug)]
pub struct Observe {
    pub metrics: Arc<Metrics>,
    pub clock: SharedClock,
}

impl StoreObserver for Observe {
    fn wrote(&self, group: usize, took: Duration) {
        self.metrics.store_commit(group, took);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl DeliveryObserver for Observe {
    fn attempted(&self, cause: Option<Cause>, took: Duration) {
        self.metrics.attempt(cause, took);
    }

    fn first_attempt(&self, after_commit: Duration) {
        self.metrics.first_attempt(after_commit);
    }
}
