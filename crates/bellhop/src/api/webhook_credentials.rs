//! How a webhook proves itself to its receiver, as callers write it and as answers show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JudgeUrl, body::Object, checks::Checks, code::Flaw, error::FieldError};
use crate::{
    domain::{
        authentication::{AuthStyle, Authentication, OAuth2Client},
        masked::{MASK, masked_url},
        secret_text::SecretText,
        webhook::Webhook,
    },
    store::WebhookPatch,
};

const MAX_TOKEN: usize = 4096;
const MAX_NAME: usize = 255;
const MAX_SECRET: usize = 1024;
const MAX_SCOPE: usize = 1000;
/// The longest URL of a token endpoint, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// What stands in `Authorization` of each request. Which members there are depends on `Type`; secrets are never shown
/// again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[schema(as = AuthenticationInput)]
pub struct AuthenticationInput {
    /// `Bearer`, `Basic` or `OAuth2ClientCredentials`.
    #[schema(required, value_type = String)]
    r#type: Option<String>,
    /// With `Bearer`: the token.
    token: Option<String>,
    /// With `Basic`: the user, without a colon.
    username: Option<String>,
    /// With `Basic`: the password.
    password: Option<String>,
    /// With `OAuth2ClientCredentials`: where tokens are issued. Judged like the webhook's own URL.
    token_url: Option<String>,
    /// With `OAuth2ClientCredentials`: who we are there.
    client_id: Option<String>,
    /// With `OAuth2ClientCredentials`: what proves it.
    client_secret: Option<String>,
    /// With `OAuth2ClientCredentials`: what the token is to be good for, with spaces between; none unless given.
    scope: Option<String>,
    /// With `OAuth2ClientCredentials`: `Header` (HTTP Basic) or `Body`, where id and secret stand; `Header` unless given.
    auth_style: Option<String>,
}

/// What stands in `Authorization` of each request, secrets masked.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Authentication)]
pub struct AuthenticationObject {
    /// `Bearer`, `Basic` or `OAuth2ClientCredentials`.
    r#type: &'static str,
    /// Masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'static str>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'static str>,
    /// Where tokens are issued. A query is a secret and shown as `?…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<String>,
    /// Who we are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'static str>,
    /// What the token is to be good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// `Header` or `Body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_style: Option<&'static str>,
}

/// The ways, and the members that each has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bearer,
    Basic,
    OAuth2,
}

const WAYS: [(&str, Way); 3] = [
    ("Bearer", Way::Bearer),
    ("Basic", Way::Basic),
    ("OAuth2ClientCredentials", Way::OAuth2),
];

