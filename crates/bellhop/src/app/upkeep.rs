//! What goes on beside delivering: letting go of what is old, erasing bodies, and a change of the encryption key.

use std::{sync::Arc, time::Duration};

use super::{key_ring::RingWatch, observe::Observe, pending_entries::PendingEntries};
use crate::{
    clock::SharedClock,
    config::Config,
    delivery::{
        certificates::Certificates, erasure::Erasure, resealing::Resealing, retention::Retention,
    },
    store::Store,
    vault::Vault,
};

/// The walk that erases passes each delivery once, by its id. So long after an id was made, its row is there, whichever
/// replica made it.
const LEAST_SHARED_GRACE: Duration = Duration::from_mins(1);

/// All of it.
#[derive(Debug)]
pub struct Upkeep {
    retention: Retention,
    erasure: Erasure,
    resealing: Resealing,
    ring: RingWatch,
    pending: PendingEntries,
    certificates: Certificates,
}

impl Upkeep {
    /// Over this store.
    pub fn new(
        config: &Config,
        store: &Arc<dyn Store>,
        clock: &SharedClock,
        observe: &Arc<Observe>,
        vault: Arc<Vault>,
    ) -> Self {
        let grace = config.erasure_grace.map(|grace| {
            if config.is_shared() {
                grace.max(LEAST_SHARED_GRACE)
            } else {
                grace
            }
        });
        Self {
            retention: Retention::new(store.clone(), clock.clone(), config.keep, observe.clone()),
            erasure: Erasure::new(store.clone(), clock.clone(), grace, observe.clone()),
            resealing: Resealing::new(store.clone(), clock.clone(), observe.clone()),
            ring: RingWatch {
                ring: config.key_ring(),
                vault,
                metrics: observe.metrics.clone(),
            },
            pending: PendingEntries {
                store: store.clone(),
                clock: clock.clone(),
                data_dir: config.data_dir.clone(),
            },
            certificates: Certificates::new(store.clone(), clock.clone()),
        }
    }

    /// Works until `stop`.
    pub async fn run<Stop: Future<Output = ()>>(self, stop: impl Fn() -> Stop) {
        tokio::join!(
            self.retention.run(stop()),
            self.erasure.run(stop()),
            self.resealing.run(stop()),
            self.ring.run(stop()),
            self.pending.run(stop()),
            self.certificates.run(stop()),
        );
    }
}
