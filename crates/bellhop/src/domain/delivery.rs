//! One message on its way to one webhook, and what an attempt means for it.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use bellhop_webhook::{Action, MessageId};
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    domain::{cause::Cause, retry::RetrySchedule},
    id::{ApplicationId, DeliveryId, IntegrationId, WebhookId},
};

/// One message on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where to.
    pub webhook_id: WebhookId,
    /// Whose webhook that is.
    pub application_id: ApplicationId,
    /// Of which integration.
    pub integration_id: IntegrationId,
    /// Position of the message in the integration's history.
    pub sequence: u64,
    /// The sequence of the message before it in this lane; 0 for the first.
    pub previous: u64,
    /// What happened.
    pub action: Action,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why the newest attempt failed, if it did.
    pub cause: Option<Cause>,
    /// Why a person discarded it.
    pub reason: Option<String>,
    /// How many attempts were recorded.
    pub attempt_count: u32,
    /// How many of them used up a try of the schedule; replays do not.
    pub tries: u32,
    /// When it is tried next. `None` behind an earlier one of its lane, and when it has ended.
    pub next_attempt: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Whether its integration has a later message, so that what it says may no longer hold.
    pub is_stale: bool,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// To be sent.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// The schedule is used up.
    Failed,
    /// A person discarded it.
    Discarded,
}

/// One HTTP request for a delivery, with what was sent and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1, 2, 3 …
    pub number: u32,
    /// Whether it was made because a person asked, and not by the schedule.
    pub is_replay: bool,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed; `None` if it succeeded.
    pub cause: Option<Cause>,
    /// More of that, for people, and which redirects were followed. Holds no secret.
    pub detail: Option<String>,
    /// The signature that was sent.
    pub signature: String,
    /// The `traceparent` that was sent.
    pub traceparent: String,
    /// What came back, if anything did.
    pub response: Option<Arc<Response>>,
    /// Where the time went.
    pub timings: Timings,
    /// The address that was connected to.
    pub remote: Option<IpAddr>,
}

/// What a receiver answered, bounded and scrubbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Bytes,
    /// Whether there was more of it.
    pub is_truncated: bool,
}

/// Where the time of an attempt went, in microseconds. Name, connect and TLS only on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Resolving the name.
    pub dns_us: Option<u32>,
    /// Connecting.
    pub connect_us: Option<u32>,
    /// The TLS handshake.
    pub tls_us: Option<u32>,
    /// Writing the request.
    pub send_us: Option<u32>,
    /// From the end of the request to the head of the response.
    pub wait_us: Option<u32>,
    /// The body of the response.
    pub receive_us: Option<u32>,
}

/// What an attempt came to, as far as the delivery is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx within the time-out.
    Succeeded,
    /// Anything else.
    Failed {
        /// Why.
        cause: Cause,
        /// How long the receiver asked us to wait.
        retry_after: Option<Duration>,
    },
}

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has arrived.
    Delivered,
    /// It is tried again.
    Retry {
        /// Not before this moment.
        at: Timestamp,
    },
    /// The schedule is used up.
    Failed,
    /// It was a replay of one that had ended, and it failed: what it was before stays.
    Unchanged,
}

/// What becomes of the whole webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEffect {
    /// The receiver asked for a pause (`Retry-After`).
    NotBefore(Timestamp),
    /// The receiver is gone (410): nothing more is sent until a person says so.
    Disable {
        /// Why, for people.
        reason: String,
    },
}

/// What an attempt was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The state of the delivery before it.
    pub state: DeliveryState,
    /// How many tries of the schedule were used up before it.
    pub tries: u32,
    /// The next try of the schedule, if this attempt is a replay of a pending delivery.
    pub planned: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
}

