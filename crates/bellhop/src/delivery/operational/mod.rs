//! From an operational message that is due to what came of it: its own small worker, beside the dispatcher. One
//! message at a time for each destination, in the order in which they were made, so that it is never in the way of
//! deliveries, and a mail server that hangs is in the way of mail alone.

mod mail;
mod post;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::task::JoinSet;

pub use mail::{Encryption, Mail, MailOptions, MailServer};
pub use post::OperatorWebhook;

use crate::{
    clock::SharedClock,
    domain::{
        cause::Cause,
        delivery::Outcome as DeliveryOutcome,
        operational::{Destination, OperationalNext, after_attempt},
    },
    feed::Feed,
    random::SharedRandom,
    store::{
        OperationalAttempted, OperationalClaim, OperationalDue, OperationalRequest, Store,
        StoreError,
    },
};

/// How often the store is asked although nobody said anything: the net under the hints, and the way to what has no
/// hint of its own.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// How often a record is tried again: about ten seconds. Then the message is sent again.
const RECORD_TRIES: usize = 40;

/// What sending needs.
#[derive(Debug)]
pub struct Parts {
    /// Where the messages are.
    pub store: Arc<dyn Store>,
    /// Who says that there is one.
    pub feed: Arc<Feed>,
    /// Who tells the time.
    pub clock: SharedClock,
    /// For jitter.
    pub random: SharedRandom,
    /// The operator's webhook, if there is one.
    pub webhook: Option<OperatorWebhook>,
    /// The operator's mailboxes, if there are any.
    pub mail: Option<Mail>,
}

/// Sends operational messages.
#[derive(Debug)]
pub struct Operational {
    parts: Arc<Parts>,
    /// To which destinations something is under way.
    busy: Vec<Destination>,
    under_way: JoinSet<Destination>,
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Outcome {
    /// The destination has it.
    Taken,
    /// It has not.
    Failed {
        /// Why.
        cause: Cause,
        /// What exactly, for people. Holds no secret.
        detail: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    fn failed(cause: Cause, detail: String) -> Self {
        Self::Failed {
            cause,
            detail,
            retry_after: None,
        }
    }
}

/// The destinations that are configured.
pub fn destinations(webhook: Option<&OperatorWebhook>, mail: Option<&Mail>) -> Vec<Destination> {
    let webhook = webhook.map(|_| Destination::Webhook);
    let mail = mail.map(|_| Destination::Email);
    webhook.into_iter().chain(mail).collect()
}

impl Parts {
    /// Sends one message and records what came of it.
    async fn attempt(&self, claim: &OperationalClaim) {
        let outcome = match (claim.destination, &self.webhook, &self.mail) {
            (Destination::Webhook, Some(webhook), _) => webhook.send(claim).await,
            (Destination::Email, _, Some(mail)) => mail.send(claim).await,
            // Only destinations that are there are asked for.
            _ => return,
        };
        self.record(self.conclude(claim, outcome)).await;
    }

    fn conclude(&self, claim: &OperationalClaim, outcome: Outcome) -> OperationalAttempted {
        let at = self.clock.now();
        let (cause, detail, outcome) = match outcome {
            Outcome::Taken => (None, None, DeliveryOutcome::Succeeded),
            Outcome::Failed {
                cause,
                detail,
                retry_after,
            } => (
                Some(cause),
                Some(detail),
                DeliveryOutcome::Failed { cause, retry_after },
            ),
        };
        let next = after_attempt(claim.number, outcome, at, self.random.unit());
        if let (Some(cause), Some(detail)) = (cause, &detail) {
            tracing::warn!(
                message.id = %claim.id.message_id(), destination = %claim.destination, %cause, detail,
                gave_up = next == OperationalNext::Failed,
                "an operational message could not be sent"
            );
        }
        OperationalAttempted {
            id: claim.id,
            destination: claim.destination,
            number: claim.number,
            at,
            cause,
            detail,
            next,
        }
    }

    /// While the store fails the outcome is kept and tried again.
    async fn record(&self, attempted: OperationalAttempted) {
        for _ in 0..RECORD_TRIES {
            match self.store.record_operational(attempted.clone()).await {
                Ok(_) | Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "an operational message could not be recorded; trying again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

impl Operational {
    /// With nothing under way.
    pub fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            busy: Vec::new(),
            under_way: JoinSet::new(),
        }
    }

    /// Works until `stop`, then lets what is under way end, for `drain` at most. What does not end in time is sent
    /// again after the next start.
    pub async fn run(mut self, stop: impl Future<Output = ()>, drain: Duration) {
        tokio::pin!(stop);
        let parts = self.parts.clone();
        loop {
            // Registered before looking: a hint that comes while we look wakes us.
            let woken = parts.feed.operational_woken();
            let pause = self.look().await;
            tokio::select! {
                () = &mut stop => break,
                () = woken => {}
                Some(ended) = self.under_way.join_next() => self.ended(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        let ended = tokio::time::timeout(drain, async {
            while self.under_way.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(
                "an operational message was under way; it is sent again after the next start"
            );
        }
    }

    /// One round for a test that moves time by hand: sends what is due now until nothing is. Says how many attempts
    /// were made.
    pub async fn step(&mut self) -> Result<usize, StoreError> {
        let mut made = 0;
        loop {
            let due = self.due().await?;
            if due.claims.is_empty() {
                return Ok(made);
            }
            made += due.claims.len();
            self.start(due.claims);
            while let Some(ended) = self.under_way.join_next().await {
                self.ended(ended);
            }
        }
    }

    /// Starts what is due. Says how long there is nothing to do then.
    async fn look(&mut self) -> Duration {
        match self.due().await {
            Ok(due) => {
                self.start(due.claims);
                due.next.map_or(POLL_EVERY, |next| self.until(next))
            }
            Err(StoreError::Closed) => POLL_EVERY,
            Err(error) => {
                tracing::error!(%error, "the store did not say which operational messages are due; trying again");
                STORE_PAUSE
            }
        }
    }

    async fn due(&self) -> Result<OperationalDue, StoreError> {
        let parts = &self.parts;
        let mut destinations = destinations(parts.webhook.as_ref(), parts.mail.as_ref());
        destinations.retain(|each| !self.busy.contains(each));
        let now = parts.clock.now();
        let request = OperationalRequest { now, destinations };
        parts.store.operational_due(request).await
    }

    fn start(&mut self, claims: Vec<OperationalClaim>) {
        for claim in claims {
            self.busy.push(claim.destination);
            let parts = self.parts.clone();
            self.under_way.spawn(async move {
                parts.attempt(&claim).await;
                claim.destination
            });
        }
    }

    fn ended(&mut self, ended: Result<Destination, tokio::task::JoinError>) {
        match ended {
            Ok(destination) => self.busy.retain(|each| *each != destination),
            Err(error) => {
                // A panic: which one it was is not known, and what is still under way is recorded once all the same.
                tracing::error!(%error, "sending an operational message stopped");
                self.busy.clear();
            }
        }
    }

    fn until(&self, next: Timestamp) -> Duration {
        let now = self.parts.clock.now();
        Duration::try_from(next.duration_since(now))
            .unwrap_or_default()
            .clamp(Duration::from_millis(1), POLL_EVERY)
    }
}
