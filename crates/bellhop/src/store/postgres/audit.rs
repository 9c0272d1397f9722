//! The audit log: an entry goes with what it is about, in its transaction. Links are written soon after, by one replica at
//! a time: what chains all entries of all replicas must not be what all commits wait for.

use std::{borrow::Cow, sync::LazyLock};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    Address, READ, Shared, audit_purge,
    connect::Failed,
    connection::{
        Ask, Connection, Connections, Transaction, execute, query, query_opt, settled, settled_soon,
    },
    rows, schema,
};
use crate::{
    clock::to_ms,
    domain::audit::{AuditAction, AuditEntry, By, Chain, Digest, Fact},
    id::ApplicationId,
    store::{
        AuditFilter, AuditKey, AuditLink, AuditLinked, AuditLog, Audited, MAX_AUDIT_SCANNED,
        StoreError,
    },
};

/// Columns of [`entry`].
const ENTRY: &str = "xact, id, at_ms, action, actor, actor_id, actor_name, from_address, request_id, subject, \
    subject_id, application_id, details";
/// Names the lock under which links are written.
const LINK_LOCK: i64 = 0x62_65_6c_6c_68_6f_61;
/// Most entries that one link takes up.
const MAX_LINKED: i64 = 10_000;
/// What was done before such a time is not looked for among what was written later: clocks differ by less.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// Entries to write.
#[derive(Default)]
pub struct Noted(Vec<AuditEntry>);

/// Entries as columns, in the order of [`INSERT`].
pub struct Columns<'a> {
    base: i64,
    ids: Vec<Uuid>,
    at_ms: Vec<i64>,
    actions: Vec<&'a str>,
    actors: Vec<&'a str>,
    actor_ids: Vec<Option<Uuid>>,
    actor_names: Vec<Option<&'a str>>,
    from_addresses: Vec<Option<&'a str>>,
    request_ids: Vec<Option<&'a str>>,
    subjects: Vec<&'a str>,
    subject_ids: Vec<Option<Uuid>>,
    application_ids: Vec<Option<Uuid>>,
    details: Vec<Option<&'a str>>,
}

/// How many values [`insert_from`] takes.
const VALUES: usize = 13;

/// The statement that writes entries, with its first parameter of this number. The number of the transaction is read once.
pub fn insert_from(first: usize) -> String {
    let n = |offset: usize| first + offset;
    let types = [
        "uuid", "bigint", "text", "text", "uuid", "text", "text", "text", "text", "uuid", "uuid",
        "text",
    ];
    let columns: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(place, kind)| format!("${}::{kind}[]", n(place + 1)))
        .collect();
    format!(
        "INSERT INTO audit_entries ({ENTRY}) SELECT (SELECT ${}::bigint + pg_current_xact_id()::text::bigint), e.* \
         FROM unnest({}) AS e",
        n(0),
        columns.join(", ")
    )
}

static INSERT: LazyLock<String> = LazyLock::new(|| insert_from(1));

impl Noted {
    /// One more.
    pub fn add(&mut self, shared: &Shared, fact: Fact, at: Timestamp, by: &By) {
        self.0.push(fact.entry(shared.ids.next(at), at, by));
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As columns.
    pub fn columns(&self, base: i64) -> Columns<'_> {
        let of = &self.0;
        Columns {
            base,
            ids: of.iter().map(|each| each.id).collect(),
            at_ms: of.iter().map(|each| each.at_ms).collect(),
            actions: of.iter().map(|each| &*each.action).collect(),
            actors: of.iter().map(|each| &*each.actor).collect(),
            actor_ids: of.iter().map(|each| each.actor_id).collect(),
            actor_names: of.iter().map(|each| each.actor_name.as_deref()).collect(),
            from_addresses: of.iter().map(|each| each.from_address.as_deref()).collect(),
            request_ids: of.iter().map(|each| each.request_id.as_deref()).collect(),
            subjects: of.iter().map(|each| &*each.subject).collect(),
            subject_ids: of.iter().map(|each| each.subject_id).collect(),
            application_ids: of
                .iter()
                .map(|each| each.application_id.map(|id| id.0))
                .collect(),
            details: of.iter().map(|each| each.details.as_deref()).collect(),
        }
    }

    /// Writes them.
    pub async fn write(&self, on: &Transaction<'_>, base: i64) -> Result<(), Failed> {
        if !self.is_empty() {
            execute(on, &INSERT, &self.columns(base).values()).await?;
        }
        Ok(())
    }
}

impl Columns<'_> {
    /// As parameters.
    pub fn values(&self) -> [&(dyn ToSql + Sync); VALUES] {
        [
            &self.base,
            &self.ids,
            &self.at_ms,
            &self.actions,
            &self.actors,
            &self.actor_ids,
            &self.actor_names,
            &self.from_addresses,
            &self.request_ids,
            &self.subjects,
            &self.subject_ids,
            &self.application_ids,
            &self.details,
        ]
    }
}

