//! Moves runs on: replays in bulk and backfills. One step of each at a time, each a commit of its own, so that
//! commands and records come between. What a run has made due is sent by the dispatcher like anything else.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::SharedClock,
    domain::audit::By,
    feed::Feed,
    store::{Commit, CommitError, Receipt, Store, StoreError, Write, Written},
};

/// How often a run looks whether it may go on although nobody said so.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Moves runs on.
#[derive(Debug)]
pub struct ReplayRunner {
    /// Where the runs are.
    pub store: Arc<dyn Store>,
    /// Who says that a run may go on, and hears that something is due.
    pub feed: Arc<Feed>,
    /// Who tells the time.
    pub clock: SharedClock,
}

impl ReplayRunner {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, feed: Arc<Feed>, clock: SharedClock) -> Self {
        Self { store, feed, clock }
    }

    /// Works until `stop`. A run that is stopped in the middle goes on after the next start.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let woken = self.feed.replays_woken();
            let pause = match self.step().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL_EVERY,
                Err(error) => {
                    tracing::error!(%error, "replays could not go on; trying again");
                    POLL_EVERY
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
                () = woken => {}
            }
        }
    }

    /// One step of each run that is running. Says whether any of them got on.
    pub async fn step(&self) -> Result<bool, StoreError> {
        let mut got_on = false;
        for id in self.store.running_replays().await? {
            let Some(step) = self.store.next_of_replay(id).await? else {
                continue;
            };
            let before = step.from;
            let commit = Commit {
                at: self.clock.now(),
                write: Write::StepReplay(Box::new(step)),
                by: By::system(),
                remember: None,
            };
            match self.store.commit(commit).await {
                Ok(Receipt::Done {
                    written: Written::Replay { replay, .. },
                    due,
                }) => {
                    got_on |= replay.position != before;
                    self.feed.due(due);
                }
                Ok(_) => {}
                Err(CommitError::Store(error)) => return Err(error),
                Err(error) => tracing::error!(%error, replay.id = %id, "a replay could not go on"),
            }
        }
        Ok(got_on)
    }
}
