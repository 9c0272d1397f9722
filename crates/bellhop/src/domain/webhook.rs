//! A configured endpoint of an application.

use std::{fmt, str::FromStr, time::Duration};

use bellhop_webhook::{Action, Profile};
use jiff::Timestamp;

use crate::{
    domain::{
        access_token::TokenHash,
        authentication::{Authentication, ClientCertificate},
        health::Health,
        retry::RetrySchedule,
        secret_text::SecretText,
        signatures::Signatures,
    },
    id::{ApplicationId, WebhookId},
};

/// Time-out of one whole exchange, unless the webhook says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Most requests to one webhook at a time, unless it says otherwise.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 32;
/// The highest such limit that a webhook may have.
pub const MAX_IN_FLIGHT: u32 = 256;

/// A configured endpoint: where, what, how.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The application that owns it.
    pub application_id: ApplicationId,
    /// Where to. Its query may be a secret.
    pub url: SecretText,
    /// For people.
    pub description: String,
    /// Which actions.
    pub actions: ActionFilter,
    /// In which form of the contract.
    pub profile: Profile,
    /// Whether it is sent to.
    pub state: WebhookState,
    /// Why it is not, if it is not.
    pub state_reason: Option<String>,
    /// One deadline for the whole exchange.
    pub timeout: Duration,
    /// When to try again.
    pub retry_schedule: RetrySchedule,
    /// Most requests at a time.
    pub max_in_flight: u32,
    /// Most requests a second, if limited.
    pub rate_limit: Option<u32>,
    /// Whether a redirect within the same origin is followed (307 and 308).
    pub follow_redirects: bool,
    /// Further headers, name and value. Values are secrets.
    pub headers: Vec<(String, SecretText)>,
    /// What stands in `Authorization`, if anything does.
    pub authentication: Option<Authentication>,
    /// What is shown in the TLS handshake, if the receiver wants it.
    pub client_certificate: Option<ClientCertificate>,
    /// How requests are signed.
    pub signatures: Signatures,
    /// What signs, newest first. The newest of a kind has no end. What no signature is made with is kept all the same.
    pub secrets: Vec<WebhookSecret>,
    /// When it was created.
    pub created: Timestamp,
    /// Nothing is sent before this moment: a receiver asked for it (`Retry-After`).
    pub not_before: Option<Timestamp>,
    /// What its attempts have shown.
    pub health: Health,
    /// Grows with every change.
    pub revision: u64,
}

/// A secret that signs: `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    /// The secret in its printed form.
    pub text: SecretText,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it signs; `None` for the newest of its kind.
    pub expires: Option<Timestamp>,
}

/// Whether a webhook is sent to. What happens meanwhile is held, never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebhookState {
    /// It is.
    Enabled,
    /// A person stopped it for a while.
    Paused,
    /// The receiver said that it is gone, or failed for too long.
    Disabled,
}

/// The actions that a webhook wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionFilter(u8);

/// What a commit must know of a webhook to make its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Its filter.
    pub actions: ActionFilter,
    /// Its profile.
    pub profile: Profile,
    /// How long the first try of a delivery waits.
    pub first_wait: Duration,
}

impl Webhook {
    /// What it subscribes to.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            webhook_id: self.id,
            actions: self.actions,
            profile: self.profile,
            first_wait: self.retry_schedule.first_wait(),
        }
    }

    /// The secrets that sign at this moment, newest first.
    pub fn active_secrets(&self, now: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        self.secrets.iter().filter(move |secret| secret.signs(now))
    }
}

impl WebhookSecret {
    /// The first 12 hex digits of its SHA-256: tells secrets apart, and gives none away.
    pub fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        let hash = TokenHash::of(self.text.expose());
        hash.0[..6].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Webhook {
    /// Makes another secret the newest of its kind. Those of that kind before it sign as well until the overlap ends, or
    /// until they were to end already; without an overlap they are forgotten, so that no clock that is set back makes
    /// them sign again.
    pub fn rotate_secret(&mut self, text: SecretText, overlap_until: Timestamp, at: Timestamp) {
        let newest = WebhookSecret {
            text,
            created: at,
            expires: None,
        };
        let same_kind = |former: &&mut WebhookSecret| former.kind() == newest.kind();
        for former in self.secrets.iter_mut().filter(same_kind) {
            let until = former.expires.unwrap_or(overlap_until);
            former.expires = Some(until.min(overlap_until));
        }
        self.secrets.retain(|former| former.signs(at));
        self.secrets.insert(0, newest);
        self.revision += 1;
    }
}

impl Subscription {
    /// Whether this webhook gets messages of the action.
    pub fn wants(&self, action: Action) -> bool {
        self.actions.contains(action) && action.in_profile(self.profile)
    }
}

impl ActionFilter {
    /// All actions, those of later versions too.
    pub const ALL: Self = Self(0xff);

    /// Only these; none given means all.
    pub fn of(actions: &[Action]) -> Self {
        if actions.is_empty() {
            return Self::ALL;
        }
        Self(actions.iter().fold(0, |bits, action| bits | bit(*action)))
    }

    /// Whether the action passes.
    pub fn contains(self, action: Action) -> bool {
        self.0 & bit(action) != 0
    }

    /// The actions by name; empty if all pass.
    pub fn actions(self) -> Vec<Action> {
        if self == Self::ALL {
            return Vec::new();
        }
        Action::ALL
            .into_iter()
            .filter(|action| self.contains(*action))
            .collect()
    }

    /// As a store keeps it.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// As a store kept it.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

fn bit(action: Action) -> u8 {
    let position = Action::ALL
        .iter()
        .position(|each| *each == action)
        .unwrap_or(0);
    1 << position
}

impl WebhookState {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Paused => "Paused",
            Self::Disabled => "Disabled",
        }
    }
}

impl fmt::Display for WebhookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WebhookState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Enabled, Self::Paused, Self::Disabled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("no state of a webhook is called {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_it_names() {
        let filter = ActionFilter::of(&[Action::IntegrationCreated, Action::IntegrationDeleted]);
        assert_eq!(
            filter.actions(),
            [Action::IntegrationCreated, Action::IntegrationDeleted]
        );
        assert_eq!(ActionFilter::from_bits(filter.bits()), filter);
        assert!(ActionFilter::of(&[]).contains(Action::IntegrationEnabled));
        assert!(ActionFilter::ALL.actions().is_empty());
    }

    #[test]
    fn a_new_token_is_told_under_profile_2025_alone() {
        let webhook_id = WebhookId(uuid::Uuid::nil());
        let wants = |profile| {
            Subscription {
                webhook_id,
                actions: ActionFilter::ALL,
                profile,
                first_wait: Duration::ZERO,
            }
            .wants(Action::IntegrationApiKeyCreated)
        };
        assert!(!wants(Profile::Default));
        assert!(wants(Profile::V2025));
    }
}
