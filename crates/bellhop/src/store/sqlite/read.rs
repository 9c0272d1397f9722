//! Reading. Connections that cannot write, so that a reader never waits for the writer.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};
use tokio::sync::Semaphore;

use super::{claims, health, leaf, rows, schema::open_reader};
use crate::{
    clock::to_ms,
    domain::{
        api_key::ApiKey,
        delivery::{Attempt, Delivery, DeliveryState},
        integration::{Integration, State},
        webhook::Webhook,
    },
    id::{ApplicationId, DeliveryId, IntegrationId, KeyId, WebhookId},
    store::{
        DeliveryFilter, IntegrationFilter, MessageBody, Page, Stats, StoreError, StoredMessage,
        id_bounds,
    },
    vault::Vault,
};

/// Most readers at a time.
const READERS: usize = 4;

/// A pool of connections for reading.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    vault: Arc<Vault>,
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

impl Readers {
    /// A pool on this database. Opens nothing yet.
    pub fn new(path: &Path, vault: Arc<Vault>) -> Arc<Self> {
        let idle = Mutex::default();
        Arc::new(Self {
            path: path.to_owned(),
            vault,
            idle,
            free: Semaphore::new(READERS),
        })
    }

    /// Reads on a thread that may wait for the disk.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.free.acquire().await.map_err(|_| StoreError::Closed)?;
        let pool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().expect("no holder panics").pop();
            let connection = idle.map_or_else(|| open_reader(&pool.path), Ok)?;
            let result = read(&connection, &pool.vault);
            pool.idle.lock().expect("no holder panics").push(connection);
            result
        });
        let result = done
            .await
            .map_err(|_| StoreError::Database("a reader stopped".into()))?;
        drop(permit);
        result
    }

    /// Lets go of the database.
    pub fn close(&self) {
        self.free.close();
        self.idle.lock().expect("no holder panics").clear();
    }
}

/// One row by its id.
pub fn by_id<T>(
    connection: &Connection,
    (columns, from): (&str, &str),
    id: &dyn ToSql,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {columns} FROM {from} WHERE id = ?1"))?;
    let mut rows = select.query([id])?;
    rows.next()?.map(read).transpose()
}

/// A page of a table in the order of its ids.
pub fn page<T>(
    connection: &Connection,
    (columns, from): (&str, &str),
    page: Page,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut query = Select::new(columns, from);
    query.after(page, false);
    query.run(connection, read)
}

pub fn webhook(
    connection: &Connection,
    vault: &Vault,
    id: WebhookId,
) -> Result<Option<Webhook>, StoreError> {
    let mut query = Select::new(rows::WEBHOOK, "webhooks");
    query.filter("id = ?", id);
    query.filter_plain("deleted_ms IS NULL");
    Ok(query
        .run(connection, |row| rows::webhook(row, vault))?
        .pop())
}

pub fn webhooks(
    connection: &Connection,
    vault: &Vault,
    of: Option<ApplicationId>,
    page: Page,
) -> Result<Vec<Webhook>, StoreError> {
    let mut query = Select::new(rows::WEBHOOK, "webhooks");
    query.filter_some("application_id = ?", of);
    query.filter_plain("deleted_ms IS NULL");
    query.after(page, false);
    query.run(connection, |row| rows::webhook(row, vault))
}

pub fn integration(
    connection: &Connection,
    id: IntegrationId,
) -> Result<Option<Integration>, StoreError> {
    by_id(
        connection,
        (rows::INTEGRATION, "integrations"),
        &id,
        |row| Ok(rows::integration(row)?),
    )
}

pub fn integrations(
    connection: &Connection,
    filter: &IntegrationFilter,
    page: Page,
) -> Result<Vec<Integration>, StoreError> {
    let mut query = Select::new(rows::INTEGRATION, "integrations");
    query.filter_some("application_id = ?", filter.application_id);
    query.filter_some("enterprise_id = ?", filter.enterprise_id);
    match filter.state {
        Some(State::Deleted) => query.filter_plain("deleted_ms IS NOT NULL"),
        Some(State::Canceled) => {
            query.filter_plain("deleted_ms IS NULL AND canceled_ms IS NOT NULL");
        }
        Some(State::Enabled) => {
            query.filter_plain("deleted_ms IS NULL AND canceled_ms IS NULL AND is_enabled");
        }
        Some(State::Disabled) => {
            query.filter_plain("deleted_ms IS NULL AND canceled_ms IS NULL AND NOT is_enabled");
        }
        None if filter.with_deleted => {}
        None => query.filter_plain("deleted_ms IS NULL"),
    }
    query.after(page, false);
    query.run(connection, |row| Ok(rows::integration(row)?))
}

