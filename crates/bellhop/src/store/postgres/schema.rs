//! Bringing the schema up to date.

use super::{
    audit,
    connect::Failed,
    connection::{Ask, Connection, Transaction, batch, execute, query, query_opt},
};
use crate::{
    store::{
        StoreError,
        sealed::{check_value, corrupt, proves},
    },
    vault::Vault,
};

/// Every migration in order; its number is its position, from 1. Twins of those of the embedded database.
const MIGRATIONS: [&str; 19] = [
    include_str!("../../../../../migrations/postgres/0001_initial.sql"),
    include_str!("../../../../../migrations/postgres/0002_retention.sql"),
    include_str!("../../../../../migrations/postgres/0003_operational_messages.sql"),
    include_str!("../../../../../migrations/postgres/0004_replays.sql"),
    include_str!("../../../../../migrations/postgres/0005_webhook_health.sql"),
    include_str!("../../../../../migrations/postgres/0006_states.sql"),
    include_str!("../../../../../migrations/postgres/0007_redirects.sql"),
    include_str!("../../../../../migrations/postgres/0008_pauses.sql"),
    include_str!("../../../../../migrations/postgres/0009_moves.sql"),
    include_str!("../../../../../migrations/postgres/0010_erasure.sql"),
    include_str!("../../../../../migrations/postgres/0011_key_rotation.sql"),
    include_str!("../../../../../migrations/postgres/0012_signatures.sql"),
    include_str!("../../../../../migrations/postgres/0013_resealing.sql"),
    include_str!("../../../../../migrations/postgres/0014_sign_ins.sql"),
    include_str!("../../../../../migrations/postgres/0015_credentials.sql"),
    include_str!("../../../../../migrations/postgres/0016_audit.sql"),
    include_str!("../../../../../migrations/postgres/0017_keys_of_sessions.sql"),
    include_str!("../../../../../migrations/postgres/0018_audit_retention.sql"),
    include_str!("../../../../../migrations/postgres/0019_claims.sql"),
];

/// Names the lock under which replicas migrate one after the other. Any number; this one spells "bellhop".
const MIGRATION_LOCK: i64 = 0x62_65_6c_6c_68_6f_70;

/// Migrates, in one transaction, while no other replica does. A newer schema is refused. Answers with the base of the
/// audit log's transactions.
pub async fn migrate(connection: &Connection) -> Result<i64, Failed> {
    let transaction = connection.transaction();
    bring_up_to_date(&transaction).await?;
    let base = audit::settle_base(&transaction).await?;
    transaction.commit().await?;
    Ok(base)
}

/// The same in a transaction that goes on. No other replica opens the database before it has ended.
pub async fn bring_up_to_date(transaction: &Transaction<'_>) -> Result<(), Failed> {
    let known = MIGRATIONS.len() as u32;
    query(
        transaction,
        "SELECT pg_advisory_xact_lock($1)",
        &[&MIGRATION_LOCK],
    )
    .await?;
    let versions = "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)";
    batch(transaction, versions).await?;
    let found = query_opt(transaction, "SELECT version FROM schema_version", &[]).await?;
    let found: u32 = match found {
        Some(row) => u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX),
        None => 0,
    };
    if found > known {
        return Err(StoreError::Newer { found, known }.into());
    }
    for migration in &MIGRATIONS[found as usize..] {
        batch(transaction, migration).await?;
    }
    if found < known {
        let version = i64::from(known);
        execute(transaction, "DELETE FROM schema_version", &[]).await?;
        let sql = "INSERT INTO schema_version VALUES ($1)";
        execute(transaction, sql, &[&version]).await?;
    }
    Ok(())
}

/// Commits something that changes nothing.
pub async fn prove(connection: &Connection) -> Result<(), Failed> {
    let sql = "UPDATE schema_version SET version = version";
    execute(connection, sql, &[]).await?;
    Ok(())
}

/// Finds out whether this replica has the key that the database was sealed with. The first replica seals.
pub async fn check_vault(on: &impl Ask, vault: &Vault) -> Result<(), Failed> {
    let sql = "INSERT INTO vault_check (is_here, sealed) VALUES (true, $1) ON CONFLICT DO NOTHING";
    execute(on, sql, &[&check_value(vault)]).await?;
    let found = query_opt(on, "SELECT sealed FROM vault_check", &[]).await?;
    let found = found.ok_or_else(|| corrupt("vault_check.sealed"))?;
    Ok(proves(vault, found.get(0))?)
}

/// The version of the schema that this version of Bellhop knows.
pub fn known() -> u32 {
    MIGRATIONS.len() as u32
}

/// Refuses a schema that is not the one that this version knows.
pub async fn refuse_other(on: &impl Ask) -> Result<(), Failed> {
    let known = MIGRATIONS.len() as u32;
    let found = query_opt(on, "SELECT version FROM schema_version", &[]).await?;
    let found = found.map_or(0, |row| u32::try_from(row.get::<_, i64>(0)).unwrap_or(0));
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(StoreError::Newer { found, known }.into()),
        std::cmp::Ordering::Less => Err(StoreError::Older { found, known }.into()),
    }
}
