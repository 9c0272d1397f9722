//! Verifying a signed request: was it made by the sender, is it for here, unchanged and recent?

use std::fmt;

use aws_lc_rs::hmac;
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::base::{HttpRequest, names, of_input};
use super::{
    COVERED, HEADER_CONTENT_DIGEST, HEADER_MESSAGE_SIGNATURE, HEADER_SIGNATURE_INPUT,
    SIGNATURE_TAG, digest,
};
use crate::sign::prepare;
use crate::verify::check_age;
use crate::{Secret, VerifyError, VerifyingKey};

/// The longest header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Most signatures that are looked at: a sender in rotation has a handful.
const MAX_SIGNATURES: usize = 16;

/// Verifies the requests to one webhook with every secret and key that is still valid. Built once.
#[derive(Clone)]
pub struct HttpVerifier {
    keys: Vec<(String, Key)>,
}

#[derive(Clone)]
enum Key {
    Hmac(Box<hmac::Key>),
    Ed25519(VerifyingKey),
}

/// How a signature is made (the registry of RFC 9421 section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA256 with a shared secret.
    HmacSha256,
    /// Ed25519 with a key pair.
    Ed25519,
}

/// What a request was verified by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpVerified {
    /// How the signature that matched was made.
    pub algorithm: Algorithm,
    /// Its `keyid`.
    pub key_id: String,
    /// When it was made, in unix seconds.
    pub created: i64,
}

