//! Operational messages. All that makes one is a failure, so nothing here is on the way of a message that arrives.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Shared, TRIES,
    alone::{Alone, Stop},
    connect::Failed,
    connection::{Connection, Transaction, execute, query, query_opt, settled},
    read::Select,
    registry::lock_webhook,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        cause::Cause,
        health::HealthEvent,
        operational::{
            Destination, FailedDeliveries, FailedDelivery, FailureWindow, Named, OperationalEvent,
            OperationalMessage, OperationalNext, OperationalSend, SendState, Subject,
        },
        retry::later,
    },
    id::{IntegrationId, OperationalMessageId, WebhookId},
    store::{
        Attempted, OperationalAttempted, OperationalClaim, OperationalDue, OperationalRequest,
        Page, StoreError, Written,
        sealed::{corrupt, open_url},
    },
};

/// Most windows that one transaction closes.
const CLOSED_AT_ONCE: i64 = 100;
/// How long a message is one replica's to send.
const LEASE: Duration = Duration::from_mins(2);

/// Tells what an attempt means beyond its delivery, in the transaction that records it.
pub async fn attempted(
    on: &Transaction<'_>,
    shared: &Shared,
    webhook: WebhookId,
    attempted: &Attempted,
    events: &[HealthEvent],
) -> Result<(), Failed> {
    for event in events {
        match OperationalEvent::of(event, attempted.attempt.cause) {
            Some(event) => tell(on, shared, webhook, &event, attempted.at).await?,
            None => delivery_failed(on, shared, webhook, attempted).await?,
        }
    }
    Ok(())
}

/// Tells how near the end of a webhook's client certificate is, unless that was told: by another replica perhaps.
pub async fn tell_certificate(
    alone: &mut Alone<'_>,
    id: WebhookId,
    at: Timestamp,
) -> Result<Written, Stop> {
    let webhook = lock_webhook(alone, id).await?;
    let certificate = webhook.client_certificate.as_ref();
    let event =
        certificate.and_then(|certificate| OperationalEvent::of_certificate(certificate, at));
    let Some(event) = event else {
        return Ok(Written::Noted);
    };
    let told = "SELECT body FROM operational_messages WHERE webhook_id = $1 AND type = $2";
    for row in &query(alone.on, told, &[&id.0, &event.about().as_str()]).await? {
        if event.is_told_by(rows::get(row, 0)?) {
            return Ok(Written::Noted);
        }
    }
    tell(alone.on, alone.shared, id, &event, at).await?;
    Ok(Written::Noted)
}

/// Writes a message, to be sent to each destination.
pub async fn tell(
    on: &Transaction<'_>,
    shared: &Shared,
    webhook: WebhookId,
    event: &OperationalEvent,
    at: Timestamp,
) -> Result<(), Failed> {
    let facts = "SELECT w.application_id, a.name, w.url_sealed, w.description \
                 FROM webhooks w JOIN applications a ON a.id = w.application_id WHERE w.id = $1";
    let Some(row) = query_opt(on, facts, &[&webhook.0]).await? else {
        return Ok(());
    };
    let url = open_url(&shared.vault, webhook, rows::get(&row, 2)?)?;
    let subject = Subject {
        application_id: rows::id(&row, 0)?,
        application_name: rows::get(&row, 1)?,
        webhook_id: webhook,
        url: &url,
        description: rows::get(&row, 3)?,
    };
    let id: OperationalMessageId = shared.ids.next(at);
    let application: Uuid = rows::get(&row, 0)?;
    execute(
        on,
        "INSERT INTO operational_messages (id, type, application_id, webhook_id, created_ms, body) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            &id.0,
            &event.about().as_str(),
            &application,
            &webhook.0,
            &to_ms(at),
            &event.to_body(subject, at),
        ],
    )
    .await?;
    let destinations: Vec<&str> = shared
        .destinations
        .iter()
        .map(|each| each.as_str())
        .collect();
    execute(
        on,
        "INSERT INTO operational_sends (message_id, destination, state, attempt_count, next_attempt_ms) \
         SELECT $1, destination, 'Pending', 0, $3 FROM unnest($2::text[]) AS u (destination)",
        &[&id.0, &destinations, &to_ms(at)],
    )
    .await?;
    Ok(())
}

