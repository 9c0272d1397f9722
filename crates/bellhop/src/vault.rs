//! Encryption at rest: what is sealed here is bound to its place, and cannot be moved to another.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, RwLock, RwLockReadGuard},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest,
};
use thiserror::Error;

/// Bytes of a key's id, which begins every sealed value.
const ID_LEN: usize = 4;

/// A key ring: the newest key seals, every key opens. Others can be taken up while it is in use.
pub struct Vault(RwLock<Ring>);

/// The keys, newest first.
struct Ring {
    order: Vec<RingKeyId>,
    keys: HashMap<RingKeyId, Arc<RandomizedNonceKey>>,
}

/// Names a key without telling anything of it: the beginning of its SHA-256. Shown as hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingKeyId(pub [u8; ID_LEN]);

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
        let mut ring = Ring {
            order: Vec::with_capacity(keys.len()),
            keys: HashMap::with_capacity(keys.len()),
        };
        for key in keys {
            let id = RingKeyId::of(key);
            let sealing =
                RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| VaultError::BadKey)?;
            if ring.keys.insert(id, Arc::new(sealing)).is_none() {
                ring.order.push(id);
            }
        }
        if ring.order.is_empty() {
            return Err(VaultError::BadKey);
        }
        Ok(Self(RwLock::new(ring)))
    }

    /// A ring from its written form: hex keys, comma-separated, newest first.
    pub fn from_hex(text: &str) -> Result<Self, VaultError> {
        Self::new(&parse_ring(text)?)
    }

    /// Takes over the order of another ring, and its keys. What is known already and is not in it opens as before, so
    /// that nothing which was sealed a moment ago is lost. Says whether anything changed.
    pub fn take_up(&self, other: Self) -> bool {
        let other = other.0.into_inner().expect("no holder panics");
        let mut ring = self.0.write().expect("no holder panics");
        let mut order = other.order;
        let kept = ring.order.iter().filter(|id| !order.contains(id));
        let kept: Vec<RingKeyId> = kept.copied().collect();
        order.extend(kept);
        let changed = ring.order != order;
        for (id, key) in other.keys {
            ring.keys.entry(id).or_insert(key);
        }
        ring.order = order;
        changed
    }

    /// The ids of the keys, newest first.
    pub fn ids(&self) -> Vec<RingKeyId> {
        self.ring().order.clone()
    }

    /// The key that seals.
    pub fn newest(&self) -> RingKeyId {
        self.ring().newest()
    }

    /// Whether there is a key that only opens.
    pub fn has_former(&self) -> bool {
        self.ring().order.len() > 1
    }

    /// A value as the newest key seals it; `None` if that has sealed it.
    pub fn reseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        if RingKeyId::of_sealed(sealed) == Some(self.newest()) {
            return Ok(None);
        }
        let plain = self.open(place, sealed)?;
        Ok(Some(self.seal(place, &plain)))
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.read().expect("no holder panics")
    }

    /// Seals: key id, nonce, ciphertext, tag.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let ring = self.ring();
        let newest = ring.newest();
        let key = &ring.keys[&newest];
        let mut sealed = Vec::with_capacity(ID_LEN + NONCE_LEN + plain.len() + 16);
        sealed.extend_from_slice(&newest.0);
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
        let ring = self.ring();
        let key = ring.keys.get(&RingKeyId(*id));
        let key = key.ok_or(VaultError::UnknownKey { column })?;
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

impl Ring {
    fn newest(&self) -> RingKeyId {
        self.order[0]
    }
}

impl RingKeyId {
    /// Of a key.
    pub fn of(key: &[u8; 32]) -> Self {
        let hash = digest::digest(&digest::SHA256, key);
        Self(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// Of the key that has sealed a value, as the value says.
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        sealed.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for RingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Keys from their written form: hex, comma-separated, newest first.
pub fn parse_ring(text: &str) -> Result<Vec<[u8; 32]>, VaultError> {
    text.split(',').map(|key| parse_hex(key.trim())).collect()
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
        write!(f, "Vault({} keys)", self.ring().order.len())
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
    fn a_key_that_is_taken_up_seals_and_the_former_ones_open() {
        let vault = Vault::new(&[[1; 32]]).unwrap();
        let before = vault.seal(HERE, b"before");
        assert!(vault.take_up(Vault::new(&[[2; 32], [1; 32]]).unwrap()));
        assert!(!vault.take_up(Vault::new(&[[2; 32], [1; 32]]).unwrap()));
        let after = vault.seal(HERE, b"after");
        assert_eq!(RingKeyId::of_sealed(&after), Some(RingKeyId::of(&[2; 32])));
        // A key that was taken out of the ring is not forgotten before the process ends.
        assert!(!vault.take_up(Vault::new(&[[2; 32]]).unwrap()));
        assert_eq!(vault.open(HERE, &before).unwrap(), b"before");
        assert_eq!(
            vault.ids(),
            [RingKeyId::of(&[2; 32]), RingKeyId::of(&[1; 32])]
        );
    }

    #[test]
    fn what_a_former_key_sealed_is_sealed_anew_in_its_place() {
        let former = Vault::new(&[[1; 32]]).unwrap();
        let both = Vault::new(&[[2; 32], [1; 32]]).unwrap();
        let sealed = former.seal(HERE, b"x");
        let anew = both.reseal(HERE, &sealed).unwrap().unwrap();
        assert_eq!(both.reseal(HERE, &anew).unwrap(), None);
        let newest = Vault::new(&[[2; 32]]).unwrap();
        assert_eq!(newest.open(HERE, &anew).unwrap(), b"x");
        assert!(both.reseal(Place { row: b"2", ..HERE }, &sealed).is_err());
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
