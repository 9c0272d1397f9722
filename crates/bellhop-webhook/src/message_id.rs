//! The id of a message, which is the value of `webhook-id`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

const PREFIX: &str = "msg_";
const TEST_PREFIX: &str = "msg_test_";
const HEX_DIGITS: usize = 32;

/// Names a message: `msg_<integration id, 32 hex digits>_<sequence>`, or
/// `msg_test_<32 hex digits>` for a test message.
///
/// It is unique, the same on every attempt and replay, and signed. A receiver
/// deduplicates on it and reads the order from its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    Integration { id: Uuid, sequence: u64 },
    Test([u8; 16]),
}

/// Why a text is not the id of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageIdError {
    /// It does not begin with `msg_`.
    #[error("a message id begins with msg_")]
    Prefix,
    /// What follows the prefix is not 32 lower-case hexadecimal digits.
    #[error("a message id has 32 lower-case hexadecimal digits after its prefix")]
    Digits,
    /// The sequence is missing, zero, too large, or not plainly written.
    #[error("a message id ends in _ and its sequence, a number from 1 without leading zeros")]
    Sequence,
}

impl MessageId {
    /// The id of the message at a position in an integration's history.
    /// Sequences count from 1.
    pub const fn new(integration_id: Uuid, sequence: u64) -> Self {
        debug_assert!(sequence >= 1, "sequences count from 1");
        Self(Form::Integration {
            id: integration_id,
            sequence,
        })
    }

    /// The id of a test message, made of random bytes.
    pub const fn test(random: [u8; 16]) -> Self {
        Self(Form::Test(random))
    }

    /// The integration whose message it is; none for a test message.
    pub const fn integration_id(self) -> Option<Uuid> {
        match self.0 {
            Form::Integration { id, .. } => Some(id),
            Form::Test(_) => None,
        }
    }

    /// The position in the integration's history; none for a test message.
    pub const fn sequence(self) -> Option<u64> {
        match self.0 {
            Form::Integration { sequence, .. } => Some(sequence),
            Form::Test(_) => None,
        }
    }

    /// Whether it is the id of a test message.
    pub const fn is_test(self) -> bool {
        matches!(self.0, Form::Test(_))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Integration { id, sequence } => {
                write!(f, "{PREFIX}{}_{sequence}", id.as_simple())
            }
            Form::Test(random) => {
                write!(f, "{TEST_PREFIX}{}", Uuid::from_bytes(random).as_simple())
            }
        }
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        if let Some(digits) = text.strip_prefix(TEST_PREFIX) {
            return Ok(Self::test(parse_hex(digits)?.into_bytes()));
        }
        let rest = text.strip_prefix(PREFIX).ok_or(MessageIdError::Prefix)?;
        let (digits, sequence) = rest.split_once('_').ok_or(if rest.len() == HEX_DIGITS {
            MessageIdError::Sequence
        } else {
            MessageIdError::Digits
        })?;
        Ok(Self::new(parse_hex(digits)?, parse_sequence(sequence)?))
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// One spelling for one id: `Uuid` would also take hyphens and upper case.
fn parse_hex(digits: &str) -> Result<Uuid, MessageIdError> {
    let plain = digits.len() == HEX_DIGITS
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !plain {
        return Err(MessageIdError::Digits);
    }
    Uuid::try_parse(digits).map_err(|_| MessageIdError::Digits)
}

fn parse_sequence(text: &str) -> Result<u64, MessageIdError> {
    // The first digit also rules out the sign that `u64::from_str` accepts.
    if !matches!(text.as_bytes().first(), Some(b'1'..=b'9')) {
        return Err(MessageIdError::Sequence);
    }
    text.parse().map_err(|_| MessageIdError::Sequence)
}
