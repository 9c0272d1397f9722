//! What a run is about, and what it takes up next: read beside the writer.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::{replay_rows, values::text};
use crate::{
    clock::to_ms,
    domain::webhook::{ActionFilter, Subscription},
    id::{ApplicationId, DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Candidate, Counted, DeliveryFilter, MAX_SCANNED, MAX_STEP, Position, Replay, ReplayCount,
        ReplayStep, Selection, StoreError,
        tally::{Fitting, Tally},
    },
};
use bellhop_webhook::Action;

/// Whether the bytes that a delivery sends are gone.
const IS_ERASED: &str = "(SELECT CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END IS NULL \
     FROM messages m WHERE m.integration_id = d.integration_id AND m.sequence = d.sequence)";

/// SQL and its parameters, grown together so that they keep in step.
#[derive(Default)]
struct Query {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
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

    fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.push(" AND ");
        self.push(condition);
        self.values.push(Box::new(value));
    }

    fn and_some(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }
}

impl Walk {
    /// Over the deliveries that fit a filter and were there when they were counted.
    fn over_deliveries(
        connection: &Connection,
        filter: &DeliveryFilter,
        counted: Counted,
    ) -> rusqlite::Result<Self> {
        let (mut range, mut fits) = (Query::default(), Query::default());
        // The webhook's application narrows the integrations that are gone through.
        let application = match (filter.application_id, filter.webhook_id) {
            (None, Some(id)) => connection
                .prepare_cached("SELECT application_id FROM webhooks WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?,
            (application, _) => application,
        };
        range
            .push("FROM integrations i CROSS JOIN deliveries d ON d.integration_id = i.id WHERE 1");
        range.and_some("i.application_id = ?", application);
        range.and_some("i.enterprise_id = ?", filter.enterprise_id);
        range.and_some("i.id = ?", filter.integration_id);
        range.and_some("d.webhook_id = ?", filter.webhook_id);
        fits.push("1");
        let action = filter.action.map(Action::as_str);
        fits.and_some("d.action = ?", action);
        fits.and_some("d.state = ?", filter.state);
        fits.and_some(
            "d.cause = ?",
            filter.cause.map(crate::domain::cause::Cause::as_str),
        );
        fits.and_some("d.created_ms >= ?", filter.from.map(to_ms));
        fits.and_some("d.created_ms < ?", filter.to.map(to_ms));
        fits.and("d.id <= ?", counted.newest);
        fits.and("COALESCE(d.ended_ms, 0) <= ?", to_ms(counted.at));
        Ok(Self { range, fits })
    }

    /// Over the messages that a webhook wants and has no delivery of. `None` if there is no such webhook.
    fn over_history(
        connection: &Connection,
        webhook_id: WebhookId,
        integrations: Option<&[IntegrationId]>,
        counted: Counted,
    ) -> rusqlite::Result<Option<Self>> {
        let Some((application, created_ms, wanted)) = wanted(connection, webhook_id)? else {
            return Ok(None);
        };
        let (mut range, mut fits) = (Query::default(), Query::default());
        range.push("FROM integrations i CROSS JOIN messages m ON m.integration_id = i.id WHERE i.deleted_ms IS NULL");
        range.and("i.application_id = ?", application);
        if let Some(these) = integrations {
            let places = vec!["?"; these.len()].join(", ");
            range.push(&format!(" AND i.id IN ({places})"));
            for id in these {
                range.values.push(Box::new(*id));
            }
        }
        let actions: Vec<String> = wanted
            .iter()
            .map(|each| format!("'{}'", each.as_str()))
            .collect();
        fits.push(&format!("m.action IN ({})", actions.join(", ")));
        fits.and("m.created_ms <= ?", to_ms(counted.at));
        fits.and(
            "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = m.integration_id AND d.webhook_id = ? \
             AND d.sequence = m.sequence)",
            webhook_id,
        );
        // What a webhook of then has had and retention has let go of is not had again: it is up to where the
        // oldest of the lane, or its remembered end, says that there was one.
        fits.and("(m.created_ms < ?", created_ms);
        fits.push(" OR (");
        fits.push(
            "m.sequence > COALESCE((SELECT d.previous FROM deliveries d WHERE d.integration_id = m.integration_id",
        );
        fits.and("d.webhook_id = ?", webhook_id);
        fits.push(" ORDER BY d.sequence LIMIT 1), 0)");
        fits.push(
            " AND m.sequence > COALESCE((SELECT e.sequence FROM lane_ends e WHERE e.integration_id = m.integration_id",
        );
        fits.and("e.webhook_id = ?", webhook_id);
        fits.push("), 0)))");
        Ok(Some(Self { range, fits }))
    }

    /// The rows that fit, all of them.
    fn count(self, columns: &str, order: &str) -> Query {
        let mut query = Query::default();
        query.push(&format!("SELECT {columns} "));
        query.append(self.range);
        query.push(" AND ");
        query.append(self.fits);
        query.push(" ORDER BY ");
        query.push(order);
        query
    }

    /// Rows after a position, with whether they fit in front.
    fn next(self, columns: &str, order: &str, after: Option<Position>, in_lane: &str) -> Query {
        let mut query = Query::default();
        // What has no cause has none that is asked for.
        query.push("SELECT COALESCE(");
        query.append(self.fits);
        query.push(&format!(", 0), {columns} "));
        query.append(self.range);
        if let Some(after) = after {
            query.and("i.id >= ?", after.integration_id);
            query.and("(i.id > ?", after.integration_id);
            query.push(&format!(" OR {in_lane})"));
            if in_lane.matches('?').count() == 2 {
                query.values.push(Box::new(after.webhook_id));
            }
            query.values.push(Box::new(after.sequence));
        }
        query.push(" ORDER BY ");
        query.push(order);
        query
    }
}

const IN_ORDER_OF_LANES: &str = "i.id, d.webhook_id, d.sequence";
const IN_ORDER_OF_HISTORIES: &str = "i.id, m.sequence";

/// The application of a webhook, when it was created, and the actions that it wants.
fn wanted(
    connection: &Connection,
    id: WebhookId,
) -> rusqlite::Result<Option<(ApplicationId, i64, Vec<Action>)>> {
    connection
        .prepare_cached(
            "SELECT application_id, actions, profile, created_ms FROM webhooks WHERE id = ?1 AND deleted_ms IS NULL",
        )?
        .query_row([id], |row| {
            let subscription = Subscription {
                webhook_id: id,
                actions: ActionFilter::from_bits(row.get(1)?),
                profile: text(row, 2)?,
                first_wait: std::time::Duration::ZERO,
            };
            let wanted = Action::ALL
                .into_iter()
                .filter(|action| subscription.wants(*action))
                .collect();
            Ok((row.get(0)?, row.get(3)?, wanted))
        })
        .optional()
}

/// What a run would be about.
pub fn count(
    connection: &Connection,
    selection: &Selection,
    counted: Option<Counted>,
    now: Timestamp,
) -> Result<ReplayCount, StoreError> {
    let counted = match counted {
        Some(counted) => counted,
        None => Counted {
            at: now,
            newest: newest(connection)?,
        },
    };
    let mut tally = Tally::new(counted);
    match selection {
        Selection::Deliveries(filter) => {
            let columns = format!(
                "d.id, d.webhook_id, d.state, d.next_attempt_ms IS NULL, i.sequence > d.sequence, {IS_ERASED}, \
                 NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = d.webhook_id AND w.deleted_ms IS NULL)"
            );
            let walk = Walk::over_deliveries(connection, filter, counted)?;
            let query = walk.count(&columns, IN_ORDER_OF_LANES);
            let mut select = connection.prepare_cached(&query.sql)?;
            let mut rows = select.query(params_from_iter(query.values))?;
            while let Some(row) = rows.next()? {
                let delivery = Fitting {
                    id: row.get(0)?,
                    webhook_id: row.get(1)?,
                    state: text(row, 2)?,
                    is_due: !row.get::<_, bool>(3)?,
                    is_stale: row.get(4)?,
                    is_erased: row.get::<_, Option<bool>>(5)?.unwrap_or(true),
                    has_webhook: !row.get::<_, bool>(6)?,
                };
                if !tally.add_delivery(&delivery) {
                    break;
                }
            }
        }
        Selection::History {
            webhook_id,
            integrations,
        } => {
            let walk =
                Walk::over_history(connection, *webhook_id, integrations.as_deref(), counted)?;
            if let Some(walk) = walk {
                let columns =
                    "m.integration_id, m.sequence, i.sequence > m.sequence, m.body IS NULL";
                let query = walk.count(columns, IN_ORDER_OF_HISTORIES);
                let mut select = connection.prepare_cached(&query.sql)?;
                let mut rows = select.query(params_from_iter(query.values))?;
                while let Some(row) = rows.next()? {
                    let message = (row.get(0)?, row.get(1)?);
                    let (is_stale, is_erased) = (row.get(2)?, row.get(3)?);
                    if !tally.add_message(*webhook_id, message, is_stale, is_erased) {
                        break;
                    }
                }
            }
        }
    }
    Ok(tally.finish())
}

/// The newest delivery, nil if there is none.
fn newest(connection: &Connection) -> rusqlite::Result<DeliveryId> {
    let newest: Option<DeliveryId> = connection
        .prepare_cached("SELECT MAX(id) FROM deliveries")?
        .query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or(DeliveryId(uuid::Uuid::nil())))
}

