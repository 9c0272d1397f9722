//! The checks, one by one.

use super::reading::Item;
use super::search::{Match, flaw_story, verifying_key};
use super::{Cause, Evidence, KnownSecret, Step};
use crate::verify::parse_timestamp;
use crate::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Scheme, Secret, SigningKey};

/// Unix seconds do not get this large before the year 5138.
const LEAST_MILLISECONDS: u64 = 100_000_000_000;
const LEAST_MICROSECONDS: u64 = LEAST_MILLISECONDS * 1000;
const LEAST_NANOSECONDS: u64 = LEAST_MICROSECONDS * 1000;

/// A step, and what speaks against the request in it.
pub(super) struct Check {
    pub step: Step,
    pub finding: Option<Finding>,
    /// Whether a signature was found to match, if need be with mistakes.
    pub matched: bool,
}

/// A cause with its sentence.
#[derive(Clone)]
pub(super) struct Finding {
    pub cause: Cause,
    pub story: String,
}

impl Check {
    fn passed(check: &'static str, detail: impl Into<String>) -> Self {
        let step = Step {
            check,
            ok: true,
            detail: detail.into(),
        };
        Self {
            step,
            finding: None,
            matched: false,
        }
    }

    fn failed(check: &'static str, cause: Cause, story: impl Into<String>) -> Self {
        let story = story.into();
        let step = Step {
            check,
            ok: false,
            detail: story.clone(),
        };
        Self {
            step,
            finding: Some(Finding { cause, story }),
            matched: false,
        }
    }

    /// Failed, but not by itself a reason.
    fn noted(check: &'static str, detail: impl Into<String>) -> Self {
        let mut noted = Self::passed(check, detail);
        noted.step.ok = false;
        noted
    }
}

pub(super) fn check_headers(evidence: &Evidence<'_>) -> Check {
    let headers = [
        (HEADER_ID, evidence.id),
        (HEADER_TIMESTAMP, evidence.timestamp),
        (HEADER_SIGNATURE, evidence.signature),
    ];
    let missing: Vec<_> = headers
        .iter()
        .filter(|(_, value)| value.is_none_or(|value| value.trim().is_empty()))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Check::passed("headers", "all three are there");
    }
    let story = format!("the request has no {}", missing.join(", no "));
    Check::failed("headers", Cause::HeaderMissing, story)
}

pub(super) fn check_timestamp(evidence: &Evidence<'_>) -> Check {
    let text = evidence.timestamp.unwrap_or_default();
    let Some(timestamp) = parse_timestamp(text) else {
        let story = format!("{HEADER_TIMESTAMP} is not a whole number of unix seconds");
        return Check::failed("timestamp", Cause::TimestampMalformed, story);
    };
    let unit = match timestamp.unsigned_abs() {
        ..LEAST_MILLISECONDS => {
            return Check::passed("timestamp", format!("unix seconds {timestamp}"));
        }
        LEAST_MILLISECONDS..LEAST_MICROSECONDS => "milliseconds",
        LEAST_MICROSECONDS..LEAST_NANOSECONDS => "microseconds",
        LEAST_NANOSECONDS.. => "nanoseconds",
    };
    let story = format!("{HEADER_TIMESTAMP} is in {unit}; it must be in seconds");
    Check::failed("timestamp", Cause::TimestampInMilliseconds, story)
}

pub(super) fn check_clock(evidence: &Evidence<'_>) -> Check {
    let Some(timestamp) = evidence.timestamp.and_then(parse_timestamp) else {
        return Check::noted("clock", "there is no timestamp to compare with");
    };
    let allowed = evidence.tolerance_seconds;
    let apart = evidence.now.abs_diff(timestamp);
    if apart <= allowed {
        return Check::passed("clock", format!("{apart} s apart; {allowed} s are allowed"));
    }
    let (cause, direction) = if timestamp < evidence.now {
        (Cause::TimestampTooOld, "old")
    } else {
        (Cause::TimestampInFuture, "in the future")
    };
    let story = format!(
        "the timestamp is {apart} s ({}) {direction}; {allowed} s are allowed",
        roughly(apart)
    );
    Check::failed("clock", cause, story)
}

