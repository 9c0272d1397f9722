//! Runs, from their rows.

use rusqlite::{Connection, Row};

use super::{read::Select, values::text};
use crate::{
    clock::from_ms,
    id::{ApplicationId, ReplayId},
    store::{Counted, Page, Position, Replay, StoreError, selection::opened},
};

/// Columns of [`replay`].
const REPLAY: &str = "id, state, application_id, selection, newest, counted_ms, at_integration, at_webhook, \
     at_sequence, is_exhausted, total, passed, succeeded, failed, held_by, created_ms, ended_ms, \
     (SELECT COUNT(*) FROM deliveries d WHERE d.replay_id = replays.id), erased";

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
        erased: row.get(18)?,
    })
}
