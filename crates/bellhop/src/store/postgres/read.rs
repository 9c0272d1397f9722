//! Reading: what is committed, on whichever replica.

use bellhop_webhook::Action;
use jiff::Timestamp;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    claims,
    connect::Failed,
    connection::{Connection, query, query_opt},
    leaf, rows,
};
use crate::{
    clock::to_ms,
    domain::{
        api_key::ApiKey,
        cause::Cause,
        delivery::{Attempt, Delivery, DeliveryState},
        integration::{Integration, State},
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, IntegrationId, KeyId, WebhookId},
    store::{
        DeliveryFilter, IntegrationFilter, MessageBody, Page, Stats, StoreError, StoredMessage,
        id_bounds::{first_id_at, id_bound_after},
        sealed::body_row,
    },
    vault::Vault,
};

type Read<T> = Result<T, Failed>;

/// One row by its id.
pub async fn by_id<T>(
    on: &Connection,
    (columns, from): (&str, &str),
    id: Uuid,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Read<Option<T>> {
    let sql = format!("SELECT {columns} FROM {from} WHERE id = $1");
    let found = query_opt(on, &sql, &[&id]).await?;
    Ok(found.as_ref().map(read).transpose()?)
}

/// A page of a table in the order of its ids.
pub async fn page<T>(
    on: &Connection,
    (columns, from): (&str, &str),
    page: Page,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Read<Vec<T>> {
    let mut select = Select::new(columns, from);
    select.after(page, false);
    select.run(on, read).await
}

pub async fn webhook(on: &Connection, vault: &Vault, id: WebhookId) -> Read<Option<Webhook>> {
    let sql = format!(
        "SELECT {} FROM webhooks WHERE id = $1 AND deleted_ms IS NULL",
        rows::WEBHOOK
    );
    let found = query_opt(on, &sql, &[&id.0]).await?;
    Ok(found.map(|row| rows::webhook(&row, vault)).transpose()?)
}

pub async fn webhooks(
    on: &Connection,
    vault: &Vault,
    of: Option<ApplicationId>,
    page: Page,
) -> Read<Vec<Webhook>> {
    let mut select = Select::new(rows::WEBHOOK, "webhooks");
    select.filter_some("application_id =", Type::UUID, of.map(|id| id.0));
    select.filter_plain("deleted_ms IS NULL");
    select.after(page, false);
    select.run(on, |row| rows::webhook(row, vault)).await
}

pub async fn integrations(
    on: &Connection,
    filter: &IntegrationFilter,
    page: Page,
) -> Read<Vec<Integration>> {
    let mut select = Select::new(rows::INTEGRATION, "integrations");
    select.filter_some(
        "application_id =",
        Type::UUID,
        filter.application_id.map(|id| id.0),
    );
    select.filter_some(
        "enterprise_id =",
        Type::UUID,
        filter.enterprise_id.map(|id| id.0),
    );
    match filter.state {
        None if filter.with_deleted => {}
        None => select.filter_plain("deleted_ms IS NULL"),
        Some(State::Deleted) => select.filter_plain("deleted_ms IS NOT NULL"),
        Some(State::Canceled) => {
            select.filter_plain("deleted_ms IS NULL AND canceled_ms IS NOT NULL");
        }
        Some(State::Enabled) => {
            select.filter_plain("deleted_ms IS NULL AND canceled_ms IS NULL AND is_enabled");
        }
        Some(State::Disabled) => {
            select.filter_plain("deleted_ms IS NULL AND canceled_ms IS NULL AND NOT is_enabled");
        }
    }
    select.after(page, false);
    select.run(on, rows::integration).await
}

pub async fn messages(
    on: &Connection,
    vault: &Vault,
    of: IntegrationId,
    after: u64,
    limit: u32,
) -> Read<Vec<StoredMessage>> {
    let sql = format!(
        "SELECT {} FROM messages WHERE integration_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        rows::MESSAGE
    );
    let found = query(on, &sql, &[&of.0, &(after as i64), &i64::from(limit)]).await?;
    Ok(rows::all(&found, |row| rows::message(row, vault))?)
}

pub async fn attempts(on: &Connection, of: DeliveryId) -> Read<Vec<Attempt>> {
    let sql = format!(
        "SELECT {} FROM attempts WHERE delivery_id = $1 ORDER BY number",
        rows::ATTEMPT
    );
    let found = query(on, &sql, &[&of.0]).await?;
    Ok(rows::all(&found, rows::attempt)?)
}

pub async fn body(on: &Connection, vault: &Vault, of: DeliveryId) -> Read<Option<MessageBody>> {
    let found = query_opt(
        on,
        "SELECT m.integration_id, m.sequence, m.is_sealed, \
         CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END, m.erased_ms \
         FROM (SELECT integration_id, sequence, profile FROM deliveries WHERE id = $1 LIMIT 1) d \
         JOIN messages m ON m.integration_id = d.integration_id AND m.sequence = d.sequence",
        &[&of.0],
    )
    .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let place = body_row(rows::id(&row, 0)?, rows::number(&row, 1)?);
    Ok(Some(rows::kept_body(&row, (2, 3, 4), vault, &place)?))
}

pub async fn deliveries(
    on: &Connection,
    filter: &DeliveryFilter,
    page: Page,
) -> Read<Vec<Delivery>> {
    let of = leaf::application(on, filter).await?;
    let mut select = Select::new(rows::SHOWN_DELIVERY, "deliveries");
    matching(&mut select, filter, of);
    select.after(page, true);
    select.run(on, rows::delivery).await
}

/// What a filter wants. `of` is its application, or that of its webhook.
pub fn matching(select: &mut Select, filter: &DeliveryFilter, of: Option<ApplicationId>) {
    select.filter_some("webhook_id =", Type::UUID, filter.webhook_id.map(|id| id.0));
    select.filter_some("application_id =", Type::UUID, of.map(|id| id.0));
    select.filter_some(
        "integration_id =",
        Type::UUID,
        filter.integration_id.map(|id| id.0),
    );
    // Not as a join: the database would sort all that the enterprise has for the newest few.
    select.filter_some(
        "(SELECT i.enterprise_id FROM integrations i WHERE i.id = integration_id) =",
        Type::UUID,
        filter.enterprise_id.map(|id| id.0),
    );
    select.filter_some("action =", Type::TEXT, filter.action.map(Action::as_str));
    select.filter_some(
        "state =",
        Type::TEXT,
        filter.state.map(DeliveryState::as_str),
    );
    select.filter_some("cause =", Type::TEXT, filter.cause.map(Cause::as_str));
    select.filter_some("created_ms >=", Type::INT8, filter.from.map(to_ms));
    select.filter_some("created_ms <", Type::INT8, filter.to.map(to_ms));
    // Ids begin with the time at which they were made: the index finds the range.
    let from = filter.from.map(|from| first_id_at(to_ms(from)));
    let to = filter.to.and_then(|to| id_bound_after(to_ms(to)));
    select.filter_some("id >=", Type::UUID, from);
    select.filter_some("id <", Type::UUID, to);
}

pub async fn keys(on: &Connection, id: Option<KeyId>) -> Read<Vec<ApiKey>> {
    let mut select = Select::new(rows::API_KEY, "api_keys");
    select.filter_some("id =", Type::UUID, id.map(|id| id.0));
    select.sql.push_str(" ORDER BY id");
    select.run(on, rows::api_key).await
}

pub async fn stats(on: &Connection, now: Timestamp) -> Read<Stats> {
    let mut stats = Stats::default();
    let counts = "SELECT state, sum(n)::bigint FROM delivery_counts GROUP BY state";
    for row in query(on, counts, &[]).await? {
        let state: DeliveryState = rows::text(&row, 0)?;
        stats.deliveries[state as usize] = rows::number(&row, 1)?;
    }
    let due: Vec<_> = claims::due(on)
        .await?
        .into_iter()
        .filter(|(_, due)| *due <= now)
        .collect();
    let webhooks: Vec<Uuid> = due.iter().map(|(webhook, _)| webhook.0).collect();
    let open = "SELECT id FROM webhooks WHERE id = ANY($1) AND deleted_ms IS NULL AND state = 'Enabled' \
                AND COALESCE(not_before_ms, 0) <= $2 AND open_until_ms IS NULL";
    for row in query(on, open, &[&webhooks, &to_ms(now)]).await? {
        let open: WebhookId = rows::id(&row, 0)?;
        let oldest = due
            .iter()
            .filter(|(webhook, _)| *webhook == open)
            .map(|(_, due)| *due)
            .min();
        stats.oldest_due = stats.oldest_due.into_iter().chain(oldest).min();
    }
    let held = "SELECT count(*) FROM (SELECT DISTINCT webhook_id, integration_id FROM deliveries \
                WHERE next_attempt_ms IS NOT NULL AND webhook_id IN \
                (SELECT id FROM webhooks WHERE state <> 'Enabled' \
                UNION SELECT id FROM webhooks WHERE open_until_ms IS NOT NULL)) lanes";
    if let Some(row) = query_opt(on, held, &[]).await? {
        stats.lanes_held = rows::number(&row, 0)?;
    }
    let pending =
        "SELECT count(DISTINCT message_id) FROM operational_sends WHERE state = 'Pending'";
    if let Some(row) = query_opt(on, pending, &[]).await? {
        stats.operational_pending = rows::number(&row, 0)?;
    }
    let open =
        "SELECT count(*) FROM webhooks WHERE open_until_ms IS NOT NULL AND deleted_ms IS NULL";
    if let Some(row) = query_opt(on, open, &[]).await? {
        stats.circuits_open = rows::number(&row, 0)?;
    }
    if let Some(row) = query_opt(on, "SELECT pg_database_size(current_database())", &[]).await? {
        stats.database_bytes = rows::number(&row, 0)?;
    }
    Ok(stats)
}

/// A query whose conditions depend on what is asked. Values are always parameters. It is not kept prepared: there are
/// too many of its kind.
pub struct Select {
    sql: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
    has_condition: bool,
}

impl Select {
    pub fn new(columns: &str, from: &str) -> Self {
        Self {
            sql: format!("SELECT {columns} FROM {from}"),
            values: Vec::new(),
            has_condition: false,
        }
    }

    pub fn filter_plain(&mut self, condition: &str) {
        self.sql.push_str(if self.has_condition {
            " AND "
        } else {
            " WHERE "
        });
        self.sql.push_str(condition);
        self.has_condition = true;
    }

    /// A condition that ends with what the value is compared with.
    pub fn filter(
        &mut self,
        condition: &str,
        kind: Type,
        value: impl ToSql + Sync + Send + 'static,
    ) {
        self.filter_plain(condition);
        self.value(kind, value);
    }

    /// One more value.
    pub fn value(&mut self, kind: Type, value: impl ToSql + Sync + Send + 'static) {
        self.values.push((Box::new(value), kind));
        self.sql.push_str(" $");
        self.sql.push_str(&self.values.len().to_string());
    }

    /// What was selected from so far is the newest so many of it, in the order of an index: the database has no other
    /// way then, whatever it believes of the table. It has no statistics of a new one.
    pub fn newest(&mut self, order: &str, limit: u32) {
        self.first(order, limit);
        self.of_these("");
    }

    /// What was selected from so far, and this, is what is selected from.
    pub fn of_these(&mut self, more: &str) {
        self.sql.push_str(more);
        self.sql.push_str(") deliveries");
        self.has_condition = false;
    }

    /// More of the condition before.
    pub fn push(&mut self, more: &str) {
        self.sql.push_str(more);
    }

    pub fn filter_some(
        &mut self,
        condition: &str,
        kind: Type,
        value: Option<impl ToSql + Sync + Send + 'static>,
    ) {
        if let Some(value) = value {
            self.filter(condition, kind, value);
        }
    }

    /// The order of ids, from where the page before ended.
    pub fn after(&mut self, page: Page, newest_first: bool) {
        let (compare, order) = if newest_first {
            ("id <", "id DESC")
        } else {
            ("id >", "id ASC")
        };
        self.filter_some(compare, Type::UUID, page.after);
        self.first(order, page.limit);
    }

    /// The first of them in this order.
    pub fn first(&mut self, order: &str, limit: u32) {
        for part in [" ORDER BY ", order, " LIMIT ", &limit.to_string()] {
            self.sql.push_str(part);
        }
    }

    pub async fn run<T>(
        &self,
        on: &Connection,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Read<Vec<T>> {
        let values: Vec<(&(dyn ToSql + Sync), Type)> = self
            .values
            .iter()
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect();
        let found = on.client().query_typed(&self.sql, &values).await?;
        Ok(rows::all(&found, read)?)
    }
}
