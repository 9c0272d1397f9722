//! What a run is about, and what it takes up next: read beside those who write.

use bellhop_webhook::Action;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::{
    Row, RowStream,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    connect::Failed,
    connection::{Connection, query_opt},
    replay_rows, rows,
};
use crate::{
    clock::to_ms,
    domain::{cause::Cause, delivery::DeliveryState, replay::ReplayState},
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Candidate, Counted, DeliveryFilter, MAX_SCANNED, MAX_STEP, MAX_TOTAL, Position, Replay,
        ReplayCount, ReplayStep, Selection, StoreError,
        sealed::corrupt,
        tally::{Fitting, Tally},
    },
};

/// Rows that are asked for at once when a run looks for what comes next.
const SLICE: usize = 2 * MAX_STEP;

/// Whether the bytes that a delivery sends are gone.
const IS_ERASED: &str = "COALESCE((SELECT CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) \
     ELSE m.body END IS NULL FROM messages m \
     WHERE m.integration_id = d.integration_id AND m.sequence = d.sequence), true)";

/// A parameter and its type.
type Value = (Box<dyn ToSql + Sync + Send>, Type);

/// SQL and its parameters, grown together so that they keep in step. A `?` is numbered at the end.
#[derive(Default)]
struct Query {
    sql: String,
    values: Vec<Value>,
}

/// What a walk goes over: the tables, joined in its order, and their conditions.
struct Walk {
    /// On `integrations i` and `deliveries d`, or `messages m`: which rows the indexes give.
    range: Query,
    /// Which of those rows fit.
    fits: Query,
}

impl Query {
    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn and(&mut self, condition: &str, kind: Type, value: impl ToSql + Sync + Send + 'static) {
        self.push(" AND ");
        self.push(condition);
        self.values.push((Box::new(value), kind));
    }

    fn and_some(
        &mut self,
        condition: &str,
        kind: Type,
        value: Option<impl ToSql + Sync + Send + 'static>,
    ) {
        if let Some(value) = value {
            self.and(condition, kind, value);
        }
    }

    fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    async fn run(self, on: &Connection) -> Result<RowStream, Failed> {
        let mut sql = String::with_capacity(self.sql.len() + 2 * self.values.len());
        for (number, part) in self.sql.split('?').enumerate() {
            if number > 0 {
                sql.push('$');
                sql.push_str(&number.to_string());
            }
            sql.push_str(part);
        }
        Ok(on.client().query_typed_raw(&sql, self.values).await?)
    }
}

impl Walk {
    /// Over the deliveries that fit a filter and were there when they were counted.
    async fn over_deliveries(
        on: &Connection,
        filter: &DeliveryFilter,
        counted: Counted,
    ) -> Result<Self, Failed> {
        let (mut range, mut fits) = (Query::default(), Query::default());
        // The webhook's application narrows the integrations that are gone through.
        let application = match (filter.application_id, filter.webhook_id) {
            (None, Some(id)) => {
                let sql = "SELECT application_id FROM webhooks WHERE id = $1";
                let found = query_opt(on, sql, &[&id.0]).await?;
                found.map(|row| rows::get(&row, 0)).transpose()?
            }
            (application, _) => application.map(|id| id.0),
        };
        range.push("FROM integrations i JOIN deliveries d ON d.integration_id = i.id WHERE true");
        range.and_some("i.application_id = ?", Type::UUID, application);
        let enterprise = filter.enterprise_id.map(|id| id.0);
        range.and_some("i.enterprise_id = ?", Type::UUID, enterprise);
        let integration = filter.integration_id.map(|id| id.0);
        range.and_some("i.id = ?", Type::UUID, integration);
        let webhook = filter.webhook_id.map(|id| id.0);
        range.and_some("d.webhook_id = ?", Type::UUID, webhook);
        fits.push("true");
        fits.and_some(
            "d.action = ?",
            Type::TEXT,
            filter.action.map(Action::as_str),
        );
        let state = filter.state.map(DeliveryState::as_str);
        fits.and_some("d.state = ?", Type::TEXT, state);
        fits.and_some("d.cause = ?", Type::TEXT, filter.cause.map(Cause::as_str));
        fits.and_some("d.created_ms >= ?", Type::INT8, filter.from.map(to_ms));
        fits.and_some("d.created_ms < ?", Type::INT8, filter.to.map(to_ms));
        fits.and("d.id <= ?", Type::UUID, counted.newest.0);
        fits.and(
            "COALESCE(d.ended_ms, 0) <= ?",
            Type::INT8,
            to_ms(counted.at),
        );
        Ok(Self { range, fits })
    }

