//! From rows to values of the domain, and the column lists that go with them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::Row;

use super::values::{text, text_or_null};
use crate::{
    clock::from_ms,
    domain::{
        access_token::{TokenHash, Tokens},
        api_key::{ApiKey, Scope},
        delivery::{Attempt, Delivery, DeliveryState, Response, Timings},
        enterprise::{Application, Enterprise},
        health::Health,
        integration::Integration,
        retry::RetrySchedule,
        secret_text::SecretText,
        webhook::{ActionFilter, Webhook},
    },
    id::WebhookId,
    store::{
        MessageBody, StoreError, StoredMessage,
        credentials::{open_authentication, open_certificate},
        sealed::{corrupt, message_body, open_headers, open_secrets, signatures},
    },
    vault::Vault,
};

pub use crate::store::sealed::{body_row, open_url, seal_headers, seal_secrets, seal_url};

/// Columns of [`enterprise`] and [`application`].
pub const NAMED: &str = "id, name, created_ms";
/// Columns of [`webhook`].
pub const WEBHOOK: &str = "id, application_id, url_sealed, description, actions, profile, state, state_reason, \
     timeout_ms, retry_schedule, max_in_flight, rate_limit, headers_sealed, secrets_sealed, created_ms, \
     not_before_ms, revision, failures, failing_since_ms, opened, open_until_ms, ramp, follow_redirects, \
     signatures, authentication_sealed, certificate_sealed";
/// Columns of [`health`]; the same are together in [`WEBHOOK`].
pub const HEALTH: &str = "failures, failing_since_ms, opened, open_until_ms, ramp";
/// Columns of [`integration`].
pub const INTEGRATION: &str = "id, application_id, enterprise_id, name, is_enabled, created_ms, canceled_ms, \
     deleted_ms, sequence, service_id, service_name, token_hash, previous_token_hash, previous_token_until_ms";
/// Columns of [`message`].
pub const MESSAGE: &str = "integration_id, sequence, action, created_ms, requestor, is_sealed, \
     COALESCE(body, body_2025), erased_ms";
/// Columns of [`delivery`].
pub const DELIVERY: &str = "id, webhook_id, application_id, integration_id, sequence, previous, action, state, \
     cause, reason, attempt_count, tries, next_attempt_ms, created_ms, ended_ms, \
     COALESCE((SELECT i.sequence > deliveries.sequence FROM integrations i WHERE i.id = deliveries.integration_id), 0)";
/// Columns of [`attempt`].
pub const ATTEMPT: &str = "number, started_ms, duration_us, cause, detail, signature, traceparent, status, \
     response_headers, response_body, is_truncated, dns_us, connect_us, tls_us, send_us, wait_us, receive_us, remote, \
     is_replay";
/// Columns of [`api_key`].
pub const API_KEY: &str = "id, name, scope, application_id, hash, created_ms, expires_ms, previous_hash, \
     previous_until_ms, first_hash, last_used_ms";

pub fn enterprise(row: &Row<'_>) -> rusqlite::Result<Enterprise> {
    Ok(Enterprise {
        id: row.get(0)?,
        name: row.get(1)?,
        created: from_ms(row.get(2)?),
    })
}

pub fn application(row: &Row<'_>) -> rusqlite::Result<Application> {
    Ok(Application {
        id: row.get(0)?,
        name: row.get(1)?,
        created: from_ms(row.get(2)?),
    })
}

pub fn webhook(row: &Row<'_>, vault: &Vault) -> Result<Webhook, StoreError> {
    let id: WebhookId = row.get(0)?;
    let retry_schedule: String = row.get(9)?;
    let waits =
        serde_json::from_str(&retry_schedule).map_err(|_| corrupt("webhooks.retry_schedule"))?;
    let headers: Option<Vec<u8>> = row.get(12)?;
    let secrets = open_secrets(vault, id, &row.get::<_, Vec<u8>>(13)?)?;
    Ok(Webhook {
        id,
        application_id: row.get(1)?,
        url: SecretText::new(open_url(vault, id, &row.get::<_, Vec<u8>>(2)?)?),
        description: row.get(3)?,
        actions: ActionFilter::from_bits(row.get(4)?),
        profile: text(row, 5)?,
        state: text(row, 6)?,
        state_reason: row.get(7)?,
        timeout: Duration::from_millis(row.get(8)?),
        retry_schedule: RetrySchedule::try_new(waits)
            .map_err(|_| corrupt("webhooks.retry_schedule"))?,
        max_in_flight: row.get(10)?,
        rate_limit: row.get(11)?,
        follow_redirects: row.get(22)?,
        headers: headers.map_or(Ok(Vec::new()), |sealed| open_headers(vault, id, &sealed))?,
        authentication: open_authentication(vault, id, blob(row, 24)?)?,
        client_certificate: open_certificate(vault, id, blob(row, 25)?)?,
        signatures: signatures(row.get(23)?, &secrets)?,
        secrets,
        created: from_ms(row.get(14)?),
        not_before: row.get::<_, Option<i64>>(15)?.map(from_ms),
        revision: row.get(16)?,
        health: health(row, 17)?,
    })
}

/// The bytes of a column, if it has any.
fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a [u8]>, StoreError> {
    let value = row.get_ref(column)?;
    value.as_blob_or_null().map_err(|_| corrupt("webhooks"))
}

