//! Signing a request: the values of `content-digest`, `signature-input` and `signature`.

use std::fmt::{self, Write as _};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::base::line;
use super::verify::Algorithm;
use super::{COVERED, SIGNATURE_TAG, content_digest};
use crate::sign::{Decimal, prepare};
use crate::{HEADER_ID, HEADER_TIMESTAMP, Secret, SigningKey};

/// Signs the requests to one webhook as HTTP messages, once with each key. Built once.
///
/// ```
/// use bellhop_webhook::{HttpSigner, MessageRequest, Secret};
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let signer = HttpSigner::new(vec![secret], vec![]);
/// let signed = signer.sign(&MessageRequest {
///     authority: "hooks.example.com",
///     path: "/in",
///     query: None,
///     content_type: "application/json",
///     id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
///     timestamp: 1_614_265_330,
///     body: br#"{"test": 2432232314}"#,
/// });
/// assert!(signed.input.starts_with("bellhop=(\"@method\" \"@authority\" \"@path\" \"@query\""));
/// # Ok::<(), bellhop_webhook::SecretError>(())
/// ```
#[derive(Clone)]
pub struct HttpSigner {
    keys: Vec<NamedKey>,
}

#[derive(Clone)]
struct NamedKey {
    id: String,
    key: Key,
}

#[derive(Clone)]
pub(super) enum Key {
    Hmac(Box<hmac::Key>),
    Ed25519(SigningKey),
}

/// What is signed of a request; the method is POST.
#[derive(Clone, Copy)]
pub struct MessageRequest<'a> {
    /// As the `host` header has it.
    pub authority: &'a str,
    /// The path of the URL.
    pub path: &'a str,
    /// Its query, without the `?`.
    pub query: Option<&'a str>,
    /// `content-type`
    pub content_type: &'a str,
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`, which is also when it was signed.
    pub timestamp: i64,
    /// The bytes that are sent.
    pub body: &'a [u8],
}

/// The headers that sign a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSignature {
    /// `content-digest`
    pub content_digest: String,
    /// `signature-input`
    pub input: String,
    /// `signature`
    pub signature: String,
}

impl HttpSigner {
    /// Prepares the active secrets and signing keys, newest first. With neither there is nothing to verify by.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the signer takes the secrets over; the caller should keep no copy"
    )]
    pub fn new(secrets: Vec<Secret>, keys: Vec<SigningKey>) -> Self {
        let secrets = secrets.iter().map(|secret| NamedKey {
            id: secret.key_id(),
            key: Key::Hmac(Box::new(prepare(secret))),
        });
        let keys = keys.into_iter().map(|key| NamedKey {
            id: key.verifying_key().key_id(),
            key: Key::Ed25519(key),
        });
        Self {
            keys: secrets.chain(keys).collect(),
        }
    }

    /// Signs with each key: those of secrets first, newest first, then those of key pairs. The first signature has the
    /// label `bellhop`, the next ones `bellhop2`, `bellhop3` and so on.
    pub fn sign(&self, request: &MessageRequest<'_>) -> HttpSignature {
        let mut signed = HttpSignature {
            content_digest: content_digest(request.body),
            input: String::with_capacity(self.keys.len() * 256),
            signature: String::with_capacity(self.keys.len() * 104),
        };
        let covered = covered(request, &signed.content_digest);
        for (position, NamedKey { id, key }) in self.keys.iter().enumerate() {
            let parameters = parameters(request.timestamp, id, key.algorithm());
            let base = format!("{covered}\"@signature-params\": {parameters}");
            for header in [&mut signed.input, &mut signed.signature] {
                if position > 0 {
                    let _ = write!(header, ", {SIGNATURE_TAG}{}=", position + 1);
                } else {
                    let _ = write!(header, "{SIGNATURE_TAG}=");
                }
            }
            signed.input.push_str(&parameters);
            signed.signature.push(':');
            STANDARD.encode_string(key.sign(base.as_bytes()), &mut signed.signature);
            signed.signature.push(':');
        }
        signed
    }
}

impl Key {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HmacSha256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    pub(super) fn sign(&self, base: &[u8]) -> Vec<u8> {
        match self {
            Self::Hmac(key) => hmac::sign(key, base).as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(base).as_ref().to_vec(),
        }
    }
}

/// The lines of what is covered, the same for every key.
fn covered(request: &MessageRequest<'_>, content_digest: &str) -> String {
    let timestamp = Decimal::new(request.timestamp);
    let query = format!("?{}", request.query.unwrap_or_default());
    let authority = request.authority.to_ascii_lowercase();
    let mut base = String::with_capacity(768);
    for name in COVERED {
        let value = match name {
            "@method" => "POST",
            "@authority" => &authority,
            "@path" => request.path,
            "@query" => &query,
            "content-type" => request.content_type,
            HEADER_ID => request.id,
            HEADER_TIMESTAMP => timestamp.as_str(),
            _ => content_digest,
        };
        line(&mut base, name, value);
    }
    base
}

/// What a signature covers and how it was made: its member of `signature-input`.
fn parameters(created: i64, key_id: &str, algorithm: Algorithm) -> String {
    let mut text = String::with_capacity(256);
    let mut before = '(';
    for name in COVERED {
        text.push(before);
        let _ = write!(text, "\"{name}\"");
        before = ' ';
    }
    let _ = write!(
        text,
        ");created={created};keyid=\"{key_id}\";alg=\"{algorithm}\";tag=\"{SIGNATURE_TAG}\""
    );
    text
}

impl fmt::Debug for HttpSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

/// Shows nothing of the query and the body, which may be secrets.
impl fmt::Debug for MessageRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRequest")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
