//! Signing: the value of `webhook-signature` for one attempt.

use std::fmt;
use std::io::Write as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Secret, SigningKey};

/// Length of `v1,` and base64 of 32 bytes.
const V1_ITEM_LEN: usize = 3 + 44;
/// Length of `v1a,` and base64 of 64 bytes.
const V1A_ITEM_LEN: usize = 4 + 88;
/// Longest decimal `i64`: a sign and 19 digits.
const DECIMAL_LEN: usize = 20;

/// Signs the attempts of one webhook. Built once, because preparing the keys
/// costs as much as a signature.
///
/// ```
/// use bellhop_webhook::{Secret, Signer};
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let signer = Signer::new(vec![secret], vec![]);
/// assert_eq!(
///     signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
///     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
/// );
/// # Ok::<(), bellhop_webhook::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Signer {
    secrets: Vec<hmac::Key>,
    keys: Vec<SigningKey>,
}

/// A timestamp in decimal, on the stack.
pub(crate) struct Decimal {
    digits: [u8; DECIMAL_LEN],
    len: usize,
}

impl Signer {
    /// Prepares the active secrets, newest first, and the signing keys,
    /// newest first; either may be empty. With both empty the header is
    /// empty, which no receiver accepts.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the signer takes the secrets over; the caller should keep no copy"
    )]
    pub fn new(secrets: Vec<Secret>, keys: Vec<SigningKey>) -> Self {
        let secrets = secrets.iter().map(prepare).collect();
        Self { secrets, keys }
    }

    /// The value of `webhook-signature` for the message's id, the unix
    /// seconds of the attempt and the bytes that are sent: `v1,` items newest
    /// first, then `v1a,` items, one space between.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let timestamp = Decimal::new(timestamp);
        let items = self.secrets.len() * (V1_ITEM_LEN + 1) + self.keys.len() * (V1A_ITEM_LEN + 1);
        let mut header = String::with_capacity(items);
        for secret in &self.secrets {
            let tag = authenticate(secret, id.as_bytes(), timestamp.as_bytes(), body);
            append(&mut header, "v1,", tag.as_ref());
        }
        if !self.keys.is_empty() {
            // Ed25519 reads its content twice, so here a copy is needed.
            let content = signed_content(id.as_bytes(), timestamp.as_bytes(), body);
            for key in &self.keys {
                append(&mut header, "v1a,", key.sign(&content).as_ref());
            }
        }
        header
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("secrets", &self.secrets.len())
            .field("keys", &self.keys.len())
            .finish()
    }
}

impl Decimal {
    pub(crate) fn new(number: i64) -> Self {
        let mut digits = [0; DECIMAL_LEN];
        let mut rest = digits.as_mut_slice();
        write!(rest, "{number}").expect("20 bytes hold every decimal i64");
        let len = DECIMAL_LEN - rest.len();
        Self { digits, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits are ASCII")
    }
}

pub(crate) fn prepare(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
}

/// HMAC of `id.timestamp.body`, without a copy of the body.
pub(crate) fn authenticate(
    secret: &hmac::Key,
    id: &[u8],
    timestamp: &[u8],
    body: &[u8],
) -> hmac::Tag {
    let mut context = hmac::Context::with_key(secret);
    for part in [id, b".", timestamp, b".", body] {
        context.update(part);
    }
    context.sign()
}

/// `id.timestamp.body` in one piece.
pub(crate) fn signed_content(id: &[u8], timestamp: &[u8], body: &[u8]) -> Vec<u8> {
    [id, timestamp, body].join(&b'.')
}

fn append(header: &mut String, scheme: &str, signature: &[u8]) {
    if !header.is_empty() {
        header.push(' ');
    }
    header.push_str(scheme);
    STANDARD.encode_string(signature, header);
}
