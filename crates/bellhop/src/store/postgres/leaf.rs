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
    store::{
        DeliveryFilter, Leaf, Page, StoreError,
        leaf::{MOST_PENDING, Way, before},
        overview::MOST_NAMES,
    },
};

type Read<T> = Result<T, Failed>;

/// Most lanes with something pending that are looked at: more than there are when this way is chosen, though they are
/// counted a moment before.
const MOST_HEADS: u32 = 2 * MOST_PENDING as u32;

/// A page; `looked` is how many deliveries may be looked at.
pub async fn leaf(on: &Connection, filter: &DeliveryFilter, page: Page, looked: u32) -> Read<Leaf> {
    let pending = match filter.state {
        Some(DeliveryState::Pending) => pending(on).await?,
        _ => 0,
    };
    let way = Way::of(filter, pending, messages(on, filter).await?);
    let of = application(on, filter).await?;
    let window = Window {
        way,
        of,
        before: before(filter, page),
        looked,
    };
    let mut select = match way {
        Way::Lanes => lanes(filter.webhook_id, of),
        Way::Whole => whole(filter),
        Way::Failed | Way::Newest => window.select(),
    };
    matching(&mut select, filter, of);
    select.filter_some("id <", Type::UUID, page.after);
    select.first(window.order(), page.limit);
    let found = select.run(on, rows::delivery).await?;
    // A full page need not know.
    let looked_to = match way {
        Way::Failed | Way::Newest if found.len() < page.limit as usize => window.end(on).await?,
        _ => None,
    };
    Ok(Leaf::of(found, page.limit, looked_to))
}

/// The newest deliveries, which are looked at.
struct Window {
    way: Way,
    of: Option<ApplicationId>,
    before: Uuid,
    looked: u32,
}

impl Window {
    fn select(&self) -> Select {
        let mut select = Select::new(rows::SHOWN_DELIVERY, "(SELECT * FROM deliveries");
        self.conditions(&mut select);
        select.newest(self.order(), self.looked);
        select
    }

    /// The application whose index is walked.
    fn index_of(&self) -> Option<ApplicationId> {
        self.of.filter(|_| self.way == Way::Newest)
    }

    fn order(&self) -> &'static str {
        match self.index_of() {
            Some(_) => "application_id DESC, id DESC",
            None => "id DESC",
        }
    }

    fn conditions(&self, select: &mut Select) {
        if self.way == Way::Failed {
            select.filter_plain("state = 'Failed'");
        }
        let Some(of) = self.index_of() else {
            select.filter("id <", Type::UUID, self.before);
            return;
        };
        // As rows, which are a part of the index. With its columns one by one, the database believes that few belong to
        // an application, and sorts them all.
        for (compare, id) in [(">=", Uuid::nil()), ("<", self.before)] {
            select.filter(
                &format!("(application_id, id) {compare} ("),
                Type::UUID,
                of.0,
            );
            select.push(",");
            select.value(Type::UUID, id);
            select.push(")");
        }
    }

    /// The last one in it; `None` if it holds all that there are.
    async fn end(&self, on: &Connection) -> Read<Option<DeliveryId>> {
        let mut select = Select::new("id", "deliveries");
        self.conditions(&mut select);
        select.first(self.order(), 1);
        select.push(&format!(" OFFSET {}", self.looked.saturating_sub(1)));
        let found = select.run(on, |row| rows::id(row, 0)).await?;
        Ok(found.into_iter().next())
    }
}

/// The application of the filter, or that of its webhook: the index by application serves both.
pub async fn application(on: &Connection, filter: &DeliveryFilter) -> Read<Option<ApplicationId>> {
    Ok(match (filter.application_id, filter.webhook_id) {
        (None, Some(id)) => application_of(on, id).await?,
        (application, _) => application,
    })
}

/// Whose webhook it is.
pub async fn application_of(on: &Connection, id: WebhookId) -> Read<Option<ApplicationId>> {
    let sql = "SELECT application_id FROM webhooks WHERE id = $1";
    let found = query_opt(on, sql, &[&id.0]).await?;
    Ok(found.map(|row| rows::id(&row, 0)).transpose()?)
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

/// Those that are pending are behind the heads of their lanes, and heads have an index. Neither that nor the way from a head
/// to what is behind it is left to the planner: a table without statistics makes it read all.
fn lanes(webhook: Option<WebhookId>, of: Option<ApplicationId>) -> Select {
    let from = "(SELECT p.* FROM (SELECT integration_id, webhook_id, sequence FROM deliveries";
    let mut select = Select::new(rows::SHOWN_DELIVERY, from);
    // A replay is a head too. Said this way, since the planner believes that few are equal to anything.
    select.filter_plain(
        "next_attempt_ms IS NOT NULL AND state NOT IN ('Delivered', 'Failed', 'Discarded')",
    );
    match (webhook, of) {
        (Some(webhook), _) => select.filter("webhook_id =", Type::UUID, webhook.0),
        (None, Some(application)) => {
            let own = "webhook_id IN (SELECT id FROM webhooks WHERE application_id =";
            select.filter(own, Type::UUID, application.0);
            select.push(")");
        }
        (None, None) => {}
    }
    select.first("webhook_id, next_attempt_ms, id", MOST_HEADS);
    select.of_these(
        ") h CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE integration_id = h.integration_id \
         AND webhook_id = h.webhook_id AND sequence >= h.sequence AND state = 'Pending' OFFSET 0) p",
    );
    select
}

/// Those of few integrations, each of which has an index of its own; or all.
fn whole(filter: &DeliveryFilter) -> Select {
    let Some(enterprise) = filter
        .enterprise_id
        .filter(|_| filter.integration_id.is_none())
    else {
        return Select::new(rows::SHOWN_DELIVERY, "deliveries");
    };
    let from = "(SELECT d.* FROM integrations i CROSS JOIN LATERAL \
                (SELECT * FROM deliveries WHERE integration_id = i.id OFFSET 0) d";
    let mut select = Select::new(rows::SHOWN_DELIVERY, from);
    select.filter("i.enterprise_id =", Type::UUID, enterprise.0);
    select.of_these("");
    select
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
