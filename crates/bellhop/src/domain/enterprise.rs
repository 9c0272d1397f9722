//! The customer of the platform, and the partner's product.

use jiff::Timestamp;

use crate::id::{ApplicationId, EnterpriseId};

/// A property or a chain of properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enterprise {
    /// The operator's own id.
    pub id: EnterpriseId,
    /// Its name, as messages carry it.
    pub name: String,
    /// When it was first put here.
    pub created: Timestamp,
}

/// The partner's product: owns webhooks and integrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
}