pub(super) fn check_secrets(evidence: &Evidence<'_>) -> Vec<Check> {
    if evidence.secrets.is_empty() {
        let story = "no secret and no key was given";
        return vec![Check::failed("secret", Cause::SecretMissing, story)];
    }
    evidence.secrets.iter().map(check_secret).collect()
}

fn check_secret(secret: &KnownSecret<'_>) -> Check {
    let KnownSecret { label, text, .. } = *secret;
    if text.parse::<SigningKey>().is_ok() {
        let detail = format!("\"{label}\" is a signing key (whsk_); a receiver needs only whpk_");
        return Check::noted("secret", detail);
    }
    if verifying_key(text).is_some() {
        return Check::passed("secret", format!("\"{label}\" is a verifying key"));
    }
    match text.parse::<Secret>() {
        Ok(secret) => Check::passed(
            "secret",
            format!("\"{label}\" has {} bytes", secret.bytes().len()),
        ),
        Err(error) => {
            let story = format!("\"{label}\" cannot be read: {error}");
            let mut check = Check::failed("secret", Cause::SecretMalformed, story);
            if !secret.is_current {
                check.finding = None;
            }
            check
        }
    }
}

pub(super) fn check_list(items: &[Item]) -> Check {
    let flaws: Vec<_> = items.iter().filter_map(|item| item.flaw).collect();
    if items.is_empty() {
        return Check::noted(
            "signature list",
            "it holds nothing that could be a signature",
        );
    }
    let count = |scheme| items.iter().filter(|item| item.scheme == scheme).count();
    let (v1, v1a) = (count(Scheme::V1), count(Scheme::V1a));
    match flaws.first() {
        None => Check::passed("signature list", format!("{v1} v1, {v1a} v1a")),
        Some(flaw) => Check::noted(
            "signature list",
            format!("{v1} v1, {v1a} v1a; of at least one, {}", flaw_story(*flaw)),
        ),
    }
}

/// One step for each mistake that had to be assumed, or one for all.
pub(super) fn check_signature(
    evidence: &Evidence<'_>,
    items: &[Item],
    found: Option<&Match<'_>>,
) -> Vec<Check> {
    let Some(found) = found else {
        return vec![no_match(evidence, items)];
    };
    if found.mistakes.is_empty() {
        let detail = format!("{} matches, by \"{}\"", found.scheme, found.secret.label);
        let mut check = Check::passed("signature", detail);
        check.matched = true;
        return vec![check];
    }
    let checks = found.mistakes.iter().map(|mistake| {
        let check = match mistake.cause {
            Cause::BodyReserialised | Cause::BodyLineBreaks | Cause::BodyByteOrderMark => "body",
            Cause::SignedContent => "signed content",
            Cause::SecretTextAsKey | Cause::SecretBase64AsKey => "key",
            _ => "signature",
        };
        let mut check = Check::failed(check, mistake.cause, mistake.story.clone());
        check.matched = true;
        check
    });
    checks.collect()
}

fn no_match(evidence: &Evidence<'_>, items: &[Item]) -> Check {
    let is_key = |secret: &KnownSecret<'_>| verifying_key(secret.text.trim()).is_some();
    let has = |scheme| items.iter().any(|item| item.scheme == scheme);
    let checkable = evidence.secrets.iter().any(|secret| {
        has(if is_key(secret) {
            Scheme::V1a
        } else {
            Scheme::V1
        })
    });
    if !checkable {
        let story = if items.is_empty() {
            format!("{HEADER_SIGNATURE} holds no signature")
        } else if has(Scheme::V1) {
            "the request is signed with a secret (v1) only, and only keys were given".to_owned()
        } else {
            "the request is signed with a key pair (v1a) only, and no verifying key was given"
                .to_owned()
        };
        return Check::failed("signature", Cause::SignatureScheme, story);
    }
    let story = if evidence.body.is_empty() {
        "no signature matches, and the body is empty"
    } else {
        "no signature matches, whatever usual mistake is assumed"
    };
    Check::failed("signature", Cause::NoMatch, story)
}

fn roughly(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}
