//! Opening the database and bringing its schema up to date.

use std::{
    collections::HashSet, fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    id::{DeliveryId, WebhookId},
    store::StoreError,
};

/// Every migration in order; its number is its position, from 1.
const MIGRATIONS: [&str; 19] = [
    include_str!("../../../../../migrations/sqlite/0001_initial.sql"),
    include_str!("../../../../../migrations/sqlite/0002_retention.sql"),
    include_str!("../../../../../migrations/sqlite/0003_operational_messages.sql"),
    include_str!("../../../../../migrations/sqlite/0004_replays.sql"),
    include_str!("../../../../../migrations/sqlite/0005_webhook_health.sql"),
    include_str!("../../../../../migrations/sqlite/0006_states.sql"),
    include_str!("../../../../../migrations/sqlite/0007_redirects.sql"),
    include_str!("../../../../../migrations/sqlite/0008_pauses.sql"),
    include_str!("../../../../../migrations/sqlite/0009_moves.sql"),
    include_str!("../../../../../migrations/sqlite/0010_erasure.sql"),
    include_str!("../../../../../migrations/sqlite/0011_key_rotation.sql"),
    include_str!("../../../../../migrations/sqlite/0012_signatures.sql"),
    include_str!("../../../../../migrations/sqlite/0013_resealing.sql"),
    include_str!("../../../../../migrations/sqlite/0014_sign_ins.sql"),
    include_str!("../../../../../migrations/sqlite/0015_credentials.sql"),
    include_str!("../../../../../migrations/sqlite/0016_audit.sql"),
    include_str!("../../../../../migrations/sqlite/0017_keys_of_sessions.sql"),
    include_str!("../../../../../migrations/sqlite/0018_audit_retention.sql"),
    include_str!("../../../../../migrations/sqlite/0019_claims.sql"),
];

/// Pages in the log before the writer moves them into the database: 16 MiB.
const CHECKPOINT_PAGES: u32 = 4096;

/// What is deleted is overwritten where that writes no page more: no copy of it stays in a page that is in use.
pub const SECURE_DELETE: &str = "FAST";

/// How long a connection waits for a lock. Only a reader that opens while the writer recovers needs it.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the writer's connection and migrates.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    // Before SQLite makes it readable for all; its log and index take over the mode of the file.
    make_private(path)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on the disk before it is acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", super::log::LIMIT as i64)?;
    connection.pragma_update(None, "secure_delete", SECURE_DELETE)?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    stabilise(&connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate(&mut connection)?;
    Ok(connection)
}

/// Plans do not depend on the values of parameters: otherwise each claim with another limit is planned anew,
/// which was 7 % of the server's time.
fn stabilise(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes the file with mode 0600, if it is not there.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    let failed = |error| StoreError::Database(format!("{}: {error}", path.display()));
    made.map(drop).map_err(failed)
}

/// The greatest id of a delivery, of an operational message or of an entry of the audit log, zero if there is none.
pub fn last_id(connection: &Connection) -> Result<uuid::Uuid, StoreError> {
    let last = |sql| -> rusqlite::Result<Option<DeliveryId>> {
        connection.query_row(sql, [], |row| row.get(0))
    };
    let delivery = last("SELECT MAX(id) FROM deliveries")?;
    let operational = last("SELECT MAX(id) FROM operational_messages")?;
    let noted = super::audit::last_id(connection)?;
    Ok(delivery
        .max(operational)
        .map(|id| id.0)
        .max(noted)
        .unwrap_or_default())
}

