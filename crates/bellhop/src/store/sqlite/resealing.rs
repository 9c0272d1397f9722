//! Sealing anew with a newer key, inside the writer's transactions: a little with each, so that no write waits long for it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, params, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::schema::{open_reader, refuse_other};
use crate::{
    clock::to_ms,
    store::{
        StoreError,
        copy::{Kind, Table},
        resealing::{
            Census, KeyPart, Pass, Resealed, Standing, anew, bound_to, key_columns, key_parts,
            new_keys, sealed_columns, sealed_tables, sealed_value,
        },
        sealed::{check_value, corrupt, proves},
    },
    vault::{RingKeyId, Vault},
};

/// How long a step goes on: what waits for the writer waits that much longer.
const LONGEST: Duration = Duration::from_millis(2);

/// Rows that are read at a time.
const SLICE: usize = 64;

/// Seals some of what a former key has sealed with the newest one. `begun` is the key that this process has been known to
/// seal with before.
pub fn reseal(
    connection: &Connection,
    vault: &Vault,
    begun: &mut Option<RingKeyId>,
    now: Timestamp,
) -> Result<Resealed, StoreError> {
    let newest = vault.newest();
    let Some(mut pass) = pass(connection, vault, now)? else {
        return Ok(Resealed::of(Standing::Behind));
    };
    if begun.replace(newest) != Some(newest) {
        // One that was interrupted goes on where it was: there is no other process.
        if pass.ended_ms.is_some() {
            pass.again();
        }
        seal_check(connection, vault)?;
    } else if pass.ended_ms.is_some() {
        return Ok(Resealed::of(Standing::Done));
    }
    let mut done = Resealed::of(Standing::UnderWay);
    let started = Instant::now();
    while pass.ended_ms.is_none() && started.elapsed() < LONGEST {
        let table = pass.table().ok_or_else(|| corrupt("resealings.at_table"))?;
        let mut step = Step {
            connection,
            vault,
            table,
            done: &mut done,
        };
        if !step.slice(&mut pass, started)? {
            pass.next_table(table, to_ms(now));
        }
    }
    if pass.ended_ms.is_some() {
        done.standing = Standing::Done;
    }
    pass.count(&done);
    write(connection, &pass)?;
    Ok(done)
}

/// The pass of the newest key, begun if it was not; `None` if a key that became known later has one.
fn pass(
    connection: &Connection,
    vault: &Vault,
    now: Timestamp,
) -> Result<Option<Pass>, StoreError> {
    let passes = register(connection, vault)?;
    let newest = vault.newest();
    let mut pass = passes
        .iter()
        .find(|pass| pass.key == newest)
        .cloned()
        .ok_or_else(|| corrupt("resealings.key_id"))?;
    let is_later = |other: &Pass| other.number > pass.number && other.begun_ms.is_some();
    if passes.iter().any(is_later) {
        return Ok(None);
    }
    if pass.begun_ms.is_none() {
        pass.begun_ms = Some(to_ms(now));
        connection.execute(
            "UPDATE resealings SET begun_ms = ?2 WHERE number = ?1",
            params![pass.number, pass.begun_ms],
        )?;
    }
    Ok(Some(pass))
}

/// Notes keys that were not known. Answers with all that are, the oldest first.
fn register(connection: &Connection, vault: &Vault) -> Result<Vec<Pass>, StoreError> {
    let passes = passes(connection)?;
    let known: Vec<RingKeyId> = passes.iter().map(|pass| pass.key).collect();
    let ids = vault.ids();
    if ids.iter().all(|id| known.contains(id)) {
        return Ok(passes);
    }
    let proof: Option<Vec<u8>> = connection
        .query_row("SELECT sealed FROM vault_check", [], |row| row.get(0))
        .optional()?;
    let proof = proof.and_then(|proof| RingKeyId::of_sealed(&proof));
    for key in new_keys(&ids, &known, proof) {
        connection.execute(
            "INSERT INTO resealings (number, key_id, is_dirty, resealed, unreadable) \
             SELECT COALESCE(MAX(number), 0) + 1, ?1, 0, 0, 0 FROM resealings",
            [key.0],
        )?;
    }
    self::passes(connection)
}

