//! What a receiver knows of one request.

use std::fmt;

use bellhop_webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Message, MessageId, SignatureHeaders, Verified,
    Verifier, VerifyError,
};
use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use uuid::Uuid;

use super::Order;
use crate::domain::operational::{OPERATIONAL_PREFIX, OperationalType};

/// One request as it arrived, and what was made of it.
#[derive(Clone)]
pub struct Received {
    /// When its last byte arrived.
    pub at: Timestamp,
    /// The path that it was sent to.
    pub path: String,
    /// `webhook-id`, empty if there was none.
    pub id: String,
    /// The action, or the type of an operational message, as the body says.
    pub action: Option<String>,
    /// The integration, as the id says.
    pub integration: Option<Uuid>,
    /// The integration's name, as the body says.
    pub integration_name: Option<String>,
    /// The position in the integration's history, as the id says.
    pub sequence: Option<u64>,
    /// `bellhop-previous`: the sequence of the message before this one in this lane.
    pub previous: Option<u64>,
    /// `bellhop-attempt`.
    pub attempt: Option<u32>,
    /// Whether it is what the sender signed.
    pub signature: Signature,
    /// Whether it was due.
    pub order: Order,
    /// What the receiver does.
    pub answer: Answer,
    /// The body, byte for byte: it may carry an access token.
    pub body: Bytes,
}

/// What the signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// It is right.
    Verified(Verified),
    /// It is wrong.
    Wrong(VerifyError),
    /// There is no secret to check it with.
    Unchecked,
}

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this status.
    Status(u16),
    /// Never answers.
    None,
    /// Closes the connection.
    Dropped,
}

impl Received {
    /// Reads a request. Order and answer are for the receiver to decide.
    pub fn read(
        at: Timestamp,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
        verifier: Option<&Verifier>,
    ) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let id = header(HEADER_ID).unwrap_or_default();
        let message_id = id.parse::<MessageId>().ok();
        let message = Message::parse(&body).ok();
        let signature = match verifier {
            None => Signature::Unchecked,
            Some(verifier) => {
                let signed = SignatureHeaders {
                    id,
                    timestamp: header(HEADER_TIMESTAMP).unwrap_or_default(),
                    signature: header(HEADER_SIGNATURE).unwrap_or_default(),
                };
                let tolerance = bellhop_webhook::DEFAULT_TOLERANCE_SECONDS;
                verifier
                    .verify(&signed, &body, at.as_second(), tolerance)
                    .map_or_else(Signature::Wrong, Signature::Verified)
            }
        };
        Self {
            at,
            path: path.to_owned(),
            id: id.to_owned(),
            action: message
                .as_ref()
                .map(|message| message.action().to_string())
                .or_else(|| operational_type(id, &body)),
            integration: message_id.and_then(MessageId::integration_id),
            integration_name: message.map(|message| message.integration().name.clone()),
            sequence: message_id.and_then(MessageId::sequence),
            previous: header("bellhop-previous").and_then(|text| text.parse().ok()),
            attempt: header("bellhop-attempt").and_then(|text| text.parse().ok()),
            signature,
            order: Order::None,
            answer: Answer::Status(200),
            body,
        }
    }

    /// Whether it is a test message.
    pub fn is_test(&self) -> bool {
        self.id.parse().is_ok_and(MessageId::is_test)
    }
}

/// The type of an operational message.
fn operational_type(id: &str, body: &[u8]) -> Option<String> {
    if !id.starts_with(OPERATIONAL_PREFIX) {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let about: OperationalType = body.get("Type")?.as_str()?.parse().ok()?;
    Some(about.to_string())
}

impl Signature {
    /// Whether it is right.
    pub const fn is_verified(self) -> bool {
        matches!(self, Self::Verified(_))
    }
}

impl Answer {
    /// Whether the sender takes the message for delivered.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::None => f.write_str("none"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("signature", &self.signature)
            .field("order", &self.order)
            .field("answer", &self.answer)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
