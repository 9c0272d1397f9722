//! The target: one transaction of an empty PostgreSQL.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::SinkExt as _;
use jiff::Timestamp;
use tokio_postgres::CopyOutStream;
use uuid::Uuid;

use super::{
    CopyError, Progress,
    row::{HEADER, TRAILER},
    source::Reading,
    table::Table,
    tables::TABLES,
};
use crate::{
    clock::{from_ms, to_ms},
    store::{
        postgres::{
            Address,
            connect::Failed,
            connection::{Connection, Connections, Transaction, batch, execute, query_opt},
            schema,
        },
        sqlite::Mark,
    },
    vault::Vault,
};

/// How long somebody else may keep the target locked.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How the connection begins. Whatever the user's or the database's own limits are: the copy takes as long as it takes.
/// What is acknowledged is on the disk. Sorting for the comparison may take some memory.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = on; SET work_mem = '64MB'; SET jit = off";
/// Tables that may hold what replicas have left behind when there was nothing to keep.
const ALSO_EMPTY: [&str; 4] = ["claims", "paces", "delivery_counts", "copied"];

/// Connects.
pub async fn connect(address: &Address) -> Result<Connection, CopyError> {
    let at = address.shown();
    if !address.keeps_statements() {
        return Err(CopyError::Pooled { at });
    }
    let connections = Connections::new(&address.clone().patient(), 1, SETTINGS);
    let connected = match connections {
        Ok(connections) => connections.get().await,
        Err(error) => Err(error),
    };
    connected.map_err(|error| CopyError::Away { at, error })
}

/// The transaction. Nothing of it is there before [`Target::commit`].
pub struct Target<'a> {
    transaction: Transaction<'a>,
    connection: &'a Connection,
    at: &'a str,
}

impl<'a> Target<'a> {
    /// Brings the schema up to date within the transaction. No replica opens this database meanwhile: it waits for the
    /// lock of migrations.
    pub async fn begin(connection: &'a Connection, at: &'a str) -> Result<Self, CopyError> {
        let target = Self {
            transaction: connection.transaction(),
            connection,
            at,
        };
        let migrated = schema::bring_up_to_date(&target.transaction).await;
        migrated.map_err(|failed| target.failed(failed))?;
        Ok(target)
    }

    /// When it became the copy with this id, if it has.
    pub async fn copied(&self, id: Uuid) -> Result<Option<Timestamp>, CopyError> {
        let sql = "SELECT copied_ms FROM copied WHERE id = $1";
        let found = query_opt(&self.transaction, sql, &[&id]).await;
        let found = found.map_err(|failed| self.failed(failed))?;
        Ok(found.map(|row| from_ms(row.get(0))))
    }

    /// Keeps replicas that have it open from writing, and refuses it if there is a row anywhere.
    pub async fn must_be_empty(&self) -> Result<(), CopyError> {
        let names = || TABLES.iter().map(|table| table.name).chain(ALSO_EMPTY);
        let all: Vec<_> = names().collect();
        let sql = format!("LOCK TABLE {} IN EXCLUSIVE MODE", all.join(", "));
        let locked = batch(&self.transaction, &sql).await;
        locked.map_err(|failed| self.failed(failed))?;
        for table in names() {
            let sql = format!("SELECT 1 FROM {table} LIMIT 1");
            let found = query_opt(&self.transaction, &sql, &[]).await;
            if found.map_err(|failed| self.failed(failed))?.is_some() {
                let at = self.at.to_owned();
                return Err(CopyError::NotEmpty { at, table });
            }
        }
        Ok(())
    }

    /// Seals the proof of the key, or compares with the one that is there: see [`schema::check_vault`].
    pub async fn check_vault(&self, vault: &Vault) -> Result<(), CopyError> {
        let checked = schema::check_vault(&self.transaction, vault).await;
        checked.map_err(|failed| self.failed(failed))
    }

    /// Takes all rows of a table.
    pub async fn take(
        &self,
        table: &'static Table,
        mut reading: Reading,
        progress: &dyn Progress,
    ) -> Result<(), CopyError> {
        let client = self.connection.client();
        let sink = client.copy_in::<_, Bytes>(&table.copy_in()).await;
        let mut sink = pin!(sink.map_err(|error| self.failed(error))?);
        let mut sent = 0;
        let mut put = sink.send(Bytes::from_static(&HEADER)).await;
        while put.is_ok()
            && let Some(piece) = reading.pieces.recv().await
        {
            put = sink.send(piece.bytes).await;
            sent += piece.rows;
            progress.did(piece.rows);
        }
        // What the source has against it is said first: then the target has nothing against it.
        reading.end().await?;
        put.map_err(|error| self.failed(error))?;
        let put = sink.send(Bytes::from_static(&TRAILER)).await;
        put.map_err(|error| self.failed(error))?;
        let taken = sink.finish().await.map_err(|error| self.failed(error))?;
        if taken != sent {
            let table = table.name;
            return Err(CopyError::Count { table, sent, taken });
        }
        Ok(())
    }

    /// Gives all rows of a table back.
    pub async fn give(&self, table: &Table) -> Result<CopyOutStream, CopyError> {
        let client = self.connection.client();
        let rows = client.copy_out(&table.copy_out()).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Counts the deliveries, gives the planner its figures, and says what this is a copy of.
    pub async fn finish(&self, mark: &Mark) -> Result<(), CopyError> {
        let finish = async {
            let counts = "INSERT INTO delivery_counts (shard, state, n) \
                SELECT 0, state, count(*) FROM deliveries GROUP BY state";
            execute(&self.transaction, counts, &[]).await?;
            let copied = "INSERT INTO copied (id, copied_ms) VALUES ($1, $2)";
            execute(&self.transaction, copied, &[&mark.id, &to_ms(mark.at)]).await?;
            let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
            batch(&self.transaction, &format!("ANALYZE {}", names.join(", "))).await
        };
        finish.await.map_err(|failed: Failed| self.failed(failed))
    }

    /// Makes all of it durable.
    pub async fn commit(&self) -> Result<(), CopyError> {
        self.transaction.commit().await.map_err(|failed| {
            if failed.is_refusal {
                return self.failed(failed);
            }
            CopyError::Unknown {
                at: self.at.to_owned(),
                error: failed.error,
            }
        })
    }

    /// An error that is the target's.
    pub fn failed(&self, failed: impl Into<Failed>) -> CopyError {
        let Failed {
            error, is_locked, ..
        } = failed.into();
        let at = self.at.to_owned();
        if is_locked {
            let waited_seconds = LOCK_WAIT.as_secs();
            return CopyError::InUse { at, waited_seconds };
        }
        CopyError::Target { at, error }
    }
}
