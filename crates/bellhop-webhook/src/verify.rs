//! Verifying: is this request from the sender, unchanged and recent?

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::sign::{authenticate, prepare, signed_content};
use crate::{Secret, VerifyingKey};

/// How far the sender's clock and the receiver's may be apart, in seconds:
/// what the official Standard Webhooks libraries allow.
pub const DEFAULT_TOLERANCE_SECONDS: u64 = 300;

/// Most items that are looked at in one `webhook-signature`. A sender in
/// rotation has a handful; whoever sends more wants to keep us busy.
pub const MAX_SIGNATURES: usize = 64;

/// Verifies the requests to one webhook with every secret and key that is
/// still valid. Built once.
#[derive(Clone)]
pub struct Verifier {
    secrets: Vec<hmac::Key>,
    keys: Vec<VerifyingKey>,
}

/// The three headers of a signed request, as they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureHeaders<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// What a request was verified by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Kind of the signature that matched.
    pub scheme: Scheme,
    /// Position of the secret or key that matched, in the order in which the
    /// verifier was given them. Above 0, a rotation is not finished here.
    pub index: usize,
    /// Unix seconds of the attempt.
    pub timestamp: i64,
}

/// Kind of a signature (Standard Webhooks 1.0.0, "Signature scheme").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `v1`: HMAC-SHA256 with a shared secret.
    V1,
    /// `v1a`: ed25519 with a key pair.
    V1a,
}

/// Why a request is not to be trusted. Answer it with a 4xx and do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// `webhook-id` is empty.
    #[error("the webhook-id header is empty")]
    Id,
    /// `webhook-timestamp` is not a whole number.
    #[error("the webhook-timestamp header is not a whole number of unix seconds")]
    Timestamp,
    /// The request is older than the tolerance: a replay, or a clock is off.
    #[error(
        "the request was signed {age_seconds} s ago; at most {tolerance_seconds} s are allowed"
    )]
    TooOld {
        /// Seconds between the timestamp and now.
        age_seconds: u64,
        /// Seconds that are allowed.
        tolerance_seconds: u64,
    },
    /// The request comes from further in the future than the tolerance.
    #[error(
        "the request was signed {ahead_seconds} s in the future; at most {tolerance_seconds} s are allowed"
    )]
    TooNew {
        /// Seconds between now and the timestamp.
        ahead_seconds: u64,
        /// Seconds that are allowed.
        tolerance_seconds: u64,
    },
    /// There are more than [`MAX_SIGNATURES`] items.
    #[error("the webhook-signature header has more than 64 items")]
    TooManySignatures,
    /// No item is a well-formed signature of a scheme that this verifier has
    /// a secret or a key for.
    #[error("the webhook-signature header has no item that this verifier could check")]
    NoSignature,
    /// Well-formed, but none matches.
    #[error("no signature matches: another secret, or the body is not the bytes that were sent")]
    NoMatch,
}

impl Verifier {
    /// Prepares the secrets and keys that are valid now; one match suffices.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the verifier takes the secrets over; the caller should keep no copy"
    )]
    pub fn new(secrets: Vec<Secret>, keys: Vec<VerifyingKey>) -> Self {
        let secrets = secrets.iter().map(prepare).collect();
        Self { secrets, keys }
    }

    /// Verifies the body, as the exact bytes that arrived. `now` is in unix
    /// seconds; [`DEFAULT_TOLERANCE_SECONDS`] is the usual tolerance.
    ///
    /// Comparison takes the same time wherever a signature differs.
    pub fn verify(
        &self,
        headers: &SignatureHeaders<'_>,
        body: &[u8],
        now: i64,
        tolerance_seconds: u64,
    ) -> Result<Verified, VerifyError> {
        if headers.id.is_empty() {
            return Err(VerifyError::Id);
        }
        let timestamp = parse_timestamp(headers.timestamp).ok_or(VerifyError::Timestamp)?;
        check_age(timestamp, now, tolerance_seconds)?;
        let (scheme, index) = self.find_match(headers, body)?;
        Ok(Verified {
            scheme,
            index,
            timestamp,
        })
    }

    fn find_match(
        &self,
        headers: &SignatureHeaders<'_>,
        body: &[u8],
    ) -> Result<(Scheme, usize), VerifyError> {
        let items = Items::read(headers.signature)?;
        let checkable = (!self.secrets.is_empty() && !items.v1.is_empty())
            || (!self.keys.is_empty() && !items.v1a.is_empty());
        if !checkable {
            return Err(VerifyError::NoSignature);
        }
        // What the header says is what was signed, digit for digit.
        let (id, timestamp) = (headers.id.as_bytes(), headers.timestamp.as_bytes());
        if !items.v1.is_empty() {
            for (index, secret) in self.secrets.iter().enumerate() {
                let tag = authenticate(secret, id, timestamp, body);
                if items.v1.iter().any(|item| equal(tag.as_ref(), item)) {
                    return Ok((Scheme::V1, index));
                }
            }
        }
        if !items.v1a.is_empty() && !self.keys.is_empty() {
            let content = signed_content(id, timestamp, body);
            for (index, key) in self.keys.iter().enumerate() {
                if items.v1a.iter().any(|item| key.verifies(&content, item)) {
                    return Ok((Scheme::V1a, index));
                }
            }
        }
        Err(VerifyError::NoMatch)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("secrets", &self.secrets.len())
            .field("keys", &self.keys)
            .finish()
    }
}

impl Scheme {
    /// The scheme as the header writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The well-formed items of a `webhook-signature`. Others are passed over:
/// the standard lets a sender add schemes that a receiver does not know.
struct Items {
    v1: Vec<[u8; 32]>,
    v1a: Vec<[u8; 64]>,
}

impl Items {
    fn read(header: &str) -> Result<Self, VerifyError> {
        let mut items = Self {
            v1: Vec::new(),
            v1a: Vec::new(),
        };
        for (count, item) in header.split_ascii_whitespace().enumerate() {
            if count == MAX_SIGNATURES {
                return Err(VerifyError::TooManySignatures);
            }
            match item.split_once(',') {
                Some(("v1", encoded)) => items.v1.extend(decode::<32>(encoded)),
                Some(("v1a", encoded)) => items.v1a.extend(decode::<64>(encoded)),
                _ => {}
            }
        }
        Ok(items)
    }
}

/// Decimal digits with an optional minus; `i64::from_str` would also take `+`.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

pub(crate) fn check_age(
    timestamp: i64,
    now: i64,
    tolerance_seconds: u64,
) -> Result<(), VerifyError> {
    let apart = now.abs_diff(timestamp);
    if apart <= tolerance_seconds {
        Ok(())
    } else if timestamp < now {
        Err(VerifyError::TooOld {
            age_seconds: apart,
            tolerance_seconds,
        })
    } else {
        Err(VerifyError::TooNew {
            ahead_seconds: apart,
            tolerance_seconds,
        })
    }
}

fn decode<const N: usize>(encoded: &str) -> Option<[u8; N]> {
    if encoded.len() != N.div_ceil(3) * 4 {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    bytes.try_into().ok()
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}
