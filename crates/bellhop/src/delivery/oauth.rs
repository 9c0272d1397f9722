//! Access tokens of receivers' authorization servers (RFC 6749 section 4.4): fetched when one is needed, one fetch at a
//! time for a webhook, kept until shortly before they end.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use url::form_urlencoded;

use super::{
    egress::{EgressPolicy, TargetUrl, UrlRefused},
    prepared::USER_AGENT,
    sender::{PostRequest, SendFailure, Sender},
};
use crate::{
    clock::SharedClock,
    domain::{
        authentication::{AuthStyle, OAuth2Client},
        cause::Cause,
        secret_text::SecretText,
    },
};

/// The longest answer of a token endpoint that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest token: more would not fit a receiver's headers.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How long a token may take, waiting for another's fetch included. Less than what a lease has beyond the time-out.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// How long a token is kept whose end is not told.
const UNTOLD: u64 = 300;
/// The longest that a token is kept, whatever is told.
const LONGEST: u64 = 86_400;
/// A token is not used in the last part of its life: the request must arrive before its end.
const MOST_MARGIN: u64 = 60;
/// A token that was refused is thrown away only if it is older: a receiver that refuses every token must not make us
/// fetch one for every attempt.
const SHORTEST_LIFE: SignedDuration = SignedDuration::from_secs(60);

/// The client of one webhook.
#[derive(Debug)]
pub struct OAuth {
    client: OAuth2Client,
    target: Result<TargetUrl, UrlRefused>,
    /// Held while a token is fetched: those who need it meanwhile wait for it.
    state: Mutex<State>,
    /// How many fetches have ended.
    fetches: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// What the last fetch came to, if to nothing.
    failed: Option<TokenFailure>,
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// What a stored response must not contain.
    pub text: SecretText,
    /// The value of `Authorization`.
    pub header: HeaderValue,
    fetched: Timestamp,
    /// When it is used no more.
    until: Timestamp,
}

/// Why there is no token. No secrets, and nothing that the endpoint could have put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFailure {
    /// `OauthTokenRefused` or `OauthTokenUnavailable`.
    pub cause: Cause,
    /// What exactly, for people.
    pub detail: String,
}

/// RFC 6749 section 5.1. What is absent or odd is judged here, not by the parser.
#[derive(Deserialize)]
struct Issued {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The errors of RFC 6749 section 5.2: others are not repeated, since they may be anything.
const KNOWN_ERRORS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

impl OAuth {
    /// Without a token yet.
    pub fn new(client: OAuth2Client, policy: &EgressPolicy) -> Self {
        Self {
            target: policy.judge_url(client.token_url.expose()),
            client,
            state: Mutex::default(),
            fetches: AtomicU64::new(0),
        }
    }

