//! API keys: who may do what. Stored hashed; the key itself is shown once.

use std::fmt;

use jiff::Timestamp;

use crate::{
    domain::{access_token::TokenHash, secret_text::SecretText},
    id::{ApplicationId, KeyId},
    random::{Random, bytes},
};

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Operator,
    /// One application's webhooks, deliveries and integrations.
    Application(ApplicationId),
    /// The introspection of access tokens, nothing else.
    Introspect,
}

/// A key as it is kept: its hash, never itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// What it opens.
    pub scope: Scope,
    /// SHA-256 of the key.
    pub hash: TokenHash,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working, if ever.
    pub expires: Option<Timestamp>,
}

/// Makes a key: `bhk_` and 256 random bits in hex.
pub fn generate(random: &dyn Random) -> SecretText {
    let hex = bytes::<32>(random)
        .iter()
        .fold(String::from("bhk_"), |mut text, byte| {
            use fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        });
    SecretText::new(hex)
}

impl ApiKey {
    /// Whether it works at this moment.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|until| now < until)
    }
}

impl Scope {
    /// The kind, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Application(_) => "application",
            Self::Introspect => "introspect",
        }
    }

    /// The application that it is bound to.
    pub fn application_id(self) -> Option<ApplicationId> {
        match self {
            Self::Application(id) => Some(id),
            Self::Operator | Self::Introspect => None,
        }
    }

    /// From the kind and the application.
    pub fn from_parts(kind: &str, application: Option<ApplicationId>) -> Option<Self> {
        match (kind, application) {
            ("operator", None) => Some(Self::Operator),
            ("application", Some(id)) => Some(Self::Application(id)),
            ("introspect", None) => Some(Self::Introspect),
            _ => None,
        }
    }
}
