//! Encryption at rest: what is sealed here is bound to its place, and cannot be moved to another.

use std::{collections::HashMap, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest,
};
use thiserror::Error;

/// Bytes of a key's id, which begins every sealed value.
const ID_LEN: usize = 4;

/// A key ring: the newest key seals, every key opens.
pub struct Vault {
    newest: KeyRingId,
    keys: HashMap<KeyRingId, RandomizedNonceKey>,
}

type KeyRingId = [u8; ID_LEN];

/// Where a sealed value lives: it opens there and nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table and column.
    pub column: &'static str,
    /// The row.
    pub row: &'a [u8],
}

/// A value that does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The key it was sealed with is not in the ring.
    #[error(
        "a value in {column} was encrypted with a key that is not configured: \
         give the former key in BELLHOP_ENCRYPTION_KEY as well, after the new one"
    )]
    UnknownKey {
        /// Where it is.
        column: &'static str,
    },
    /// It was changed, or moved from another place.
    #[error("a value in {column} is damaged: it does not open with the key that it names")]
    Damaged {
        /// Where it is.
        column: &'static str,
    },
    /// The configured key has not the right form.
    #[error("an encryption key is 64 hex digits (32 bytes); make one with `openssl rand -hex 32`")]
    BadKey,
}

impl Vault {
    /// A ring of these keys of 32 bytes, newest first.
    pub fn new(keys: &[[u8; 32]]) -> Result<Self, VaultError> {
        let newest = key_id(keys.first().ok_or(VaultError::BadKey)?);
        let keys = keys
            .iter()
            .map(|key| {
                let sealing =
                    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| VaultError::BadKey)?;
                Ok((key_id(key), sealing))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { newest, keys })
    }

    /// A ring from its written form: hex keys, comma-separated, newest first.
    pub fn from_hex(text: &str) -> Result<Self, VaultError> {
        let keys = text
            .split(',')
            .map(|key| parse_hex(key.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(&keys)
    }

    /// Seals: key id, nonce, ciphertext, tag.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let key = &self.keys[&self.newest];
        let mut sealed = Vec::with_capacity(ID_LEN + NONCE_LEN + plain.len() + 16);
        sealed.extend_from_slice(&self.newest);
        sealed.resize(ID_LEN + NONCE_LEN, 0);
        sealed.extend_from_slice(plain);
        let (head, body) = sealed.split_at_mut(ID_LEN + NONCE_LEN);
        let (nonce, tag) = key
            .seal_in_place_separate_tag(place.associated_data(), body)
            .expect("a sealed value is far smaller than the cipher's limit");
        head[ID_LEN..].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let column = place.column;
        let damaged = || VaultError::Damaged { column };
        let (id, rest) = sealed.split_first_chunk::<ID_LEN>().ok_or_else(damaged)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let key = self.keys.get(id).ok_or(VaultError::UnknownKey { column })?;
        let mut body = body.to_vec();
        let plain = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                place.associated_data(),
                &mut body,
            )
            .map_err(|_| damaged())?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

impl Place<'_> {
    fn associated_data(&self) -> Aad<Vec<u8>> {
        let mut data = Vec::with_capacity(self.column.len() + 1 + self.row.len());
        data.extend_from_slice(self.column.as_bytes());
        data.push(0);
        data.extend_from_slice(self.row);
        Aad::from(data)
    }
}

fn key_id(key: &[u8; 32]) -> KeyRingId {
    let hash = digest::digest(&digest::SHA256, key);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

fn parse_hex(text: &str) -> Result<[u8; 32], VaultError> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(VaultError::BadKey);
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| VaultError::BadKey)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| VaultError::BadKey)?;
    }
    Ok(key)
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place {
        column: "messages.body",
        row: b"1",
    };

    #[test]
    fn opens_in_its_place_alone() {
        let vault = Vault::new(&[[7; 32]]).unwrap();
        let sealed = vault.seal(HERE, b"secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(vault.open(HERE, &sealed).unwrap(), b"secret");
        for elsewhere in [
            Place { row: b"2", ..HERE },
            Place {
                column: "webhooks.url",
                ..HERE
            },
        ] {
            assert!(matches!(
                vault.open(elsewhere, &sealed),
                Err(VaultError::Damaged { .. })
            ));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let vault = Vault::new(&[[7; 32]]).unwrap();
        let sealed = vault.seal(HERE, b"secret");
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(vault.open(HERE, &changed).is_err());
        }
        assert!(vault.open(HERE, b"").is_err());
    }

    #[test]
    fn a_former_key_opens_and_does_not_seal() {
        let former = Vault::new(&[[1; 32]]).unwrap();
        let both = Vault::new(&[[2; 32], [1; 32]]).unwrap();
        assert_eq!(both.open(HERE, &former.seal(HERE, b"x")).unwrap(), b"x");
        assert_eq!(
            former.open(HERE, &both.seal(HERE, b"x")),
            Err(VaultError::UnknownKey {
                column: "messages.body"
            })
        );
    }

    #[test]
    fn a_key_is_64_hex_digits() {
        assert!(Vault::from_hex(&"0f".repeat(32)).is_ok());
        assert!(Vault::from_hex(&format!("{}, {}", "0f".repeat(32), "10".repeat(32))).is_ok());
        for bad in ["", "0f", &"zz".repeat(32), &"é".repeat(32)] {
            assert_eq!(Vault::from_hex(bad).unwrap_err(), VaultError::BadKey);
        }
    }
}
