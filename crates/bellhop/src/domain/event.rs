//! That something has changed: what live views are told. Never what it is now: who wants to know reads it.

use crate::id::{ApplicationId, DeliveryId, IntegrationId, WebhookId};

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A delivery was tried, or ended, or is to be sent again.
    Delivery(DeliveryId),
    /// A webhook's configuration or state is another.
    Webhook(WebhookId),
    /// A webhook is gone.
    WebhookDeleted {
        /// Which.
        id: WebhookId,
        /// Whose it was: nobody can be asked any more.
        application_id: ApplicationId,
    },
    /// An integration was made or commanded: there may be deliveries that nobody has heard of.
    Integration {
        /// Which.
        id: IntegrationId,
        /// Of the message that tells it.
        sequence: u64,
    },
    /// Something happened elsewhere that is not known here: what came before is not all.
    Missed,
}
