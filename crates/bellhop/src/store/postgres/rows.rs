//! From rows to values of the domain, and the column lists that go with them. A value that is not what it must be is
//! an error and no panic: somebody else may have written it.

use std::{str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

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
        webhook::{ActionFilter, Subscription, Webhook},
    },
    id::{ApplicationId, EnterpriseId, IntegrationId, KeyId, WebhookId},
    store::{
        MessageBody, StoreError, StoredMessage,
        credentials::{open_authentication, open_certificate},
        sealed::{
            body_row, corrupt, message_body, open_headers, open_secrets, open_url, signatures,
        },
    },
    vault::Vault,
};

/// Columns of [`enterprise`] and [`application`].
pub const NAMED: &str = "id, name, created_ms";
/// Columns of [`webhook`].
pub const WEBHOOK: &str = "id, application_id, url_sealed, description, actions, profile, state, state_reason, \
     timeout_ms, retry_schedule, max_in_flight, rate_limit, headers_sealed, secrets_sealed, created_ms, \
     not_before_ms, revision, failures, failing_since_ms, opened, open_until_ms, ramp, follow_redirects, \
     signatures, authentication_sealed, certificate_sealed";
/// Columns of [`integration`].
pub const INTEGRATION: &str = "id, application_id, enterprise_id, name, is_enabled, created_ms, canceled_ms, \
     deleted_ms, sequence, service_id, service_name, token_hash, previous_token_hash, previous_token_until_ms";
/// Columns of [`message`].
pub const MESSAGE: &str = "integration_id, sequence, action, created_ms, requestor, is_sealed, \
     COALESCE(body, body_2025), erased_ms";
/// Columns of [`delivery`], with this for the next attempt.
macro_rules! delivery {
    ($next_attempt:literal) => {
        concat!(
            "id, webhook_id, application_id, integration_id, sequence, previous, action, state, cause, reason, \
             attempt_count, tries, ",
            $next_attempt,
            ", created_ms, ended_ms, COALESCE((SELECT i.sequence > deliveries.sequence FROM integrations i \
             WHERE i.id = deliveries.integration_id), false)"
        )
    };
}
/// Columns of [`delivery`], as it is.
pub const DELIVERY: &str = delivery!("next_attempt_ms");
/// The same as people see it: the next attempt is no earlier than the webhook lets it be.
pub const SHOWN_DELIVERY: &str = delivery!(
    "CASE WHEN next_attempt_ms IS NOT NULL THEN GREATEST(next_attempt_ms, \
     (SELECT GREATEST(w.not_before_ms, w.open_until_ms) FROM webhooks w WHERE w.id = deliveries.webhook_id)) END"
);
/// Columns of [`attempt`].
pub const ATTEMPT: &str = "number, started_ms, duration_us, cause, detail, signature, traceparent, status, \
     response_headers, response_body, is_truncated, dns_us, connect_us, tls_us, send_us, wait_us, receive_us, remote, \
     is_replay";
/// Columns of [`api_key`].
pub const API_KEY: &str = "id, name, scope, application_id, hash, created_ms, expires_ms, previous_hash, \
     previous_until_ms, first_hash, last_used_ms";

type Read<T> = Result<T, StoreError>;

/// One column.
pub fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Read<T> {
    row.try_get(column).map_err(|_| damaged(row, column))
}

/// A number that is never negative.
pub fn number<T: TryFrom<i64>>(row: &Row, column: usize) -> Read<T> {
    T::try_from(get(row, column)?).map_err(|_| damaged(row, column))
}

/// The same where it may be absent.
pub fn number_or_null<T: TryFrom<i64>>(row: &Row, column: usize) -> Read<Option<T>> {
    get::<Option<i64>>(row, column)?
        .map(|value| T::try_from(value).map_err(|_| damaged(row, column)))
        .transpose()
}

/// A moment.
pub fn moment(row: &Row, column: usize) -> Read<Timestamp> {
    get(row, column).map(from_ms)
}

/// The same where it may be absent.
pub fn moment_or_null(row: &Row, column: usize) -> Read<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(from_ms))
}

/// An id.
pub fn id<Id: From<Uuid>>(row: &Row, column: usize) -> Read<Id> {
    get::<Uuid>(row, column).map(Id::from)
}

/// The same where it may be absent.
pub fn id_or_null<Id: From<Uuid>>(row: &Row, column: usize) -> Read<Option<Id>> {
    Ok(get::<Option<Uuid>>(row, column)?.map(Id::from))
}

/// Text of a closed set.
pub fn text<T: FromStr>(row: &Row, column: usize) -> Read<T> {
    get::<&str>(row, column)?
        .parse()
        .map_err(|_| damaged(row, column))
}

