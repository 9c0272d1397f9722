//! The audit log: an entry goes with what it is about, and each transaction that has entries ends with a link.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    audit_purge,
    batch::Batch,
    read::{first_id_at, id_bound_after},
    schema,
};
use crate::{
    clock::to_ms,
    domain::audit::{AuditAction, AuditEntry, By, Chain, Digest, Fact},
    id::ApplicationId,
    store::{AuditFilter, AuditKey, AuditLink, AuditLog, Audited, MAX_AUDIT_SCANNED, StoreError},
};

/// Columns of [`entry`].
const ENTRY: &str = "id, at_ms, action, actor, actor_id, actor_name, from_address, request_id, subject, subject_id, \
    application_id, details";

/// Where the chain stands: in this transaction, and on the disk.
#[derive(Debug, Clone, Copy)]
pub struct Linking {
    chain: Chain,
    durable: Chain,
    /// The newest entry, if it has no link yet, and when it was made.
    unlinked: Option<(Uuid, i64)>,
}

impl Linking {
    /// As the database has it.
    pub fn read(connection: &Connection) -> Result<Self, StoreError> {
        let chain = head(connection)?;
        Ok(Self {
            chain,
            durable: chain,
            unlinked: None,
        })
    }

    pub fn committed(&mut self) {
        self.durable = self.chain;
    }

    pub fn rolled_back(&mut self) {
        (self.chain, self.unlinked) = (self.durable, None);
    }

    /// Links what this transaction has written. The last of what it does.
    pub fn link(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some((last, at_ms)) = self.unlinked.take() {
            connection
                .prepare_cached("INSERT INTO audit_links VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    self.chain.position,
                    last.as_bytes(),
                    at_ms,
                    self.chain.head.0,
                ])?;
        }
        Ok(())
    }
}

/// Writes an entry.
pub fn note(
    connection: &Connection,
    batch: &mut Batch,
    fact: Fact,
    at: Timestamp,
    by: &By,
) -> rusqlite::Result<()> {
    let entry = fact.entry(batch.ids.next(at), at, by);
    connection
        .prepare_cached(
            "INSERT INTO audit_entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            entry.id.as_bytes(),
            entry.at_ms,
            entry.action,
            entry.actor,
            entry.actor_id.as_ref().map(Uuid::as_bytes),
            entry.actor_name.as_deref(),
            entry.from_address,
            entry.request_id.as_deref(),
            entry.subject,
            entry.subject_id.as_ref().map(Uuid::as_bytes),
            entry.application_id,
            entry.details,
        ])?;
    batch.linking.chain.add(&entry);
    batch.linking.unlinked = Some((entry.id, entry.at_ms));
    Ok(())
}

/// Where the chain stands.
pub fn head(connection: &Connection) -> Result<Chain, StoreError> {
    let found = connection
        .prepare_cached("SELECT position, hash FROM audit_links ORDER BY position DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Chain {
                position: row.get(0)?,
                head: Digest(row.get(1)?),
            })
        })
        .optional()?;
    Ok(found.unwrap_or(Chain::EMPTY))
}

/// The greatest id of an entry.
pub fn last_id(connection: &Connection) -> rusqlite::Result<Option<Uuid>> {
    let last = "SELECT id FROM audit_entries ORDER BY id DESC LIMIT 1";
    let found = connection.query_row(last, [], |row| id(row, 0));
    found.optional()
}

