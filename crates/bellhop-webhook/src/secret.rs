//! The symmetric secret of a webhook: `whsec_` and base64.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const MIN_BYTES: usize = 24;
const MAX_BYTES: usize = 64;

/// A secret that sender and receiver share (Standard Webhooks 1.0.0,
/// "Symmetric"): 24 to 64 bytes, 32 when Bellhop makes it.
///
/// `Debug` does not show it, and there is no `Display`; [`Secret::expose`] is
/// the one way to its text.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

/// Why a text or bytes are not a secret. The texts never quote the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    #[error("a webhook secret begins with whsec_")]
    Prefix,
    /// It begins like one half of a key pair, `whsk_` or `whpk_`.
    #[error("this is one half of a key pair ({0}…), not a webhook secret (whsec_…)")]
    KeyPair(&'static str),
    /// There is white space at one of its ends.
    #[error("the secret has white space at its start or end; a line break copied with it?")]
    Whitespace,
    /// What follows `whsec_` is not standard base64 with padding.
    #[error("what follows whsec_ is not standard base64 with padding")]
    Base64,
    /// It is too short or too long.
    #[error("the secret has {0} bytes; it must have 24 to 64")]
    Length(usize),
}

impl Secret {
    /// What every secret's text begins with.
    pub const PREFIX: &'static str = "whsec_";

    /// A secret of these 24 to 64 bytes.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let bytes = bytes.as_ref();
        if (MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }

    /// Its text, `whsec_…`. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> String {
        let mut text = String::from(Self::PREFIX);
        STANDARD.encode_string(&self.0, &mut text);
        text
    }

    /// The name by which it is told from others, in `keyid`: the first 16 hexadecimal digits of HMAC-SHA256 of the text
    /// `keyid`, by its bytes. Tells nothing of it.
    pub fn key_id(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, b"keyid");
        let first = tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        format!("{:016x}", u64::from_be_bytes(*first))
    }

    /// The key of the HMAC.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Secret {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        if text.trim() != text {
            return Err(SecretError::Whitespace);
        }
        for prefix in ["whsk_", "whpk_"] {
            if text.starts_with(prefix) {
                return Err(SecretError::KeyPair(prefix));
            }
        }
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        Self::from_bytes(bytes)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
