//! What the store and the dispatcher do, as metrics.

use std::{sync::Arc, time::Duration};

use crate::{
    delivery::{
        DeliveryObserver, erasure::ErasureObserver, resealing::ResealingObserver,
        retention::RetentionObserver,
    },
    domain::cause::Cause,
    store::{Erased, Purged, Resealed, sqlite::StoreObserver},
    telemetry::Metrics,
};

/// Counts.
#[derive(Debug)]
pub struct Observe {
    pub metrics: Arc<Metrics>,
}

impl StoreObserver for Observe {
    fn wrote(&self, group: usize, took: Duration) {
        self.metrics.store_commit(group, took);
    }
}

impl Observe {
    /// Counts there.
    pub fn of(metrics: &Arc<Metrics>) -> Self {
        let metrics = metrics.clone();
        Self { metrics }
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

impl ErasureObserver for Observe {
    fn erased(&self, erased: &Erased) {
        self.metrics.erased(erased.bodies);
    }
}

impl ResealingObserver for Observe {
    fn resealed(&self, resealed: &Resealed) {
        self.metrics.resealed(resealed);
    }
}

impl RetentionObserver for Observe {
    fn purged(&self, purged: &Purged) {
        self.metrics.purged(purged);
    }
}
