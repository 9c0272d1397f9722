//! What an access token opens: the part of an integration that introspection needs.

use jiff::Timestamp;

use crate::{
    domain::{
        access_token::{TokenHash, Tokens},
        integration::{Integration, State},
    },
    id::{ApplicationId, EnterpriseId, IntegrationId},
};

/// What the access tokens of an integration open. Small, so that many can be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The application that calls.
    pub application_id: ApplicationId,
    /// The enterprise whose things are opened.
    pub enterprise_id: EnterpriseId,
    /// When the integration was created.
    pub created: Timestamp,
    /// Whether any token opens anything: the integration is enabled.
    pub is_open: bool,
    /// The tokens; none once the integration is deleted.
    pub tokens: Option<Tokens>,
}

impl Access {
    /// Whether a token with this hash is active at this moment.
    pub fn accepts(&self, token: &TokenHash, now: Timestamp) -> bool {
        let known = self
            .tokens
            .as_ref()
            .is_some_and(|tokens| tokens.accept(token, now));
        known && self.is_open
    }
}

impl From<&Integration> for Access {
    fn from(integration: &Integration) -> Self {
        Self {
            integration_id: integration.id,
            application_id: integration.application_id,
            enterprise_id: integration.enterprise_id,
            created: integration.created,
            is_open: integration.state() == State::Enabled,
            tokens: integration.tokens.clone(),
        }
    }
}