/// What is added to the numbers of transactions, so that they go on growing in a database that was restored from a dump
/// and counts anew. Asked at the start, under the lock of the migrations.
pub async fn settle_base(on: &Transaction<'_>) -> Result<i64, Failed> {
    let last = "SELECT COALESCE((SELECT base FROM audit_bases ORDER BY base DESC LIMIT 1), 0), \
        COALESCE((SELECT xact FROM audit_entries ORDER BY xact DESC, id DESC LIMIT 1), 0)";
    let row = one(on, last, &[]).await?;
    let (base, last): (i64, i64) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let next: i64 = rows::get(&one(on, next, &[]).await?, 0)?;
    if last < base + next {
        return Ok(base);
    }
    let base = last + 1;
    execute(on, "INSERT INTO audit_bases VALUES ($1)", &[&base]).await?;
    Ok(base)
}

/// Links what is new, if no other replica does at this moment. Entries of transactions that are not over are not there to
/// see, and their place may be before others: so only those are taken that are older than any which is under way. That
/// is asked first, and so what it says is over is there to see for the question after it.
pub async fn link(shared: &Shared, now: Timestamp) -> Result<AuditLinked, Failed> {
    let connection = shared.writers.get().await?;
    settled_soon(connection, async |connection| {
        // A link that is lost in a crash is made again, and is the same.
        let transaction = connection.loose_transaction();
        let lock = "SELECT pg_try_advisory_xact_lock($1)";
        let is_ours: bool = rows::get(&one(&transaction, lock, &[&LINK_LOCK]).await?, 0)?;
        let newest = newest_link(&transaction).await?;
        let (mut chain, last) = newest.map_or((Chain::EMPTY, AuditKey::default()), |link| {
            (link.chain, link.last)
        });
        if !is_ours {
            transaction.rollback().await?;
            let has_more = false;
            return Ok(AuditLinked { chain, has_more });
        }
        let horizon = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
        let horizon: i64 = rows::get(&one(&transaction, horizon, &[]).await?, 0)?;
        let horizon = AuditKey {
            group: (shared.audit_base + horizon - 1) as u64,
            id: Uuid::max(),
        };
        let found = entries(&transaction, last, horizon, MAX_LINKED).await?;
        for (_, entry) in &found {
            chain.add(entry);
        }
        let has_more = found.len() as i64 == MAX_LINKED;
        if let Some((last, _)) = found.last() {
            execute(
                &transaction,
                "INSERT INTO audit_links (position, last_xact, last_id, at_ms, hash) VALUES ($1, $2, $3, $4, $5)",
                &[
                    &(chain.position as i64),
                    &(last.group as i64),
                    &last.id,
                    &to_ms(now),
                    &chain.head.0.as_slice(),
                ],
            )
            .await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(AuditLinked { chain, has_more })
    })
    .await
}

pub(super) async fn newest_link(on: &impl Ask) -> Result<Option<AuditLink>, Failed> {
    let sql = "SELECT position, last_xact, last_id, at_ms, hash FROM audit_links ORDER BY position DESC LIMIT 1";
    let found = query_opt(on, sql, &[]).await?;
    Ok(found.as_ref().map(a_link).transpose()?)
}

/// Entries in their order.
async fn entries(
    on: &impl Ask,
    after: AuditKey,
    up_to: AuditKey,
    limit: i64,
) -> Result<Vec<(AuditKey, AuditEntry)>, Failed> {
    let sql = format!(
        "SELECT {ENTRY} FROM audit_entries WHERE (xact, id) > ($1, $2) AND (xact, id) <= ($3, $4) \
         ORDER BY xact, id LIMIT $5"
    );
    let (from, to) = (group(after), group(up_to));
    let found = query(on, &sql, &[&from, &after.id, &to, &up_to.id, &limit]).await?;
    Ok(rows::all(&found, keyed)?)
}

fn group(key: AuditKey) -> i64 {
    i64::try_from(key.group).unwrap_or(i64::MAX)
}

/// Entries that fit, newest first.
pub async fn audited(
    on: &Connection,
    filter: &AuditFilter,
    before: Option<AuditKey>,
    limit: u32,
) -> Result<Audited, Failed> {
    let before = before.unwrap_or(AuditKey {
        group: u64::MAX,
        id: Uuid::max(),
    });
    let few = if filter.leaves_integrations_out() {
        " AND subject <> 'Integration'"
    } else {
        ""
    };
    let scanned =
        format!("FROM audit_entries WHERE (xact, id) < ($1, $2){few} ORDER BY xact DESC, id DESC");
    let sql = format!(
        "SELECT {ENTRY} FROM (SELECT {ENTRY} {scanned} LIMIT $3) e WHERE ($4::text IS NULL OR action = $4) \
         AND ($5::uuid IS NULL OR actor_id = $5) AND ($6::uuid IS NULL OR subject_id = $6) \
         AND ($7::uuid IS NULL OR application_id = $7) AND ($8::bigint IS NULL OR at_ms >= $8) \
         AND ($9::bigint IS NULL OR at_ms < $9) ORDER BY xact DESC, id DESC LIMIT $10"
    );
    let (from, most) = (group(before), i64::from(MAX_AUDIT_SCANNED));
    let found = query(
        on,
        &sql,
        &[
            &from,
            &before.id,
            &most,
            &filter.action.map(AuditAction::as_str),
            &filter.actor_id,
            &filter.subject_id,
            &filter.application_id.map(|id| id.0),
            &filter.from.map(to_ms),
            &filter.to.map(to_ms),
            &(i64::from(limit) + 1),
        ],
    )
    .await?;
    let mut found = rows::all(&found, keyed)?;
    let next = if found.len() > limit as usize {
        found.truncate(limit as usize);
        found.last().map(|(key, _)| *key)
    } else {
        let last = format!("SELECT xact, id, at_ms {scanned} LIMIT 1 OFFSET $3");
        let last = query_opt(on, &last, &[&from, &before.id, &(most - 1)]).await?;
        last.as_ref()
            .map(|row| Ok::<_, StoreError>((a_key(row, 0)?, rows::get::<i64>(row, 2)?)))
            .transpose()?
            // All that is left is older than what was asked for.
            .filter(|(_, at_ms)| {
                let oldest = filter.from.map_or(i64::MIN, to_ms);
                at_ms.saturating_add(CLOCKS_DIFFER_MS) >= oldest
            })
            .map(|(key, _)| key)
    };
    Ok(Audited {
        entries: found.into_iter().map(|(_, entry)| entry).collect(),
        next,
    })
}

fn a_key(row: &Row, column: usize) -> Result<AuditKey, StoreError> {
    Ok(AuditKey {
        group: rows::number(row, column)?,
        id: rows::get(row, column + 1)?,
    })
}

pub(super) fn a_link(row: &Row) -> Result<AuditLink, StoreError> {
    Ok(AuditLink {
        chain: Chain {
            position: rows::number(row, 0)?,
            head: Digest(rows::hash(row, 4)?),
        },
        last: a_key(row, 1)?,
        at_ms: rows::get(row, 3)?,
    })
}

fn keyed(row: &Row) -> Result<(AuditKey, AuditEntry), StoreError> {
    let text = |column| rows::get::<String>(row, column).map(Cow::Owned);
    let text_or_null = |column| rows::get::<Option<String>>(row, column);
    let entry = AuditEntry {
        id: rows::get(row, 1)?,
        at_ms: rows::get(row, 2)?,
        action: text(3)?,
        actor: text(4)?,
        actor_id: rows::get(row, 5)?,
        actor_name: text_or_null(6)?.map(Into::into),
        from_address: text_or_null(7)?,
        request_id: text_or_null(8)?.map(Into::into),
        subject: text(9)?,
        subject_id: rows::get(row, 10)?,
        application_id: rows::get::<Option<Uuid>>(row, 11)?.map(ApplicationId),
        details: text_or_null(12)?,
    };
    Ok((a_key(row, 0)?, entry))
}

async fn one(
    on: &impl Ask,
    sql: &str,
    values: super::connection::Values<'_>,
) -> Result<Row, Failed> {
    let found = query_opt(on, sql, values).await?;
    found.ok_or_else(|| StoreError::Database("no answer to a question that has one".into()).into())
}

/// The log of a database on which servers may run. Nothing is written.
pub struct PostgresAuditLog(Connections);

impl PostgresAuditLog {
    /// Connects.
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        let connections = Connections::new(address, 1, READ)?;
        let connection = connections.get().await?;
        let checked = schema::refuse_other(&connection).await;
        checked.map_err(|failed| failed.error)?;
        drop(connection);
        Ok(Self(connections))
    }

    async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&Connection) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let connection = self.0.get().await?;
        let done = settled(connection, read).await;
        done.map_err(|failed| failed.error)
    }
}

#[async_trait]
impl AuditLog for PostgresAuditLog {
    async fn entries(
        &self,
        after: AuditKey,
        up_to: Option<AuditKey>,
        limit: u32,
    ) -> Result<Vec<(AuditKey, AuditEntry)>, StoreError> {
        let up_to = up_to.unwrap_or(AuditKey {
            group: u64::MAX,
            id: Uuid::max(),
        });
        self.read(async |on| entries(on, after, up_to, limit.into()).await)
            .await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<AuditLink>, StoreError> {
        let sql = "SELECT position, last_xact, last_id, at_ms, hash FROM audit_links WHERE position > $1 \
            ORDER BY position LIMIT $2";
        let values = (after as i64, i64::from(limit));
        self.read(async |on| {
            let found = query(on, sql, &[&values.0, &values.1]).await?;
            Ok(rows::all(&found, a_link)?)
        })
        .await
    }

    async fn newest(&self) -> Result<Option<AuditLink>, StoreError> {
        self.read(async |on| newest_link(on).await).await
    }

    async fn purged(&self) -> Result<Option<AuditLink>, StoreError> {
        self.read(async |on| audit_purge::purged(on).await).await
    }

    fn links_at_once(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for PostgresAuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresAuditLog")
    }
}
