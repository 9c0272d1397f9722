//! The webhook actions of the contract, and the profiles that choose among them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What happened to an integration (the contract, "Webhook action").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// A new integration was created.
    IntegrationCreated,
    /// The integration was enabled.
    IntegrationEnabled,
    /// The integration was disabled.
    IntegrationDisabled,
    /// The integration's subscription was canceled.
    IntegrationCanceled,
    /// A canceled integration was reinstated.
    IntegrationReinstated,
    /// The integration was deleted, for good.
    IntegrationDeleted,
    /// The integration's access token was regenerated (profile `2025` only).
    IntegrationApiKeyCreated,
}

/// Which version of the contract a webhook speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// `default`: the six actions of the contract as it is written.
    #[default]
    Default,
    /// `2025`: adds an optional `Service` to `IntegrationCreated`, and the
    /// action `IntegrationApiKeyCreated`.
    V2025,
}

/// The text names no action of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a webhook action; known are {known}", known = known_actions())]
pub struct UnknownAction(pub String);

/// The text names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a contract profile; known are default, 2025")]
pub struct UnknownProfile(pub String);

impl Action {
    /// Every action, in the contract's order, the one of profile `2025` last.
    pub const ALL: [Self; 7] = [
        Self::IntegrationCreated,
        Self::IntegrationEnabled,
        Self::IntegrationDisabled,
        Self::IntegrationCanceled,
        Self::IntegrationReinstated,
        Self::IntegrationDeleted,
        Self::IntegrationApiKeyCreated,
    ];

    /// The action as the contract writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntegrationCreated => "IntegrationCreated",
            Self::IntegrationEnabled => "IntegrationEnabled",
            Self::IntegrationDisabled => "IntegrationDisabled",
            Self::IntegrationCanceled => "IntegrationCanceled",
            Self::IntegrationReinstated => "IntegrationReinstated",
            Self::IntegrationDeleted => "IntegrationDeleted",
            Self::IntegrationApiKeyCreated => "IntegrationApiKeyCreated",
        }
    }

    /// Whether a webhook of this profile is sent the action at all.
    pub const fn in_profile(self, profile: Profile) -> bool {
        match profile {
            Profile::Default => !matches!(self, Self::IntegrationApiKeyCreated),
            Profile::V2025 => true,
        }
    }

    /// Whether the body carries an access token, so that it must be kept
    /// encrypted, shown masked, and never sent in clear.
    pub const fn carries_secret(self) -> bool {
        matches!(
            self,
            Self::IntegrationCreated | Self::IntegrationApiKeyCreated
        )
    }
}

impl Profile {
    /// Every profile, oldest first.
    pub const ALL: [Self; 2] = [Self::Default, Self::V2025];

    /// The profile as settings and the API write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::V2025 => "2025",
        }
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn known_actions() -> String {
    Action::ALL.map(Action::as_str).join(", ")
}
