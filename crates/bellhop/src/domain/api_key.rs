//! API keys: who may do what. Stored hashed; the key itself is shown once.

use std::fmt;

use jiff::Timestamp;

use crate::{
    domain::{access_token::TokenHash, secret_text::SecretText},
    id::{ApplicationId, KeyId},
    random::{Random, bytes},
};

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Operator,
    /// One application's webhooks, deliveries and integrations.
    Application(ApplicationId),
    /// The introspection of access tokens, nothing else.
    Introspect,
}

/// A key as it is kept: its hash, never itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// What it opens.
    pub scope: Scope,
    /// SHA-256 of the key: of the newest one, if it was rotated.
    pub hash: TokenHash,
    /// The one before, until its overlap is over.
    pub previous: Option<(TokenHash, Timestamp)>,
    /// The very first, if it was rotated.
    pub first: Option<TokenHash>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working, if ever.
    pub expires: Option<Timestamp>,
    /// When it was last used, as far as that was noted: a minute late at most.
    pub last_used: Option<Timestamp>,
}

/// Another key in the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRotation {
    /// SHA-256 of the new one.
    pub hash: TokenHash,
    /// Until when the former one works as well.
    pub overlap_until: Timestamp,
    /// When both stop working; as before unless given.
    pub expires: Option<Timestamp>,
}

/// Makes a key: `bhk_` and 256 random bits in hex.
pub fn generate(random: &dyn Random) -> SecretText {
    let hex = bytes::<32>(random)
        .iter()
        .fold(String::from("bhk_"), |mut text, byte| {
            use fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        });
    SecretText::new(hex)
}

impl ApiKey {
    /// What it is known by for good, however often it is rotated.
    pub fn identity(&self) -> TokenHash {
        self.first.unwrap_or(self.hash)
    }

    /// Each hash that opens something at this moment or later, with the moment at which it stops.
    pub fn openings(&self) -> impl Iterator<Item = (TokenHash, Option<Timestamp>)> {
        let until = |overlap: Timestamp| self.expires.map_or(overlap, |end| end.min(overlap));
        let former = self
            .previous
            .map(|(hash, overlap)| (hash, Some(until(overlap))));
        [(self.hash, self.expires)].into_iter().chain(former)
    }

    /// Puts another key in its place. Of those before, only the newest works on, and that not if there is no overlap:
    /// it is forgotten then, so that no clock that is set back makes it work again.
    pub fn rotate(&mut self, to: KeyRotation, at: Timestamp) {
        self.first = Some(self.identity());
        self.previous = (at < to.overlap_until).then_some((self.hash, to.overlap_until));
        self.hash = to.hash;
        self.expires = to.expires.or(self.expires);
    }
}

impl Scope {
    /// The kind, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Application(_) => "application",
            Self::Introspect => "introspect",
        }
    }

    /// The application that it is bound to.
    pub fn application_id(self) -> Option<ApplicationId> {
        match self {
            Self::Application(id) => Some(id),
            Self::Operator | Self::Introspect => None,
        }
    }

    /// From the kind and the application.
    pub fn from_parts(kind: &str, application: Option<ApplicationId>) -> Option<Self> {
        match (kind, application) {
            ("operator", None) => Some(Self::Operator),
            ("application", Some(id)) => Some(Self::Application(id)),
            ("introspect", None) => Some(Self::Introspect),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn to(text: &str, overlap_until: i64) -> KeyRotation {
        KeyRotation {
            hash: TokenHash::of(text),
            overlap_until: at(overlap_until),
            expires: None,
        }
    }

    fn opening(key: &ApiKey) -> Vec<(TokenHash, Option<Timestamp>)> {
        key.openings().collect()
    }

    #[test]
    fn a_rotated_key_keeps_its_identity_and_only_the_newest_former_one() {
        let (one, two, three) = (
            TokenHash::of("one"),
            TokenHash::of("two"),
            TokenHash::of("three"),
        );
        let mut key = ApiKey {
            id: KeyId(uuid::Uuid::nil()),
            name: String::new(),
            scope: Scope::Introspect,
            hash: one,
            previous: None,
            first: None,
            created: at(0),
            expires: Some(at(100)),
            last_used: None,
        };
        assert_eq!(opening(&key), [(one, Some(at(100)))]);
        key.rotate(to("two", 50), at(10));
        assert_eq!(opening(&key), [(two, Some(at(100))), (one, Some(at(50)))]);
        key.rotate(to("three", 200), at(20));
        // No overlap is longer than the key itself.
        assert_eq!(
            opening(&key),
            [(three, Some(at(100))), (two, Some(at(100)))]
        );
        assert_eq!(key.identity(), one);
        key.rotate(to("four", 30), at(30));
        assert_eq!(opening(&key), [(TokenHash::of("four"), Some(at(100)))]);
        assert_eq!(key.identity(), one);
    }
}
