//! Letting go of the oldest of the audit log, if it is not kept for ever. How far is written down first, with the hash
//! that the rest goes on from, and is an entry itself; only then the triggers let rows go.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::{
    audit::{link, note},
    batch::Batch,
};
use crate::{
    clock::to_ms,
    domain::audit::{AuditAction, By, Fact},
    store::{
        AuditLink,
        audit::{Search, is_worth_it},
    },
};

/// Settles how far the log may go.
pub fn settle(
    connection: &Connection,
    batch: &mut Batch,
    until: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(newest) = one_link(
        connection,
        "SELECT position, last_id, at_ms, hash FROM audit_links ORDER BY position DESC LIMIT 1",
        [],
    )?
    else {
        return Ok(());
    };
    let gone = purged(connection)?;
    let mut search = Search::new(gone, newest, to_ms(until));
    while let Some(position) = search.next() {
        search.take(one_link(
            connection,
            "SELECT position, last_id, at_ms, hash FROM audit_links WHERE position >= ?1 ORDER BY position LIMIT 1",
            [position],
        )?);
    }
    let Some(link) = search.found().filter(|link| is_worth_it(gone, link)) else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO audit_purged VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET position = excluded.position, \
             last_id = excluded.last_id, at_ms = excluded.at_ms, hash = excluded.hash",
        )?
        .execute(params![
            link.chain.position,
            link.last.id.as_bytes(),
            link.at_ms,
            link.chain.head.0,
        ])?;
    let details = json!({ "Position": link.chain.position, "Hash": link.chain.head.to_string() });
    let fact = Fact::of_server(AuditAction::AuditLogPurged).saying(details);
    note(connection, batch, fact, now, &By::system())
}

/// How far the log may go, or has gone.
pub fn purged(connection: &Connection) -> rusqlite::Result<Option<AuditLink>> {
    one_link(
        connection,
        "SELECT position, last_id, at_ms, hash FROM audit_purged",
        [],
    )
}

fn one_link(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Option<AuditLink>> {
    let mut select = connection.prepare_cached(sql)?;
    select.query_row(values, link).optional()
}
