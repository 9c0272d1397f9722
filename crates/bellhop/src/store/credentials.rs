//! What a webhook proves itself with, as the sealed columns have it.

use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    sealed::{corrupt, open, seal},
};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        authentication::{AuthStyle, Authentication, ClientCertificate, OAuth2Client},
        secret_text::SecretText,
        webhook::Webhook,
    },
    id::WebhookId,
    vault::Vault,
};

const AUTHENTICATION: &str = "webhooks.authentication";
const CERTIFICATE: &str = "webhooks.certificate";

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AuthenticationRow {
    Bearer {
        token: String,
    },
    Basic {
        username: String,
        password: String,
    },
    OAuth2 {
        token_url: String,
        client_id: String,
        client_secret: String,
        scope: Option<String>,
        style: StyleRow,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StyleRow {
    Header,
    Body,
}

#[derive(Serialize, Deserialize)]
struct CertificateRow {
    chain: String,
    key: String,
    subject: String,
    not_after_ms: i64,
    fingerprint: String,
}

/// How a webhook authenticates, sealed.
pub fn seal_authentication(vault: &Vault, webhook: &Webhook) -> Option<Vec<u8>> {
    let text = |secret: &SecretText| secret.expose().to_owned();
    let row = match webhook.authentication.as_ref()? {
        Authentication::Bearer { token } => AuthenticationRow::Bearer { token: text(token) },
        Authentication::Basic { username, password } => AuthenticationRow::Basic {
            username: username.clone(),
            password: text(password),
        },
        Authentication::OAuth2(client) => AuthenticationRow::OAuth2 {
            token_url: text(&client.token_url),
            client_id: client.client_id.clone(),
            client_secret: text(&client.client_secret),
            scope: client.scope.clone(),
            style: match client.style {
                AuthStyle::Header => StyleRow::Header,
                AuthStyle::Body => StyleRow::Body,
            },
        },
    };
    let json = serde_json::to_vec(&row).expect("text is JSON");
    Some(seal(vault, AUTHENTICATION, webhook.id, &json))
}

/// How a webhook authenticates.
pub fn open_authentication(
    vault: &Vault,
    id: WebhookId,
    sealed: Option<&[u8]>,
) -> Result<Option<Authentication>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let json = open(vault, AUTHENTICATION, id.0.as_bytes(), sealed)?;
    let row = serde_json::from_slice(&json).map_err(|_| corrupt(AUTHENTICATION))?;
    Ok(Some(match row {
        AuthenticationRow::Bearer { token } => Authentication::Bearer {
            token: SecretText::new(token),
        },
        AuthenticationRow::Basic { username, password } => Authentication::Basic {
            username,
            password: SecretText::new(password),
        },
        AuthenticationRow::OAuth2 {
            token_url,
            client_id,
            client_secret,
            scope,
            style,
        } => Authentication::OAuth2(OAuth2Client {
            token_url: SecretText::new(token_url),
            client_id,
            client_secret: SecretText::new(client_secret),
            scope,
            style: match style {
                StyleRow::Header => AuthStyle::Header,
                StyleRow::Body => AuthStyle::Body,
            },
        }),
    }))
}

/// The client certificate of a webhook with its key, sealed.
pub fn seal_certificate(vault: &Vault, webhook: &Webhook) -> Option<Vec<u8>> {
    let certificate = webhook.client_certificate.as_ref()?;
    let row = CertificateRow {
        chain: certificate.chain.clone(),
        key: certificate.key.expose().to_owned(),
        subject: certificate.subject.clone(),
        not_after_ms: to_ms(certificate.not_after),
        fingerprint: certificate.fingerprint.clone(),
    };
    let json = serde_json::to_vec(&row).expect("text is JSON");
    Some(seal(vault, CERTIFICATE, webhook.id, &json))
}

/// The client certificate of a webhook with its key.
pub fn open_certificate(
    vault: &Vault,
    id: WebhookId,
    sealed: Option<&[u8]>,
) -> Result<Option<ClientCertificate>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let json = open(vault, CERTIFICATE, id.0.as_bytes(), sealed)?;
    let row: CertificateRow = serde_json::from_slice(&json).map_err(|_| corrupt(CERTIFICATE))?;
    Ok(Some(ClientCertificate {
        chain: row.chain,
        key: SecretText::new(row.key),
        subject: row.subject,
        not_after: from_ms(row.not_after_ms),
        fingerprint: row.fingerprint,
    }))
}
