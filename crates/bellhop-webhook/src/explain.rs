//! Explaining why a signature does not verify, and what to do about it.
//!
//! It tries the mistakes that senders and receivers usually make, one and two
//! at a time, until a signature matches, and names what had to be assumed.

mod reading;
mod rewrites;
mod search;
mod steps;
mod words;

use serde::Serialize;

/// What is known of one request that does or does not verify.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// `webhook-id`, if the request had it.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`, if the request had it.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`, if the request had it.
    pub signature: Option<&'a str>,
    /// The body, as the receiver has it.
    pub body: &'a [u8],
    /// The secrets and keys to try.
    pub secrets: &'a [KnownSecret<'a>],
    /// The present, in unix seconds.
    pub now: i64,
    /// How far the timestamp may be from it, in seconds.
    pub tolerance_seconds: u64,
}

/// A secret or key with the name that the explanation calls it by.
#[derive(Clone, Copy)]
pub struct KnownSecret<'a> {
    /// A name for people: "the secret", "rotated out on 3 May". Never the
    /// secret itself.
    pub label: &'a str,
    /// `whsec_…`, or `whpk_…` for a verifying key.
    pub text: &'a str,
    /// Whether it is in force; others are only tried to recognise them.
    pub is_current: bool,
}

/// The checks that were made, in order, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Explanation {
    /// The checks.
    pub steps: Vec<Step>,
    /// What follows.
    pub verdict: Verdict,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// What was checked, in a few words.
    pub check: &'static str,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// What follows from the checks: the first cause that must be dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Verdict {
    /// Whether a receiver with the current secrets accepts the request.
    pub verified: bool,
    /// The cause, for programs.
    pub cause: Cause,
    /// The cause, for people: one sentence.
    pub summary: String,
    /// What to do next: one sentence.
    pub next_step: String,
}

/// Why a request does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing is wrong.
    Verified,
    /// One of the three headers is not there.
    HeaderMissing,
    /// `webhook-timestamp` is not a whole number.
    TimestampMalformed,
    /// `webhook-timestamp` is in milliseconds.
    TimestampInMilliseconds,
    /// The timestamp is too far in the past.
    TimestampTooOld,
    /// The timestamp is too far in the future.
    TimestampInFuture,
    /// No current secret or key was given.
    SecretMissing,
    /// A secret or key cannot be read.
    SecretMalformed,
    /// The key was the text `whsec_…` and not the bytes it stands for.
    SecretTextAsKey,
    /// The key was the base64 text without `whsec_`, not decoded.
    SecretBase64AsKey,
    /// A secret that is no longer in force made the signature.
    PreviousSecret,
    /// The body is the same JSON in other bytes.
    BodyReserialised,
    /// Line breaks at the body's end, or all through it, were changed.
    BodyLineBreaks,
    /// A byte order mark was put before the body, or taken away.
    BodyByteOrderMark,
    /// The list of signatures is separated by something else than spaces.
    SignatureSeparator,
    /// A signature is in hexadecimal digits and not in base64.
    SignatureInHex,
    /// A signature is in the wrong kind of base64, or lacks its padding.
    SignatureBase64,
    /// A signature has no scheme (`v1,`) before it.
    SignatureWithoutScheme,
    /// The list has no signature that the given secrets could check.
    SignatureScheme,
    /// Something else than `id.timestamp.body` was signed.
    SignedContent,
    /// No known mistake makes it match: another secret or another body.
    NoMatch,
}

/// Looks for the mistake that keeps a request from verifying.
///
/// Neither the steps nor the verdict quote a secret or the body.
///
/// ```
/// use bellhop_webhook::{Cause, Evidence, KnownSecret, explain};
///
/// let explanation = explain(&Evidence {
///     id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
///     timestamp: Some("1614265330"),
///     signature: Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
///     body: br#"{"test":2432232314}"#, // a space was lost
///     secrets: &[KnownSecret {
///         label: "the secret",
///         text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
///         is_current: true,
///     }],
///     now: 1_614_265_331,
///     tolerance_seconds: 300,
/// });
/// assert_eq!(explanation.verdict.cause, Cause::BodyReserialised);
/// ```
pub fn explain(evidence: &Evidence<'_>) -> Explanation {
    let headers = steps::check_headers(evidence);
    let timestamp = steps::check_timestamp(evidence);
    let clock = steps::check_clock(evidence);
    let secrets = steps::check_secrets(evidence);
    let (list, signature) = if headers.finding.is_none() {
        let items = reading::read(evidence.signature.unwrap_or_default());
        let found = search::search(evidence, &items);
        (
            Some(steps::check_list(&items)),
            steps::check_signature(evidence, &items, found.as_ref()),
        )
    } else {
        (None, Vec::new())
    };
    // A secret that cannot be read matters only if it kept us from a match.
    let is_matched = signature.iter().any(|check| check.matched);
    let by_weight = [&headers, &timestamp]
        .into_iter()
        .chain(secrets.iter().filter(|_| !is_matched))
        .chain(&signature)
        .chain([&clock]);
    let verdict = words::verdict(by_weight.filter_map(|check| check.finding.as_ref()));
    let steps = [headers, timestamp, clock]
        .into_iter()
        .chain(secrets)
        .chain(list)
        .chain(signature)
        .map(|check| check.step)
        .collect();
    Explanation { steps, verdict }
}
