#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod action;
mod explain;
mod http_signature;
mod key;
mod message;
mod message_id;
mod secret;
mod sign;
mod time;
mod verify;

pub use action::{Action, Profile, UnknownAction, UnknownProfile};
pub use explain::{Cause, Evidence, Explanation, KnownSecret, Step, Verdict, explain};
pub use http_signature::{
    Algorithm, HEADER_CONTENT_DIGEST, HEADER_MESSAGE_SIGNATURE, HEADER_SIGNATURE_INPUT,
    HttpRequest, HttpSignature, HttpSigner, HttpVerified, HttpVerifier, HttpVerifyError,
    MessageRequest, SIGNATURE_TAG, content_digest,
};
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use message::{
    AccessTokenText, Enterprise, Integration, IntegrationApiKeyCreated, IntegrationChanged,
    IntegrationCreated, IntegrationDeleted, Message, ParseError, Requestor, Service,
};
pub use message_id::{MessageId, MessageIdError};
pub use secret::{Secret, SecretError};
pub use sign::Signer;
pub use time::UtcSecond;
pub use verify::{
    DEFAULT_TOLERANCE_SECONDS, MAX_SIGNATURES, Scheme, SignatureHeaders, Verified, Verifier,
    VerifyError,
};

/// Name of the header that carries the message's id (Standard Webhooks 1.0.0).
pub const HEADER_ID: &str = "webhook-id";
/// Name of the header that carries the unix seconds of the attempt.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// Name of the header that carries the list of signatures.
pub const HEADER_SIGNATURE: &str = "webhook-signature";
