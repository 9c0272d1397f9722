//! Taking what is due, and saying what came of it.

use std::fmt;

use bellhop_webhook::{Action, MessageId};
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    domain::delivery::{Attempt, DeliveryState, Next, WebhookEffect},
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
};

/// Who holds a claim, so that a holder that was stopped for too long cannot record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// What is wanted.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// What is due at this moment.
    pub now: Timestamp,
    /// Of which webhooks, and how many of each.
    pub wants: Vec<Want>,
}

/// How many deliveries of one webhook are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Which webhook.
    pub webhook_id: WebhookId,
    /// At most this many.
    pub limit: usize,
}

/// What was taken of one webhook.
#[derive(Debug, Clone)]
pub struct WebhookClaims {
    /// Which webhook.
    pub webhook_id: WebhookId,
    /// Its revision: whoever keeps its settings can tell that they are old.
    pub revision: u64,
    /// What was taken.
    pub claims: Vec<Claim>,
    /// When there is more: already, or later. `None` if there is nothing more, or the webhook is not
    /// enabled.
    pub next_due: Option<Timestamp>,
    /// How many requests of this claimer the webhook may have in flight for now, if that is fewer than its settings say:
    /// by its health, or because others send to it as well.
    pub most_in_flight: Option<u32>,
}

/// One delivery, taken for one attempt. Debug shows none of its bytes: they may carry an access token.
#[derive(Clone)]
pub struct Claim {
    /// Which.
    pub delivery_id: DeliveryId,
    /// The proof that it is ours.
    pub fence: Fence,
    /// Where to.
    pub webhook_id: WebhookId,
    /// Of which integration.
    pub integration_id: IntegrationId,
    /// Position of the message.
    pub sequence: u64,
    /// The one before it in this lane.
    pub previous: u64,
    /// What happened.
    pub action: Action,
    /// The state of the delivery: anything but pending makes the attempt a replay.
    pub state: DeliveryState,
    /// The number of this attempt: 1, 2, 3 …
    pub number: u32,
    /// How many tries of the schedule were used up before it.
    pub tries: u32,
    /// The next try of the schedule, if this is a replay of a pending delivery.
    pub planned: Option<Timestamp>,
    /// When the delivery was made.
    pub created: Timestamp,
    /// The bytes to send; `None` if they were erased.
    pub body: Option<Bytes>,
    /// The run that it belongs to, if it was made due or made by one.
    pub replay_id: Option<ReplayId>,
}

/// An attempt that was made.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// The proof that it was ours.
    pub fence: Fence,
    /// When it ended.
    pub at: Timestamp,
    /// What was sent and what came back.
    pub attempt: Attempt,
    /// What becomes of the delivery.
    pub next: Next,
    /// What becomes of the webhook, beside its health.
    pub effect: Option<WebhookEffect>,
    /// Random, in `0..1`: for how long its circuit opens, if it does.
    pub unit: f64,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable.
    Done {
        /// Whether the lane has another delivery that is due by it.
        lane_goes_on: bool,
    },
    /// The claim was no longer ours: nothing was written.
    Lost,
}

impl Claim {
    /// Whether the attempt is made because a person asked, and not by the schedule.
    pub fn is_replay(&self) -> bool {
        self.state != DeliveryState::Pending || self.planned.is_some()
    }

    /// The id of the message.
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.integration_id.0, self.sequence)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("delivery_id", &self.delivery_id)
            .field("fence", &self.fence)
            .field("sequence", &self.sequence)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