    /// Over the messages that a webhook wants and has no delivery of. `None` if there is no such webhook.
    async fn over_history(
        on: &Connection,
        webhook: WebhookId,
        integrations: Option<&[IntegrationId]>,
        counted: Counted,
    ) -> Result<Option<Self>, Failed> {
        let Some((application, created_ms, wanted)) = wanted(on, webhook).await? else {
            return Ok(None);
        };
        let (mut range, mut fits) = (Query::default(), Query::default());
        range.push("FROM integrations i JOIN messages m ON m.integration_id = i.id WHERE i.deleted_ms IS NULL");
        range.and("i.application_id = ?", Type::UUID, application);
        let these = integrations.map(|ids| ids.iter().map(|id| id.0).collect::<Vec<Uuid>>());
        range.and_some("i.id = ANY(?)", Type::UUID_ARRAY, these);
        fits.push("true");
        fits.and("m.action = ANY(?)", Type::TEXT_ARRAY, wanted);
        fits.and("m.created_ms <= ?", Type::INT8, to_ms(counted.at));
        fits.and(
            "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = m.integration_id AND d.webhook_id = ? \
             AND d.sequence = m.sequence)",
            Type::UUID,
            webhook.0,
        );
        // What a webhook of then has had and retention has let go of is not had again: it is up to where the oldest of
        // the lane, or its remembered end, says that there was one.
        fits.and("(m.created_ms < ?", Type::INT8, created_ms);
        fits.push(
            " OR (m.sequence > COALESCE((SELECT d.previous FROM deliveries d \
             WHERE d.integration_id = m.integration_id",
        );
        fits.and("d.webhook_id = ?", Type::UUID, webhook.0);
        fits.push(
            " ORDER BY d.sequence LIMIT 1), 0) AND m.sequence > COALESCE((SELECT e.sequence FROM lane_ends e \
             WHERE e.integration_id = m.integration_id",
        );
        fits.and("e.webhook_id = ?", Type::UUID, webhook.0);
        fits.push("), 0)))");
        Ok(Some(Self { range, fits }))
    }

    /// The rows that fit, one more than a run may be about at most.
    fn count(self, columns: &str, order: &str) -> Query {
        let mut query = Query::default();
        query.push(&format!("SELECT {columns} "));
        query.append(self.range);
        query.push(" AND ");
        query.append(self.fits);
        query.push(&format!(" ORDER BY {order} LIMIT {}", MAX_TOTAL + 1));
        query
    }

    /// A slice of the rows after a position: whether each fits, where it is, its delivery, and whether its bytes are
    /// gone. The last is looked up for those that fit.
    fn next(self, of: &Kind, after: Option<Position>) -> Query {
        let mut query = Query::default();
        query.push(&format!(
            "SELECT d.fits, d.integration_id, d.webhook_id, d.sequence, d.id, CASE WHEN d.fits THEN {} END FROM (SELECT ",
            of.is_erased
        ));
        query.push("COALESCE(");
        query.append(self.fits);
        query.push(&format!(", false) AS fits, {} ", of.columns));
        query.append(self.range);
        if let Some(after) = after {
            query.and("i.id >= ?", Type::UUID, after.integration_id.0);
            query.and("(i.id > ?", Type::UUID, after.integration_id.0);
            query.push(&format!(" OR {})", of.in_lane));
            if of.has_lanes {
                query
                    .values
                    .push((Box::new(after.webhook_id.0), Type::UUID));
            }
            query
                .values
                .push((Box::new(after.sequence as i64), Type::INT8));
        }
        query.push(&format!(
            " ORDER BY {} LIMIT {SLICE}) d ORDER BY d.integration_id, d.webhook_id, d.sequence",
            of.order
        ));
        query
    }
}

/// What rows of a kind are.
struct Kind {
    columns: &'static str,
    order: &'static str,
    is_erased: &'static str,
    /// What comes after a position of the same integration.
    in_lane: &'static str,
    /// Whether the webhook is a part of a position.
    has_lanes: bool,
}

const LANES: Kind = Kind {
    columns: "d.integration_id, d.webhook_id, d.sequence, d.id, d.profile",
    order: "i.id, d.webhook_id, d.sequence",
    is_erased: IS_ERASED,
    in_lane: "(d.webhook_id, d.sequence) > (?, ?)",
    has_lanes: true,
};

const HISTORIES: Kind = Kind {
    columns: "m.integration_id, NULL::uuid AS webhook_id, m.sequence, NULL::uuid AS id, m.body IS NULL AS is_erased",
    order: "i.id, m.sequence",
    is_erased: "d.is_erased",
    in_lane: "m.sequence > ?",
    has_lanes: false,
};

/// The application of a webhook, when it was created, and the actions that it wants.
async fn wanted(
    on: &Connection,
    id: WebhookId,
) -> Result<Option<(Uuid, i64, Vec<&'static str>)>, Failed> {
    let sql = "SELECT id, actions, profile, retry_schedule[1], application_id, created_ms FROM webhooks \
               WHERE id = $1 AND deleted_ms IS NULL";
    let Some(row) = query_opt(on, sql, &[&id.0]).await? else {
        return Ok(None);
    };
    let subscription = rows::subscription(&row, 0)?;
    let wanted = Action::ALL
        .into_iter()
        .filter(|action| subscription.wants(*action))
        .map(Action::as_str);
    Ok(Some((
        rows::get(&row, 4)?,
        rows::get(&row, 5)?,
        wanted.collect(),
    )))
}

