//! What can be asked.

use bellhop_webhook::{Action, Requestor};
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{cause::Cause, delivery::DeliveryState, integration::State},
    id::{ApplicationId, EnterpriseId, IntegrationId, WebhookId},
};

/// A part of a list: at most `limit` items after the one with the id `after`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Where the page before ended.
    pub after: Option<Uuid>,
    /// At most this many.
    pub limit: u32,
}

/// Which integrations.
#[derive(Debug, Clone, Default)]
pub struct IntegrationFilter {
    /// Of this application.
    pub application_id: Option<ApplicationId>,
    /// Of this enterprise.
    pub enterprise_id: Option<EnterpriseId>,
    /// In this state. Without it, all but the deleted.
    pub state: Option<State>,
    /// The deleted too.
    pub with_deleted: bool,
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeliveryFilter {
    /// To this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Of this application.
    pub application_id: Option<ApplicationId>,
    /// Of this integration.
    pub integration_id: Option<IntegrationId>,
    /// Of this enterprise.
    pub enterprise_id: Option<EnterpriseId>,
    /// Of this action.
    pub action: Option<Action>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Whose newest attempt failed so.
    pub cause: Option<Cause>,
    /// Made at this moment or later.
    pub from: Option<Timestamp>,
    /// Made before this moment.
    pub to: Option<Timestamp>,
}

/// One message of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMessage {
    /// Of which integration.
    pub integration_id: IntegrationId,
    /// Its position.
    pub sequence: u64,
    /// What happened.
    pub action: Action,
    /// When.
    pub created: Timestamp,
    /// Who asked.
    pub requestor: Option<Requestor>,
    /// Its bytes under the default profile.
    pub body: MessageBody,
}

/// The bytes of a message. Debug shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub enum MessageBody {
    /// As they are sent.
    Bytes(Bytes),
    /// They carried an access token and were erased.
    Erased {
        /// When.
        at: Timestamp,
    },
}

/// Figures for metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// How many deliveries are in each state, in the order of `DeliveryState::ALL`.
    pub deliveries: [u64; 4],
    /// When the oldest delivery that may be sent now became due.
    pub oldest_due: Option<Timestamp>,
    /// How many lanes wait because their webhook is not enabled, or its circuit is not closed.
    pub lanes_held: u64,
    /// How many operational messages are still to be sent somewhere.
    pub operational_pending: u64,
    /// How many webhooks have a circuit that is not closed.
    pub circuits_open: u64,
    /// Size of the database in bytes.
    pub database_bytes: u64,
}

impl MessageBody {
    /// From what is kept of it. `None` if there is neither.
    pub fn kept(bytes: Option<Bytes>, erased: Option<Timestamp>) -> Option<Self> {
        let erased = erased.map(|at| Self::Erased { at });
        bytes.map(Self::Bytes).or(erased)
    }
}

impl std::fmt::Debug for MessageBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "[{} bytes]", bytes.len()),
            Self::Erased { at } => write!(f, "erased at {at}"),
        }
    }
}