/// The same where it may be absent.
pub fn text_or_null<T: FromStr>(row: &Row, column: usize) -> Read<Option<T>> {
    get::<Option<&str>>(row, column)?
        .map(|text| text.parse().map_err(|_| damaged(row, column)))
        .transpose()
}

/// A hash.
pub fn hash(row: &Row, column: usize) -> Read<[u8; 32]> {
    get::<&[u8]>(row, column)?
        .try_into()
        .map_err(|_| damaged(row, column))
}

/// A SHA-256, or nothing.
pub fn hash_or_null(row: &Row, column: usize) -> Read<Option<[u8; 32]>> {
    let found = get::<Option<&[u8]>>(row, column)?;
    found
        .map(|bytes| bytes.try_into().map_err(|_| damaged(row, column)))
        .transpose()
}

fn damaged(row: &Row, column: usize) -> StoreError {
    corrupt(
        row.columns()
            .get(column)
            .map_or("?", tokio_postgres::Column::name),
    )
}

/// Reads every row.
pub fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Read<T>) -> Read<Vec<T>> {
    rows.iter().map(read).collect()
}

pub fn enterprise(row: &Row) -> Read<Enterprise> {
    Ok(Enterprise {
        id: id::<EnterpriseId>(row, 0)?,
        name: get(row, 1)?,
        created: moment(row, 2)?,
    })
}

pub fn application(row: &Row) -> Read<Application> {
    Ok(Application {
        id: id::<ApplicationId>(row, 0)?,
        name: get(row, 1)?,
        created: moment(row, 2)?,
    })
}

pub fn webhook(row: &Row, vault: &Vault) -> Read<Webhook> {
    let id: WebhookId = id(row, 0)?;
    let schedule: Vec<i64> = get(row, 9)?;
    let schedule: Option<Vec<u32>> = schedule
        .into_iter()
        .map(|wait| u32::try_from(wait).ok())
        .collect();
    let schedule = schedule.and_then(|waits| RetrySchedule::try_new(waits).ok());
    let headers: Option<&[u8]> = get(row, 12)?;
    let secrets = open_secrets(vault, id, get(row, 13)?)?;
    let chosen = get::<Option<i16>>(row, 23)?.map(|bits| bits as u8);
    let actions = u8::try_from(get::<i16>(row, 4)?).map_err(|_| damaged(row, 4))?;
    Ok(Webhook {
        id,
        application_id: self::id(row, 1)?,
        url: SecretText::new(open_url(vault, id, get(row, 2)?)?),
        description: get(row, 3)?,
        actions: ActionFilter::from_bits(actions),
        profile: text(row, 5)?,
        state: text(row, 6)?,
        state_reason: get(row, 7)?,
        timeout: Duration::from_millis(number(row, 8)?),
        retry_schedule: schedule.ok_or_else(|| damaged(row, 9))?,
        max_in_flight: number(row, 10)?,
        rate_limit: number_or_null(row, 11)?,
        follow_redirects: get(row, 22)?,
        headers: headers.map_or(Ok(Vec::new()), |sealed| open_headers(vault, id, sealed))?,
        authentication: open_authentication(vault, id, get(row, 24)?)?,
        client_certificate: open_certificate(vault, id, get(row, 25)?)?,
        signatures: signatures(chosen, &secrets)?,
        secrets,
        created: moment(row, 14)?,
        not_before: moment_or_null(row, 15)?,
        revision: number(row, 16)?,
        health: health(row, 17)?,
    })
}

/// How a webhook fares: the five columns from this one, in the order of [`WEBHOOK`].
pub fn health(row: &Row, from: usize) -> Read<Health> {
    Ok(Health {
        failures: number(row, from)?,
        failing_since: moment_or_null(row, from + 1)?,
        opened: number(row, from + 2)?,
        open_until: moment_or_null(row, from + 3)?,
        ramp: number_or_null(row, from + 4)?,
    })
}

/// What a webhook wants: its id, actions, profile and first wait are in four columns from this one.
pub fn subscription(row: &Row, from: usize) -> Read<Subscription> {
    let actions = u8::try_from(get::<i16>(row, from + 1)?).map_err(|_| damaged(row, from + 1))?;
    Ok(Subscription {
        webhook_id: id(row, from)?,
        actions: ActionFilter::from_bits(actions),
        profile: text(row, from + 2)?,
        first_wait: Duration::from_secs(number(row, from + 3)?),
    })
}

pub fn integration(row: &Row) -> Read<Integration> {
    let service = get::<Option<Uuid>>(row, 9)?.zip(get(row, 10)?);
    let token = |column| -> Read<Option<TokenHash>> {
        match get::<Option<&[u8]>>(row, column)? {
            Some(_) => hash(row, column).map(|hash| Some(TokenHash(hash))),
            None => Ok(None),
        }
    };
    let previous = token(12)?.zip(moment_or_null(row, 13)?);
    Ok(Integration {
        id: id::<IntegrationId>(row, 0)?,
        application_id: id(row, 1)?,
        enterprise_id: id(row, 2)?,
        name: get(row, 3)?,
        is_enabled: get(row, 4)?,
        created: moment(row, 5)?,
        canceled: moment_or_null(row, 6)?,
        deleted: moment_or_null(row, 7)?,
        sequence: number(row, 8)?,
        service: service.map(|(id, name)| bellhop_webhook::Service { id, name }),
        tokens: token(11)?.map(|current| Tokens { current, previous }),
    })
}

