//! Access tokens: `<integration id, 32 upper-case hex>-<31 upper-case hex digits>`, as in the contract's sample.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::secret_text::SecretText,
    id::IntegrationId,
    random::{Random, bytes},
};

/// Characters of a token: 32 of the integration's id, a hyphen, 31 random.
pub const LENGTH: usize = 64;

/// What a store keeps of a token: its SHA-256. A token has 124 random bits, so a plain hash cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// The tokens that an integration accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The newest.
    pub current: TokenHash,
    /// The one before, until its overlap is over.
    pub previous: Option<(TokenHash, Timestamp)>,
}

/// Makes a token for the integration.
pub fn generate(integration: IntegrationId, random: &dyn Random) -> SecretText {
    let bits = u128::from_le_bytes(bytes::<16>(random)) >> 4;
    SecretText::new(format!("{:032X}-{bits:031X}", integration.0.as_u128()))
}

/// The integration that a token names. `None` if it has not the form of a token.
pub fn integration_of(token: &str) -> Option<IntegrationId> {
    let upper_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let (id, rest) = token.split_once('-')?;
    if token.len() != LENGTH || id.len() != 32 || !upper_hex(id) || !upper_hex(rest) {
        return None;
    }
    Uuid::try_parse(id).ok().map(IntegrationId)
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

impl Tokens {
    /// Whether a token with this hash opens anything at this moment.
    pub fn accept(&self, hash: &TokenHash, now: Timestamp) -> bool {
        let previous = self
            .previous
            .is_some_and(|(previous, until)| now < until && previous.matches(hash));
        self.current.matches(hash) || previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    const SAMPLE: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";

    #[test]
    fn the_contracts_sample_names_its_integration() {
        let id = integration_of(SAMPLE).unwrap();
        assert_eq!(id.to_string(), "9e5e84e9-974d-4f16-9662-ab2200f27cb1");
    }

    #[test]
    fn a_generated_token_has_the_samples_form() {
        let id = integration_of(SAMPLE).unwrap();
        let token = generate(id, &SystemRandom);
        assert_eq!(token.expose().len(), LENGTH);
        assert_eq!(integration_of(token.expose()), Some(id));
        assert_ne!(token, generate(id, &SystemRandom));
    }

    #[test]
    fn other_forms_name_nothing() {
        let lower = SAMPLE.to_lowercase();
        for text in [
            "",
            "-",
            &SAMPLE[1..],
            &lower,
            &SAMPLE.replace('-', "A"),
            "é-é",
        ] {
            assert_eq!(integration_of(text), None, "{text}");
        }
    }

    #[test]
    fn the_previous_token_works_until_its_overlap_ends() {
        let (old, new) = (TokenHash::of("old"), TokenHash::of("new"));
        let at = |second| Timestamp::from_second(second).unwrap();
        let tokens = Tokens {
            current: new,
            previous: Some((old, at(100))),
        };
        assert!(tokens.accept(&new, at(200)));
        assert!(tokens.accept(&old, at(99)));
        assert!(!tokens.accept(&old, at(100)));
        assert!(!tokens.accept(&TokenHash::of("other"), at(1)));
    }
}
