//! What the store and the dispatcher do, as metrics.

use std::{sync::Arc, time::Duration};

use super::{Parts, traces};
use crate::{
    config::Config,
    delivery::{
        DeliveryObserver, MadeAttempt, egress::TargetHost, erasure::ErasureObserver,
        resealing::ResealingObserver, retention::RetentionObserver,
    },
    domain::cause::Cause,
    store::{Erased, Purged, Resealed, sqlite::StoreObserver},
    telemetry::{
        Metrics,
        traces::{DeliveryAttempt, Host, Traces},
    },
};

/// Counts.
#[derive(Debug)]
pub struct Observe {
    pub metrics: Arc<Metrics>,
    pub traces: Option<Arc<Traces>>,
}

impl StoreObserver for Observe {
    fn wrote(&self, group: usize, took: Duration) {
        self.metrics.store_commit(group, took);
    }
}

impl Observe {
    /// As it is configured.
    pub fn new(config: &Config, parts: &Parts) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let traces = traces::open(config, &metrics, parts)?;
        Ok(Self { metrics, traces })
    }
}

impl DeliveryObserver for Observe {
    fn attempted(&self, cause: Option<Cause>, took: Duration) {
        self.metrics.attempt(cause, took);
    }

    fn first_attempt(&self, after_commit: Duration) {
        self.metrics.first_attempt(after_commit);
    }

    fn made(&self, made: &MadeAttempt<'_>) {
        let Some(traces) = &self.traces else {
            return;
        };
        let receiver = made.target.map(|target| match target.host() {
            TargetHost::Name(name) => (Host::Name(name), target.port()),
            TargetHost::Ip(ip) => (Host::Ip(*ip), target.port()),
        });
        traces.attempted(&DeliveryAttempt {
            delivery: made.delivery_id,
            webhook: made.webhook_id,
            integration: made.integration_id,
            receiver,
            attempt: made.attempt,
        });
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
