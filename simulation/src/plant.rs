//! Bugs that are planted to see whether the simulation finds them.

use std::time::Duration;

use bellhop::{
    domain::delivery::{Next, WebhookEffect},
    store::{Attempted, WebhookClaims},
};
use bytes::Bytes;

/// A bug, planted between the dispatcher and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The time of a retry is not made durable.
    RetryTimerLost,
    /// The next message of a lane does not wait for the one before it.
    LaneDoesNotWait,
    /// `Retry-After` and the schedule are forgotten.
    PausesForgotten,
    /// A delivery is not recorded.
    RecordForgotten,
    /// The body is made anew for each retry.
    BodyMadeAgain,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RetryTimerLost,
        Self::LaneDoesNotWait,
        Self::PausesForgotten,
        Self::RecordForgotten,
        Self::BodyMadeAgain,
    ];

    /// Spoils what is about to be recorded. `false` if it is not to be recorded at all.
    pub fn spoil_record(self, attempted: &mut Attempted) -> bool {
        let at = attempted.at;
        match (self, attempted.next) {
            (Self::RetryTimerLost, Next::Retry { .. }) => {
                let never = bellhop::domain::retry::later(at, Duration::from_hours(24 * 365));
                attempted.next = Next::Retry { at: never };
            }
            (Self::LaneDoesNotWait, Next::Retry { .. }) => attempted.next = Next::Failed,
            (Self::PausesForgotten, Next::Retry { .. }) => {
                attempted.next = Next::Retry { at };
                if matches!(attempted.effect, Some(WebhookEffect::NotBefore(_))) {
                    attempted.effect = None;
                }
            }
            (Self::RecordForgotten, Next::Delivered) => return false,
            _ => {}
        }
        true
    }

    /// Spoils what was claimed.
    pub fn spoil_claims(self, taken: &mut [WebhookClaims]) {
        if self != Self::BodyMadeAgain {
            return;
        }
        for claim in taken.iter_mut().flat_map(|of| &mut of.claims) {
            if let Some(body) = claim.body.take() {
                let again = [&body[..], b" "].concat();
                claim.body = Some(if claim.number > 1 {
                    Bytes::from(again)
                } else {
                    body
                });
            }
        }
    }
}
