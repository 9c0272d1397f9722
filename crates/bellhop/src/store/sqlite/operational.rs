//! Operational messages. All that makes one is a failure, so nothing here is on the way of a message that arrives.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::Apply,
    batch::Batch,
    read::Select,
    registry::find_webhook,
    rows,
    values::{text, text_or_null},
};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        cause::Cause,
        health::HealthEvent,
        operational::{
            FailedDeliveries, FailedDelivery, FailureWindow, Named, OperationalEvent,
            OperationalMessage, OperationalNext, OperationalSend, SendState, Subject,
        },
    },
    id::{ApplicationId, DeliveryId, IntegrationId, OperationalMessageId, WebhookId},
    store::{
        Attempted, CommitError, OperationalAttempted, OperationalClaim, OperationalDue,
        OperationalRequest, Page, StoreError, Written,
    },
    vault::Vault,
};

/// Most windows that one transaction closes.
const CLOSED_AT_ONCE: u32 = 100;

/// What telling needs.
pub struct Telling<'a> {
    pub connection: &'a Connection,
    pub vault: &'a Vault,
    pub batch: &'a mut Batch,
}

/// What a message says of its webhook, owned.
struct Facts {
    application_id: ApplicationId,
    application_name: String,
    url: String,
    description: String,
}

impl Telling<'_> {
    /// Tells what an attempt means beyond its delivery.
    pub fn attempted(
        &mut self,
        webhook: WebhookId,
        attempted: &Attempted,
        events: &[HealthEvent],
    ) -> Result<(), StoreError> {
        for event in events {
            match OperationalEvent::of(event, attempted.attempt.cause) {
                Some(event) => self.tell(webhook, &event, attempted.at)?,
                None => self.delivery_failed(webhook, attempted)?,
            }
        }
        Ok(())
    }

    /// Writes a message, to be sent to each destination.
    pub fn tell(
        &mut self,
        webhook: WebhookId,
        event: &OperationalEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(facts) = self.facts(webhook)? else {
            return Ok(());
        };
        let subject = Subject {
            application_id: facts.application_id,
            application_name: &facts.application_name,
            webhook_id: webhook,
            url: &facts.url,
            description: &facts.description,
        };
        let id: OperationalMessageId = self.batch.ids.next(at);
        self.connection
            .prepare_cached("INSERT INTO operational_messages VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                id,
                event.about().as_str(),
                facts.application_id,
                webhook,
                to_ms(at),
                event.to_body(subject, at),
            ])?;
        for destination in &*self.batch.destinations {
            self.connection
                .prepare_cached(
                    "INSERT INTO operational_sends VALUES (?1, ?2, 'Pending', 0, ?3, NULL, NULL, NULL)",
                )?
                .execute(params![id, destination.as_str(), to_ms(at)])?;
        }
        Ok(())
    }

    fn facts(&self, webhook: WebhookId) -> Result<Option<Facts>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT w.application_id, a.name, w.url_sealed, w.description \
             FROM webhooks w JOIN applications a ON a.id = w.application_id WHERE w.id = ?1",
        )?;
        let mut found = select.query([webhook])?;
        let Some(row) = found.next()? else {
            return Ok(None);
        };
        let sealed: Vec<u8> = row.get(2)?;
        Ok(Some(Facts {
            application_id: row.get(0)?,
            application_name: row.get(1)?,
            url: rows::open_url(self.vault, webhook, &sealed)?,
            description: row.get(3)?,
        }))
    }

    /// Tells it at once, or with others when the window closes that the first one opened.
    fn delivery_failed(
        &mut self,
        webhook: WebhookId,
        attempted: &Attempted,
    ) -> Result<(), StoreError> {
        let Some(failed) = self.failed_delivery(attempted)? else {
            return Ok(());
        };
        if let Some(mut window) = self.window(webhook)? {
            let is_listed = window.failed.add(failed);
            return self.fill(webhook, &window, is_listed);
        }
        let event = OperationalEvent::DeliveryFailed(FailedDeliveries::one(failed));
        self.tell(webhook, &event, attempted.at)?;
        self.open(webhook, &FailureWindow::opened(attempted.at))
    }

    fn failed_delivery(&self, attempted: &Attempted) -> Result<Option<FailedDelivery>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT d.integration_id, i.name, d.action, d.sequence, d.created_ms \
             FROM deliveries d JOIN integrations i ON i.id = d.integration_id WHERE d.id = ?1",
        )?;
        let id: DeliveryId = attempted.delivery_id;
        let mut found = select.query([id])?;
        let Some(row) = found.next()? else {
            return Ok(None);
        };
        let (integration, sequence): (IntegrationId, u64) = (row.get(0)?, row.get(3)?);
        Ok(Some(FailedDelivery {
            id,
            message_id: bellhop_webhook::MessageId::new(integration.0, sequence),
            integration: Named {
                id: integration,
                name: row.get(1)?,
            },
            action: text(row, 2)?,
            sequence,
            attempt_count: attempted.attempt.number,
            cause: attempted.attempt.cause.unwrap_or(Cause::Internal),
            created_utc: from_ms(row.get(4)?).into(),
        }))
    }

    fn window(&self, webhook: WebhookId) -> Result<Option<FailureWindow>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT closes_ms, count, listed FROM operational_windows WHERE webhook_id = ?1",
        )?;
        let mut found = select.query([webhook])?;
        found.next()?.map(read_window).transpose()
    }

    fn open(&self, webhook: WebhookId, window: &FailureWindow) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO operational_windows VALUES (?1, ?2, 0, '[]')")?
            .execute(params![webhook, to_ms(window.closes)])?;
        Ok(())
    }

    /// What is counted alone leaves the list as it is: in a storm, a failure costs one small update.
    fn fill(
        &self,
        webhook: WebhookId,
        window: &FailureWindow,
        is_listed: bool,
    ) -> Result<(), StoreError> {
        if is_listed {
            let listed = serde_json::to_string(&window.failed.listed).expect("texts are JSON");
            self.connection
                .prepare_cached(
                    "UPDATE operational_windows SET count = ?2, listed = ?3 WHERE webhook_id = ?1",
                )?
                .execute(params![webhook, window.failed.count, listed])?;
        } else {
            self.connection
                .prepare_cached("UPDATE operational_windows SET count = ?2 WHERE webhook_id = ?1")?
                .execute(params![webhook, window.failed.count])?;
        }
        Ok(())
    }

    /// Tells what was gathered in the windows that are over.
    pub fn close_windows(&mut self, now: Timestamp) -> Result<(), StoreError> {
        for (webhook, window) in self.windows_over(now)? {
            if window.failed.count == 0 {
                self.connection
                    .prepare_cached("DELETE FROM operational_windows WHERE webhook_id = ?1")?
                    .execute([webhook])?;
                continue;
            }
            let event = OperationalEvent::DeliveryFailed(window.failed);
            self.tell(webhook, &event, now)?;
            self.open(webhook, &FailureWindow::opened(now))?;
        }
        Ok(())
    }

    fn windows_over(&self, now: Timestamp) -> Result<Vec<(WebhookId, FailureWindow)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT closes_ms, count, listed, webhook_id FROM operational_windows WHERE closes_ms <= ?1 \
             ORDER BY closes_ms, webhook_id LIMIT ?2",
        )?;
        let mut found = select.query(params![to_ms(now), CLOSED_AT_ONCE])?;
        let mut over = Vec::new();
        while let Some(row) = found.next()? {
            over.push((row.get(3)?, read_window(row)?));
        }
        Ok(over)
    }
}

