//! What is failing, and the newest attempts of a webhook. No query looks at more rows than its limits say.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};

use super::{
    SqliteStore, leaf,
    read::first_id_at,
    rows, sign_ins,
    values::{text, text_or_null},
};
use crate::{
    clock::from_ms,
    domain::{
        access_token::TokenHash,
        enterprise::{Application, Enterprise},
        sign_in::SignIn,
    },
    id::{ApplicationId, WebhookId},
    store::{
        DeliveryFilter, Failing, Leaf, MOST_FAILING, MOST_LOOKED_AT, MOST_RECENT, Page,
        RecentAttempt, Span, StoreError, Views,
        overview::{
            MOST_ATTEMPTS_OF_SPAN, MOST_OF_SPAN, MOST_SAMPLED, SpanRow, Tally, failing as merged,
        },
    },
};

#[async_trait]
impl Views for SqliteStore {
    async fn sign_in(&self, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
        self.readers
            .read(move |on, _| sign_ins::find(on, hash))
            .await
    }

    async fn failing(
        &self,
        of: Option<ApplicationId>,
        since: Timestamp,
    ) -> Result<Vec<Failing>, StoreError> {
        self.readers.read(move |on, _| failing(on, of, since)).await
    }

    async fn recent_attempts(&self, webhook: WebhookId) -> Result<Vec<RecentAttempt>, StoreError> {
        self.readers
            .read(move |on, _| recent_attempts(on, webhook))
            .await
    }

    async fn leaf(
        &self,
        filter: DeliveryFilter,
        page: Page,
        looked: u32,
    ) -> Result<Leaf, StoreError> {
        self.readers
            .read(move |on, _| leaf::leaf(on, &filter, page, looked))
            .await
    }

    async fn enterprises_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Enterprise>, StoreError> {
        self.readers
            .read(move |on, _| leaf::named(on, "enterprises", &part, limit, rows::enterprise))
            .await
    }

    async fn applications_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError> {
        self.readers
            .read(move |on, _| leaf::named(on, "applications", &part, limit, rows::application))
            .await
    }

    async fn history(
        &self,
        webhook: WebhookId,
        moments: Vec<Timestamp>,
    ) -> Result<Vec<Span>, StoreError> {
        self.readers
            .read(move |on, _| history(on, webhook, &moments))
            .await
    }
}

fn failing(
    connection: &Connection,
    of: Option<ApplicationId>,
    since: Timestamp,
) -> Result<Vec<Failing>, StoreError> {
    // An application's own are found by its webhooks: those of others would use the limit up.
    let own = match of {
        Some(_) => "AND webhook_id IN (SELECT id FROM webhooks WHERE application_id = ?1)",
        None => "AND ?1 IS NULL",
    };
    let waiting = format!(
        "SELECT webhook_id, cause, COUNT(*), MIN(created_ms) FROM \
         (SELECT webhook_id, cause, created_ms, state FROM deliveries \
         WHERE next_attempt_ms IS NOT NULL {own} LIMIT {MOST_FAILING}) \
         WHERE cause IS NOT NULL AND state = 'Pending' GROUP BY webhook_id, cause",
    );
    let failed = format!(
        "SELECT webhook_id, cause, COUNT(*), MIN(created_ms) FROM \
         (SELECT webhook_id, application_id, cause, created_ms FROM deliveries \
         WHERE state = 'Failed' AND id >= ?2 ORDER BY id DESC LIMIT {MOST_FAILING}) \
         WHERE cause IS NOT NULL AND (?1 IS NULL OR application_id = ?1) GROUP BY webhook_id, cause",
    );
    let waiting = tallies(connection, &waiting, &[&of])?;
    let failed = tallies(connection, &failed, &[&of, &first_id_at(since)])?;
    Ok(merged(waiting, failed))
}

fn recent_attempts(
    connection: &Connection,
    webhook: WebhookId,
) -> Result<Vec<RecentAttempt>, StoreError> {
    let sql = format!(
        "SELECT a.delivery_id, a.number, a.started_ms, a.duration_us, a.cause, a.status FROM \
         (SELECT id FROM (SELECT id, webhook_id FROM deliveries WHERE application_id = \
         (SELECT application_id FROM webhooks WHERE id = ?1) ORDER BY id DESC LIMIT {MOST_LOOKED_AT}) \
         WHERE webhook_id = ?1 LIMIT {MOST_RECENT}) d JOIN attempts a ON a.delivery_id = d.id \
         ORDER BY a.started_ms DESC LIMIT {MOST_RECENT}",
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([webhook])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(attempt(row)?);
    }
    Ok(found)
}

fn history(
    connection: &Connection,
    webhook: WebhookId,
    moments: &[Timestamp],
) -> Result<Vec<Span>, StoreError> {
    let sql = format!(
        "SELECT d.id, d.state, a.duration_us, a.cause IS NULL FROM \
         (SELECT id, state FROM (SELECT id, state, webhook_id FROM deliveries WHERE application_id = \
         (SELECT application_id FROM webhooks WHERE id = ?1) AND id >= ?2 AND id < ?3 ORDER BY id LIMIT {MOST_OF_SPAN}) \
         WHERE webhook_id = ?1 LIMIT {MOST_SAMPLED}) d LEFT JOIN attempts a ON a.delivery_id = d.id \
         ORDER BY d.id LIMIT {MOST_ATTEMPTS_OF_SPAN}",
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut spans = Vec::with_capacity(moments.len());
    for pair in moments.windows(2) {
        let mut rows =
            select.query(params![webhook, first_id_at(pair[0]), first_id_at(pair[1])])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let duration: Option<u64> = row.get(2)?;
            found.push(SpanRow {
                delivery_id: row.get(0)?,
                state: text(row, 1)?,
                attempt: match duration {
                    Some(us) => Some((Duration::from_micros(us), row.get(3)?)),
                    None => None,
                },
            });
        }
        spans.push(Span::of(found));
    }
    Ok(spans)
}

fn tallies(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<Tally>, StoreError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Tally {
            webhook_id: row.get(0)?,
            cause: text(row, 1)?,
            count: row.get(2)?,
            since: from_ms(row.get(3)?),
        });
    }
    Ok(found)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<RecentAttempt> {
    Ok(RecentAttempt {
        delivery_id: row.get(0)?,
        number: row.get(1)?,
        started: from_ms(row.get(2)?),
        duration: Duration::from_micros(row.get(3)?),
        cause: text_or_null(row, 4)?,
        status: row.get(5)?,
    })
}