/// Tells it at once, or with others when the window closes that the first one opened.
async fn delivery_failed(
    on: &Transaction<'_>,
    shared: &Shared,
    webhook: WebhookId,
    attempted: &Attempted,
) -> Result<(), Failed> {
    let Some(failed) = failed_delivery(on, attempted).await? else {
        return Ok(());
    };
    let find =
        "SELECT closes_ms, count, listed FROM operational_windows WHERE webhook_id = $1 FOR UPDATE";
    if let Some(row) = query_opt(on, find, &[&webhook.0]).await? {
        let mut window = read_window(&row)?;
        let is_listed = window.failed.add(failed);
        return fill(on, webhook, &window, is_listed).await;
    }
    let event = OperationalEvent::DeliveryFailed(FailedDeliveries::one(failed));
    tell(on, shared, webhook, &event, attempted.at).await?;
    // If another replica opens one at this moment, all of this begins again and finds it.
    let closes = to_ms(FailureWindow::opened(attempted.at).closes);
    let open = "INSERT INTO operational_windows (webhook_id, closes_ms, count, listed) VALUES ($1, $2, 0, '[]')";
    execute(on, open, &[&webhook.0, &closes]).await?;
    Ok(())
}

async fn failed_delivery(
    on: &Transaction<'_>,
    attempted: &Attempted,
) -> Result<Option<FailedDelivery>, Failed> {
    let find = "SELECT d.integration_id, i.name, d.action, d.sequence, d.created_ms \
                FROM deliveries d JOIN integrations i ON i.id = d.integration_id WHERE d.id = $1";
    let Some(row) = query_opt(on, find, &[&attempted.delivery_id.0]).await? else {
        return Ok(None);
    };
    let (integration, sequence): (IntegrationId, u64) =
        (rows::id(&row, 0)?, rows::number(&row, 3)?);
    Ok(Some(FailedDelivery {
        id: attempted.delivery_id,
        message_id: bellhop_webhook::MessageId::new(integration.0, sequence),
        integration: Named {
            id: integration,
            name: rows::get(&row, 1)?,
        },
        action: rows::text(&row, 2)?,
        sequence,
        attempt_count: attempted.attempt.number,
        cause: attempted.attempt.cause.unwrap_or(Cause::Internal),
        created_utc: rows::moment(&row, 4)?.into(),
    }))
}

/// What is counted alone leaves the list as it is: in a storm, a failure costs one small update.
async fn fill(
    on: &Transaction<'_>,
    webhook: WebhookId,
    window: &FailureWindow,
    is_listed: bool,
) -> Result<(), Failed> {
    let count = window.failed.count as i64;
    if is_listed {
        let listed = serde_json::to_string(&window.failed.listed).expect("texts are JSON");
        let sql = "UPDATE operational_windows SET count = $2, listed = $3 WHERE webhook_id = $1";
        execute(on, sql, &[&webhook.0, &count, &listed]).await?;
    } else {
        let sql = "UPDATE operational_windows SET count = $2 WHERE webhook_id = $1";
        execute(on, sql, &[&webhook.0, &count]).await?;
    }
    Ok(())
}

/// Tells what was gathered in the windows that are over, and says what to send now. What one replica was given, no other
/// gets while its lease lasts.
pub async fn due(
    shared: &Shared,
    request: &OperationalRequest,
) -> Result<OperationalDue, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_due(shared, request).await {
            Err(failed) if failed.again && tries < TRIES => {}
            done => return done.map_err(|failed| failed.error),
        }
    }
}

