//! The verdict in words, with the next step for each cause.

use super::steps::Finding;
use super::{Cause, Verdict};

/// The verdict on the findings, the weightiest first.
pub(super) fn verdict<'a>(mut findings: impl Iterator<Item = &'a Finding>) -> Verdict {
    let Some(first) = findings.next() else {
        return Verdict {
            verified: true,
            cause: Cause::Verified,
            summary: "The request is from the sender, unchanged and recent.".to_owned(),
            next_step: next_step(Cause::Verified).to_owned(),
        };
    };
    let mut summary = sentence(&first.story);
    for also in findings {
        summary.push_str(" Also: ");
        summary.push_str(&also.story);
        summary.push('.');
    }
    Verdict {
        verified: false,
        cause: first.cause,
        summary,
        next_step: next_step(first.cause).to_owned(),
    }
}

fn sentence(story: &str) -> String {
    let mut letters = story.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    // A header's name keeps its spelling.
    if story.starts_with("webhook-") {
        return format!("{story}.");
    }
    first.into_iter().chain(letters).chain(['.']).collect()
}

fn next_step(cause: Cause) -> &'static str {
    match cause {
        Cause::Verified => "Nothing to do.",
        Cause::HeaderMissing => {
            "Pass webhook-id, webhook-timestamp and webhook-signature as they arrived; a proxy or \
             framework before the receiver may drop or rename them."
        }
        Cause::TimestampMalformed | Cause::TimestampInMilliseconds => {
            "Pass the header's own text; a sender of one's own must write whole unix seconds."
        }
        Cause::TimestampTooOld => {
            "Synchronise the clocks, or raise the tolerance when looking at a request of the past; \
             Bellhop stamps every attempt anew."
        }
        Cause::TimestampInFuture => "Synchronise the clocks of sender and receiver (NTP).",
        Cause::SecretMissing => {
            "Give the webhook's secret (whsec_…) or its verifying key (whpk_…)."
        }
        Cause::SecretMalformed => {
            "Copy the secret again, whole and without quotes or line breaks; if it is lost, rotate it."
        }
        Cause::SecretTextAsKey | Cause::SecretBase64AsKey => {
            "Remove whsec_ and decode the rest as base64: the bytes are the key of the HMAC."
        }
        Cause::PreviousSecret => {
            "Give the receiver the current secret beside the previous one until the rotation has ended."
        }
        Cause::BodyReserialised => {
            "Verify the raw bytes of the request before anything parses them."
        }
        Cause::BodyLineBreaks => {
            "Verify the raw bytes; in a file, save the body without a line break at its end \
             (printf '%s', curl --data-binary)."
        }
        Cause::BodyByteOrderMark => "Verify the raw bytes; save the file as UTF-8 without a mark.",
        Cause::SignatureSeparator => {
            "Pass the header whole: its items are separated by one space, and each is v1,<base64>."
        }
        Cause::SignatureInHex => {
            "Write the digest's bytes in standard base64, not in hexadecimal digits."
        }
        Cause::SignatureBase64 => "Write the digest's bytes in standard base64 with padding.",
        Cause::SignatureWithoutScheme => {
            "Pass the header whole; each item begins with v1, or v1a,."
        }
        Cause::SignatureScheme => {
            "Give the secret (whsec_…) for v1 signatures, the verifying key (whpk_…) for v1a."
        }
        Cause::SignedContent => {
            "Sign and verify id.timestamp.body, with the two headers' own texts."
        }
        Cause::NoMatch => {
            "Compare the secret with the one of this very webhook, and check that the body is this \
             request's, raw and whole."
        }
    }
}
