//! Explaining why a signature does not verify, and what to do about it.

use serde::Serialize;

use crate::{Secret, SignatureHeaders, Verifier, VerifyingKey};

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
pub fn explain(evidence: &Evidence<'_>) -> Explanation {
    let mut verifier = (Vec::new(), Vec::new());
    for secret in evidence.secrets.iter().filter(|secret| secret.is_current) {
        if let Ok(secret) = secret.text.parse::<Secret>() {
            verifier.0.push(secret);
        } else if let Ok(key) = secret.text.parse::<VerifyingKey>() {
            verifier.1.push(key);
        }
    }
    let outcome = Verifier::new(verifier.0, verifier.1).verify(
        &SignatureHeaders {
            id: evidence.id.unwrap_or_default(),
            timestamp: evidence.timestamp.unwrap_or_default(),
            signature: evidence.signature.unwrap_or_default(),
        },
        evidence.body,
        evidence.now,
        evidence.tolerance_seconds,
    );
    let (cause, summary) = match outcome {
        Ok(_) => (Cause::Verified, "The signature is right.".to_owned()),
        Err(error) => (Cause::NoMatch, error.to_string()),
    };
    let verdict = Verdict {
        verified: outcome.is_ok(),
        cause,
        summary,
        next_step: String::new(),
    };
    Explanation {
        steps: Vec::new(),
        verdict,
    }
}