async fn try_due(shared: &Shared, request: &OperationalRequest) -> Result<OperationalDue, Failed> {
    let connection = shared.writers.get().await?;
    settled(connection, async |connection| {
        if let Some(next) = quiet_until(connection, request.now).await? {
            let claims = Vec::new();
            return Ok(OperationalDue { claims, next });
        }
        let transaction = connection.transaction();
        close_windows(&transaction, shared, request.now).await?;
        let first = "SELECT min(closes_ms) FROM operational_windows";
        let first = query_opt(&transaction, first, &[]).await?;
        let mut due = OperationalDue {
            claims: Vec::new(),
            next: first
                .map(|row| rows::moment_or_null(&row, 0))
                .transpose()?
                .flatten(),
        };
        for destination in &request.destinations {
            let later = match head(&transaction, shared, *destination, request.now).await? {
                Head::Ours(claim) => {
                    due.claims.push(*claim);
                    continue;
                }
                Head::At(at) => at,
                Head::Nothing => continue,
            };
            due.next = Some(due.next.map_or(later, |next| next.min(later)));
        }
        transaction.commit().await?;
        Ok(due)
    })
    .await
}

/// Most often no window is over and no message waits: then nothing is locked. Says when the next window is over.
async fn quiet_until(on: &Connection, now: Timestamp) -> Result<Option<Option<Timestamp>>, Failed> {
    let look = "SELECT (SELECT min(closes_ms) FROM operational_windows), \
                EXISTS (SELECT 1 FROM operational_sends WHERE state = 'Pending')";
    let Some(row) = query_opt(on, look, &[]).await? else {
        return Ok(None);
    };
    let (closes, has_messages) = (rows::moment_or_null(&row, 0)?, rows::get::<bool>(&row, 1)?);
    let is_quiet = !has_messages && closes.is_none_or(|closes| now < closes);
    Ok(is_quiet.then_some(closes))
}

/// The earliest message that a destination has not had.
enum Head {
    /// To be sent now.
    Ours(Box<OperationalClaim>),
    /// To be sent, or looked at again, then.
    At(Timestamp),
    Nothing,
}

async fn head(
    on: &Transaction<'_>,
    shared: &Shared,
    destination: Destination,
    now: Timestamp,
) -> Result<Head, Failed> {
    let find = "SELECT m.id, m.type, m.created_ms, m.body, s.attempt_count, s.next_attempt_ms, \
                s.holder IS NULL OR s.holder = $2 OR s.lease_until <= clock_timestamp() \
                FROM operational_sends s JOIN operational_messages m ON m.id = s.message_id \
                WHERE s.destination = $1 AND s.state = 'Pending' ORDER BY s.message_id LIMIT 1 FOR UPDATE OF s";
    let Some(row) = query_opt(on, find, &[&destination.as_str(), &shared.holder]).await? else {
        return Ok(Head::Nothing);
    };
    let at = rows::moment(&row, 5)?;
    if at > now {
        return Ok(Head::At(at));
    }
    if !rows::get::<bool>(&row, 6)? {
        return Ok(Head::At(later(now, LEASE)));
    }
    let id: Uuid = rows::get(&row, 0)?;
    execute(
        on,
        "UPDATE operational_sends SET holder = $3, lease_until = clock_timestamp() + $4 * interval '1 millisecond' \
         WHERE message_id = $1 AND destination = $2",
        &[&id, &destination.as_str(), &shared.holder, &(LEASE.as_millis() as f64)],
    )
    .await?;
    Ok(Head::Ours(Box::new(OperationalClaim {
        id: OperationalMessageId(id),
        destination,
        about: rows::text(&row, 1)?,
        created: rows::moment(&row, 2)?,
        number: rows::number::<u32>(&row, 4)? + 1,
        body: rows::get::<String>(&row, 3)?.into(),
    })))
}

async fn close_windows(
    on: &Transaction<'_>,
    shared: &Shared,
    now: Timestamp,
) -> Result<(), Failed> {
    let over = query(
        on,
        "SELECT closes_ms, count, listed, webhook_id FROM operational_windows WHERE closes_ms <= $1 \
         ORDER BY closes_ms, webhook_id LIMIT $2 FOR UPDATE SKIP LOCKED",
        &[&to_ms(now), &CLOSED_AT_ONCE],
    )
    .await?;
    for row in &over {
        let (webhook, window): (WebhookId, _) = (rows::id(row, 3)?, read_window(row)?);
        if window.failed.count == 0 {
            let sql = "DELETE FROM operational_windows WHERE webhook_id = $1";
            execute(on, sql, &[&webhook.0]).await?;
            continue;
        }
        let event = OperationalEvent::DeliveryFailed(window.failed);
        tell(on, shared, webhook, &event, now).await?;
        let closes = to_ms(FailureWindow::opened(now).closes);
        let open = "UPDATE operational_windows SET closes_ms = $2, count = 0, listed = '[]' WHERE webhook_id = $1";
        execute(on, open, &[&webhook.0, &closes]).await?;
    }
    Ok(())
}

