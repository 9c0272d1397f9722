//! Runs, from their rows.

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::{read::Select, values::text};
use crate::{
    clock::{from_ms, to_ms},
    id::{ApplicationId, EnterpriseId, IntegrationId, ReplayId, WebhookId},
    store::{Counted, DeliveryFilter, Page, Position, Replay, Selection, StoreError},
};

/// Columns of [`replay`].
const REPLAY: &str = "id, state, application_id, selection, newest, counted_ms, at_integration, at_webhook, \
     at_sequence, is_exhausted, total, passed, succeeded, failed, held_by, created_ms, ended_ms, \
     (SELECT COUNT(*) FROM deliveries d WHERE d.replay_id = replays.id)";

/// A selection as its column has it.
#[derive(Serialize, Deserialize)]
enum Kept {
    Deliveries {
        webhook_id: Option<WebhookId>,
        application_id: Option<ApplicationId>,
        integration_id: Option<IntegrationId>,
        enterprise_id: Option<EnterpriseId>,
        action: Option<String>,
        state: Option<String>,
        cause: Option<String>,
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    },
    History {
        webhook_id: WebhookId,
        integrations: Option<Vec<IntegrationId>>,
    },
}

/// The runs that are running.
pub fn running(connection: &Connection) -> Result<Vec<ReplayId>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT id FROM replays WHERE ended_ms IS NULL AND state = 'Running' ORDER BY id",
    )?;
    let found = select.query_map([], |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// One run.
pub fn one(connection: &Connection, id: ReplayId) -> Result<Option<Replay>, StoreError> {
    super::read::by_id(connection, (REPLAY, "replays"), &id, replay)
}

/// Runs, newest first.
pub fn replays(
    connection: &Connection,
    of: Option<ApplicationId>,
    page: Page,
) -> Result<Vec<Replay>, StoreError> {
    let mut query = Select::new(REPLAY, "replays");
    query.filter_some("application_id = ?", of);
    query.after(page, true);
    query.run(connection, replay)
}

fn replay(row: &Row<'_>) -> Result<Replay, StoreError> {
    let selection: String = row.get(3)?;
    let position = match (row.get(6)?, row.get(7)?, row.get(8)?) {
        (Some(integration_id), Some(webhook_id), Some(sequence)) => Some(Position {
            integration_id,
            webhook_id,
            sequence,
        }),
        _ => None,
    };
    Ok(Replay {
        id: row.get(0)?,
        state: text(row, 1)?,
        application_id: row.get(2)?,
        selection: opened(&selection)
            .ok_or_else(|| StoreError::Corrupt("in replays.selection".into()))?,
        counted: Counted {
            newest: row.get(4)?,
            at: from_ms(row.get(5)?),
        },
        position,
        is_exhausted: row.get(9)?,
        total: row.get(10)?,
        passed: row.get(11)?,
        succeeded: row.get(12)?,
        failed: row.get(13)?,
        held_by: row.get(14)?,
        created: from_ms(row.get(15)?),
        ended: row.get::<_, Option<i64>>(16)?.map(from_ms),
        waiting: row.get(17)?,
    })
}

/// A selection as it is kept.
pub fn kept(selection: &Selection) -> String {
    let kept = match selection {
        Selection::Deliveries(filter) => Kept::Deliveries {
            webhook_id: filter.webhook_id,
            application_id: filter.application_id,
            integration_id: filter.integration_id,
            enterprise_id: filter.enterprise_id,
            action: filter.action.map(|action| action.as_str().to_owned()),
            state: filter.state.map(|state| state.as_str().to_owned()),
            cause: filter.cause.map(|cause| cause.as_str().to_owned()),
            from_ms: filter.from.map(to_ms),
            to_ms: filter.to.map(to_ms),
        },
        Selection::History {
            webhook_id,
            integrations,
        } => Kept::History {
            webhook_id: *webhook_id,
            integrations: integrations.clone(),
        },
    };
    serde_json::to_string(&kept).expect("ids and texts are JSON")
}

/// A selection from its kept form. `None` if that is damaged.
fn opened(json: &str) -> Option<Selection> {
    fn parsed<T: std::str::FromStr>(text: Option<String>) -> Result<Option<T>, T::Err> {
        text.map(|text| text.parse()).transpose()
    }
    Some(match serde_json::from_str(json).ok()? {
        Kept::Deliveries {
            webhook_id,
            application_id,
            integration_id,
            enterprise_id,
            action,
            state,
            cause,
            from_ms: from,
            to_ms: to,
        } => Selection::Deliveries(DeliveryFilter {
            webhook_id,
            application_id,
            integration_id,
            enterprise_id,
            action: parsed(action).ok()?,
            state: parsed(state).ok()?,
            cause: parsed(cause).ok()?,
            from: from.map(from_ms),
            to: to.map(from_ms),
        }),
        Kept::History {
            webhook_id,
            integrations,
        } => Selection::History {
            webhook_id,
            integrations,
        },
    })
}
