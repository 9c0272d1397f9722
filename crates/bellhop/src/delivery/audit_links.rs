//! Keeps the audit log linked, and says from time to time where it stands: whoever keeps that line elsewhere can prove later
//! that nothing before it was changed.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::SharedClock,
    domain::audit::{AuditAction, By, Fact},
    store::{AuditLinked, Commit, CommitError, Store, StoreError, Write},
};

/// How often what is new is linked.
const LINK_EVERY: Duration = Duration::from_secs(1);
/// How often it is said where the log stands.
const SAY_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Keeps the audit log linked.
#[derive(Debug)]
pub struct AuditLinks {
    store: Arc<dyn Store>,
    clock: SharedClock,
    has_started: bool,
    said: Option<Timestamp>,
}

impl AuditLinks {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self {
            store,
            clock,
            has_started: false,
            said: None,
        }
    }

    /// Works until `stop`, and links what was written until then.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let pause = match self.step().await {
                Ok(linked) if linked.has_more => Duration::ZERO,
                Ok(_) => LINK_EVERY,
                Err(error) => {
                    tracing::error!(%error, "the audit log could not be linked; trying again");
                    LINK_EVERY
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What is left is linked by another replica, or after the next start.
        let _ = self.step().await;
    }

    /// Links once. The first time, it notes that this server has begun to work.
    pub async fn step(&mut self) -> Result<AuditLinked, StoreError> {
        let now = self.clock.now();
        if !self.has_started {
            self.note_start(now).await?;
            self.has_started = true;
        }
        let linked = self.store.link_audit(now).await?;
        let is_time = |said| now.duration_since(said) >= SAY_EVERY;
        if !linked.has_more && self.said.is_none_or(is_time) {
            self.said = Some(now);
            let (position, head) = (linked.chain.position, linked.chain.head);
            tracing::info!(position, %head, "this is where the audit log stands");
        }
        Ok(linked)
    }

    async fn note_start(&self, at: Timestamp) -> Result<(), StoreError> {
        let version = env!("CARGO_PKG_VERSION");
        let fact = Fact::of_server(AuditAction::ServerStarted)
            .saying(format_args!(r#"{{"Version":"{version}"}}"#));
        let commit = Commit {
            at,
            write: Write::Note(Box::new(fact)),
            by: By::system(),
            remember: None,
        };
        match self.store.commit(commit).await {
            Err(CommitError::Store(error)) => Err(error),
            // Nothing else can be against it.
            Err(_) | Ok(_) => Ok(()),
        }
    }
}
