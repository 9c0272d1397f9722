//! An attempt under way: from its claim to its record.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{MadeAttempt, dispatcher::Parts, line::Shown, prepared::Prepared};
use crate::{
    domain::{
        cause::Cause,
        delivery::{Next, WebhookEffect},
    },
    feed::Event,
    id::{DeliveryId, WebhookId},
    store::{Attempted, Claim, Fence, Recorded, StoreError},
};

/// How long to wait before a record is tried again.
const RECORD_PAUSE: Duration = Duration::from_millis(250);
/// How often a record of an attempt is tried while the store fails.
const RECORD_TRIES: u32 = 40;

/// What the dispatcher is told.
#[derive(Debug)]
pub enum Told {
    /// An attempt has ended.
    Ended(Ended),
    /// A webhook was read: ready to be sent to, or gone, or it could not be read.
    Prepared(WebhookId, Result<Option<Arc<Prepared>>, StoreError>),
    /// The settings of a webhook are others than those that it was claimed by.
    Changed(WebhookId, Arc<Prepared>),
}

/// An attempt has ended, or was given up.
#[derive(Debug)]
pub struct Ended {
    pub webhook_id: WebhookId,
    pub result: Option<ForWebhook>,
    pub claim: (DeliveryId, Fence),
    /// When it was taken.
    pub begun: Timestamp,
    /// What it has shown of the receiver.
    pub shown: Shown,
}

/// What came of it for the webhook.
#[derive(Debug, Clone, Copy)]
pub enum ForWebhook {
    /// More of the webhook is due, now or at this moment.
    More(Option<Timestamp>),
    /// Nothing more by it.
    Nothing,
}

/// Reads a webhook and makes it ready. `None` if it is gone or cannot be read: its claims are given back.
pub async fn prepare(parts: &Parts, webhook: WebhookId) -> Option<Arc<Prepared>> {
    match parts
        .directory
        .prepare(webhook, parts.attempts.clock.now())
        .await
    {
        Ok(prepared) => prepared,
        Err(error) => {
            tracing::error!(%error, %webhook, "a webhook could not be read");
            None
        }
    }
}

/// An attempt under way. Whatever becomes of it, even a panic, the dispatcher learns that it has ended.
#[derive(Debug)]
pub struct UnderWay {
    ended: Option<Ended>,
    to: mpsc::UnboundedSender<Told>,
}

impl UnderWay {
    /// Of this claim, taken at this moment; the ending goes there.
    pub fn new(claim: &Claim, begun: Timestamp, to: mpsc::UnboundedSender<Told>) -> Self {
        let ended = Ended {
            webhook_id: claim.webhook_id,
            result: None,
            claim: (claim.delivery_id, claim.fence),
            begun,
            shown: Shown::Nothing,
        };
        Self {
            ended: Some(ended),
            to,
        }
    }

    /// Makes the attempt and records it.
    pub async fn run(mut self, claim: Claim, parts: Arc<Parts>, webhook: Arc<Prepared>) {
        if claim.number == 1 {
            let waited = parts.attempts.clock.now().duration_since(claim.created);
            parts
                .observer
                .first_attempt(Duration::try_from(waited).unwrap_or_default());
        }
        let is_of_run = claim.replay_id.is_some();
        let integration_id = claim.integration_id;
        let Some(attempted) = parts.attempts.deliver(claim, &webhook).await else {
            // Nothing was sent: the claim is given back, and taken again with the secrets of now.
            return;
        };
        parts
            .observer
            .attempted(attempted.attempt.cause, attempted.attempt.duration);
        parts.observer.made(&MadeAttempt {
            delivery_id: attempted.delivery_id,
            integration_id,
            webhook_id: webhook.id,
            target: webhook.target.as_ref().ok(),
            attempt: &attempted.attempt,
        });
        let (delivery, next) = (attempted.delivery_id, attempted.next);
        let webhook_id = webhook.id;
        let shown = match attempted.attempt.cause {
            None => Shown::Success,
            Some(Cause::Internal | Cause::Erased) => Shown::Nothing,
            Some(_) => Shown::Failure,
        };
        let held = matches!(attempted.effect, Some(WebhookEffect::Disable { .. }));
        let recorded = record(&parts, attempted).await;
        if held || next == Next::Failed {
            parts.feed.operational();
        }
        parts.feed.tell(Event::Delivery(delivery));
        if held {
            parts.feed.tell(Event::Webhook(webhook_id));
        }
        if is_of_run {
            parts.feed.wake_replays();
        }
        if let Some(ended) = &mut self.ended {
            ended.shown = shown;
            ended.result = match (recorded, next) {
                (None, _) => None,
                (Some(Recorded::Done { lane_goes_on: true }), _) => Some(ForWebhook::More(None)),
                (Some(Recorded::Done { .. }), Next::Retry { at }) if !held => {
                    Some(ForWebhook::More(Some(at)))
                }
                (Some(_), _) => Some(ForWebhook::Nothing),
            };
        }
    }
}

/// Records an attempt. While the store fails the outcome is kept and tried again: what a receiver has
/// accepted is not sent twice for a disk that was full for a moment.
async fn record(parts: &Parts, attempted: Attempted) -> Option<Recorded> {
    for _ in 0..RECORD_TRIES {
        fault_point!("record-before");
        match parts.store.record(attempted.clone()).await {
            Ok(recorded) => {
                fault_point!("record-after");
                return Some(recorded);
            }
            Err(StoreError::Closed) => return None,
            Err(error) => {
                tracing::error!(%error, delivery.id = %attempted.delivery_id, "an attempt could not be recorded; trying again");
                tokio::time::sleep(RECORD_PAUSE).await;
            }
        }
    }
    None
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // The dispatcher is gone only when the process ends.
            let _ = self.to.send(Told::Ended(ended));
        }
    }
}