/// Decides what becomes of the delivery and of its webhook. `unit` is random, in `0..1`.
pub fn decide(
    tried: Tried,
    outcome: Outcome,
    schedule: &RetrySchedule,
    unit: f64,
) -> (Next, Option<WebhookEffect>) {
    let Outcome::Failed { cause, retry_after } = outcome else {
        return (Next::Delivered, None);
    };
    let effect = match (cause, retry_after) {
        (Cause::Gone, _) => Some(WebhookEffect::Disable {
            reason: "The receiver answered 410 Gone.".into(),
        }),
        (_, Some(wait)) => {
            let wait = wait.min(crate::domain::retry::MAX_RETRY_AFTER);
            Some(WebhookEffect::NotBefore(crate::domain::retry::later(
                tried.ended,
                wait,
            )))
        }
        (_, None) => None,
    };
    let next = match tried.state {
        // A replay does not disturb the schedule.
        DeliveryState::Pending => match (
            tried.planned,
            schedule.after(tried.tries + 1, tried.ended, retry_after, unit),
        ) {
            // A replay does not disturb the schedule.
            (Some(planned), _) => Next::Retry {
                at: planned.max(tried.ended),
            },
            (None, Some(at)) => Next::Retry { at },
            // Gone is a matter of the webhook: what it holds waits for the person who enables it again.
            (None, None) if cause == Cause::Gone => Next::Retry { at: tried.ended },
            (None, None) => Next::Failed,
        },
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Discarded => {
            Next::Unchanged
        }
    };
    (next, effect)
}

impl Delivery {
    /// The id of its message.
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.integration_id.0, self.sequence)
    }
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 4] = [
        Self::Pending,
        Self::Delivered,
        Self::Failed,
        Self::Discarded,
    ];

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Delivered => "Delivered",
            Self::Failed => "Failed",
            Self::Discarded => "Discarded",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("no state of a delivery is called {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(state: DeliveryState, number: u32) -> Tried {
        Tried {
            state,
            tries: number - 1,
            planned: None,
            ended: Timestamp::from_second(1000).unwrap(),
        }
    }

    fn failed(cause: Cause) -> Outcome {
        Outcome::Failed {
            cause,
            retry_after: None,
        }
    }

    fn decided(tried: Tried, outcome: Outcome) -> (Next, Option<WebhookEffect>) {
        decide(tried, outcome, &RetrySchedule::default(), 0.0)
    }

    #[test]
    fn a_failure_is_tried_again_until_the_schedule_is_used_up() {
        let pending = DeliveryState::Pending;
        let at = Timestamp::from_second(1005).unwrap();
        assert_eq!(
            decided(tried(pending, 1), failed(Cause::ServerError)),
            (Next::Retry { at }, None)
        );
        assert_eq!(
            decided(tried(pending, 10), failed(Cause::ServerError)),
            (Next::Failed, None)
        );
        assert_eq!(
            decided(tried(pending, 10), Outcome::Succeeded),
            (Next::Delivered, None)
        );
    }

    #[test]
    fn retry_after_slows_the_whole_webhook() {
        let outcome = Outcome::Failed {
            cause: Cause::RateLimited,
            retry_after: Some(Duration::from_mins(2)),
        };
        let at = Timestamp::from_second(1120).unwrap();
        let expected = (Next::Retry { at }, Some(WebhookEffect::NotBefore(at)));
        assert_eq!(decided(tried(DeliveryState::Pending, 1), outcome), expected);
    }

    #[test]
    fn gone_disables_the_webhook_and_holds_the_delivery() {
        for number in [1, 10, 11] {
            let (next, effect) =
                decided(tried(DeliveryState::Pending, number), failed(Cause::Gone));
            assert!(matches!(next, Next::Retry { .. }));
            assert!(matches!(effect, Some(WebhookEffect::Disable { .. })));
        }
    }

    #[test]
    fn a_failed_replay_of_a_pending_delivery_waits_for_its_planned_try() {
        let planned = Timestamp::from_second(5000).unwrap();
        let replay = Tried {
            planned: Some(planned),
            ..tried(DeliveryState::Pending, 10)
        };
        assert_eq!(
            decided(replay, failed(Cause::Timeout)).0,
            Next::Retry { at: planned }
        );
    }

    #[test]
    fn a_failed_replay_leaves_what_was() {
        for state in [
            DeliveryState::Delivered,
            DeliveryState::Failed,
            DeliveryState::Discarded,
        ] {
            assert_eq!(
                decided(tried(state, 3), failed(Cause::Timeout)).0,
                Next::Unchanged
            );
            assert_eq!(
                decided(tried(state, 3), Outcome::Succeeded).0,
                Next::Delivered
            );
        }
    }
}
