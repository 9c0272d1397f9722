//! The messages of the contract, member for member.
//!
//! The order of the fields below is the order of the members on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Action, UtcSecond};

/// One action that happened, as its body tells it: `{"Action": …, "Data": …}`.
///
/// Reading tolerates members that the contract does not name, so that a
/// receiver survives an addition to it. Writing produces exactly the
/// contract's members, compact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Action", content = "Data")]
pub enum Message {
    /// A new integration was created.
    IntegrationCreated(IntegrationCreated),
    /// The integration was enabled.
    IntegrationEnabled(IntegrationChanged),
    /// The integration was disabled.
    IntegrationDisabled(IntegrationChanged),
    /// The integration's subscription was canceled.
    IntegrationCanceled(IntegrationChanged),
    /// A canceled integration was reinstated.
    IntegrationReinstated(IntegrationChanged),
    /// The integration was deleted, for good.
    IntegrationDeleted(IntegrationDeleted),
    /// The integration's access token was regenerated (profile `2025`).
    IntegrationApiKeyCreated(IntegrationApiKeyCreated),
}

/// Data of [`Action::IntegrationCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntegrationCreated {
    /// The enterprise that is connected.
    pub enterprise: Enterprise,
    /// The service; profile `2025` only, left out when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Who asked for it; always written, `null` when unknown.
    pub requestor: Option<Requestor>,
    /// The access token of the integration: a secret.
    pub access_token: AccessTokenText,
    /// When the integration was created.
    pub created_utc: UtcSecond,
    /// Whether it started enabled.
    pub is_enabled: bool,
    /// The integration.
    pub integration: Integration,
}

/// Data of the four actions that carry the integration alone: enabled,
/// disabled, canceled, reinstated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntegrationChanged {
    /// The integration.
    pub integration: Integration,
}

/// Data of [`Action::IntegrationDeleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntegrationDeleted {
    /// When the integration was deleted; never null.
    pub deleted_utc: UtcSecond,
    /// The integration.
    pub integration: Integration,
}

/// Data of [`Action::IntegrationApiKeyCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntegrationApiKeyCreated {
    /// The integration.
    pub integration: Integration,
    /// Its new access token: a secret.
    pub api_key: AccessTokenText,
}

/// The customer of the platform that the integration belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Enterprise {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// The service of the enterprise that is connected (profile `2025`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// The person who asked for the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Requestor {
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
}

/// The connection of one enterprise to one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Integration {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// The text of an access token: written in the body, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessTokenText(String);

/// Why bytes are not a message. The texts never quote the body, which may
/// carry an access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes are not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the first byte that does not fit, from 1.
        line: usize,
        /// Column of it, from 1; 0 at the start of a line.
        column: usize,
    },
    /// JSON, but not an object with a text member `Action`.
    #[error("the body is not an object with a text member Action")]
    NoAction,
    /// An action that this version does not know. A receiver should answer it
    /// with a 2xx and go on: the contract may have grown.
    #[error("the action is none that this version knows")]
    UnknownAction(String),
    /// The action is known, but its data is not as the contract says.
    #[error("the data of {action} is not as the contract says: {reason}")]
    Data {
        /// The action.
        action: Action,
        /// What is wrong and where; names members, quotes no values.
        reason: String,
    },
}

/// Just enough of a body to know which action it is.
#[derive(Deserialize)]
struct ActionOnly {
    #[serde(rename = "Action")]
    action: String,
}

impl Message {
    /// Reads the body of a webhook. Verify its signature first: the bytes of
    /// a stranger are not a message.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        serde_json::from_slice(body).map_err(|error| diagnose(body, &error))
    }

    /// The body as it is signed and sent: compact, the contract's members in
    /// the contract's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, booleans and text keys always serialise")
    }

    /// Which action it is.
    pub const fn action(&self) -> Action {
        match self {
            Self::IntegrationCreated(_) => Action::IntegrationCreated,
            Self::IntegrationEnabled(_) => Action::IntegrationEnabled,
            Self::IntegrationDisabled(_) => Action::IntegrationDisabled,
            Self::IntegrationCanceled(_) => Action::IntegrationCanceled,
            Self::IntegrationReinstated(_) => Action::IntegrationReinstated,
            Self::IntegrationDeleted(_) => Action::IntegrationDeleted,
            Self::IntegrationApiKeyCreated(_) => Action::IntegrationApiKeyCreated,
        }
    }

    /// The integration that it happened to.
    pub const fn integration(&self) -> &Integration {
        match self {
            Self::IntegrationCreated(data) => &data.integration,
            Self::IntegrationEnabled(data)
            | Self::IntegrationDisabled(data)
            | Self::IntegrationCanceled(data)
            | Self::IntegrationReinstated(data) => &data.integration,
            Self::IntegrationDeleted(data) => &data.integration,
            Self::IntegrationApiKeyCreated(data) => &data.integration,
        }
    }
}

impl AccessTokenText {
    /// Wraps the text of an access token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessTokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokenText(redacted)")
    }
}

/// Finds out what is wrong with a body that is no message.
fn diagnose(body: &[u8], error: &serde_json::Error) -> ParseError {
    if let Err(syntax) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        return ParseError::NotJson {
            line: syntax.line(),
            column: syntax.column(),
        };
    }
    let Ok(ActionOnly { action }) = serde_json::from_slice(body) else {
        return ParseError::NoAction;
    };
    match action.parse() {
        Ok(action) => ParseError::Data {
            action,
            reason: without_values(error),
        },
        Err(unknown) => ParseError::UnknownAction(unknown.0),
    }
}

/// serde quotes the offending value in most of its texts; only those that
/// name a member alone may be passed on.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field `") || text.starts_with("duplicate field `") {
        return text.replace("field", "member");
    }
    format!(
        "a member has the wrong type or form at line {} column {}",
        error.line(),
        error.column()
    )
}
