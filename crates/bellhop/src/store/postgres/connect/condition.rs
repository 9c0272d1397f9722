//! How a database is, for whoever asks before a server is started.

use super::{
    super::{
        connection::{Connections, READ, query_opt},
        schema,
    },
    Address,
};
use crate::store::StoreError;

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The version of its schema.
    pub schema: u32,
    /// The version of PostgreSQL.
    pub version: String,
    /// What time it is there, in milliseconds since 1970.
    pub now_ms: i64,
    /// Whether it takes no writes.
    pub is_read_only: bool,
}

/// Connects, and asks.
pub async fn condition(address: &Address) -> Result<Condition, StoreError> {
    let connections = Connections::new(address, 1, READ)?;
    let connection = connections.get().await?;
    let asked = async {
        schema::refuse_other(&connection).await?;
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                   current_setting('server_version'), pg_is_in_recovery()";
        query_opt(&connection, sql, &[]).await
    };
    let row = asked.await.map_err(|failed| failed.error)?;
    let row = row.ok_or_else(|| StoreError::Database("no answer".into()))?;
    Ok(Condition {
        schema: schema::known(),
        version: row.get(1),
        now_ms: row.get(0),
        is_read_only: row.get(2),
    })
}