/// All passes, the oldest key first.
fn passes(connection: &Connection) -> Result<Vec<Pass>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT number, key_id, at_table, at_row, is_dirty, resealed, unreadable, begun_ms, ended_ms \
         FROM resealings ORDER BY number",
    )?;
    let found = select.query_map([], |row| {
        Ok(Pass {
            number: row.get(0)?,
            key: RingKeyId(row.get(1)?),
            at_table: row.get(2)?,
            at_row: row.get(3)?,
            is_dirty: row.get(4)?,
            resealed: row.get(5)?,
            unreadable: row.get(6)?,
            begun_ms: row.get(7)?,
            ended_ms: row.get(8)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn write(connection: &Connection, pass: &Pass) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE resealings SET at_table = ?2, at_row = ?3, is_dirty = ?4, resealed = ?5, unreadable = ?6, \
             ended_ms = ?7 WHERE number = ?1",
        )?
        .execute(params![
            pass.number,
            pass.at_table,
            pass.at_row,
            pass.is_dirty,
            pass.resealed,
            pass.unreadable,
            pass.ended_ms,
        ])
}

/// A step through one table.
struct Step<'a> {
    connection: &'a Connection,
    vault: &'a Vault,
    table: &'static Table,
    done: &'a mut Resealed,
}

/// A row: its key, and its sealed values.
type SealedRow = (Vec<KeyPart>, Vec<Option<Vec<u8>>>);

impl Step<'_> {
    /// Looks at some rows. Says whether there may be more.
    fn slice(&mut self, pass: &mut Pass, started: Instant) -> Result<bool, StoreError> {
        let found = self.next(pass.at_row.as_deref())?;
        for (key, values) in &found {
            let row = bound_to(key);
            self.reseal(key, &row, values)?;
            pass.passed(self.table, row);
            if started.elapsed() >= LONGEST {
                return Ok(true);
            }
        }
        Ok(found.len() == SLICE)
    }

    fn next(&self, after: Option<&[u8]>) -> Result<Vec<SealedRow>, StoreError> {
        let width = self.table.key;
        let key = key_columns(self.table).join(", ");
        let columns: Vec<String> = sealed_columns(self.table).map(sealed_value).collect();
        let mut sql = format!(
            "SELECT {key}, {} FROM {}",
            columns.join(", "),
            self.table.name
        );
        let mut values = Vec::new();
        if let Some(after) = after {
            values = key_parts(self.table, after)?;
            let places = vec!["?"; width].join(", ");
            for part in [" WHERE (", &key, ") > (", &places, ")"] {
                sql.push_str(part);
            }
        }
        for part in [" ORDER BY ", &key, " LIMIT ", &SLICE.to_string()] {
            sql.push_str(part);
        }
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params_from_iter(values), |row| {
            let key = (0..width).map(|at| self.part(row, at));
            let sealed = (width..width + columns.len()).map(|at| row.get(at));
            Ok((
                key.collect::<rusqlite::Result<_>>()?,
                sealed.collect::<rusqlite::Result<_>>()?,
            ))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn part(&self, row: &Row<'_>, at: usize) -> rusqlite::Result<KeyPart> {
        Ok(match self.table.columns[at].kind {
            Kind::Number => KeyPart::Number(row.get(at)?),
            _ => KeyPart::Bytes(row.get(at)?),
        })
    }

    fn reseal(
        &mut self,
        key: &[KeyPart],
        row: &[u8],
        values: &[Option<Vec<u8>>],
    ) -> Result<(), StoreError> {
        for (column, sealed) in sealed_columns(self.table).zip(values) {
            let Some(sealed) = sealed else { continue };
            let Some(anew) = anew(self.vault, column, row, sealed, self.done) else {
                continue;
            };
            let same: Vec<String> = key_columns(self.table)
                .iter()
                .map(|name| format!("{name} = ?"))
                .collect();
            let sql = format!(
                "UPDATE {} SET {} = ? WHERE {}",
                self.table.name,
                column.name,
                same.join(" AND ")
            );
            let anew = KeyPart::Bytes(anew);
            let values = std::iter::once(&anew).chain(key);
            self.connection
                .prepare_cached(&sql)?
                .execute(params_from_iter(values))?;
            self.done.values += 1;
        }
        Ok(())
    }
}

impl ToSql for KeyPart {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Number(number) => ToSqlOutput::from(*number),
        })
    }
}

/// Finds out whether the database was sealed with a key that is known. The first start seals the proof; a database from
/// before there was one proves it by a webhook.
pub fn check_vault(connection: &Connection, vault: &Vault) -> Result<(), StoreError> {
    let proof: Option<Vec<u8>> = connection
        .query_row("SELECT sealed FROM vault_check", [], |row| row.get(0))
        .optional()?;
    if let Some(proof) = proof {
        proves(vault, &proof)?;
        register(connection, vault)?;
        return Ok(());
    }
    let url: Option<Vec<u8>> = connection
        .query_row("SELECT url_sealed FROM webhooks LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let key = url.and_then(|url| RingKeyId::of_sealed(&url));
    if key.is_some_and(|key| !vault.ids().contains(&key)) {
        return Err(StoreError::OtherKey);
    }
    seal_check(connection, vault)?;
    register(connection, vault)?;
    Ok(())
}

fn seal_check(connection: &Connection, vault: &Vault) -> Result<(), StoreError> {
    connection.execute(
        "INSERT OR REPLACE INTO vault_check VALUES (1, ?1)",
        [check_value(vault)],
    )?;
    Ok(())
}

/// Counts what is sealed in a database that a server may have open.
pub fn census(path: &Path) -> Result<Census, StoreError> {
    let connection = open_reader(path)?;
    refuse_other(&connection)?;
    let connection = &connection;
    // First: what it says is through is through in what is counted after it.
    let newest = passes(connection)?.iter().rev().find_map(Pass::shown);
    let mut by_key = std::collections::BTreeMap::new();
    for table in sealed_tables() {
        for column in sealed_columns(table) {
            let value = sealed_value(column);
            let sql = format!(
                "SELECT substr({value}, 1, 4), COUNT(*) FROM {} WHERE {value} IS NOT NULL GROUP BY 1",
                table.name
            );
            let mut select = connection.prepare(&sql)?;
            let rows = select.query_map([], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?))
            })?;
            for counted in rows {
                let (key, count) = counted?;
                if let Some(key) = RingKeyId::of_sealed(&key) {
                    *by_key.entry(key).or_default() += count;
                }
            }
        }
    }
    Ok(Census {
        by_key: by_key.into_iter().collect(),
        newest,
    })
}
