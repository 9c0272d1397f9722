//! The chain: each entry's hash is over the hash before it and the entry, so that nothing in the middle can be changed,
//! left out, put in or moved without changing all that follows.

use std::{fmt, io::Write as _, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::AuditEntry;

/// The encoding below. Another encoding would have another number.
const VERSION: &str = "1";

/// A hash of the chain, written as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// How many entries there are up to here: the position of the last of them.
    pub position: u64,
    /// The hash of the last of them.
    pub head: Digest,
}

impl Chain {
    /// Before the first entry.
    pub const EMPTY: Self = Self {
        position: 0,
        head: Digest([0; 32]),
    };

    /// Takes up one more entry.
    pub fn add(&mut self, entry: &AuditEntry) {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&self.head.0);
        entry.encode(&mut bytes);
        let hash = digest(&SHA256, &bytes);
        self.head = Digest(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        self.position += 1;
    }
}

impl AuditEntry {
    /// The bytes that are hashed: thirteen fields, each a netstring (`5:Hello,`), or `-,` if it is absent. A length before
    /// each text leaves one way to read them.
    fn encode(&self, to: &mut Vec<u8>) {
        let mut buffer = Uuid::encode_buffer();
        let mut hyphenated = |id: Option<Uuid>, to: &mut Vec<u8>| match id {
            Some(id) => field(to, Some(id.as_hyphenated().encode_lower(&mut buffer))),
            None => field(to, None),
        };
        field(to, Some(VERSION));
        hyphenated(Some(self.id), to);
        field(to, Some(&self.at_ms.to_string()));
        field(to, Some(&self.action));
        field(to, Some(&self.actor));
        hyphenated(self.actor_id, to);
        field(to, self.actor_name.as_deref());
        field(to, self.from_address.as_deref());
        field(to, self.request_id.as_deref());
        field(to, Some(&self.subject));
        hyphenated(self.subject_id, to);
        hyphenated(self.application_id.map(|id| id.0), to);
        field(to, self.details.as_deref());
    }
}

fn field(to: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            write!(to, "{}:", text.len()).expect("memory takes all");
            to.extend_from_slice(text.as_bytes());
            to.push(b',');
        }
        None => to.extend_from_slice(b"-,"),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "a hash of the chain has 64 hex digits".to_owned();
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(refused());
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::audit::{Actor, AuditAction, AuditSubject, By, Fact},
        id::{ApplicationId, KeyId},
    };

    fn entry() -> AuditEntry {
        let by = By {
            actor: Actor::Key {
                id: KeyId(Uuid::from_u128(2)),
                name: "deploy é".into(),
            },
            from: Some("::ffff:192.0.2.7".parse().unwrap()),
            request_id: None,
        };
        Fact::new(
            AuditAction::IntegrationEnabled,
            AuditSubject::Integration,
            Uuid::from_u128(3),
        )
        .of(Some(ApplicationId(Uuid::from_u128(4))))
        .saying(r#"{"Sequence":7}"#)
        .entry(
            Uuid::from_u128(1),
            Timestamp::from_millisecond(1_764_148_402_123).unwrap(),
            &by,
        )
    }

    /// The example of docs/audit.md. The hash was computed by Python's hashlib from the text there.
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let mut bytes = Vec::new();
        entry().encode(&mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "1:1,36:00000000-0000-0000-0000-000000000001,13:1764148402123,18:IntegrationEnabled,3:Key,\
             36:00000000-0000-0000-0000-000000000002,9:deploy é,9:192.0.2.7,-,11:Integration,\
             36:00000000-0000-0000-0000-000000000003,36:00000000-0000-0000-0000-000000000004,14:{\"Sequence\":7},"
        );
        let mut chain = Chain::EMPTY;
        chain.add(&entry());
        assert_eq!(
            chain.head.to_string(),
            "49db7efa9428d30dead00298186c32827801efd9e481b1c21763629e1dd369be"
        );
        assert_eq!(chain.head.to_string().parse(), Ok(chain.head));
    }

    fn changed(which: usize, text: &str) -> AuditEntry {
        let mut entry = entry();
        let text = format!("{text}!");
        match which {
            0 => entry.id = Uuid::from_u128(9),
            1 => entry.at_ms += 1,
            2 => entry.action = text.into(),
            3 => entry.actor = text.into(),
            4 => entry.actor_id = None,
            5 => entry.actor_name = Some(text.into()),
            6 => entry.from_address = Some(text),
            7 => entry.request_id = Some(Arc::from(text)),
            8 => entry.subject = text.into(),
            9 => entry.subject_id = None,
            10 => entry.application_id = None,
            _ => entry.details = Some(text),
        }
        entry
    }

    proptest! {
        #[test]
        fn every_field_counts(which in 0..12_usize, text in ".{0,40}") {
            let (mut chain, mut other) = (Chain::EMPTY, Chain::EMPTY);
            chain.add(&entry());
            other.add(&changed(which, &text));
            prop_assert_ne!(chain.head, other.head);
        }

        /// What stands in one field never reads as the next.
        #[test]
        fn no_text_moves_from_field_to_field(name in ".{0,20}", address in ".{0,20}") {
            let with = |name: &str, address: &str| {
                let mut entry = entry();
                entry.actor_name = Some(name.into());
                entry.from_address = Some(address.to_owned());
                let mut bytes = Vec::new();
                entry.encode(&mut bytes);
                bytes
            };
            let both = format!("{name}{address}");
            prop_assert!(address.is_empty() || with(&name, &address) != with(&both, ""));
        }
    }
}
