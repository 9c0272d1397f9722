//! One attempt: sign, POST, and what it comes to.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bellhop_webhook::{
    Action, HEADER_CONTENT_DIGEST, HEADER_ID, HEADER_MESSAGE_SIGNATURE, HEADER_SIGNATURE,
    HEADER_SIGNATURE_INPUT, HEADER_TIMESTAMP, HttpSignature, HttpSigner, MessageRequest,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use jiff::Timestamp;

use super::{
    egress::TargetUrl,
    oauth::{Token, TokenFailure},
    prepared::{CONTENT_TYPE, Prepared},
    retired::Retired,
    sender::{Exchange, PostRequest, Sender, Timings as SentTimings},
};
use crate::{
    clock::SharedClock,
    domain::{
        cause::Cause,
        delivery::{Attempt, Outcome, Response, Timings, Tried, decide},
        signatures,
    },
    random::{Random, SharedRandom, bytes},
    store::{Attempted, Claim},
};

const ACTION: HeaderName = HeaderName::from_static("bellhop-action");
const SEQUENCE: HeaderName = HeaderName::from_static("bellhop-sequence");
const PREVIOUS: HeaderName = HeaderName::from_static("bellhop-previous");
const NUMBER: HeaderName = HeaderName::from_static("bellhop-attempt");
const REPLAY: HeaderName = HeaderName::from_static("bellhop-replay");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is said of a body that was erased.
const ERASED: &str = "The message carried an access token and its body was erased. Make a new token: \
    POST /v1/integrations/{Id}/regenerate-access-token.";

/// Makes attempts.
#[derive(Debug, Clone)]
pub struct Attempts {
    /// Who sends.
    pub sender: Sender,
    /// Who tells the time.
    pub clock: SharedClock,
    /// For trace ids and jitter.
    pub random: SharedRandom,
    /// Secrets that must not sign any more.
    pub retired: Arc<Retired>,
}

/// What is sent, whatever it is sent for. Debug shows none of its bytes: they may carry an access token.
#[derive(Clone)]
pub struct Outgoing {
    /// The `webhook-id`.
    pub message_id: String,
    /// What happened.
    pub action: Action,
    /// Position of the message, and of the one before it in the lane.
    pub sequence: u64,
    /// See [`Claim::previous`].
    pub previous: u64,
    /// The number of this attempt.
    pub number: u32,
    /// See [`Claim::is_replay`].
    pub is_replay: bool,
    /// The exact bytes.
    pub body: Bytes,
}

/// What a receiver answers that does not take the token.
const UNAUTHORIZED: u16 = 401;

impl Attempts {
    /// A token for the webhook's receiver, if it wants one. Fetched without its client certificate, which is for the
    /// receiver alone.
    async fn token(&self, webhook: &Prepared) -> Result<Option<Token>, TokenFailure> {
        let Some(oauth) = webhook.oauth() else {
            return Ok(None);
        };
        let token = oauth.token(&self.sender, &self.clock, webhook.timeout);
        // Boxed: the future of all others stays as small as it was.
        Box::pin(token).await.map(Some)
    }

    /// A receiver that refuses the token gets another at the next attempt.
    fn judge_token(&self, webhook: &Prepared, token: Option<&Token>, exchange: &Exchange) {
        let status = exchange.response().map(|response| response.status);
        if let (Some(oauth), Some(token), Some(UNAUTHORIZED)) = (webhook.oauth(), token, status) {
            oauth.refused(token, self.clock.now());
        }
    }

    /// An attempt that ended because there was no token.
    fn without_token(&self, number: u32, started: Timestamp, failure: TokenFailure) -> Attempt {
        let took = self.clock.now().duration_since(started);
        Attempt {
            duration: Duration::try_from(took).unwrap_or_default(),
            ..unsent(number, started, failure.cause, failure.detail)
        }
    }