pub fn messages(
    connection: &Connection,
    vault: &Vault,
    of: IntegrationId,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredMessage>, StoreError> {
    let sql = format!(
        "SELECT {} FROM messages WHERE integration_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        rows::MESSAGE
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut found = select.query(params![of, after, limit])?;
    let mut messages = Vec::new();
    while let Some(row) = found.next()? {
        messages.push(rows::message(row, vault)?);
    }
    Ok(messages)
}

pub fn delivery(connection: &Connection, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let mut found = by_id(connection, (rows::DELIVERY, "deliveries"), &id, |row| {
        Ok(rows::delivery(row)?)
    })?;
    health::defer(connection, found.as_mut_slice())?;
    Ok(found)
}

pub fn attempts(connection: &Connection, of: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
    let sql = format!(
        "SELECT {} FROM attempts WHERE delivery_id = ?1 ORDER BY number",
        rows::ATTEMPT
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut found = select.query([of])?;
    let mut attempts = Vec::new();
    while let Some(row) = found.next()? {
        attempts.push(rows::attempt(row)?);
    }
    Ok(attempts)
}

pub fn body(
    connection: &Connection,
    vault: &Vault,
    of: DeliveryId,
) -> Result<Option<MessageBody>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT m.integration_id, m.sequence, m.is_sealed, \
         CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END, m.erased_ms \
         FROM deliveries d JOIN messages m ON m.integration_id = d.integration_id AND m.sequence = d.sequence \
         WHERE d.id = ?1",
    )?;
    let mut found = select.query([of])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let place = rows::body_row(row.get(0)?, row.get(1)?);
    rows::kept_body(row, (2, 3, 4), vault, &place).map(Some)
}

pub fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Vec<Delivery>, StoreError> {
    let of = leaf::application(connection, filter)?;
    let mut query = Select::new(rows::DELIVERY, "deliveries");
    matching(&mut query, filter, of, false);
    query.after(page, true);
    let mut found = query.run(connection, |row| Ok(rows::delivery(row)?))?;
    health::defer(connection, &mut found)?;
    Ok(found)
}

/// What a filter wants. `of` is its application, or that of its webhook. In the order of ids, what an integration has is
/// not found by its own index.
pub fn matching(
    query: &mut Select,
    filter: &DeliveryFilter,
    of: Option<ApplicationId>,
    is_in_order: bool,
) {
    let plus = if is_in_order { "+" } else { "" };
    query.filter_some("webhook_id = ?", filter.webhook_id);
    query.filter_some("application_id = ?", of);
    query.filter_some(&format!("{plus}integration_id = ?"), filter.integration_id);
    if let Some(enterprise) = filter.enterprise_id {
        let own = "integration_id IN (SELECT id FROM integrations WHERE enterprise_id = ?)";
        query.filter(&format!("{plus}{own}"), enterprise);
    }
    query.filter_some(
        "action = ?",
        filter.action.map(|action| action.as_str().to_owned()),
    );
    query.filter_some("state = ?", filter.state);
    query.filter_some(
        "cause = ?",
        filter.cause.map(|cause| cause.as_str().to_owned()),
    );
    query.filter_some("created_ms >= ?", filter.from.map(to_ms));
    query.filter_some("created_ms < ?", filter.to.map(to_ms));
    // Ids begin with the time at which they were made: the index finds the range.
    query.filter_some("id >= ?", filter.from.map(first_id_at));
    query.filter_some("id < ?", filter.to.and_then(id_bound_after));
}

pub fn keys(connection: &Connection, id: Option<KeyId>) -> Result<Vec<ApiKey>, StoreError> {
    let mut query = Select::new(rows::API_KEY, "api_keys");
    query.filter_some("id = ?", id);
    query.sql.push_str(" ORDER BY id");
    query.run(connection, rows::api_key)
}

pub fn stats(connection: &Connection, now: Timestamp) -> Result<Stats, StoreError> {
    let mut stats = Stats::default();
    let mut counts = connection.prepare_cached("SELECT state, n FROM delivery_counts")?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        let state: DeliveryState = super::values::text(row, 0)?;
        stats.deliveries[state as usize] = row.get(1)?;
    }
    let mut open = connection.prepare_cached(
        "SELECT 1 FROM webhooks WHERE id = ?1 AND deleted_ms IS NULL AND state = 'Enabled' \
         AND COALESCE(not_before_ms, 0) <= ?2 AND open_until_ms IS NULL",
    )?;
    for (webhook, due) in claims::due(connection)? {
        if due <= now && open.exists(params![webhook, to_ms(now)])? {
            stats.oldest_due = Some(stats.oldest_due.map_or(due, |oldest| oldest.min(due)));
        }
    }
    stats.operational_pending = connection
        .prepare_cached(
            "SELECT COUNT(DISTINCT message_id) FROM operational_sends WHERE state = 'Pending'",
        )?
        .query_row([], |row| row.get(0))?;
    stats.lanes_held = connection
        .prepare_cached(
            "SELECT COUNT(*) FROM (SELECT DISTINCT webhook_id, integration_id FROM deliveries \
             WHERE next_attempt_ms IS NOT NULL AND webhook_id IN \
             (SELECT id FROM webhooks WHERE state <> 'Enabled' UNION SELECT id FROM webhooks \
             WHERE open_until_ms IS NOT NULL))",
        )?
        .query_row([], |row| row.get(0))?;
    stats.circuits_open = health::open(connection)?.len() as u64;
    let pages: u64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page_size: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    stats.database_bytes = pages * page_size;
    Ok(stats)
}

/// The least id that is made at this moment.
pub fn first_id_at(at: Timestamp) -> DeliveryId {
    DeliveryId(id_bounds::first_id_at(to_ms(at)))
}

/// An id above each that was made before this moment.
pub fn id_bound_after(at: Timestamp) -> Option<DeliveryId> {
    id_bounds::id_bound_after(to_ms(at)).map(DeliveryId)
}

/// A query whose conditions depend on what is asked. Values are always parameters.
pub struct Select {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
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

    pub fn filter(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.filter_plain(condition);
        self.values.push(Box::new(value));
    }

    pub fn filter_some(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.filter(condition, value);
        }
    }

    /// The order of ids, from where the page before ended.
    pub fn after(&mut self, page: Page, newest_first: bool) {
        let (compare, order) = if newest_first {
            ("id < ?", "DESC")
        } else {
            ("id > ?", "ASC")
        };
        self.filter_some(compare, page.after.map(|id| id.as_bytes().to_vec()));
        self.sql.push_str(" ORDER BY id ");
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ");
        self.sql.push_str(&page.limit.to_string());
    }

    pub fn run<T>(
        &self,
        connection: &Connection,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut select = connection.prepare_cached(&self.sql)?;
        let mut rows = select.query(rusqlite::params_from_iter(self.values.iter()))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }
}