/// Judges it. `None` if it is not acceptable: the checks know why.
pub fn check_authentication(
    checks: &mut Checks,
    judge: &dyn JudgeUrl,
    Object(given): Object<AuthenticationInput>,
) -> Option<Authentication> {
    let name = checks.required("/Authentication/Type", given.r#type.clone());
    if name.is_empty() {
        return None;
    }
    let way = checks.one_of("/Authentication/Type", &name, &WAYS)?;
    refuse_others(checks, &given, way, &name);
    match way {
        Way::Bearer => Some(Authentication::Bearer {
            token: secret(
                checks,
                "/Authentication/Token",
                given.token,
                MAX_TOKEN,
                is_visible,
            )?,
        }),
        Way::Basic => {
            let username = text(
                checks,
                "/Authentication/Username",
                given.username,
                MAX_NAME,
                |byte| is_printable(byte) && byte != b':',
            );
            let password = secret(
                checks,
                "/Authentication/Password",
                given.password,
                MAX_SECRET,
                is_printable,
            );
            Some(Authentication::Basic {
                username: username?,
                password: password?,
            })
        }
        Way::OAuth2 => check_oauth(checks, judge, given),
    }
}

fn check_oauth(
    checks: &mut Checks,
    judge: &dyn JudgeUrl,
    given: AuthenticationInput,
) -> Option<Authentication> {
    let token_url = check_token_url(checks, judge, given.token_url);
    let client_id = text(
        checks,
        "/Authentication/ClientId",
        given.client_id,
        MAX_NAME,
        is_printable,
    );
    let client_secret = secret(
        checks,
        "/Authentication/ClientSecret",
        given.client_secret,
        MAX_SECRET,
        is_printable,
    );
    let scope = match given.scope {
        None => None,
        // RFC 6749 section 3.3.
        scope => Some(text(
            checks,
            "/Authentication/Scope",
            scope,
            MAX_SCOPE,
            |byte| is_printable(byte) && !b"\"\\".contains(&byte),
        )?),
    };
    let style = match given.auth_style {
        None => AuthStyle::Header,
        Some(style) => {
            let known = AuthStyle::ALL.map(|style| (style.as_str(), style));
            checks.one_of("/Authentication/AuthStyle", &style, &known)?
        }
    };
    Some(Authentication::OAuth2(OAuth2Client {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
        style,
    }))
}

fn check_token_url(
    checks: &mut Checks,
    judge: &dyn JudgeUrl,
    url: Option<String>,
) -> Option<SecretText> {
    let is_missing = url.is_none();
    let url = checks.required("/Authentication/TokenUrl", url);
    if is_missing {
        return None;
    }
    if url.len() > MAX_URL_BYTES {
        checks.invalid(
            "/Authentication/TokenUrl",
            format!("A URL has at most {MAX_URL_BYTES} bytes."),
        );
        return None;
    }
    match judge.judge(&url) {
        Ok(url) => Some(SecretText::new(url)),
        Err(reason) => {
            checks.push(FieldError::at(
                "/Authentication/TokenUrl",
                Flaw::UrlRefused,
                reason,
            ));
            None
        }
    }
}

/// What belongs to another way was given for a reason, and would be lost.
fn refuse_others(checks: &mut Checks, given: &AuthenticationInput, way: Way, name: &str) {
    for (member, is_given, of) in [
        ("Token", given.token.is_some(), Way::Bearer),
        ("Username", given.username.is_some(), Way::Basic),
        ("Password", given.password.is_some(), Way::Basic),
        ("TokenUrl", given.token_url.is_some(), Way::OAuth2),
        ("ClientId", given.client_id.is_some(), Way::OAuth2),
        ("ClientSecret", given.client_secret.is_some(), Way::OAuth2),
        ("Scope", given.scope.is_some(), Way::OAuth2),
        ("AuthStyle", given.auth_style.is_some(), Way::OAuth2),
    ] {
        if is_given && of != way {
            checks.invalid(
                format!("/Authentication/{member}"),
                format!("{name} has no such member: leave it out, or choose another Type."),
            );
        }
    }
}

/// What a webhook must not have together: as it would be after the change.
pub fn check_together(checks: &mut Checks, present: Option<&Webhook>, patch: &WebhookPatch) {
    let headers = patch
        .headers
        .as_ref()
        .or(present.map(|webhook| &webhook.headers));
    let has_header = headers.is_some_and(|headers| {
        headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    });
    let authenticates = patch.authentication.as_ref().map_or_else(
        || present.is_some_and(|webhook| webhook.authentication.is_some()),
        Option::is_some,
    );
    if has_header && authenticates {
        let pointer = if patch.authentication.is_some() {
            "/Authentication"
        } else {
            "/Headers/Authorization"
        };
        checks.invalid(
            pointer,
            "Headers and Authentication would both set Authorization: leave one of them out.",
        );
    }
    let url = patch.url.as_ref().or(present.map(|webhook| &webhook.url));
    let has_certificate = patch.client_certificate.as_ref().map_or_else(
        || present.is_some_and(|webhook| webhook.client_certificate.is_some()),
        Option::is_some,
    );
    if has_certificate && url.is_some_and(|url| !url.expose().starts_with("https://")) {
        let pointer = if patch.client_certificate.is_some() {
            "/ClientCertificate"
        } else {
            "/Url"
        };
        checks.invalid(
            pointer,
            "A client certificate is shown over https alone, and the URL is plain http.",
        );
    }
}

impl From<&Authentication> for AuthenticationObject {
    fn from(authentication: &Authentication) -> Self {
        match authentication {
            Authentication::Bearer { .. } => Self {
                r#type: "Bearer",
                token: Some(MASK),
                ..Self::default()
            },
            Authentication::Basic { username, .. } => Self {
                r#type: "Basic",
                username: Some(username.clone()),
                password: Some(MASK),
                ..Self::default()
            },
            Authentication::OAuth2(client) => Self {
                r#type: "OAuth2ClientCredentials",
                token_url: Some(masked_url(client.token_url.expose())),
                client_id: Some(client.client_id.clone()),
                client_secret: Some(MASK),
                scope: client.scope.clone(),
                auth_style: Some(client.style.as_str()),
                ..Self::default()
            },
        }
    }
}

fn secret(
    checks: &mut Checks,
    pointer: &'static str,
    value: Option<String>,
    most: usize,
    fits: impl Fn(u8) -> bool,
) -> Option<SecretText> {
    text(checks, pointer, value, most, fits).map(SecretText::new)
}

/// A text of such bytes, at least one.
fn text(
    checks: &mut Checks,
    pointer: &'static str,
    value: Option<String>,
    most: usize,
    fits: impl Fn(u8) -> bool,
) -> Option<String> {
    let is_missing = value.is_none();
    let value = checks.required(pointer, value);
    if is_missing {
        return None;
    }
    if value.is_empty() || value.len() > most {
        checks.invalid(
            pointer,
            format!("It has 1 to {most} characters, not {}.", value.len()),
        );
        return None;
    }
    if !value.bytes().all(fits) {
        checks.invalid(
            pointer,
            "It has a character that cannot stand here: visible ASCII is expected; a user has no colon, a token no space.",
        );
        return None;
    }
    Some(value)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}
