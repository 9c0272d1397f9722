//! What is failing, and the newest attempts of a webhook. No query looks at more rows than its limits say.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    connect::Failed,
    connection::{Connection, Values, query},
    leaf, rows, sign_ins,
};
use crate::{
    clock::to_ms,
    domain::{
        access_token::TokenHash,
        enterprise::{Application, Enterprise},
        sign_in::SignIn,
    },
    id::{ApplicationId, WebhookId},
    store::{
        DeliveryFilter, Failing, Leaf, MOST_FAILING, MOST_LOOKED_AT, MOST_RECENT, Page,
        RecentAttempt, Span, StoreError, Views,
        id_bounds::first_id_at,
        overview::{
            MOST_ATTEMPTS_OF_SPAN, MOST_OF_SPAN, MOST_SAMPLED, SpanRow, Tally, failing as merged,
        },
    },
};

type Read<T> = Result<T, Failed>;

#[async_trait]
impl Views for PostgresStore {
    async fn sign_in(&self, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
        self.read(async |on, _| Ok(sign_ins::find(on, hash).await?))
            .await
    }

    async fn failing(
        &self,
        of: Option<ApplicationId>,
        since: Timestamp,
    ) -> Result<Vec<Failing>, StoreError> {
        self.read(async |on, _| failing(on, of, since).await).await
    }

    async fn recent_attempts(&self, webhook: WebhookId) -> Result<Vec<RecentAttempt>, StoreError> {
        self.read(async |on, _| recent_attempts(on, webhook).await)
            .await
    }

    async fn leaf(
        &self,
        filter: DeliveryFilter,
        page: Page,
        looked: u32,
    ) -> Result<Leaf, StoreError> {
        self.read(async |on, _| leaf::leaf(on, &filter, page, looked).await)
            .await
    }

    async fn enterprises_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Enterprise>, StoreError> {
        self.read(async |on, _| {
            leaf::named(on, "enterprises", &part, limit, rows::enterprise).await
        })
        .await
    }

    async fn applications_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError> {
        self.read(async |on, _| {
            leaf::named(on, "applications", &part, limit, rows::application).await
        })
        .await
    }

    async fn history(
        &self,
        webhook: WebhookId,
        moments: Vec<Timestamp>,
    ) -> Result<Vec<Span>, StoreError> {
        self.read(async |on, _| history(on, webhook, &moments).await)
            .await
    }
}

async fn failing(
    on: &Connection,
    of: Option<ApplicationId>,
    since: Timestamp,
) -> Read<Vec<Failing>> {
    let of = of.map(|id| id.0);
    // An application's own are found by its webhooks: those of others would use the limit up.
    let own = match of {
        Some(_) => "AND webhook_id IN (SELECT id FROM webhooks WHERE application_id = $1::uuid)",
        None => "AND $1::uuid IS NULL",
    };
    let waiting = format!(
        "SELECT webhook_id, cause, count(*), min(created_ms) FROM \
         (SELECT webhook_id, cause, created_ms, state FROM deliveries \
         WHERE next_attempt_ms IS NOT NULL {own} ORDER BY webhook_id, next_attempt_ms, id LIMIT {MOST_FAILING}) due \
         WHERE cause IS NOT NULL AND state = 'Pending' GROUP BY webhook_id, cause",
    );
    let failed = format!(
        "SELECT webhook_id, cause, count(*), min(created_ms) FROM \
         (SELECT webhook_id, application_id, cause, created_ms FROM deliveries \
         WHERE state = 'Failed' AND id >= $2 ORDER BY id DESC LIMIT {MOST_FAILING}) failed \
         WHERE cause IS NOT NULL AND ($1::uuid IS NULL OR application_id = $1) GROUP BY webhook_id, cause",
    );
    let waiting = tallies(on, &waiting, &[&of]).await?;
    let failed = tallies(on, &failed, &[&of, &first_id_at(to_ms(since))]).await?;
    Ok(merged(waiting, failed))
}

async fn recent_attempts(on: &Connection, webhook: WebhookId) -> Read<Vec<RecentAttempt>> {
    let sql = format!(
        "SELECT a.delivery_id, a.number, a.started_ms, a.duration_us, a.cause, a.status FROM \
         (SELECT id FROM (SELECT id, webhook_id FROM deliveries WHERE (application_id, id) >= ($2, $3) \
         AND (application_id, id) <= ($2, $4) ORDER BY application_id DESC, id DESC LIMIT {MOST_LOOKED_AT}) newest \
         WHERE webhook_id = $1 LIMIT {MOST_RECENT}) d \
         CROSS JOIN LATERAL (SELECT * FROM attempts WHERE delivery_id = d.id OFFSET 0) a \
         ORDER BY a.started_ms DESC LIMIT {MOST_RECENT}",
    );
    let Some(of) = leaf::application_of(on, webhook).await? else {
        return Ok(Vec::new());
    };
    let values: Values<'_> = &[&webhook.0, &of.0, &Uuid::nil(), &Uuid::max()];
    let found = query(on, &sql, values).await?;
    Ok(rows::all(&found, attempt)?)
}

async fn history(on: &Connection, webhook: WebhookId, moments: &[Timestamp]) -> Read<Vec<Span>> {
    let sql = format!(
        "SELECT d.id, d.state, a.duration_us, a.cause IS NULL FROM \
         (SELECT id, state FROM (SELECT id, state, webhook_id FROM deliveries WHERE application_id = \
         (SELECT application_id FROM webhooks WHERE id = $1) AND id >= $2 AND id < $3 ORDER BY id LIMIT {MOST_OF_SPAN}) span \
         WHERE webhook_id = $1 LIMIT {MOST_SAMPLED}) d \
         LEFT JOIN LATERAL (SELECT * FROM attempts WHERE delivery_id = d.id OFFSET 0) a ON true \
         ORDER BY d.id LIMIT {MOST_ATTEMPTS_OF_SPAN}",
    );
    let mut spans = Vec::with_capacity(moments.len());
    for pair in moments.windows(2) {
        let (from, to) = (first_id_at(to_ms(pair[0])), first_id_at(to_ms(pair[1])));
        let found = query(on, &sql, &[&webhook.0, &from, &to]).await?;
        let found = rows::all(&found, |row| {
            let duration: Option<u64> = rows::number_or_null(row, 2)?;
            Ok(SpanRow {
                delivery_id: rows::id(row, 0)?,
                state: rows::text(row, 1)?,
                attempt: match duration {
                    Some(us) => Some((Duration::from_micros(us), rows::get(row, 3)?)),
                    None => None,
                },
            })
        })?;
        spans.push(Span::of(found));
    }
    Ok(spans)
}

async fn tallies(on: &Connection, sql: &str, values: Values<'_>) -> Read<Vec<Tally>> {
    let found = query(on, sql, values).await?;
    Ok(rows::all(&found, |row| {
        Ok(Tally {
            webhook_id: rows::id(row, 0)?,
            cause: rows::text(row, 1)?,
            count: rows::number(row, 2)?,
            since: rows::moment(row, 3)?,
        })
    })?)
}

fn attempt(row: &Row) -> Result<RecentAttempt, StoreError> {
    Ok(RecentAttempt {
        delivery_id: rows::id(row, 0)?,
        number: rows::number(row, 1)?,
        started: rows::moment(row, 2)?,
        duration: Duration::from_micros(rows::number(row, 3)?),
        cause: rows::text_or_null(row, 4)?,
        status: rows::number_or_null(row, 5)?,
    })
}
