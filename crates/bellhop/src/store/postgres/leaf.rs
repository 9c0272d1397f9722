//! A page of filtered deliveries, looking at so many at most; and names of which a part is known.

use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{
    connect::Failed,
    connection::{Connection, query, query_opt},
    read::{Select, matching},
    rows,
};
use crate::{
    domain::delivery::DeliveryState,
    id::{ApplicationId, DeliveryId, WebhookId},
    store::{DeliveryFilter, Leaf, Page, StoreError, leaf::Way, overview::MOST_NAMES},
};

type Read<T> = Result<T, Failed>;

/// A page; `looked` is how many deliveries may be looked at.
pub async fn leaf(on: &Connection, filter: &DeliveryFilter, page: Page, looked: u32) -> Read<Leaf> {
    let pending = match filter.state {
        Some(DeliveryState::Pending) => pending(on).await?,
        _ => 0,
    };
    let way = Way::of(filter, pending, messages(on, filter).await?);
    let of = application(on, filter).await?;
    let looked_to = match way {
        Way::Whole | Way::Lanes => None,
        Way::Failed => far_back(on, "state = 'Failed'", None, page, looked).await?,
        Way::Newest => far_back(on, "true", of, page, looked).await?,
    };
    let mut select = Select::new(rows::SHOWN_DELIVERY, "deliveries");
    match way {
        Way::Failed => select.filter_plain("state = 'Failed'"),
        Way::Lanes => lanes(&mut select, filter.webhook_id, of),
        Way::Whole | Way::Newest => {}
    }
    matching(&mut select, filter, of);
    select.filter_some("id >=", Type::UUID, looked_to.map(|id| id.0));
    select.after(page, true);
    let found = select.run(on, rows::delivery).await?;
    Ok(Leaf::of(found, page.limit, looked_to))
}

/// The application of the filter, or that of its webhook: the index by application serves both.
pub async fn application(on: &Connection, filter: &DeliveryFilter) -> Read<Option<ApplicationId>> {
    Ok(match (filter.application_id, filter.webhook_id) {
        (None, Some(id)) => {
            let sql = "SELECT application_id FROM webhooks WHERE id = $1";
            let found = query_opt(on, sql, &[&id.0]).await?;
            found.map(|row| rows::id(&row, 0)).transpose()?
        }
        (application, _) => application,
    })
}

async fn pending(on: &Connection) -> Read<u64> {
    let sql = "SELECT COALESCE(sum(n), 0)::bigint FROM delivery_counts WHERE state = 'Pending'";
    let found = query_opt(on, sql, &[]).await?;
    let found = found.map(|row| rows::number(&row, 0)).transpose()?;
    Ok(found.unwrap_or_default())
}

/// How many messages the integrations have that a filter names.
async fn messages(on: &Connection, filter: &DeliveryFilter) -> Read<u64> {
    let of_one = "SELECT sequence::bigint FROM integrations WHERE id = $1";
    let of_all =
        "SELECT COALESCE(sum(sequence), 0)::bigint FROM integrations WHERE enterprise_id = $1";
    let found = match (filter.integration_id, filter.enterprise_id) {
        (Some(id), _) => query_opt(on, of_one, &[&id.0]).await?,
        (None, Some(id)) => query_opt(on, of_all, &[&id.0]).await?,
        (None, None) => None,
    };
    let found = found.map(|row| rows::number(&row, 0)).transpose()?;
    Ok(found.unwrap_or_default())
}

/// The delivery that is so far back among those that fit; `None` if there are not so many.
async fn far_back(
    on: &Connection,
    condition: &str,
    of: Option<ApplicationId>,
    page: Page,
    looked: u32,
) -> Read<Option<DeliveryId>> {
    let before = page.after.unwrap_or(Uuid::max());
    let offset = i64::from(looked.saturating_sub(1));
    let found = if let Some(of) = of {
        let sql = format!(
            "SELECT id FROM deliveries WHERE {condition} AND application_id = $3 AND id < $1 \
             ORDER BY id DESC LIMIT 1 OFFSET $2"
        );
        query_opt(on, &sql, &[&before, &offset, &of.0]).await?
    } else {
        let sql = format!(
            "SELECT id FROM deliveries WHERE {condition} AND id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2"
        );
        query_opt(on, &sql, &[&before, &offset]).await?
    };
    Ok(found.map(|row| rows::id(&row, 0)).transpose()?)
}

/// Those that are pending are behind the heads of their lanes, and heads have an index.
fn lanes(select: &mut Select, webhook: Option<WebhookId>, of: Option<ApplicationId>) {
    let begin = "id IN (SELECT p.id FROM deliveries h JOIN deliveries p \
         ON p.integration_id = h.integration_id AND p.webhook_id = h.webhook_id AND p.sequence >= h.sequence \
         WHERE h.next_attempt_ms IS NOT NULL AND p.state = 'Pending'";
    match (webhook, of) {
        (Some(webhook), _) => {
            let condition = format!("{begin} AND h.webhook_id =");
            select.filter(&condition, Type::UUID, webhook.0);
        }
        (None, Some(application)) => {
            let condition = format!(
                "{begin} AND h.webhook_id IN (SELECT id FROM webhooks WHERE application_id ="
            );
            select.filter(&condition, Type::UUID, application.0);
            select.push(")");
        }
        (None, None) => select.filter_plain(begin),
    }
    select.push(")");
}

/// Rows of a table with this in their names.
pub async fn named<T>(
    on: &Connection,
    table: &str,
    part: &str,
    limit: u32,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Read<Vec<T>> {
    let columns = rows::NAMED;
    let sql = format!(
        "SELECT {columns} FROM (SELECT * FROM {table} ORDER BY id LIMIT {MOST_NAMES}) named \
         WHERE position(lower($1) in lower(name)) > 0 LIMIT $2"
    );
    let found = query(on, &sql, &[&part, &i64::from(limit)]).await?;
    Ok(rows::all(&found, read)?)
}