/// Finds what a run has not passed, each row with whether it fits in front. `None` if its webhook is gone.
fn next_query(connection: &Connection, run: &Replay) -> Result<Option<Query>, StoreError> {
    Ok(Some(match &run.selection {
        Selection::Deliveries(filter) => {
            let columns = "i.id, d.webhook_id, d.sequence, d.id";
            let in_lane = "(d.webhook_id, d.sequence) > (?, ?)";
            Walk::over_deliveries(connection, filter, run.counted)?.next(
                columns,
                IN_ORDER_OF_LANES,
                run.position,
                in_lane,
            )
        }
        Selection::History {
            webhook_id,
            integrations,
        } => {
            let walk = Walk::over_history(
                connection,
                *webhook_id,
                integrations.as_deref(),
                run.counted,
            )?;
            let Some(walk) = walk else {
                return Ok(None);
            };
            let columns = "i.id, NULL, m.sequence, NULL";
            walk.next(
                columns,
                IN_ORDER_OF_HISTORIES,
                run.position,
                "m.sequence > ?",
            )
        }
    }))
}

/// What a run takes up next; `None` unless it is running.
pub fn next(connection: &Connection, id: ReplayId) -> Result<Option<ReplayStep>, StoreError> {
    let Some(run) = replay_rows::one(connection, id)? else {
        return Ok(None);
    };
    if run.state != crate::domain::replay::ReplayState::Running {
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
    let Some(query) = next_query(connection, &run)? else {
        return Ok(Some(step));
    };
    let mut select = connection.prepare_cached(&query.sql)?;
    let mut rows = select.query(params_from_iter(query.values))?;
    let (mut scanned, mut scanned_to) = (0, run.position);
    while let Some(row) = rows.next()? {
        if step.candidates.len() == MAX_STEP {
            step.is_last = false;
            break;
        }
        if scanned == MAX_SCANNED {
            (step.is_last, step.to) = (false, scanned_to);
            break;
        }
        scanned += 1;
        let webhook = row
            .get::<_, Option<WebhookId>>(2)?
            .or(run.selection.webhook_id());
        let position = Position {
            integration_id: row.get(1)?,
            webhook_id: webhook
                .ok_or_else(|| StoreError::Corrupt("in replays.selection".into()))?,
            sequence: row.get(3)?,
        };
        scanned_to = Some(position);
        if row.get(0)? {
            step.to = Some(position);
            let delivery_id = row.get(4)?;
            step.candidates.push(Candidate {
                position,
                delivery_id,
                is_erased: is_erased(connection, position, delivery_id)?,
            });
        }
    }
    Ok(Some(step))
}

fn is_erased(
    connection: &Connection,
    at: Position,
    delivery: Option<DeliveryId>,
) -> rusqlite::Result<bool> {
    let erased: Option<Option<bool>> = match delivery {
        Some(id) => connection
            .prepare_cached(&format!(
                "SELECT {IS_ERASED} FROM deliveries d WHERE d.id = ?1"
            ))?
            .query_row([id], |row| row.get(0))
            .optional()?,
        None => connection
            .prepare_cached(
                "SELECT body IS NULL FROM messages WHERE integration_id = ?1 AND sequence = ?2",
            )?
            .query_row(rusqlite::params![at.integration_id, at.sequence], |row| {
                row.get(0)
            })
            .optional()?,
    };
    Ok(erased.flatten().unwrap_or(true))
}