    /// Makes the attempt of a claim, and decides what it means. `None` if the webhook's secrets were retired: nothing was
    /// sent, and the claim is to be given back.
    pub async fn deliver(&self, claim: Claim, webhook: &Prepared) -> Option<Attempted> {
        let is_replay = claim.is_replay();
        let outgoing = claim.body.clone().map(|body| Outgoing {
            message_id: claim.message_id().to_string(),
            action: claim.action,
            sequence: claim.sequence,
            previous: claim.previous,
            number: claim.number,
            is_replay,
            body,
        });
        let (mut attempt, retry_after) = if let Some(outgoing) = outgoing {
            self.send(&outgoing, webhook).await?
        } else {
            (
                unsent(claim.number, self.clock.now(), Cause::Erased, ERASED.into()),
                None,
            )
        };
        attempt.is_replay = is_replay;
        let outcome = match attempt.cause {
            None => Outcome::Succeeded,
            Some(cause) => Outcome::Failed { cause, retry_after },
        };
        let at = self.clock.now();
        let tried = Tried {
            state: claim.state,
            tries: claim.tries,
            planned: claim.planned,
            ended: at,
        };
        let (next, effect) = decide(tried, outcome, &webhook.schedule, self.random.unit());
        let unit = match outcome {
            Outcome::Succeeded => 0.0,
            Outcome::Failed { .. } => self.random.unit(),
        };
        Some(Attempted {
            delivery_id: claim.delivery_id,
            fence: claim.fence,
            at,
            attempt,
            next,
            effect,
            unit,
        })
    }

    /// The headers with which it would be sent now. Without what the webhook proves itself with, and without a signature
    /// of the request as a whole, which is of one URL. `None` as in [`Attempts::send`].
    pub fn headers_of(&self, outgoing: &Outgoing, webhook: &Prepared) -> Option<HeaderMap> {
        let timestamp = self.clock.now().as_second();
        let sign = || {
            let (id, body) = (&outgoing.message_id, &outgoing.body);
            webhook.signer.sign(id, timestamp, body)
        };
        let signature = self.retired.sign(webhook.id, webhook.revision, sign)?;
        let trace = traceparent(&*self.random);
        let all = headers(outgoing, webhook, timestamp, &signature, &trace);
        let is_ours = |name: &HeaderName| {
            let name = name.as_str();
            name.starts_with("webhook-")
                || name.starts_with("bellhop-")
                || ["content-type", "user-agent", "traceparent"].contains(&name)
        };
        let ours = all.iter().filter(|(name, _)| is_ours(name));
        Some(
            ours.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// Sends once. Answers with the attempt and how long the receiver asked to wait; `None` if nothing was sent because
    /// the webhook's secrets were retired after it was made ready.
    pub async fn send(
        &self,
        outgoing: &Outgoing,
        webhook: &Prepared,
    ) -> Option<(Attempt, Option<Duration>)> {
        let started = self.clock.now();
        let target = match &webhook.target {
            Ok(target) => target,
            Err(refused) => {
                let why = refused.to_string();
                let unsent = unsent(outgoing.number, started, Cause::UrlRefused, why);
                return Some((unsent, None));
            }
        };
        let token = match self.token(webhook).await {
            Ok(token) => token,
            Err(failure) => {
                return Some((self.without_token(outgoing.number, started, failure), None));
            }
        };
        let timestamp = started.as_second();
        fault_point!("sign-before");
        let sign = || {
            webhook
                .signer
                .sign(&outgoing.message_id, timestamp, &outgoing.body)
        };
        let signature = self.retired.sign(webhook.id, webhook.revision, sign)?;
        fault_point!("sign-after");
        let traceparent = traceparent(&*self.random);
        let mut headers = headers(outgoing, webhook, timestamp, &signature, &traceparent);
        if let Some(token) = &token {
            headers.insert(AUTHORIZATION, token.header.clone());
        }

        let mut secrets: Vec<&[u8]> = webhook.secrets.iter().map(Vec::as_slice).collect();
        secrets.extend(token_in(outgoing.action, &outgoing.body));
        secrets.extend(token.iter().map(|token| token.text.expose().as_bytes()));
        let sender = webhook.sender(&self.sender);
        let mut request = PostRequest {
            timeout: webhook.timeout,
            secrets: &secrets,
            follow_redirects: webhook.follow_redirects,
            ..PostRequest::new(target, headers, outgoing.body.clone())
        };
        let (exchange, signature) = if let Some(signer) = &webhook.http_signer {
            let signing = HttpSigning::new(signer, outgoing, timestamp, (&self.retired, webhook));
            let sign = |target: &TargetUrl, headers: &mut HeaderMap| signing.sign(target, headers);
            request.per_target = Some(&sign);
            let exchange = sender.post(request).await;
            (exchange, signing.recorded(signature))
        } else {
            (sender.post(request).await, signature)
        };
        self.judge_token(webhook, token.as_ref(), &exchange);
        let retry_after = exchange
            .retry_after
            .as_ref()
            .and_then(|asked| asked.wait(self.clock.now()));
        Some((
            attempt(outgoing.number, started, signature, traceparent, exchange),
            retry_after,
        ))
    }
}

/// Signs the request of one attempt as a whole, anew wherever a redirect leads.
struct HttpSigning<'a> {
    signer: &'a HttpSigner,
    outgoing: &'a Outgoing,
    timestamp: i64,
    /// Whether what signs was retired meanwhile.
    retired: (&'a Retired, &'a Prepared),
    /// What was sent last.
    last: Mutex<Option<HttpSignature>>,
}

impl<'a> HttpSigning<'a> {
    const fn new(
        signer: &'a HttpSigner,
        outgoing: &'a Outgoing,
        timestamp: i64,
        retired: (&'a Retired, &'a Prepared),
    ) -> Self {
        Self {
            signer,
            outgoing,
            timestamp,
            retired,
            last: Mutex::new(None),
        }
    }

