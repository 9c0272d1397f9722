//! What goes on beside delivering: letting go of what is old, and erasing bodies.

use std::{sync::Arc, time::Duration};

use super::observe::Observe;
use crate::{
    clock::SharedClock,
    config::Config,
    delivery::{erasure::Erasure, retention::Retention},
    store::Store,
};

/// The walk that erases passes each delivery once, by its id. So long after an id was made, its row is there, whichever
/// replica made it.
const LEAST_SHARED_GRACE: Duration = Duration::from_mins(1);

/// All of it.
#[derive(Debug)]
pub struct Upkeep {
    retention: Retention,
    erasure: Erasure,
}

impl Upkeep {
    /// Over this store.
    pub fn new(
        config: &Config,
        store: &Arc<dyn Store>,
        clock: &SharedClock,
        observe: &Arc<Observe>,
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
        }
    }

    /// Works until `stop`.
    pub async fn run<Stop: Future<Output = ()>>(self, stop: impl Fn() -> Stop) {
        tokio::join!(self.retention.run(stop()), self.erasure.run(stop()));
    }
}