/// What a run would be about.
pub async fn count(
    on: &Connection,
    selection: &Selection,
    counted: Option<Counted>,
    now: Timestamp,
) -> Result<ReplayCount, Failed> {
    let counted = match counted {
        Some(counted) => counted,
        None => Counted {
            at: now,
            newest: newest(on).await?,
        },
    };
    let mut tally = Tally::new(counted);
    match selection {
        Selection::Deliveries(filter) => {
            let columns = format!(
                "d.id, d.webhook_id, d.state, d.next_attempt_ms IS NOT NULL, i.sequence > d.sequence, {IS_ERASED}, \
                 EXISTS (SELECT 1 FROM webhooks w WHERE w.id = d.webhook_id AND w.deleted_ms IS NULL)"
            );
            let walk = Walk::over_deliveries(on, filter, counted).await?;
            let found = walk.count(&columns, LANES.order).run(on).await?;
            let mut found = std::pin::pin!(found);
            while let Some(row) = found.try_next().await? {
                if !tally.add_delivery(&fitting(&row)?) {
                    break;
                }
            }
        }
        Selection::History {
            webhook_id,
            integrations,
        } => {
            let walk = Walk::over_history(on, *webhook_id, integrations.as_deref(), counted);
            if let Some(walk) = walk.await? {
                let columns =
                    "m.integration_id, m.sequence, i.sequence > m.sequence, m.body IS NULL";
                let found = walk.count(columns, HISTORIES.order).run(on).await?;
                let mut found = std::pin::pin!(found);
                while let Some(row) = found.try_next().await? {
                    let message = (rows::id(&row, 0)?, rows::number(&row, 1)?);
                    let (is_stale, is_erased) = (rows::get(&row, 2)?, rows::get(&row, 3)?);
                    if !tally.add_message(*webhook_id, message, is_stale, is_erased) {
                        break;
                    }
                }
            }
        }
    }
    Ok(tally.finish())
}

fn fitting(row: &Row) -> Result<Fitting, StoreError> {
    Ok(Fitting {
        id: rows::id(row, 0)?,
        webhook_id: rows::id(row, 1)?,
        state: rows::text(row, 2)?,
        is_due: rows::get(row, 3)?,
        is_stale: rows::get(row, 4)?,
        is_erased: rows::get(row, 5)?,
        has_webhook: rows::get(row, 6)?,
    })
}

/// The newest delivery, nil if there is none.
async fn newest(on: &Connection) -> Result<DeliveryId, Failed> {
    let newest = "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1";
    let newest = query_opt(on, newest, &[]).await?;
    Ok(newest.map_or(Ok(DeliveryId(Uuid::nil())), |row| rows::id(&row, 0))?)
}

/// Finds what a run has not passed, after a position. `None` if its webhook is gone.
async fn slice(
    on: &Connection,
    run: &Replay,
    after: Option<Position>,
) -> Result<Option<Vec<Row>>, Failed> {
    let query = match &run.selection {
        Selection::Deliveries(filter) => Walk::over_deliveries(on, filter, run.counted)
            .await?
            .next(&LANES, after),
        Selection::History {
            webhook_id,
            integrations,
        } => {
            let walk = Walk::over_history(on, *webhook_id, integrations.as_deref(), run.counted);
            let Some(walk) = walk.await? else {
                return Ok(None);
            };
            walk.next(&HISTORIES, after)
        }
    };
    Ok(Some(query.run(on).await?.try_collect().await?))
}

/// What a run takes up next; `None` unless it is running.
pub async fn next(on: &Connection, id: ReplayId) -> Result<Option<ReplayStep>, Failed> {
    let Some(run) = replay_rows::one(on, id).await? else {
        return Ok(None);
    };
    if run.state != ReplayState::Running {
        return Ok(None);
    }
    let mut step = ReplayStep {
        id,
        from: run.position,
        candidates: Vec::new(),
        to: run.position,
        is_last: true,
    };
    if run.is_exhausted {
        return Ok(Some(step));
    }
    let (mut scanned, mut scanned_to) = (0, run.position);
    while let Some(found) = slice(on, &run, scanned_to).await? {
        for row in &found {
            if step.candidates.len() == MAX_STEP {
                step.is_last = false;
                return Ok(Some(step));
            }
            if scanned == MAX_SCANNED {
                (step.is_last, step.to) = (false, scanned_to);
                return Ok(Some(step));
            }
            scanned += 1;
            let position = position(row, &run)?;
            scanned_to = Some(position);
            if rows::get(row, 0)? {
                step.to = Some(position);
                step.candidates.push(Candidate {
                    position,
                    delivery_id: rows::id_or_null(row, 4)?,
                    is_erased: rows::get(row, 5)?,
                });
            }
        }
        if found.len() < SLICE {
            break;
        }
    }
    Ok(Some(step))
}

fn position(row: &Row, run: &Replay) -> Result<Position, StoreError> {
    let webhook = rows::id_or_null(row, 2)?.or(run.selection.webhook_id());
    Ok(Position {
        integration_id: rows::id(row, 1)?,
        webhook_id: webhook.ok_or_else(|| corrupt("replays.selection"))?,
        sequence: rows::number(row, 3)?,
    })
}
