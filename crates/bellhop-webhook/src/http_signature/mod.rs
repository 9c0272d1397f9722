//! HTTP Message Signatures (RFC 9421) over a request with a webhook's message, its body by Content-Digest (RFC 9530):
//! signing and verifying side by side, over one way to build what is signed.

mod base;
mod digest;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use base::HttpRequest;
pub use digest::content_digest;
pub use sign::{HttpSignature, HttpSigner, MessageRequest};
pub use verify::{Algorithm, HttpVerified, HttpVerifier, HttpVerifyError};

/// The tag of our signatures: what tells them from those that a proxy on the way has added (RFC 9421 section 2.3).
pub const SIGNATURE_TAG: &str = "bellhop";
/// Name of the header that carries the body's digest (RFC 9530).
pub const HEADER_CONTENT_DIGEST: &str = "content-digest";
/// Name of the header that says what the message signatures cover (RFC 9421 section 4.1).
pub const HEADER_SIGNATURE_INPUT: &str = "signature-input";
/// Name of the header that carries the message signatures (RFC 9421 section 4.2).
pub const HEADER_MESSAGE_SIGNATURE: &str = "signature";

/// What each of our signatures covers. No scheme: a proxy that ends TLS does not know it any more.
const COVERED: [&str; 8] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-type",
    HEADER_CONTENT_DIGEST,
    crate::HEADER_ID,
    crate::HEADER_TIMESTAMP,
];
