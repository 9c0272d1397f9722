//! Deliveries that failed for good, gathered so that thousands of them make a few messages.

use std::time::Duration;

use bellhop_webhook::{Action, MessageId, UtcSecond};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{cause::Cause, retry::later},
    id::{DeliveryId, IntegrationId},
};

/// How long failed deliveries of one webhook are gathered into one message, after the first, which is told at once.
pub const GATHERED_FOR: Duration = Duration::from_mins(1);
/// Most deliveries that one message lists; beyond it they are counted.
pub const MAX_LISTED: usize = 20;

/// Deliveries of one webhook that have failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedDeliveries {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`MAX_LISTED`].
    pub listed: Vec<FailedDelivery>,
}

/// A delivery that has failed for good, as messages list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FailedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The `webhook-id` with which it was sent.
    pub message_id: MessageId,
    /// The integration.
    pub integration: Named<IntegrationId>,
    /// What happened to it.
    pub action: Action,
    /// Position of the message in its history.
    pub sequence: u64,
    /// How many attempts were made.
    pub attempt_count: u32,
    /// Why the last one failed.
    pub cause: Cause,
    /// When the delivery was made.
    pub created_utc: UtcSecond,
}

/// An id with the name that people know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named<Id> {
    /// The id.
    pub id: Id,
    /// The name.
    pub name: String,
}

/// Deliveries of one webhook that failed one after another. The first opens a window and is told at once; those that
/// fail before it closes are told together then, and open the next window. So a webhook that loses thousands in a
/// minute causes two messages, and one that loses a single delivery causes one without delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureWindow {
    /// When it closes.
    pub closes: Timestamp,
    /// What failed in it and is not yet told.
    pub failed: FailedDeliveries,
}

impl FailureWindow {
    /// One that opens at this moment, with nothing in it.
    pub fn opened(at: Timestamp) -> Self {
        Self {
            closes: later(at, GATHERED_FOR),
            failed: FailedDeliveries::default(),
        }
    }
}

impl FailedDeliveries {
    /// One alone.
    pub fn one(delivery: FailedDelivery) -> Self {
        Self {
            count: 1,
            listed: vec![delivery],
        }
    }

    /// One more. Says whether it is listed, and not counted alone.
    pub fn add(&mut self, delivery: FailedDelivery) -> bool {
        self.count += 1;
        let has_room = self.listed.len() < MAX_LISTED;
        if has_room {
            self.listed.push(delivery);
        }
        has_room
    }
}