fn read_window(row: &Row) -> Result<FailureWindow, StoreError> {
    Ok(FailureWindow {
        closes: rows::moment(row, 0)?,
        failed: FailedDeliveries {
            count: rows::number(row, 1)?,
            listed: serde_json::from_str(rows::get(row, 2)?)
                .map_err(|_| corrupt("operational_windows.listed"))?,
        },
    })
}

/// Writes what came of an attempt. Says whether it was the one that was due: it is recorded once.
pub async fn record(on: &Connection, attempted: &OperationalAttempted) -> Result<bool, Failed> {
    let (state, next_attempt) = match attempted.next {
        OperationalNext::Delivered => (SendState::Delivered, None),
        OperationalNext::Failed => (SendState::Failed, None),
        OperationalNext::Retry { at } => (SendState::Pending, Some(to_ms(at))),
    };
    let ended = (state != SendState::Pending).then(|| to_ms(attempted.at));
    let changed = execute(
        on,
        "UPDATE operational_sends SET state = $4, attempt_count = $3, next_attempt_ms = $5, cause = $6, \
         detail = $7, ended_ms = $8, holder = NULL, lease_until = NULL \
         WHERE message_id = $1 AND destination = $2 AND state = 'Pending' AND attempt_count = $3::bigint - 1",
        &[
            &attempted.id.0,
            &attempted.destination.as_str(),
            &i64::from(attempted.number),
            &state.as_str(),
            &next_attempt,
            &attempted.cause.map(Cause::as_str),
            &attempted.detail,
            &ended,
        ],
    )
    .await?;
    Ok(changed == 1)
}

/// Operational messages, newest first.
pub async fn list(on: &Connection, page: Page) -> Result<Vec<OperationalMessage>, Failed> {
    let mut select = Select::new(
        "id, type, application_id, webhook_id, created_ms, body",
        "operational_messages",
    );
    select.after(page, true);
    let found = select.run(on, |row| {
        Ok(OperationalMessage {
            id: rows::id(row, 0)?,
            about: rows::text(row, 1)?,
            application_id: rows::id(row, 2)?,
            webhook_id: rows::id(row, 3)?,
            created: rows::moment(row, 4)?,
            body: rows::get(row, 5)?,
            sends: Vec::new(),
        })
    });
    let mut messages = found.await?;
    let (Some(newest), Some(oldest)) = (messages.first(), messages.last()) else {
        return Ok(messages);
    };
    let found = query(
        on,
        "SELECT message_id, destination, state, attempt_count, next_attempt_ms, cause, detail, ended_ms \
         FROM operational_sends WHERE message_id BETWEEN $1 AND $2 ORDER BY message_id, destination DESC",
        &[&oldest.id.0, &newest.id.0],
    )
    .await?;
    let mut sends: HashMap<OperationalMessageId, Vec<OperationalSend>> = HashMap::new();
    for row in &found {
        sends
            .entry(rows::id(row, 0)?)
            .or_default()
            .push(OperationalSend {
                destination: rows::text(row, 1)?,
                state: rows::text(row, 2)?,
                attempt_count: rows::number(row, 3)?,
                next_attempt: rows::moment_or_null(row, 4)?,
                cause: rows::text_or_null(row, 5)?,
                detail: rows::get(row, 6)?,
                ended: rows::moment_or_null(row, 7)?,
            });
    }
    for message in &mut messages {
        message.sends = sends.remove(&message.id).unwrap_or_default();
    }
    Ok(messages)
}
