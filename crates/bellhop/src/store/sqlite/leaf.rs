//! A page of filtered deliveries, looking at so many at most; and names of which a part is known.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use uuid::Uuid;

use super::{
    health,
    read::{Select, matching},
    rows,
};
use crate::{
    domain::delivery::DeliveryState,
    id::{ApplicationId, DeliveryId, WebhookId},
    store::{
        DeliveryFilter, Leaf, Page, StoreError,
        leaf::{Way, before},
        overview::MOST_NAMES,
    },
};

/// A page; `looked` is how many deliveries may be looked at.
pub fn leaf(
    connection: &Connection,
    filter: &DeliveryFilter,
    page: Page,
    looked: u32,
) -> Result<Leaf, StoreError> {
    let pending = match filter.state {
        Some(DeliveryState::Pending) => pending(connection)?,
        _ => 0,
    };
    let way = Way::of(filter, pending, messages(connection, filter)?);
    let of = application(connection, filter)?;
    let before = before(filter, page);
    let looked_to = match way {
        Way::Whole | Way::Lanes => None,
        Way::Failed => far_back(connection, "state = 'Failed'", None, before, looked)?,
        Way::Newest => far_back(connection, "1", of, before, looked)?,
    };
    let from = match way {
        // The planner may not choose the other way: it does not know how few there are.
        Way::Failed => "deliveries INDEXED BY deliveries_failed",
        _ => "deliveries",
    };
    let mut select = Select::new(rows::DELIVERY, from);
    match way {
        Way::Failed => select.filter_plain("state = 'Failed'"),
        Way::Lanes => lanes(&mut select, filter.webhook_id, of),
        Way::Whole | Way::Newest => {}
    }
    // What is looked at are the newest, in their order, and not all that an integration has.
    matching(&mut select, filter, of, way == Way::Newest);
    select.filter_some("id >= ?", looked_to);
    select.after(page, true);
    let mut found = select.run(connection, |row| Ok(rows::delivery(row)?))?;
    health::defer(connection, &mut found)?;
    Ok(Leaf::of(found, page.limit, looked_to))
}

/// The application of the filter, or that of its webhook: the index by application serves both.
pub fn application(
    connection: &Connection,
    filter: &DeliveryFilter,
) -> Result<Option<ApplicationId>, StoreError> {
    Ok(match (filter.application_id, filter.webhook_id) {
        (None, Some(id)) => connection
            .prepare_cached("SELECT application_id FROM webhooks WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?,
        (application, _) => application,
    })
}

fn pending(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT COALESCE(SUM(n), 0) FROM delivery_counts WHERE state = 'Pending'";
    connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))
}

/// How many messages the integrations have that a filter names.
fn messages(connection: &Connection, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
    let of_one = "SELECT sequence FROM integrations WHERE id = ?1";
    let of_all = "SELECT SUM(sequence) FROM integrations WHERE enterprise_id = ?1";
    let sum = |sql, id: &dyn ToSql| {
        let mut select = connection.prepare_cached(sql)?;
        let found: Option<Option<u64>> = select.query_row([id], |row| row.get(0)).optional()?;
        Ok(found.flatten().unwrap_or_default())
    };
    match (filter.integration_id, filter.enterprise_id) {
        (Some(id), _) => sum(of_one, &id),
        (None, Some(id)) => sum(of_all, &id),
        (None, None) => Ok(0),
    }
}

/// The delivery that is so far back among those that fit; `None` if there are not so many.
fn far_back(
    connection: &Connection,
    condition: &str,
    of: Option<ApplicationId>,
    before: Uuid,
    looked: u32,
) -> Result<Option<DeliveryId>, StoreError> {
    let index = match condition {
        "1" => "",
        _ => " INDEXED BY deliveries_failed",
    };
    let own = if of.is_some() {
        "application_id = ?1"
    } else {
        "?1 IS NULL"
    };
    let sql = format!(
        "SELECT id FROM deliveries{index} WHERE {condition} AND {own} AND id < ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let values = params![of, DeliveryId(before), looked.saturating_sub(1)];
    Ok(select.query_row(values, |row| row.get(0)).optional()?)
}

/// Those that are pending are behind the heads of their lanes, and heads have an index.
fn lanes(select: &mut Select, webhook: Option<WebhookId>, of: Option<ApplicationId>) {
    let own = match (webhook, of) {
        (Some(_), _) => " AND h.webhook_id = ?",
        (None, Some(_)) => {
            " AND h.webhook_id IN (SELECT id FROM webhooks WHERE application_id = ?)"
        }
        (None, None) => "",
    };
    let condition = format!(
        "id IN (SELECT p.id FROM deliveries h INDEXED BY deliveries_due CROSS JOIN deliveries p \
         ON p.integration_id = h.integration_id AND p.webhook_id = h.webhook_id AND p.sequence >= h.sequence \
         WHERE h.next_attempt_ms IS NOT NULL AND p.state = 'Pending'{own})"
    );
    match (webhook, of) {
        (Some(webhook), _) => select.filter(&condition, webhook),
        (None, Some(application)) => select.filter(&condition, application),
        (None, None) => select.filter_plain(&condition),
    }
}

/// Rows of a table with this in their names.
pub fn named<T>(
    connection: &Connection,
    table: &str,
    part: &str,
    limit: u32,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let columns = rows::NAMED;
    let sql = format!(
        "SELECT {columns} FROM (SELECT * FROM {table} ORDER BY id LIMIT {MOST_NAMES}) \
         WHERE name LIKE ?1 ESCAPE '\\' LIMIT ?2"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_map(params![contains(part), limit], read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// As `LIKE` has it: what is special in it is not.
fn contains(part: &str) -> String {
    let mut pattern = String::from("%");
    for letter in part.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
