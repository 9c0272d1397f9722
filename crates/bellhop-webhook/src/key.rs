//! The key pair of a webhook that also signs asymmetrically: ed25519, `v1a`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const SEED_BYTES: usize = 32;
const PUBLIC_BYTES: usize = 32;

/// The secret half of a key pair (Standard Webhooks 1.0.0, "Asymmetric"):
/// `whsk_` and base64 of the 64 bytes seed‖public key. Only the sender has it.
#[derive(Clone)]
pub struct SigningKey {
    seed: [u8; SEED_BYTES],
    pair: Ed25519KeyPair,
}

/// The public half of a key pair: `whpk_` and base64 of 32 bytes. It verifies,
/// it cannot sign, and it is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; PUBLIC_BYTES]);

/// Why a text is not a key. The texts never quote the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not begin with the prefix of this kind of key.
    #[error("this kind of key begins with {0}")]
    Prefix(&'static str),
    /// What follows the prefix is not standard base64 with padding.
    #[error("what follows {0} is not standard base64 with padding")]
    Base64(&'static str),
    /// It does not have the right number of bytes.
    #[error("the key has {found} bytes; it must have {wanted}")]
    Length {
        /// Bytes that it has.
        found: usize,
        /// Bytes that it must have.
        wanted: usize,
    },
    /// The public half does not belong to the seed.
    #[error("the two halves of the key do not belong together")]
    Mismatch,
}

impl SigningKey {
    /// What the text of every signing key begins with.
    pub const PREFIX: &'static str = "whsk_";

    /// The key pair that grows from 32 random bytes.
    pub fn from_seed(seed: [u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .expect("every 32 bytes are the seed of an ed25519 key");
        Self { seed, pair }
    }

    /// The public half, for receivers.
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut public = [0; PUBLIC_BYTES];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(public)
    }

    /// Its text, `whsk_…`. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> String {
        let mut bytes = [0; SEED_BYTES + PUBLIC_BYTES];
        bytes[..SEED_BYTES].copy_from_slice(&self.seed);
        bytes[SEED_BYTES..].copy_from_slice(&self.verifying_key().0);
        let mut text = String::from(Self::PREFIX);
        STANDARD.encode_string(bytes, &mut text);
        text
    }

    /// The 64 bytes of the signature of the content.
    pub(crate) fn sign(&self, content: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.pair.sign(content)
    }
}

impl VerifyingKey {
    /// What the text of every verifying key begins with.
    pub const PREFIX: &'static str = "whpk_";

    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; PUBLIC_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_BYTES] {
        &self.0
    }

    /// Its 32 bytes as a JSON Web Key has them, in its `x` (RFC 8037): base64url without padding.
    pub fn to_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The name by which it is told from others: the thumbprint of its JSON Web Key (RFC 7638, RFC 8037 appendix A.3).
    pub fn key_id(&self) -> String {
        let x = self.to_base64url();
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// Whether the signature of the content was made by the other half.
    pub(crate) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(content, signature)
            .is_ok()
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; SEED_BYTES + PUBLIC_BYTES] = decode(text, Self::PREFIX)?;
        let (seed, public) = bytes.split_at(SEED_BYTES);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public)
            .map_err(|_| KeyError::Mismatch)?;
        let seed = seed.try_into().map_err(|_| KeyError::Mismatch)?;
        Ok(Self { seed, pair })
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text, Self::PREFIX).map(Self)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, STANDARD.encode(self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(redacted, {})", self.verifying_key())
    }
}

fn decode<const N: usize>(text: &str, prefix: &'static str) -> Result<[u8; N], KeyError> {
    let encoded = text.strip_prefix(prefix).ok_or(KeyError::Prefix(prefix))?;
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| KeyError::Base64(prefix))?;
    <[u8; N]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length {
        found: bytes.len(),
        wanted: N,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.3.
    #[test]
    fn the_thumbprint_is_the_published_one() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let bytes = URL_SAFE_NO_PAD.decode(x).unwrap();
        let key = VerifyingKey::from_bytes(bytes.try_into().unwrap());
        assert_eq!(key.to_base64url(), x);
        assert_eq!(key.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
