//! The life that the demo's integrations lead.

use bellhop_webhook::Action;
use http::Method;

use crate::id::IntegrationId;

/// One of the demo's integrations.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its id, given by the demo as operators may.
    pub id: IntegrationId,
    /// Its name.
    pub name: &'static str,
}

/// One command to each integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it is called for people and in the path; the first creates.
    pub name: &'static str,
    /// The action that it causes.
    pub action: Action,
}

/// All six actions of the contract, in an order in which none is refused.
pub const STEPS: [Step; 6] = [
    Step {
        name: "create",
        action: Action::IntegrationCreated,
    },
    Step {
        name: "disable",
        action: Action::IntegrationDisabled,
    },
    Step {
        name: "enable",
        action: Action::IntegrationEnabled,
    },
    Step {
        name: "cancel",
        action: Action::IntegrationCanceled,
    },
    Step {
        name: "reinstate",
        action: Action::IntegrationReinstated,
    },
    Step {
        name: "delete",
        action: Action::IntegrationDeleted,
    },
];

/// The sequence of the message whose first attempts fail.
pub const FAILING_SEQUENCE: u64 = 2;
/// How many of its attempts fail.
pub const FAILING_ATTEMPTS: u32 = 2;

impl Step {
    /// Method and path of the command.
    pub fn call(self, id: IntegrationId) -> (Method, String) {
        match self.action {
            Action::IntegrationCreated => (Method::POST, "/v1/integrations".to_owned()),
            Action::IntegrationDeleted => (Method::DELETE, format!("/v1/integrations/{id}")),
            _ => (Method::POST, format!("/v1/integrations/{id}/{}", self.name)),
        }
    }
}
