//! The settings of a webhook as callers write them, and the judging of them.

use bellhop_webhook::{Action, Profile, Secret, SigningKey};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{
    JudgeUrl,
    body::Object,
    checks::Checks,
    client_certificate::{ClientCertificateInput, check_certificate},
    code::Flaw,
    error::FieldError,
    objects::Headers,
    webhook_credentials::{AuthenticationInput, check_authentication, check_together},
};
use crate::{
    domain::{
        header,
        retry::RetrySchedule,
        secret_text::SecretText,
        webhook::{ActionFilter, MAX_IN_FLIGHT, Webhook},
    },
    store::WebhookPatch,
};

/// The longest URL in bytes.
const MAX_URL_BYTES: usize = 2048;
/// The longest description in characters.
pub const MAX_DESCRIPTION: usize = 500;
/// The longest time-out of an exchange.
pub const MAX_TIMEOUT_SECONDS: u32 = 60;
/// The highest rate that a webhook may be limited to: above it, leave the limit out.
pub const MAX_RATE: u32 = 10_000;

/// A webhook to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where to: https, and a public host, unless the operator allows more.
    #[schema(required, value_type = String, max_length = 2048)]
    url: Option<String>,
    /// Which actions; all of the profile if absent or empty.
    actions: Option<Vec<String>>,
    /// `default` or `2025`.
    profile: Option<String>,
    /// For people.
    description: Option<String>,
    /// What signs: `whsec_…` or `whsk_…`; what `Signatures` need is made unless given. A key pair is never shown.
    pub(super) secret: Option<String>,
    /// How requests are signed: `v1` and `v1a` (Standard Webhooks), `rfc9421-hmac-sha256` and `rfc9421-ed25519` (HTTP
    /// Message Signatures). `["v1"]` unless given, `["v1a"]` with a `whsk_…`.
    pub(super) signatures: Option<Vec<String>>,
    /// The deadline of one exchange, 1 to 60; 15 unless given.
    timeout_seconds: Option<u32>,
    /// Seconds before each try, as in `[0, 5, 300]`.
    retry_schedule: Option<Vec<u32>>,
    /// Most requests at a time, 1 to 256; 32 unless given.
    max_in_flight: Option<u32>,
    /// Most requests a second, 1 to 10000; no limit unless given.
    rate_limit: Option<u32>,
    /// Whether 307 and 308 are followed, within the same origin and three times at most; false unless given.
    follow_redirects: Option<bool>,
    /// Further headers. Their values are secrets and never shown again.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    headers: Option<Headers>,
    /// What stands in `Authorization` of each request; nothing unless given.
    #[schema(value_type = Option<AuthenticationInput>)]
    authentication: Option<Object<AuthenticationInput>>,
    /// What is shown to the receiver in the TLS handshake; nothing unless given. Goes with every `Authentication`.
    #[schema(value_type = Option<ClientCertificateInput>)]
    client_certificate: Option<Object<ClientCertificateInput>>,
}

/// Settings to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct UpdateWebhook {
    /// Where to.
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// Which actions; empty for all.
    actions: Option<Vec<String>>,
    /// `default` or `2025`.
    profile: Option<String>,
    /// For people.
    description: Option<String>,
    /// The deadline of one exchange, 1 to 60.
    timeout_seconds: Option<u32>,
    /// Seconds before each try.
    retry_schedule: Option<Vec<u32>>,
    /// Most requests at a time, 1 to 256.
    max_in_flight: Option<u32>,
    /// Most requests a second; null lifts the limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    #[expect(clippy::option_option, reason = "absent, null and a number differ")]
    rate_limit: Option<Option<u32>>,
    /// Whether 307 and 308 are followed, within the same origin and three times at most.
    follow_redirects: Option<bool>,
    /// How requests are signed. What has no secret or key pair yet gets one; a new secret is in the answer, once.
    pub(super) signatures: Option<Vec<String>>,
    /// All further headers anew; `{}` for none.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    headers: Option<Headers>,
    /// What stands in `Authorization`, anew and whole; null for nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<AuthenticationInput>)]
    #[expect(clippy::option_option, reason = "absent, null and a value differ")]
    authentication: Option<Option<Object<AuthenticationInput>>>,
    /// What is shown in the TLS handshake, anew and whole; null for nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<ClientCertificateInput>)]
    #[expect(clippy::option_option, reason = "absent, null and a value differ")]
    client_certificate: Option<Option<Object<ClientCertificateInput>>>,
}

/// Tells null from absent.
#[expect(clippy::option_option, reason = "absent, null and a value differ")]
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl CreateWebhook {
    /// Judges the settings.
    pub fn check(self, checks: &mut Checks, judge: &dyn JudgeUrl, now: Timestamp) -> WebhookPatch {
        let is_missing = self.url.is_none();
        let url = checks.required("/Url", self.url);
        let settings = UpdateWebhook {
            url: (!is_missing).then_some(url),
            actions: self.actions,
            profile: self.profile,
            description: self.description,
            timeout_seconds: self.timeout_seconds,
            retry_schedule: self.retry_schedule,
            max_in_flight: self.max_in_flight,
            rate_limit: self.rate_limit.map(Some),
            follow_redirects: self.follow_redirects,
            headers: self.headers,
            signatures: None,
            authentication: self.authentication.map(Some),
            client_certificate: self.client_certificate.map(Some),
        };
        settings.check(checks, judge, now, None)
    }
}