pub fn message(row: &Row, vault: &Vault) -> Read<StoredMessage> {
    let (integration_id, sequence) = (id(row, 0)?, number(row, 1)?);
    let requestor = get::<Option<&str>>(row, 4)?
        .map(|json| serde_json::from_str(json).map_err(|_| damaged(row, 4)))
        .transpose()?;
    let place = body_row(integration_id, sequence);
    Ok(StoredMessage {
        integration_id,
        sequence,
        action: text(row, 2)?,
        created: moment(row, 3)?,
        requestor,
        body: kept_body(row, (5, 6, 7), vault, &place)?,
    })
}

/// Reads a body or when it was erased: the columns say whether it is sealed, and have its bytes and that time.
pub fn kept_body(
    row: &Row,
    (sealed, bytes, erased): (usize, usize, usize),
    vault: &Vault,
    place: &[u8],
) -> Read<MessageBody> {
    let bytes = body(row, (sealed, bytes), vault, place)?;
    let erased = moment_or_null(row, erased)?;
    MessageBody::kept(bytes, erased).ok_or_else(|| corrupt("messages.body"))
}

/// Reads the bytes of a body: the columns say whether it is sealed, and have them.
pub fn body(
    row: &Row,
    (sealed, bytes): (usize, usize),
    vault: &Vault,
    place: &[u8],
) -> Read<Option<Bytes>> {
    message_body(vault, place, get(row, bytes)?, get(row, sealed)?)
}

pub fn delivery(row: &Row) -> Read<Delivery> {
    Ok(Delivery {
        id: id(row, 0)?,
        webhook_id: id(row, 1)?,
        application_id: id(row, 2)?,
        integration_id: id(row, 3)?,
        sequence: number(row, 4)?,
        previous: number(row, 5)?,
        action: text(row, 6)?,
        state: text::<DeliveryState>(row, 7)?,
        cause: text_or_null(row, 8)?,
        reason: get(row, 9)?,
        attempt_count: number(row, 10)?,
        tries: number(row, 11)?,
        next_attempt: moment_or_null(row, 12)?,
        created: moment(row, 13)?,
        ended: moment_or_null(row, 14)?,
        is_stale: get(row, 15)?,
    })
}

pub fn attempt(row: &Row) -> Read<Attempt> {
    let response = match number_or_null(row, 7)? {
        None => None,
        Some(status) => Some(Arc::new(Response {
            status,
            headers: get::<Option<&str>>(row, 8)?
                .map_or(Ok(Vec::new()), serde_json::from_str)
                .map_err(|_| damaged(row, 8))?,
            body: get::<Option<Vec<u8>>>(row, 9)?.unwrap_or_default().into(),
            is_truncated: get(row, 10)?,
        })),
    };
    Ok(Attempt {
        number: number(row, 0)?,
        is_replay: get(row, 18)?,
        started: moment(row, 1)?,
        duration: Duration::from_micros(number(row, 2)?),
        cause: text_or_null(row, 3)?,
        detail: get(row, 4)?,
        signature: get(row, 5)?,
        traceparent: get(row, 6)?,
        response,
        timings: Timings {
            dns_us: number_or_null(row, 11)?,
            connect_us: number_or_null(row, 12)?,
            tls_us: number_or_null(row, 13)?,
            send_us: number_or_null(row, 14)?,
            wait_us: number_or_null(row, 15)?,
            receive_us: number_or_null(row, 16)?,
        },
        remote: text_or_null(row, 17)?,
    })
}

pub fn api_key(row: &Row) -> Read<ApiKey> {
    let application = get::<Option<Uuid>>(row, 3)?.map(ApplicationId);
    Ok(ApiKey {
        id: id::<KeyId>(row, 0)?,
        name: get(row, 1)?,
        scope: Scope::from_parts(get(row, 2)?, application).ok_or_else(|| damaged(row, 2))?,
        hash: TokenHash(hash(row, 4)?),
        created: moment(row, 5)?,
        expires: moment_or_null(row, 6)?,
        previous: match (hash_or_null(row, 7)?, moment_or_null(row, 8)?) {
            (Some(hash), Some(until)) => Some((TokenHash(hash), until)),
            _ => None,
        },
        first: hash_or_null(row, 9)?.map(TokenHash),
        last_used: moment_or_null(row, 10)?,
    })
}
