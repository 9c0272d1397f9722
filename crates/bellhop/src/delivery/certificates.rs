//! Client certificates that end: the operator is told a month before, a week before, and when they have.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::steps::{Steps, take_until};
use crate::{
    clock::SharedClock,
    domain::audit::By,
    store::{Commit, CommitError, Page, Store, StoreError, Write},
};

/// Webhooks that one step looks at.
const AT_ONCE: u32 = 100;

/// Looks through the webhooks.
#[derive(Debug)]
pub struct Certificates {
    store: Arc<dyn Store>,
    clock: SharedClock,
    /// The last one that was looked at in this round.
    after: Option<Uuid>,
}

impl Certificates {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self {
            store,
            clock,
            after: None,
        }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        take_until(self, stop).await;
    }

    /// Looks at some. Says whether there are more.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let page = Page {
            after: self.after,
            limit: AT_ONCE,
        };
        let webhooks = self.store.webhooks(None, page).await?;
        for webhook in &webhooks {
            let certificate = webhook.client_certificate.as_ref();
            if certificate.is_none_or(|certificate| certificate.end(now).is_none()) {
                continue;
            }
            let commit = Commit {
                at: now,
                write: Write::TellCertificate { id: webhook.id },
                by: By::system(),
                remember: None,
            };
            // Another refusal is that it was deleted meanwhile.
            if let Err(CommitError::Store(error)) = self.store.commit(commit).await {
                return Err(error);
            }
        }
        let has_more = webhooks.len() == AT_ONCE as usize;
        self.after = webhooks
            .last()
            .filter(|_| has_more)
            .map(|webhook| webhook.id.0);
        Ok(has_more)
    }
}

impl Steps for Certificates {
    /// Nobody waits for it: a hundred thousand webhooks take a minute and a half.
    const PAUSE: Duration = Duration::from_millis(100);
    const LOOK_EVERY: Duration = Duration::from_hours(1);
    const FAILED: &'static str = "client certificates that end could not be told";

    async fn next(&mut self) -> Result<bool, StoreError> {
        self.step().await
    }
}