/// From the columns that begin there.
pub fn health(row: &Row<'_>, first: usize) -> rusqlite::Result<Health> {
    Ok(Health {
        failures: row.get(first)?,
        failing_since: row.get::<_, Option<i64>>(first + 1)?.map(from_ms),
        opened: row.get(first + 2)?,
        open_until: row.get::<_, Option<i64>>(first + 3)?.map(from_ms),
        ramp: row.get(first + 4)?,
    })
}

pub fn integration(row: &Row<'_>) -> rusqlite::Result<Integration> {
    let ms = |column| row.get::<_, Option<i64>>(column);
    let service = match (row.get(9)?, row.get(10)?) {
        (Some(id), Some(name)) => Some(bellhop_webhook::Service {
            id: uuid::Uuid::from_bytes(id),
            name,
        }),
        _ => None,
    };
    let previous: Option<TokenHash> = row.get(12)?;
    let tokens = match row.get(11)? {
        Some(current) => Some(Tokens {
            current,
            previous: previous.zip(ms(13)?.map(from_ms)),
        }),
        None => None,
    };
    Ok(Integration {
        id: row.get(0)?,
        application_id: row.get(1)?,
        enterprise_id: row.get(2)?,
        name: row.get(3)?,
        is_enabled: row.get(4)?,
        created: from_ms(row.get(5)?),
        canceled: ms(6)?.map(from_ms),
        deleted: ms(7)?.map(from_ms),
        sequence: row.get(8)?,
        service,
        tokens,
    })
}

pub fn message(row: &Row<'_>, vault: &Vault) -> Result<StoredMessage, StoreError> {
    let (integration_id, sequence) = (row.get(0)?, row.get(1)?);
    let requestor: Option<String> = row.get(4)?;
    let requestor = requestor
        .map(|json| serde_json::from_str(&json).map_err(|_| corrupt("messages.requestor")))
        .transpose()?;
    let place = body_row(integration_id, sequence);
    Ok(StoredMessage {
        integration_id,
        sequence,
        action: text(row, 2)?,
        created: from_ms(row.get(3)?),
        requestor,
        body: kept_body(row, (5, 6, 7), vault, &place)?,
    })
}

/// Reads a body or when it was erased: the columns say whether it is sealed, and have its bytes and that time.
pub fn kept_body(
    row: &Row<'_>,
    (sealed, bytes, erased): (usize, usize, usize),
    vault: &Vault,
    place: &[u8],
) -> Result<MessageBody, StoreError> {
    let erased: Option<i64> = row.get(erased)?;
    let bytes = body(row, sealed, bytes, vault, place)?;
    MessageBody::kept(bytes, erased.map(from_ms)).ok_or_else(|| corrupt("messages.body"))
}

/// Reads the bytes of a body: `sealed` and `bytes` are the columns.
pub fn body(
    row: &Row<'_>,
    sealed: usize,
    bytes: usize,
    vault: &Vault,
    place: &[u8],
) -> Result<Option<Bytes>, StoreError> {
    let value = row
        .get_ref(bytes)?
        .as_blob_or_null()
        .map_err(|_| corrupt("messages.body"))?;
    message_body(vault, place, value, row.get(sealed)?)
}

pub fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: row.get(0)?,
        webhook_id: row.get(1)?,
        application_id: row.get(2)?,
        integration_id: row.get(3)?,
        sequence: row.get(4)?,
        previous: row.get(5)?,
        action: text(row, 6)?,
        state: text::<DeliveryState>(row, 7)?,
        cause: text_or_null(row, 8)?,
        reason: row.get(9)?,
        attempt_count: row.get(10)?,
        tries: row.get(11)?,
        next_attempt: row.get::<_, Option<i64>>(12)?.map(from_ms),
        created: from_ms(row.get(13)?),
        ended: row.get::<_, Option<i64>>(14)?.map(from_ms),
        is_stale: row.get(15)?,
    })
}

pub fn attempt(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let response = match row.get(7)? {
        None => None,
        Some(status) => Some(Arc::new(Response {
            status,
            headers: row
                .get::<_, Option<String>>(8)?
                .map_or(Ok(Vec::new()), |json| serde_json::from_str(&json))
                .map_err(|_| corrupt("attempts.response_headers"))?,
            body: row.get::<_, Option<Vec<u8>>>(9)?.unwrap_or_default().into(),
            is_truncated: row.get(10)?,
        })),
    };
    Ok(Attempt {
        number: row.get(0)?,
        is_replay: row.get(18)?,
        started: from_ms(row.get(1)?),
        duration: Duration::from_micros(row.get(2)?),
        cause: text_or_null(row, 3)?,
        detail: row.get(4)?,
        signature: row.get(5)?,
        traceparent: row.get(6)?,
        response,
        timings: Timings {
            dns_us: row.get(11)?,
            connect_us: row.get(12)?,
            tls_us: row.get(13)?,
            send_us: row.get(14)?,
            wait_us: row.get(15)?,
            receive_us: row.get(16)?,
        },
        remote: text_or_null(row, 17)?,
    })
}

pub fn api_key(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let scope: String = row.get(2)?;
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: Scope::from_parts(&scope, row.get(3)?).ok_or_else(|| corrupt("api_keys.scope"))?,
        hash: row.get(4)?,
        created: from_ms(row.get(5)?),
        expires: row.get::<_, Option<i64>>(6)?.map(from_ms),
        previous: match (row.get(7)?, row.get::<_, Option<i64>>(8)?) {
            (Some(hash), Some(until)) => Some((hash, from_ms(until))),
            _ => None,
        },
        first: row.get(9)?,
        last_used: row.get::<_, Option<i64>>(10)?.map(from_ms),
    })
}
