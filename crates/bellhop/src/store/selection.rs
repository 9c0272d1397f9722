//! What a run is about, as a column keeps it: in both databases alike.

use serde::{Deserialize, Serialize};

use super::{DeliveryFilter, Selection};
use crate::{
    clock::{from_ms, to_ms},
    id::{ApplicationId, EnterpriseId, IntegrationId, WebhookId},
};

/// A selection as its column has it.
#[derive(Serialize, Deserialize)]
enum Kept {
    Deliveries {
        webhook_id: Option<WebhookId>,
        application_id: Option<ApplicationId>,
        integration_id: Option<IntegrationId>,
        enterprise_id: Option<EnterpriseId>,
        action: Option<String>,
        state: Option<String>,
        cause: Option<String>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    },
    History {
        webhook_id: WebhookId,
        integrations: Option<Vec<IntegrationId>>,
    },
}

/// A selection as it is kept.
pub fn kept(selection: &Selection) -> String {
    let kept = match selection {
        Selection::Deliveries(filter) => Kept::Deliveries {
            webhook_id: filter.webhook_id,
            application_id: filter.application_id,
            integration_id: filter.integration_id,
            enterprise_id: filter.enterprise_id,
            action: filter.action.map(|action| action.as_str().to_owned()),
            state: filter.state.map(|state| state.as_str().to_owned()),
            cause: filter.cause.map(|cause| cause.as_str().to_owned()),
            from_ms: filter.from.map(to_ms),
            to_ms: filter.to.map(to_ms),
        },
        Selection::History {
            webhook_id,
            integrations,
        } => Kept::History {
            webhook_id: *webhook_id,
            integrations: integrations.clone(),
        },
    };
    serde_json::to_string(&kept).expect("ids and texts are JSON")
}

/// A selection from its kept form. `None` if that is damaged.
pub fn opened(json: &str) -> Option<Selection> {
    fn parsed<T: std::str::FromStr>(text: Option<String>) -> Result<Option<T>, T::Err> {
        text.map(|text| text.parse()).transpose()
    }
    Some(match serde_json::from_str(json).ok()? {
        Kept::Deliveries {
            webhook_id,
            application_id,
            integration_id,
            enterprise_id,
            action,
            state,
            cause,
            from_ms: from,
            to_ms: to,
        } => Selection::Deliveries(DeliveryFilter {
            webhook_id,
            application_id,
            integration_id,
            enterprise_id,
            action: parsed(action).ok()?,
            state: parsed(state).ok()?,
            cause: parsed(cause).ok()?,
            from: from.map(from_ms),
            to: to.map(from_ms),
        }),
        Kept::History {
            webhook_id,
            integrations,
        } => Selection::History {
            webhook_id,
            integrations,
        },
    })
}