    fn sign(&self, target: &TargetUrl, headers: &mut HeaderMap) {
        let request = MessageRequest {
            authority: target.host_header().to_str().unwrap_or_default(),
            path: target.uri().path(),
            query: target.uri().query(),
            content_type: CONTENT_TYPE,
            id: &self.outgoing.message_id,
            timestamp: self.timestamp,
            body: &self.outgoing.body,
        };
        let (retired, webhook) = self.retired;
        let sign = || self.signer.sign(&request);
        // Retired while a redirect was followed: what goes there is not signed, and no receiver takes it.
        let Some(signed) = retired.sign(webhook.id, webhook.revision, sign) else {
            return;
        };
        for (name, value) in further(&signed) {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        *self.last.lock().expect("no holder panics") = Some(signed);
    }

    /// What is recorded of all signatures.
    fn recorded(self, signature: String) -> String {
        match self.last.into_inner().expect("no holder panics") {
            Some(signed) => signatures::recorded(signature, &further(&signed)),
            None => signature,
        }
    }
}

fn further(signed: &HttpSignature) -> [(&'static str, &str); 3] {
    [
        (HEADER_CONTENT_DIGEST, &signed.content_digest),
        (HEADER_SIGNATURE_INPUT, &signed.input),
        (HEADER_MESSAGE_SIGNATURE, &signed.signature),
    ]
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("message_id", &self.message_id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The headers of the contract and those of design.md section 3, beside the webhook's own.
fn headers(
    outgoing: &Outgoing,
    webhook: &Prepared,
    timestamp: i64,
    signature: &str,
    trace: &str,
) -> HeaderMap {
    let mut texts = Texts::default();
    texts.write(HeaderName::from_static(HEADER_ID), &outgoing.message_id);
    texts.write(HeaderName::from_static(HEADER_TIMESTAMP), timestamp);
    if !signature.is_empty() {
        texts.write(HeaderName::from_static(HEADER_SIGNATURE), signature);
    }
    texts.write(SEQUENCE, outgoing.sequence);
    texts.write(PREVIOUS, outgoing.previous);
    texts.write(NUMBER, outgoing.number);
    texts.write(TRACEPARENT, trace);
    let mut headers = HeaderMap::with_capacity(webhook.headers.len() + HEADERS);
    for (name, value) in &webhook.headers {
        headers.append(name.clone(), value.clone());
    }
    texts.into_headers(&mut headers);
    headers.insert(ACTION, HeaderValue::from_static(outgoing.action.as_str()));
    if outgoing.is_replay {
        headers.insert(REPLAY, HeaderValue::from_static("true"));
    }
    headers
}

/// Most headers beside the webhook's own, `host` included.
const HEADERS: usize = 10;

/// Values of headers that share one piece of memory, so that neither making them nor keeping a second copy, for a
/// connection that turns out to be closed, costs a piece for each.
#[derive(Default)]
struct Texts {
    names: Vec<(HeaderName, usize)>,
    text: String,
}

impl Texts {
    fn write(&mut self, name: HeaderName, value: impl fmt::Display) {
        use fmt::Write as _;
        if self.text.is_empty() {
            self.text.reserve(512);
            self.names.reserve(HEADERS);
        }
        write!(self.text, "{value}").expect("a string takes any text");
        self.names.push((name, self.text.len()));
    }

    fn into_headers(self, headers: &mut HeaderMap) {
        let text = Bytes::from(self.text);
        let mut start = 0;
        for (name, end) in self.names {
            let value = HeaderValue::from_maybe_shared(text.slice(start..end));
            headers.insert(name, value.unwrap_or(HeaderValue::from_static("")));
            start = end;
        }
    }
}

/// A fresh trace for each attempt (W3C Trace Context): tells the receiver nothing about us.
pub(super) fn traceparent(random: &dyn Random) -> String {
    let ids: [u8; 24] = bytes(random);
    let trace = u128::from_be_bytes(*ids.first_chunk().expect("24 bytes hold 16")) | 1;
    let span = u64::from_be_bytes(*ids.last_chunk().expect("24 bytes hold 8")) | 1;
    format!("00-{trace:032x}-{span:016x}-01")
}

/// The token in a body that we wrote: a member of that name cannot stand inside a JSON string, whose quotes are
/// escaped.
fn token_in(action: Action, body: &[u8]) -> Option<&[u8]> {
    let member: &[u8] = match action {
        Action::IntegrationCreated => br#""AccessToken":""#,
        Action::IntegrationApiKeyCreated => br#""ApiKey":""#,
        _ => return None,
    };
    let start = body.windows(member.len()).position(|part| part == member)? + member.len();
    let length = body[start..].iter().position(|byte| *byte == b'"')?;
    Some(&body[start..start + length])
}

fn attempt(
    number: u32,
    started: Timestamp,
    signature: String,
    traceparent: String,
    exchange: Exchange,
) -> Attempt {
    let cause = exchange.cause();
    let timings = timings(exchange.timings);
    let duration = Duration::from_micros(exchange.timings.total_us);
    let remote = exchange.remote;
    let (detail, response) = match exchange.outcome {
        Ok(response) => (exchange.followed, Some(response)),
        Err(failure) => (Some(failure.detail), failure.response),
    };
    let response = response.map(|response| {
        Arc::new(Response {
            status: response.status,
            headers: response.headers.to_pairs(),
            body: response.body,
            is_truncated: response.truncated,
        })
    });
    Attempt {
        number,
        is_replay: false,
        started,
        duration,
        cause,
        detail,
        signature,
        traceparent,
        response,
        timings,
        remote,
    }
}

/// An attempt that ended before anything was sent.
fn unsent(number: u32, started: Timestamp, cause: Cause, detail: String) -> Attempt {
    Attempt {
        number,
        is_replay: false,
        started,
        duration: Duration::ZERO,
        cause: Some(cause),
        detail: Some(detail),
        signature: String::new(),
        traceparent: String::new(),
        response: None,
        timings: Timings::default(),
        remote: None,
    }
}

fn timings(sent: SentTimings) -> Timings {
    let narrow = |us: Option<u64>| us.map(|us| u32::try_from(us).unwrap_or(u32::MAX));
    Timings {
        dns_us: narrow(sent.dns_us),
        connect_us: narrow(sent.connect_us),
        tls_us: narrow(sent.tls_us),
        send_us: narrow(sent.send_us),
        wait_us: narrow(sent.wait_us),
        receive_us: narrow(sent.receive_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn the_token_of_a_body_is_found() {
        let body = br#"{"Action":"IntegrationCreated","Data":{"Enterprise":{"Id":"x","Name":"\"AccessToken\":\"no\""},"AccessToken":"9E5E-00B3","IsEnabled":true}}"#;
        assert_eq!(
            token_in(Action::IntegrationCreated, body),
            Some(&b"9E5E-00B3"[..])
        );
        assert_eq!(token_in(Action::IntegrationEnabled, body), None);
    }

    #[test]
    fn a_traceparent_has_the_form_of_w3c_trace_context() {
        let trace = traceparent(&SystemRandom);
        let parts: Vec<usize> = trace.split('-').map(str::len).collect();
        assert_eq!(parts, [2, 32, 16, 2]);
    }
}