impl UpdateWebhook {
    /// Judges the settings of a webhook that is like this, or is new.
    pub fn check(
        self,
        checks: &mut Checks,
        judge: &dyn JudgeUrl,
        now: Timestamp,
        webhook: Option<&Webhook>,
    ) -> WebhookPatch {
        let profile_now = webhook.map_or(Profile::Default, |webhook| webhook.profile);
        let profile = self.profile.and_then(|text| {
            let known = Profile::ALL.map(|profile| (profile.as_str(), profile));
            checks.one_of("/Profile", &text, &known)
        });
        if let Some(description) = &self.description {
            checks.text("/Description", description, 0, MAX_DESCRIPTION);
        }
        checks.number(
            "/TimeoutSeconds",
            self.timeout_seconds,
            1,
            MAX_TIMEOUT_SECONDS,
        );
        checks.number("/MaxInFlight", self.max_in_flight, 1, MAX_IN_FLIGHT);
        checks.number("/RateLimit", self.rate_limit.flatten(), 1, MAX_RATE);
        let patch = WebhookPatch {
            url: self.url.and_then(|url| check_url(checks, judge, &url)),
            description: self.description,
            actions: self
                .actions
                .map(|actions| check_actions(checks, &actions, profile.unwrap_or(profile_now))),
            profile,
            state: None,
            timeout_ms: self
                .timeout_seconds
                .map(|seconds| seconds.saturating_mul(1000)),
            retry_schedule: self.retry_schedule.and_then(|seconds| {
                RetrySchedule::try_new(seconds)
                    .map_err(|error| checks.invalid("/RetrySchedule", sentence(&error)))
                    .ok()
            }),
            max_in_flight: self.max_in_flight,
            rate_limit: self.rate_limit,
            follow_redirects: self.follow_redirects,
            headers: self.headers.map(|headers| check_headers(checks, headers)),
            // Chosen with the secrets that go with them.
            signatures: None,
            authentication: self
                .authentication
                .map(|given| given.and_then(|given| check_authentication(checks, judge, given))),
            client_certificate: self
                .client_certificate
                .map(|given| given.and_then(|given| check_certificate(checks, now, given))),
        };
        check_together(checks, webhook, &patch);
        patch
    }
}

/// Checks a secret that the caller brings. Its text is never repeated.
pub fn check_secret(checks: &mut Checks, text: String) -> SecretText {
    let fault = if text.starts_with(SigningKey::PREFIX) {
        text.parse::<SigningKey>()
            .err()
            .map(|error| sentence(&error))
    } else {
        text.parse::<Secret>().err().map(|error| sentence(&error))
    };
    if let Some(fault) = fault {
        checks.invalid("/Secret", fault);
    }
    SecretText::new(text)
}

fn check_url(checks: &mut Checks, judge: &dyn JudgeUrl, url: &str) -> Option<SecretText> {
    if url.len() > MAX_URL_BYTES {
        checks.invalid("/Url", format!("A URL has at most {MAX_URL_BYTES} bytes."));
        return None;
    }
    match judge.judge(url) {
        Ok(url) => Some(SecretText::new(url)),
        Err(reason) => {
            checks.push(FieldError::at("/Url", Flaw::UrlRefused, reason));
            None
        }
    }
}

fn check_actions(checks: &mut Checks, names: &[String], profile: Profile) -> ActionFilter {
    let known = Action::ALL.map(|action| (action.as_str(), action));
    let mut actions = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let pointer = format!("/Actions/{index}");
        let Some(action) = checks.one_of(&pointer, name, &known) else {
            continue;
        };
        if actions.contains(&action) {
            checks.invalid(pointer, "This action is given twice.");
        } else if !action.in_profile(profile) {
            checks.invalid(
                pointer,
                format!(
                    "{action} is not sent under the profile {profile}; choose the profile 2025."
                ),
            );
        }
        actions.push(action);
    }
    ActionFilter::of(&actions)
}

fn check_headers(checks: &mut Checks, headers: Headers) -> Vec<(String, SecretText)> {
    let headers = headers.0;
    if headers.len() > header::MAX_HEADERS {
        let detail = format!(
            "A webhook has at most {} further headers.",
            header::MAX_HEADERS
        );
        checks.invalid("/Headers", detail);
        return Vec::new();
    }
    for (position, (name, value)) in headers.iter().enumerate() {
        let shown: String = name.chars().take(64).collect();
        let pointer = format!("/Headers/{}", shown.replace('~', "~0").replace('/', "~1"));
        let is_repeated = headers[..position]
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name));
        let fault = header::refuse_name(name)
            .or_else(|| header::refuse_value(value))
            .or_else(|| is_repeated.then(|| "This header is given twice.".to_owned()));
        if let Some(fault) = fault {
            checks.invalid(pointer, fault);
        }
    }
    headers
        .into_iter()
        .map(|(name, value)| (name, SecretText::new(value)))
        .collect()
}

/// An error's text as a sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let end = if text.ends_with(['.', '?']) { "" } else { "." };
    first
        .into_iter()
        .chain(letters)
        .chain(end.chars())
        .collect()
}
