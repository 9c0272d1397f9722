//! Runs, from their rows.

use tokio_postgres::{Row, types::Type};

use super::{
    connect::Failed,
    connection::{Ask, Connection, query, query_opt},
    read::Select,
    rows,
};
use crate::{
    id::{ApplicationId, ReplayId},
    store::{Counted, Page, Position, Replay, StoreError, sealed::corrupt, selection::opened},
};

/// Columns of [`replay`].
const REPLAY: &str = "id, state, application_id, selection, newest, counted_ms, at_integration, at_webhook, \
     at_sequence, is_exhausted, total, passed, succeeded, failed, held_by, created_ms, ended_ms, \
     (SELECT count(*) FROM deliveries d WHERE d.replay_id = replays.id), erased";

/// The runs that are running.
pub async fn running(on: &Connection) -> Result<Vec<ReplayId>, Failed> {
    let sql = "SELECT id FROM replays WHERE ended_ms IS NULL AND state = 'Running' ORDER BY id";
    let found = query(on, sql, &[]).await?;
    Ok(rows::all(&found, |row| rows::id(row, 0))?)
}

/// One run.
pub async fn one(on: &impl Ask, id: ReplayId) -> Result<Option<Replay>, Failed> {
    let sql = format!("SELECT {REPLAY} FROM replays WHERE id = $1");
    let found = query_opt(on, &sql, &[&id.0]).await?;
    Ok(found.as_ref().map(replay).transpose()?)
}

/// Runs, newest first.
pub async fn replays(
    on: &Connection,
    of: Option<ApplicationId>,
    page: Page,
) -> Result<Vec<Replay>, Failed> {
    let mut select = Select::new(REPLAY, "replays");
    select.filter_some("application_id =", Type::UUID, of.map(|id| id.0));
    select.after(page, true);
    select.run(on, replay).await
}

fn replay(row: &Row) -> Result<Replay, StoreError> {
    let at = (
        rows::id_or_null(row, 6)?,
        rows::id_or_null(row, 7)?,
        rows::number_or_null(row, 8)?,
    );
    let position = match at {
        (Some(integration_id), Some(webhook_id), Some(sequence)) => Some(Position {
            integration_id,
            webhook_id,
            sequence,
        }),
        _ => None,
    };
    Ok(Replay {
        id: rows::id(row, 0)?,
        state: rows::text(row, 1)?,
        application_id: rows::id_or_null(row, 2)?,
        selection: opened(rows::get(row, 3)?).ok_or_else(|| corrupt("replays.selection"))?,
        counted: Counted {
            newest: rows::id(row, 4)?,
            at: rows::moment(row, 5)?,
        },
        position,
        is_exhausted: rows::get(row, 9)?,
        total: rows::number(row, 10)?,
        passed: rows::number(row, 11)?,
        succeeded: rows::number(row, 12)?,
        failed: rows::number(row, 13)?,
        held_by: rows::id_or_null(row, 14)?,
        created: rows::moment(row, 15)?,
        ended: rows::moment_or_null(row, 16)?,
        waiting: rows::number(row, 17)?,
        erased: rows::number(row, 18)?,
    })
}
