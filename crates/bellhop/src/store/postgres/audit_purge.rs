//! Letting go of the oldest of the audit log, if it is not kept for ever. How far is written down first, with the hash
//! that the rest goes on from, and is an entry itself; only then the triggers let rows go.

use jiff::Timestamp;
use serde_json::json;

use super::{
    Shared,
    audit::{Noted, a_link, newest_link},
    connect::Failed,
    connection::{Ask, Transaction, execute, query_opt},
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
pub async fn settle(
    on: &Transaction<'_>,
    shared: &Shared,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), Failed> {
    let Some(newest) = newest_link(on).await? else {
        return Ok(());
    };
    let gone = purged(on).await?;
    let mut search = Search::new(gone, newest, to_ms(until));
    while let Some(position) = search.next() {
        let next = "SELECT position, last_xact, last_id, at_ms, hash FROM audit_links WHERE position >= $1 \
            ORDER BY position LIMIT 1";
        let found = query_opt(on, next, &[&(position as i64)]).await?;
        search.take(found.as_ref().map(a_link).transpose()?);
    }
    let Some(link) = search.found().filter(|link| is_worth_it(gone, link)) else {
        return Ok(());
    };
    execute(
        on,
        "INSERT INTO audit_purged VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (number) DO UPDATE \
         SET position = excluded.position, last_xact = excluded.last_xact, last_id = excluded.last_id, \
         at_ms = excluded.at_ms, hash = excluded.hash",
        &[
            &(link.chain.position as i64),
            &(link.last.group as i64),
            &link.last.id,
            &link.at_ms,
            &link.chain.head.0.as_slice(),
        ],
    )
    .await?;
    let details = json!({ "Position": link.chain.position, "Hash": link.chain.head.to_string() });
    let fact = Fact::of_server(AuditAction::AuditLogPurged).saying(details);
    let mut noted = Noted::default();
    noted.add(shared, fact, now, &By::system());
    noted.write(on, shared.audit_base).await
}

/// How far the log may go, or has gone.
pub async fn purged(on: &impl Ask) -> Result<Option<AuditLink>, Failed> {
    let sql = "SELECT position, last_xact, last_id, at_ms, hash FROM audit_purged";
    let found = query_opt(on, sql, &[]).await?;
    Ok(found.as_ref().map(a_link).transpose()?)
}