/// Entries that fit, newest first.
pub fn audited(
    connection: &Connection,
    filter: &AuditFilter,
    before: Option<AuditKey>,
    limit: u32,
) -> Result<Audited, StoreError> {
    // Ids begin with the time at which they were made: the key finds the range.
    let newest = filter
        .to
        .and_then(id_bound_after)
        .map_or(Uuid::max(), |id| id.0);
    let oldest = filter.from.map_or(Uuid::nil(), |from| first_id_at(from).0);
    let before = before.map_or(newest, |key| key.id.min(newest));
    let (index, few) = if filter.leaves_integrations_out() {
        (
            " INDEXED BY audit_entries_few",
            " AND subject <> 'Integration'",
        )
    } else {
        ("", "")
    };
    let scanned = format!(
        "FROM audit_entries{index} WHERE id < ?1 AND id >= ?2{few} ORDER BY id DESC LIMIT ?3"
    );
    let mut select = connection.prepare_cached(&format!(
        "SELECT {ENTRY} FROM (SELECT {ENTRY} {scanned}) WHERE (?4 IS NULL OR action = ?4) \
         AND (?5 IS NULL OR actor_id = ?5) AND (?6 IS NULL OR subject_id = ?6) \
         AND (?7 IS NULL OR application_id = ?7) AND (?8 IS NULL OR at_ms >= ?8) AND (?9 IS NULL OR at_ms < ?9) \
         ORDER BY id DESC LIMIT ?10"
    ))?;
    let found = select.query_map(
        params![
            before.as_bytes(),
            oldest.as_bytes(),
            MAX_AUDIT_SCANNED,
            filter.action.map(AuditAction::as_str),
            filter.actor_id.as_ref().map(Uuid::as_bytes),
            filter.subject_id.as_ref().map(Uuid::as_bytes),
            filter.application_id,
            filter.from.map(to_ms),
            filter.to.map(to_ms),
            limit + 1,
        ],
        entry,
    )?;
    let mut entries = found.collect::<rusqlite::Result<Vec<_>>>()?;
    if entries.len() > limit as usize {
        entries.truncate(limit as usize);
        let next = entries.last().map(|last| key(last.id));
        return Ok(Audited { entries, next });
    }
    let scanned = scanned.replace("LIMIT ?3", "LIMIT 1 OFFSET ?3");
    let last = connection
        .prepare_cached(&format!("SELECT id {scanned}"))?
        .query_row(
            params![before.as_bytes(), oldest.as_bytes(), MAX_AUDIT_SCANNED - 1],
            |row| id(row, 0),
        )
        .optional()?;
    let next = last.map(key);
    Ok(Audited { entries, next })
}

fn key(id: Uuid) -> AuditKey {
    AuditKey { group: 0, id }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let text = |column| row.get::<_, String>(column);
    let text_or_null = |column| row.get::<_, Option<String>>(column);
    Ok(AuditEntry {
        id: id(row, 0)?,
        at_ms: row.get(1)?,
        action: text(2)?.into(),
        actor: text(3)?.into(),
        actor_id: id_or_null(row, 4)?,
        actor_name: text_or_null(5)?.map(Into::into),
        from_address: text_or_null(6)?,
        request_id: text_or_null(7)?.map(Into::into),
        subject: text(8)?.into(),
        subject_id: id_or_null(row, 9)?,
        application_id: row.get(10)?,
        details: text_or_null(11)?,
    })
}

pub(super) fn link(row: &Row<'_>) -> rusqlite::Result<AuditLink> {
    Ok(AuditLink {
        chain: Chain {
            position: row.get(0)?,
            head: Digest(row.get(3)?),
        },
        last: key(id(row, 1)?),
        at_ms: row.get(2)?,
    })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, ApplicationId>(column).map(|id| id.0)
}

fn id_or_null(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    let found: Option<ApplicationId> = row.get(column)?;
    Ok(found.map(|id| id.0))
}

/// The log of a database, also of one on which a server runs. Nothing is written.
pub struct SqliteAuditLog(Mutex<Connection>);

impl SqliteAuditLog {
    /// Opens it for reading.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        schema::refuse_other(&connection)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().expect("no holder panics")
    }
}

#[async_trait]
impl AuditLog for SqliteAuditLog {
    async fn entries(
        &self,
        after: AuditKey,
        up_to: Option<AuditKey>,
        limit: u32,
    ) -> Result<Vec<(AuditKey, AuditEntry)>, StoreError> {
        let connection = self.connection();
        let mut select = connection.prepare_cached(&format!(
            "SELECT {ENTRY} FROM audit_entries WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3"
        ))?;
        let up_to = up_to.map_or(Uuid::max(), |key| key.id);
        let found =
            select.query_map(params![after.id.as_bytes(), up_to.as_bytes(), limit], entry)?;
        let keyed = found.map(|found| found.map(|entry| (key(entry.id), entry)));
        Ok(keyed.collect::<rusqlite::Result<_>>()?)
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<AuditLink>, StoreError> {
        let connection = self.connection();
        let mut select = connection.prepare_cached(
            "SELECT position, last_id, at_ms, hash FROM audit_links WHERE position > ?1 ORDER BY position LIMIT ?2",
        )?;
        let found = select.query_map(params![after, limit], link)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    async fn newest(&self) -> Result<Option<AuditLink>, StoreError> {
        let newest =
            "SELECT position, last_id, at_ms, hash FROM audit_links ORDER BY position DESC LIMIT 1";
        let found = self.connection().query_row(newest, [], link).optional()?;
        Ok(found)
    }

    async fn purged(&self) -> Result<Option<AuditLink>, StoreError> {
        Ok(audit_purge::purged(&self.connection())?)
    }

    fn links_at_once(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for SqliteAuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteAuditLog")
    }
}