/// The webhooks that a backfill was ever started for.
pub fn backfilled(connection: &Connection) -> Result<HashSet<WebhookId>, StoreError> {
    let mut select = connection.prepare(
        "SELECT DISTINCT webhook_id FROM replays WHERE kind = 'Backfill' AND webhook_id IS NOT NULL",
    )?;
    let found = select.query_map([], |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Opens a connection that cannot write.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    stabilise(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The version of the schema that is there, if this version of Bellhop knows it.
pub fn refuse_newer(connection: &Connection) -> Result<u32, StoreError> {
    let known = MIGRATIONS.len() as u32;
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(found)
}

/// The version of the schema that this version of Bellhop knows.
pub fn known() -> u32 {
    MIGRATIONS.len() as u32
}

/// Refuses a schema that is not the one that this version knows.
pub fn refuse_other(connection: &Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as u32;
    let found = refuse_newer(connection)?;
    if found < known {
        return Err(StoreError::Older { found, known });
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as u32;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = refuse_newer(&transaction)?;
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            E::FromSqlConversionFailure(column, _, _)
            | E::IntegralValueOutOfRange(column, _)
            | E::InvalidColumnType(column, _, _) => {
                Self::Corrupt(format!("in column {column}: {error}"))
            }
            // SQL text and parameters are left out: they may hold what must not be logged.
            E::SqliteFailure(cause, text) => {
                Self::Database(text.unwrap_or_else(|| cause.to_string()))
            }
            other => Self::Database(other.to_string()),
        }
    }
}

/// Who wants to know what the writer does.
pub trait StoreObserver: Send + Sync {
    /// A group of so many writes took that long.
    fn wrote(&self, group: usize, took: Duration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::DeliveryState;

    #[test]
    fn a_database_of_each_former_version_opens_and_keeps_what_it_has() {
        for version in 1..=MIGRATIONS.len() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bellhop.db");
            let former = Connection::open(&path).unwrap();
            for migration in &MIGRATIONS[..version] {
                former.execute_batch(migration).unwrap();
            }
            former
                .pragma_update(None, "user_version", version as u32)
                .unwrap();
            let kept = "INSERT INTO enterprises VALUES (x'01', 'Hotel', 1);
                INSERT INTO applications VALUES (x'03', 'Booking engine', 1);
                INSERT INTO integrations (id, application_id, enterprise_id, name, is_enabled, created_ms, deleted_ms, sequence)
                VALUES (x'02', x'03', x'01', 'Front desk', 1, 1, 2, 2)";
            former.execute_batch(kept).unwrap();
            drop(former);
            let opened = open_writer(&path).unwrap();
            let found: u32 = opened
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap();
            assert_eq!(found as usize, MIGRATIONS.len());
            let deleted: i64 = opened
                .query_row("SELECT deleted_ms FROM integrations INDEXED BY integrations_deleted WHERE deleted_ms > 0", [], |row| row.get(0))
                .unwrap();
            assert_eq!(deleted, 2);
            let delivery = |state: &str| {
                let sql = "INSERT OR REPLACE INTO deliveries (id, webhook_id, application_id, integration_id, sequence, \
                    previous, action, profile, state, attempt_count, tries, created_ms, ended_ms) \
                    VALUES (x'05', x'04', x'03', x'02', 1, 0, 'IntegrationCreated', 'default', ?1, 0, 0, 1, \
                    CASE ?1 WHEN 'Pending' THEN NULL ELSE 2 END)";
                opened.execute(sql, [state])
            };
            for state in DeliveryState::ALL {
                assert_eq!(delivery(state.as_str()).unwrap(), 1);
            }
            assert!(delivery("Sent").is_err(), "the database knows the states");
            let whole: String = opened
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(whole, "ok");
        }
    }

    #[test]
    fn the_hot_statements_build_no_tables() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open_writer(&folder.path().join("bellhop.db")).unwrap();
        for sql in [
            "INSERT INTO deliveries (id, state) VALUES (x'01', 'Pending')",
            "UPDATE deliveries SET state = 'Delivered', ended_ms = 1, next_attempt_ms = NULL WHERE id = x'01'",
        ] {
            let mut explain = opened.prepare(&format!("EXPLAIN {sql}")).unwrap();
            let steps = explain.query_map([], |row| row.get(1)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(
                !steps.contains(&"OpenEphemeral".to_owned()),
                "{sql}: {steps:?}"
            );
        }
        let bad = opened.execute("UPDATE sqlite_schema SET sql = ''", []);
        assert!(bad.is_err(), "the schema is closed again");
    }
}
