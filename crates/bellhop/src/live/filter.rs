//! What a listener wants to hear of.

use super::What;
use crate::{domain::delivery::Delivery, store::DeliveryFilter};

/// What kind of thing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Deliveries.
    Delivery,
    /// Webhooks.
    Webhook,
    /// Integrations.
    Integration,
}

/// What a listener wants to hear of. Whoever names what only deliveries have (an action, say) hears of deliveries alone.
#[derive(Debug, Clone, Default)]
pub struct LiveFilter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Its `application_id` is also the scope: nothing else is told. `from` and `to` count for nothing.
    pub of: DeliveryFilter,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Delivery, Self::Webhook, Self::Integration];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "Delivery",
            Self::Webhook => "Webhook",
            Self::Integration => "Integration",
        }
    }
}

/// Whether a value is the wanted one, if one is wanted.
fn fits<T: PartialEq + Copy>(wanted: Option<T>, value: Option<T>) -> bool {
    wanted.is_none() || wanted == value
}

impl LiveFilter {
    /// Whether the listener wants to hear it. What is missing, everybody must hear.
    pub fn takes(&self, what: &What) -> bool {
        let of = &self.of;
        let is_of_deliveries = of.action.is_some() || of.state.is_some() || of.cause.is_some();
        match what {
            What::Gap(_) => true,
            What::Delivery {
                delivery,
                enterprise_id,
            } => {
                fits(self.kind, Some(Kind::Delivery))
                    && fits(of.enterprise_id, *enterprise_id)
                    && self.takes_delivery(delivery)
            }
            What::Webhook(webhook) => {
                !is_of_deliveries && self.takes_webhook(webhook.id, webhook.application_id)
            }
            What::WebhookDeleted { id, application_id } => {
                !is_of_deliveries && self.takes_webhook(*id, *application_id)
            }
            What::Integration(integration) => {
                !is_of_deliveries
                    && fits(self.kind, Some(Kind::Integration))
                    && of.webhook_id.is_none()
                    && fits(of.application_id, Some(integration.application_id))
                    && fits(of.integration_id, Some(integration.id))
                    && fits(of.enterprise_id, Some(integration.enterprise_id))
            }
        }
    }

    fn takes_delivery(&self, delivery: &Delivery) -> bool {
        let of = &self.of;
        fits(of.webhook_id, Some(delivery.webhook_id))
            && fits(of.application_id, Some(delivery.application_id))
            && fits(of.integration_id, Some(delivery.integration_id))
            && fits(of.action, Some(delivery.action))
            && fits(of.state, Some(delivery.state))
            && fits(of.cause, delivery.cause)
    }

    fn takes_webhook(
        &self,
        id: crate::id::WebhookId,
        application_id: crate::id::ApplicationId,
    ) -> bool {
        let of = &self.of;
        fits(self.kind, Some(Kind::Webhook))
            && of.integration_id.is_none()
            && of.enterprise_id.is_none()
            && fits(of.webhook_id, Some(id))
            && fits(of.application_id, Some(application_id))
    }
}
