//! The headers of a request, told again from what is recorded of it.

use bellhop_webhook::{Action, HEADER_ID, HEADER_TIMESTAMP, MessageId};

use super::{
    delivery::{Attempt, Delivery},
    masked::MASK,
    signatures,
    webhook::Webhook,
};

/// What is the same in every attempt.
#[derive(Debug)]
pub struct Sent {
    /// The `webhook-id`.
    pub message_id: MessageId,
    /// What happened.
    pub action: Action,
    /// 0 for a test message.
    pub sequence: u64,
    /// See [`Delivery::previous`].
    pub previous: u64,
    /// Names of the webhook's further headers.
    pub further: Vec<String>,
}

impl Sent {
    /// Of a delivery; `None` if the webhook is gone.
    pub fn of(delivery: &Delivery, webhook: Option<&Webhook>) -> Self {
        Self {
            message_id: delivery.message_id(),
            action: delivery.action,
            sequence: delivery.sequence,
            previous: delivery.previous,
            further: webhook.map(further).unwrap_or_default(),
        }
    }

    /// Of a test message.
    pub fn test(webhook: &Webhook, message_id: MessageId, action: Action) -> Self {
        Self {
            message_id,
            action,
            sequence: 0,
            previous: 0,
            further: further(webhook),
        }
    }

    /// The headers as they were sent with this attempt, by the same rules; those of the webhook masked.
    pub fn headers(&self, attempt: &Attempt) -> Vec<(String, String)> {
        let own = [
            ("content-type", "application/json".to_owned()),
            (
                "user-agent",
                concat!("bellhop/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            (HEADER_ID, self.message_id.to_string()),
            (HEADER_TIMESTAMP, attempt.started.as_second().to_string()),
            ("bellhop-action", self.action.as_str().to_owned()),
            ("bellhop-sequence", self.sequence.to_string()),
            ("bellhop-previous", self.previous.to_string()),
            ("bellhop-attempt", attempt.number.to_string()),
            ("traceparent", attempt.traceparent.clone()),
        ];
        let replay = attempt
            .is_replay
            .then(|| ("bellhop-replay", "true".to_owned()));
        let signatures = signatures::headers_of(&attempt.signature)
            .map(|(name, value)| (name, value.to_owned()));
        let own = own
            .into_iter()
            .chain(signatures)
            .chain(replay)
            .map(|(name, value)| (name.to_owned(), value));
        let further = self
            .further
            .iter()
            .map(|name| (name.clone(), MASK.to_owned()));
        own.chain(further).collect()
    }
}

/// Names of what a webhook adds to its requests.
fn further(webhook: &Webhook) -> Vec<String> {
    let names = webhook.headers.iter().map(|(name, _)| name.clone());
    let authorization = webhook
        .authentication
        .as_ref()
        .map(|_| "authorization".to_owned());
    names.chain(authorization).collect()
}