/// Tells how near the end of a webhook's client certificate is, unless that was told.
pub fn tell_certificate(
    apply: &mut Apply<'_>,
    id: WebhookId,
    at: Timestamp,
) -> Result<Written, CommitError> {
    let webhook = find_webhook(apply, id)?;
    let certificate = webhook.client_certificate.as_ref();
    let event =
        certificate.and_then(|certificate| OperationalEvent::of_certificate(certificate, at));
    let Some(event) = event else {
        return Ok(Written::Noted);
    };
    if !was_told(apply.connection, id, &event)? {
        let mut telling = Telling {
            connection: apply.connection,
            vault: apply.vault,
            batch: apply.batch,
        };
        telling.tell(id, &event, at)?;
    }
    Ok(Written::Noted)
}

/// There are few messages, and this is asked seldom.
fn was_told(
    connection: &Connection,
    webhook: WebhookId,
    event: &OperationalEvent,
) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT body FROM operational_messages WHERE webhook_id = ?1 AND type = ?2",
    )?;
    let mut bodies = select.query(params![webhook, event.about().as_str()])?;
    while let Some(row) = bodies.next()? {
        if event.is_told_by(&row.get::<_, String>(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a window is over: then the writer has something to tell.
pub fn is_window_over(connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    Ok(first_closing(connection)?.is_some_and(|closes| closes <= now))
}

/// What to send now. Writes nothing.
pub fn due(
    connection: &Connection,
    request: &OperationalRequest,
) -> Result<OperationalDue, StoreError> {
    let mut due = OperationalDue {
        claims: Vec::new(),
        next: first_closing(connection)?,
    };
    for destination in &request.destinations {
        let head = connection
                .prepare_cached(
                    "SELECT m.id, m.type, m.created_ms, m.body, s.attempt_count, s.next_attempt_ms \
                     FROM operational_sends s CROSS JOIN operational_messages m ON m.id = s.message_id \
                     WHERE s.destination = ?1 AND s.state = 'Pending' ORDER BY s.message_id LIMIT 1",
                )?
                .query_row([destination.as_str()], |row| {
                    let claim = OperationalClaim {
                        id: row.get(0)?,
                        destination: *destination,
                        about: text(row, 1)?,
                        created: from_ms(row.get(2)?),
                        number: row.get::<_, u32>(4)? + 1,
                        body: row.get::<_, String>(3)?.into(),
                    };
                    Ok((from_ms(row.get(5)?), claim))
                })
                .optional()?;
        match head {
            Some((at, claim)) if at <= request.now => due.claims.push(claim),
            Some((at, _)) => due.next = Some(due.next.map_or(at, |next| next.min(at))),
            None => {}
        }
    }
    Ok(due)
}

fn first_closing(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let first: Option<i64> = connection
        .prepare_cached("SELECT MIN(closes_ms) FROM operational_windows")?
        .query_row([], |row| row.get(0))?;
    Ok(first.map(from_ms))
}

fn read_window(row: &rusqlite::Row<'_>) -> Result<FailureWindow, StoreError> {
    let listed: String = row.get(2)?;
    Ok(FailureWindow {
        closes: from_ms(row.get(0)?),
        failed: FailedDeliveries {
            count: row.get(1)?,
            listed: serde_json::from_str(&listed)
                .map_err(|_| StoreError::Corrupt("in operational_windows.listed".into()))?,
        },
    })
}

/// Writes what came of an attempt. Says whether it was the one that was due: it is recorded once.
pub fn record(
    connection: &Connection,
    attempted: &OperationalAttempted,
) -> Result<bool, StoreError> {
    let (state, next_attempt) = match attempted.next {
        OperationalNext::Delivered => (SendState::Delivered, None),
        OperationalNext::Failed => (SendState::Failed, None),
        OperationalNext::Retry { at } => (SendState::Pending, Some(to_ms(at))),
    };
    let ended = (state != SendState::Pending).then(|| to_ms(attempted.at));
    let changed = connection
        .prepare_cached(
            "UPDATE operational_sends SET state = ?4, attempt_count = ?3, next_attempt_ms = ?5, cause = ?6, \
             detail = ?7, ended_ms = ?8 \
             WHERE message_id = ?1 AND destination = ?2 AND state = 'Pending' AND attempt_count = ?3 - 1",
        )?
        .execute(params![
            attempted.id,
            attempted.destination.as_str(),
            attempted.number,
            state.as_str(),
            next_attempt,
            attempted.cause.map(Cause::as_str),
            attempted.detail,
            ended,
        ])?;
    Ok(changed == 1)
}

/// Operational messages, newest first.
pub fn list(connection: &Connection, page: Page) -> Result<Vec<OperationalMessage>, StoreError> {
    let mut query = Select::new(
        "id, type, application_id, webhook_id, created_ms, body",
        "operational_messages",
    );
    query.after(page, true);
    let mut messages = query.run(connection, |row| {
        Ok(OperationalMessage {
            id: row.get(0)?,
            about: text(row, 1)?,
            application_id: row.get(2)?,
            webhook_id: row.get(3)?,
            created: from_ms(row.get(4)?),
            body: row.get(5)?,
            sends: Vec::new(),
        })
    })?;
    let (Some(newest), Some(oldest)) = (messages.first(), messages.last()) else {
        return Ok(messages);
    };
    let mut sends = sends_between(connection, oldest.id, newest.id)?;
    for message in &mut messages {
        message.sends = sends.remove(&message.id).unwrap_or_default();
    }
    Ok(messages)
}

fn sends_between(
    connection: &Connection,
    first: OperationalMessageId,
    last: OperationalMessageId,
) -> Result<HashMap<OperationalMessageId, Vec<OperationalSend>>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT message_id, destination, state, attempt_count, next_attempt_ms, cause, detail, ended_ms \
         FROM operational_sends WHERE message_id BETWEEN ?1 AND ?2 ORDER BY message_id, destination DESC",
    )?;
    let mut found = select.query(params![first, last])?;
    let mut sends: HashMap<OperationalMessageId, Vec<OperationalSend>> = HashMap::new();
    while let Some(row) = found.next()? {
        sends.entry(row.get(0)?).or_default().push(OperationalSend {
            destination: text(row, 1)?,
            state: text(row, 2)?,
            attempt_count: row.get(3)?,
            next_attempt: row.get::<_, Option<i64>>(4)?.map(from_ms),
            cause: text_or_null(row, 5)?,
            detail: row.get(6)?,
            ended: row.get::<_, Option<i64>>(7)?.map(from_ms),
        });
    }
    Ok(sends)
}
