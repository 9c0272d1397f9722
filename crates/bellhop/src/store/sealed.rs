//! What is encrypted at rest, and what each sealed value is bound to: the same in every database, so that a value
//! sealed in one opens in another.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{from_ms, to_ms},
    domain::{
        secret_text::SecretText,
        signatures::Signatures,
        webhook::{Webhook, WebhookSecret},
    },
    id::WebhookId,
    store::StoreError,
    vault::{Place, Vault, VaultError},
};

/// A secret of a webhook, as the sealed column has it.
#[derive(Serialize, Deserialize)]
struct SecretRow {
    text: String,
    created_ms: i64,
    expires_ms: Option<i64>,
}

/// The row that a message's body is bound to.
pub fn body_row(integration: crate::id::IntegrationId, sequence: u64) -> [u8; 24] {
    let mut row = [0; 24];
    row[..16].copy_from_slice(integration.0.as_bytes());
    row[16..].copy_from_slice(&sequence.to_be_bytes());
    row
}

/// A body as its column has it; `None` once it was erased.
pub fn message_body(
    vault: &Vault,
    place: &[u8],
    bytes: Option<&[u8]>,
    is_sealed: bool,
) -> Result<Option<Bytes>, StoreError> {
    Ok(match (bytes, is_sealed) {
        (None, _) => None,
        (Some(bytes), false) => Some(bytes.to_vec().into()),
        (Some(bytes), true) => Some(open(vault, "messages.body", place, bytes)?.into()),
    })
}

/// The URL of a webhook, sealed.
pub fn seal_url(vault: &Vault, webhook: &Webhook) -> Vec<u8> {
    seal(
        vault,
        "webhooks.url",
        webhook.id,
        webhook.url.expose().as_bytes(),
    )
}

/// The headers of a webhook, sealed.
pub fn seal_headers(vault: &Vault, webhook: &Webhook) -> Option<Vec<u8>> {
    if webhook.headers.is_empty() {
        return None;
    }
    let pairs: Vec<_> = webhook
        .headers
        .iter()
        .map(|(name, value)| (name, value.expose()))
        .collect();
    let json = serde_json::to_vec(&pairs).expect("text is JSON");
    Some(seal(vault, "webhooks.headers", webhook.id, &json))
}

/// The secrets of a webhook, sealed.
pub fn seal_secrets(vault: &Vault, webhook: &Webhook) -> Vec<u8> {
    let row = |secret: &WebhookSecret| SecretRow {
        text: secret.text.expose().to_owned(),
        created_ms: to_ms(secret.created),
        expires_ms: secret.expires.map(to_ms),
    };
    let rows: Vec<_> = webhook.secrets.iter().map(row).collect();
    let json = serde_json::to_vec(&rows).expect("text is JSON");
    seal(vault, "webhooks.secrets", webhook.id, &json)
}

/// The secrets of a webhook.
pub fn open_secrets(
    vault: &Vault,
    id: WebhookId,
    sealed: &[u8],
) -> Result<Vec<WebhookSecret>, StoreError> {
    let json = open(vault, "webhooks.secrets", id.0.as_bytes(), sealed)?;
    let rows: Vec<SecretRow> =
        serde_json::from_slice(&json).map_err(|_| corrupt("webhooks.secrets"))?;
    let secret = |row: SecretRow| WebhookSecret {
        text: SecretText::new(row.text),
        created: from_ms(row.created_ms),
        expires: row.expires_ms.map(from_ms),
    };
    Ok(rows.into_iter().map(secret).collect())
}

/// What was chosen for a webhook; its secrets say where nothing was.
pub fn signatures(chosen: Option<u8>, secrets: &[WebhookSecret]) -> Result<Signatures, StoreError> {
    match chosen {
        Some(bits) => Signatures::from_bits(bits).ok_or_else(|| corrupt("webhooks.signatures")),
        None => Ok(Signatures::of_secrets(secrets)),
    }
}

/// The headers of a webhook.
pub fn open_headers(
    vault: &Vault,
    id: WebhookId,
    sealed: &[u8],
) -> Result<Vec<(String, SecretText)>, StoreError> {
    let json = open(vault, "webhooks.headers", id.0.as_bytes(), sealed)?;
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&json).map_err(|_| corrupt("webhooks.headers"))?;
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, SecretText::new(value)))
        .collect())
}

/// The URL in the column of a webhook.
pub fn open_url(vault: &Vault, id: WebhookId, sealed: &[u8]) -> Result<String, StoreError> {
    open_text(vault, "webhooks.url", id, sealed)
}

fn open_text(
    vault: &Vault,
    column: &'static str,
    id: WebhookId,
    sealed: &[u8],
) -> Result<String, StoreError> {
    String::from_utf8(open(vault, column, id.0.as_bytes(), sealed)?).map_err(|_| corrupt(column))
}

pub(super) fn open(
    vault: &Vault,
    column: &'static str,
    row: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, StoreError> {
    vault
        .open(Place { column, row }, sealed)
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(super) fn seal(vault: &Vault, column: &'static str, id: WebhookId, plain: &[u8]) -> Vec<u8> {
    vault.seal(
        Place {
            column,
            row: id.0.as_bytes(),
        },
        plain,
    )
}

/// What tells whether a key is a database's own.
const CHECK: Place<'static> = Place {
    column: "vault_check.sealed",
    row: b"",
};

/// Something sealed that proves the key.
pub fn check_value(vault: &Vault) -> Vec<u8> {
    vault.seal(CHECK, b"bellhop")
}

/// Finds out whether what was sealed as a proof was sealed with a key that is known.
pub fn proves(vault: &Vault, sealed: &[u8]) -> Result<(), StoreError> {
    match vault.open(CHECK, sealed) {
        Ok(_) => Ok(()),
        Err(VaultError::UnknownKey { .. }) => Err(StoreError::OtherKey),
        Err(error) => Err(StoreError::Corrupt(error.to_string())),
    }
}

/// A value that is not what it must be.
pub fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("in {column}"))
}