    /// A token that is valid now. Fetches it if need be; several who need one at a time share a fetch and its failure.
    pub async fn token(
        &self,
        sender: &Sender,
        clock: &SharedClock,
        timeout: Duration,
    ) -> Result<Token, TokenFailure> {
        let deadline = Instant::now() + timeout.min(MOST_WAIT);
        let known = self.fetches.load(Relaxed);
        let Ok(mut state) = timeout_at(deadline, self.state.lock()).await else {
            return Err(unavailable(
                "another attempt's fetch took all the time".into(),
            ));
        };
        let now = clock.now();
        if let Some(token) = state.token.as_ref().filter(|token| now < token.until) {
            return Ok(token.clone());
        }
        if self.fetches.load(Relaxed) != known
            && let Some(failed) = &state.failed
        {
            return Err(failed.clone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let fetched = self.fetch(sender, clock, left).await;
        self.fetches.fetch_add(1, Relaxed);
        match fetched {
            Ok(token) => {
                state.failed = None;
                state.token = Some(token.clone());
                Ok(token)
            }
            Err(failure) => {
                state.token = None;
                state.failed = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// The receiver has refused this token: the next attempt fetches another, unless this one was just fetched.
    pub fn refused(&self, token: &Token, now: Timestamp) {
        if now.duration_since(token.fetched) < SHORTEST_LIFE {
            return;
        }
        // Held: somebody is fetching another already.
        if let Ok(mut state) = self.state.try_lock()
            && state
                .token
                .as_ref()
                .is_some_and(|kept| kept.text == token.text)
        {
            state.token = None;
        }
    }

    async fn fetch(
        &self,
        sender: &Sender,
        clock: &SharedClock,
        timeout: Duration,
    ) -> Result<Token, TokenFailure> {
        let target = self
            .target
            .as_ref()
            .map_err(|refused| unavailable(refused.to_string()))?;
        let (headers, body) = self.request();
        let request = PostRequest {
            timeout,
            response_limit: MAX_ANSWER_BYTES,
            kept: MAX_ANSWER_BYTES,
            // Read here and not kept.
            scrubs: false,
            ..PostRequest::new(target, headers, body)
        };
        let exchange = sender.post(request).await;
        match exchange.outcome {
            Ok(response) => issued(&response.body, clock.now()),
            Err(failure) => Err(classify(failure)),
        }
    }

    fn request(&self) -> (HeaderMap, Bytes) {
        let OAuth2Client {
            client_id,
            client_secret,
            scope,
            style,
            ..
        } = &self.client;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = scope {
            form.append_pair("scope", scope);
        }
        let mut headers = HeaderMap::new();
        match style {
            AuthStyle::Header => {
                let user = encoded(client_id);
                let password = encoded(client_secret.expose());
                headers.insert(header::AUTHORIZATION, basic(&user, &password));
            }
            AuthStyle::Body => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", client_secret.expose());
            }
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        (headers, form.finish().into())
    }
}

/// `Basic …` (RFC 7617).
pub fn basic(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    secret_value(&text)
}

/// `Bearer …` (RFC 6750).
pub fn bearer(token: &str) -> HeaderValue {
    secret_value(&format!("Bearer {token}"))
}

/// What was checked where it was configured, or where it came in.
fn secret_value(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// RFC 6749 appendix B.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The token of a 2xx answer.
fn issued(body: &[u8], now: Timestamp) -> Result<Token, TokenFailure> {
    let unusable = |what: &str| refused(format!("the token endpoint's answer {what}"));
    let issued: Issued = serde_json::from_slice(body)
        .map_err(|_| unusable("is not a JSON object as RFC 6749 section 5.1 wants it"))?;
    let text = issued
        .access_token
        .ok_or_else(|| unusable("has no access_token"))?;
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > MAX_TOKEN_BYTES || !is_visible {
        return Err(unusable("has an access_token that no header can carry"));
    }
    let is_bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !issued.token_type.as_ref().is_none_or(is_bearer) {
        return Err(unusable("has a token_type other than Bearer"));
    }
    let life = issued
        .expires_in
        .as_ref()
        .and_then(seconds)
        .unwrap_or(UNTOLD);
    let life = life.min(LONGEST);
    let used = life - (life / 5).min(MOST_MARGIN);
    Ok(Token {
        header: bearer(&text),
        text: SecretText::new(text),
        fetched: now,
        until: now + SignedDuration::from_secs(used as i64),
    })
}

/// A number; some servers write it as a text.
fn seconds(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What an answer other than 2xx, or none, means.
fn classify(failure: SendFailure) -> TokenFailure {
    let status = failure.response.as_ref().map(|response| response.status);
    match failure.cause {
        Cause::ClientError | Cause::Gone => {
            let body = failure.response.map(|response| response.body);
            let error = body
                .and_then(|body| serde_json::from_slice::<Refusal>(&body).ok())
                .and_then(|refusal| KNOWN_ERRORS.into_iter().find(|known| *known == refusal.error));
            let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
            let status = status.unwrap_or_default();
            refused(format!("the token endpoint answered {status}{error}"))
        }
        Cause::RedirectRefused => refused(
            "the token endpoint answered with a redirect, which is not followed: the client's secret stays with it"
                .into(),
        ),
        Cause::ResponseTooLarge => refused("the token endpoint's answer is larger than is read".into()),
        cause => unavailable(format!("the token endpoint: {cause}: {}", failure.detail)),
    }
}

fn refused(detail: String) -> TokenFailure {
    TokenFailure {
        cause: Cause::OauthTokenRefused,
        detail,
    }
}

fn unavailable(detail: String) -> TokenFailure {
    TokenFailure {
        cause: Cause::OauthTokenUnavailable,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(json: &str) -> Result<(String, i64), String> {
        let now = Timestamp::UNIX_EPOCH;
        issued(json.as_bytes(), now)
            .map(|token| (token.text.expose().to_owned(), token.until.as_second()))
            .map_err(|failure| {
                assert_eq!(failure.cause, Cause::OauthTokenRefused);
                failure.detail
            })
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        for (json, seconds) in [
            (
                r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#,
                3540,
            ),
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":"3600"}"#,
                3540,
            ),
            (r#"{"access_token":"t","expires_in":10}"#, 8),
            (r#"{"access_token":"t","expires_in":0}"#, 0),
            (r#"{"access_token":"t","expires_in":-1}"#, 240),
            (r#"{"access_token":"t","expires_in":null}"#, 240),
            (
                r#"{"access_token":"t","expires_in":1e300,"scope":"x"}"#,
                240,
            ),
            (r#"{"access_token":"t","expires_in":99999999999}"#, 86_340),
        ] {
            assert_eq!(token(json), Ok(("t".into(), seconds)), "{json}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_used_and_not_repeated() {
        let long = format!(
            r#"{{"access_token":"{}"}}"#,
            "a".repeat(MAX_TOKEN_BYTES + 1)
        );
        for json in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"hush hush"}"#,
            r#"{"access_token":"hush\r\nx: y"}"#,
            r#"{"access_token":"hush","token_type":"mac"}"#,
            &long,
        ] {
            let detail = token(json).unwrap_err();
            assert!(!detail.contains("hush"), "{detail}");
        }
    }

    #[test]
    fn ids_and_secrets_are_encoded_before_they_are_put_together() {
        // RFC 6749 section 2.3.1 and appendix B.
        assert_eq!(encoded(" %&+£€"), "+%25%26%2B%C2%A3%E2%82%AC");
        assert_eq!(
            basic("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"),
            "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"
        );
    }
}
