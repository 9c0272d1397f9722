//! The public keys of a webhook, for whoever verifies what it is sent: no secret, so no key is needed to read them.

use bellhop_webhook::{SigningKey, VerifyingKey};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiError, Reply, state::ApiState};
use crate::{domain::webhook::WebhookSecret, id::WebhookId, store::Noun};

const MEDIA_TYPE: &str = "application/jwk-set+json";
/// Shorter than any overlap that is of use: a receiver that keeps the former keys so long misses nothing, since they
/// sign as well.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    /// Newest first.
    keys: Vec<PublicKey>,
}

/// A public key, in both forms: a JSON Web Key (RFC 8037), and as Standard Webhooks write it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicKey {
    /// Always `OKP`.
    kty: &'static str,
    /// Always `Ed25519`.
    crv: &'static str,
    /// The key, base64url.
    x: String,
    /// Its thumbprint (RFC 7638): the `keyid` of HTTP message signatures.
    kid: String,
    /// Always `EdDSA`.
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
    /// When it was made, in unix seconds.
    iat: i64,
    /// Until when it signs, in unix seconds; absent for the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// The same key as `whpk_…`.
    whpk: String,
}

/// The public keys that a webhook's requests are signed with: during a rotation the former ones as well.
#[utoipa::path(get, path = "/.well-known/bellhop/webhooks/{Id}/keys", tag = "Webhooks",
    params(("Id" = Uuid, Path, description = "Of the webhook.")),
    responses((status = 200, description = "A JSON Web Key Set; cache it for five minutes.",
            content_type = "application/jwk-set+json", body = KeySet),
        (status = 404, description = "There is no such webhook, or it has no key pair.")))]
pub async fn read(api: ApiState, id: Option<String>) -> Result<Reply, ApiError> {
    let text = id.unwrap_or_default();
    let missing = || ApiError::not_found(Noun::Webhook, shown(&text));
    let id: WebhookId = text.parse::<uuid::Uuid>().map_err(|_| missing())?.into();
    let webhook = api.store().webhook(id).await?.ok_or_else(missing)?;
    let now = api.lifecycle().now();
    let keys: Vec<_> = webhook
        .active_secrets(now)
        .filter_map(PublicKey::of)
        .collect();
    if keys.is_empty() {
        return Err(missing());
    }
    let body = serde_json::to_vec(&KeySet { keys }).expect("texts and numbers always serialise");
    Ok(Reply::of(StatusCode::OK, MEDIA_TYPE, Bytes::from(body))
        .with_header(header::CACHE_CONTROL, CACHED)
        .with_version_of_body())
}

/// The public half of a secret that has one.
pub fn verifying_key(secret: &WebhookSecret) -> Option<VerifyingKey> {
    let key: SigningKey = secret.text.expose().parse().ok()?;
    Some(key.verifying_key())
}

impl PublicKey {
    fn of(secret: &WebhookSecret) -> Option<Self> {
        let key = verifying_key(secret)?;
        Some(Self {
            kty: "OKP",
            crv: "Ed25519",
            x: key.to_base64url(),
            kid: key.key_id(),
            alg: "EdDSA",
            usage: "sig",
            iat: secret.created.as_second(),
            exp: secret.expires.map(Timestamp::as_second),
            whpk: key.to_string(),
        })
    }
}

/// A text of a stranger, cut.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