/// Why a request is not to be trusted. Answer it with a 4xx and do nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpVerifyError {
    /// A header is not there.
    #[error("the request has no {0} header")]
    Missing(&'static str),
    /// A header is not what its RFC says.
    #[error("the {0} header cannot be read")]
    Malformed(&'static str),
    /// More, or longer, than any sender of ours would send.
    #[error("the signature headers are longer than is read")]
    TooMany,
    /// No signature has the tag `bellhop` and the `keyid` of a key that this verifier has.
    #[error("no signature is tagged bellhop and made with a key that this verifier has")]
    NoSignature,
    /// The signature names another algorithm than its key is for.
    #[error("the signature's alg is not that of its key")]
    Algorithm,
    /// The signature does not cover what it must.
    #[error("the signature does not cover {0}")]
    NotCovered(&'static str),
    /// The signature covers what the request does not have, or what this verifier does not know.
    #[error(
        "the signature covers {0}, which the request does not have or this verifier does not know"
    )]
    Component(String),
    /// The signature has no `created`, or is too old or too new.
    #[error("the signature has no time of its making")]
    NoTime,
    /// The time is too far from now.
    #[error(transparent)]
    Age(#[from] VerifyError),
    /// Its own end has come.
    #[error("the signature has expired")]
    Expired,
    /// It does not match.
    #[error("the signature does not match: another key, or another request than was sent")]
    NoMatch,
    /// The signature is right, and the body is not the one that it is about.
    #[error("the body is not the bytes that were sent: content-digest is of others")]
    Digest,
}

impl HttpVerifier {
    /// Prepares the secrets and keys that are valid now; one match suffices.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the verifier takes the secrets over; the caller should keep no copy"
    )]
    pub fn new(secrets: Vec<Secret>, keys: Vec<VerifyingKey>) -> Self {
        let secrets = secrets
            .iter()
            .map(|secret| (secret.key_id(), Key::Hmac(Box::new(prepare(secret)))));
        let keys = keys
            .into_iter()
            .map(|key| (key.key_id(), Key::Ed25519(key)));
        Self {
            keys: secrets.chain(keys).collect(),
        }
    }

    /// Verifies a request with its body, as the exact bytes that arrived. `now` is in unix seconds;
    /// [`DEFAULT_TOLERANCE_SECONDS`](crate::DEFAULT_TOLERANCE_SECONDS) is the usual tolerance.
    pub fn verify(
        &self,
        request: &HttpRequest<'_>,
        body: &[u8],
        now: i64,
        tolerance_seconds: u64,
    ) -> Result<HttpVerified, HttpVerifyError> {
        let inputs = dictionary(request, HEADER_SIGNATURE_INPUT)?;
        let signatures = dictionary(request, HEADER_MESSAGE_SIGNATURE)?;
        // What the first candidate lacks is told: the others are former keys.
        let mut refused = HttpVerifyError::NoSignature;
        for (label, input) in &inputs {
            let ListEntry::InnerList(input) = input else {
                return Err(HttpVerifyError::Malformed(HEADER_SIGNATURE_INPUT));
            };
            let Some((key_id, key)) = self.key_of(input) else {
                continue;
            };
            let signature = bytes(signatures.get(label))?;
            match verify_one(request, input, key, signature, now, tolerance_seconds) {
                Ok(created) => {
                    let digest = request
                        .header(HEADER_CONTENT_DIGEST)
                        .ok_or(HttpVerifyError::Missing(HEADER_CONTENT_DIGEST))?;
                    if !digest::is_of(&digest, body) {
                        return Err(HttpVerifyError::Digest);
                    }
                    return Ok(HttpVerified {
                        algorithm: key.algorithm(),
                        key_id: key_id.to_owned(),
                        created,
                    });
                }
                Err(error) if refused == HttpVerifyError::NoSignature => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// The key of a signature of ours, if we have it.
    fn key_of(&self, input: &InnerList) -> Option<(&str, &Key)> {
        let wanted = text(input, "keyid")?;
        if text(input, "tag") != Some(SIGNATURE_TAG) {
            return None;
        }
        let found = self.keys.iter().find(|(id, _)| id == wanted);
        found.map(|(id, key)| (&**id, key))
    }
}

fn verify_one(
    request: &HttpRequest<'_>,
    input: &InnerList,
    key: &Key,
    signature: &[u8],
    now: i64,
    tolerance_seconds: u64,
) -> Result<i64, HttpVerifyError> {
    if input.params.contains_key("alg") && text(input, "alg") != Some(key.algorithm().as_str()) {
        return Err(HttpVerifyError::Algorithm);
    }
    let covered = names(input)?;
    if let Some(missing) = COVERED.into_iter().find(|name| !covered.contains(name)) {
        return Err(HttpVerifyError::NotCovered(missing));
    }
    let created = number(input, "created").ok_or(HttpVerifyError::NoTime)?;
    check_age(created, now, tolerance_seconds)?;
    if input.params.contains_key("expires")
        && number(input, "expires").is_none_or(|expires| expires < now)
    {
        return Err(HttpVerifyError::Expired);
    }
    let base = of_input(request, input)?;
    if key.verifies(base.as_bytes(), signature) {
        Ok(created)
    } else {
        Err(HttpVerifyError::NoMatch)
    }
}

fn dictionary(
    request: &HttpRequest<'_>,
    name: &'static str,
) -> Result<Dictionary, HttpVerifyError> {
    let value = request.header(name).ok_or(HttpVerifyError::Missing(name))?;
    if value.len() > MAX_HEADER_BYTES {
        return Err(HttpVerifyError::TooMany);
    }
    let parsed: Dictionary = Parser::new(&value)
        .parse()
        .map_err(|_| HttpVerifyError::Malformed(name))?;
    if parsed.len() > MAX_SIGNATURES {
        return Err(HttpVerifyError::TooMany);
    }
    Ok(parsed)
}

fn bytes(member: Option<&ListEntry>) -> Result<&[u8], HttpVerifyError> {
    match member {
        Some(ListEntry::Item(item)) => match &item.bare_item {
            BareItem::ByteSequence(bytes) => Ok(bytes),
            _ => Err(HttpVerifyError::Malformed(HEADER_MESSAGE_SIGNATURE)),
        },
        _ => Err(HttpVerifyError::Malformed(HEADER_MESSAGE_SIGNATURE)),
    }
}

fn text<'a>(input: &'a InnerList, name: &str) -> Option<&'a str> {
    match input.params.get(name)? {
        BareItem::String(text) => Some(text.as_str()),
        _ => None,
    }
}

fn number(input: &InnerList, name: &str) -> Option<i64> {
    match input.params.get(name)? {
        BareItem::Integer(number) => Some((*number).into()),
        _ => None,
    }
}

impl Key {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HmacSha256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Takes the same time wherever a signature differs.
    fn verifies(&self, base: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, base, signature).is_ok(),
            Self::Ed25519(key) => key.verifies(base, signature),
        }
    }
}

impl Algorithm {
    /// As the registry has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HttpVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|(id, _)| id);
        f.debug_list().entries(ids).finish()
    }
}
