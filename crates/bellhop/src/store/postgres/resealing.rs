//! Sealing anew with a newer key: one small transaction at a time, by one replica at a time. It waits for nobody: a row that
//! somebody else has locked or changed is met in another pass.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    READ, Shared,
    connect::{Address, Failed},
    connection::{Ask, Connections, Transaction, execute, query, query_opt, settled},
    purge::PURGE_LOCK,
    rows, schema,
};
use crate::{
    clock::to_ms,
    store::{
        StoreError,
        copy::{Column, Kind, Table},
        resealing::{
            Census, KeyPart, Pass, Resealed, Standing, anew, bound_to, key_columns, key_parts,
            new_keys, sealed_columns, sealed_tables, sealed_value,
        },
        sealed::{check_value, corrupt},
    },
    vault::{RingKeyId, Vault},
};

/// Rows that one step looks at.
const SLICE: usize = 256;

/// Seals some of what a former key has sealed with the newest one. Nothing while another replica does, purges or erases.
pub async fn reseal(shared: &Shared, now: Timestamp) -> Result<Resealed, Failed> {
    let newest = shared.vault.newest();
    let begun = shared.walks.lock().expect("no holder panics").resealing;
    let connection = shared.writers.get().await?;
    let done = settled(connection, async |connection| {
        let transaction = connection.transaction();
        let ask = "SELECT pg_try_advisory_xact_lock($1)";
        let row = query_opt(&transaction, ask, &[&PURGE_LOCK]).await?;
        let row = row.ok_or_else(|| corrupt("pg_try_advisory_xact_lock"))?;
        if !rows::get::<bool>(&row, 0)? {
            transaction.rollback().await?;
            return Ok(None);
        }
        let step = Step {
            on: &transaction,
            shared,
            now,
        };
        let done = step.reseal(newest, begun == Some(newest)).await?;
        transaction.commit().await?;
        Ok(Some(done))
    })
    .await?;
    let Some(done) = done else {
        return Ok(Resealed::of(Standing::UnderWay));
    };
    if done.standing != Standing::Behind {
        shared.walks.lock().expect("no holder panics").resealing = Some(newest);
    }
    Ok(done)
}

/// A step under way.
struct Step<'a> {
    on: &'a Transaction<'a>,
    shared: &'a Shared,
    now: Timestamp,
}

/// A row: its key, and its sealed values.
type SealedRow = (Vec<KeyPart>, Vec<Option<Vec<u8>>>);

/// A value that is to change.
struct Change {
    key: Vec<KeyPart>,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Step<'_> {
    async fn reseal(&self, newest: RingKeyId, has_begun: bool) -> Result<Resealed, Failed> {
        let passes = register(self.on, &self.shared.vault).await?;
        let pass = passes.iter().find(|pass| pass.key == newest).cloned();
        let mut pass = pass.ok_or_else(|| corrupt("resealings.key_id"))?;
        let is_later = |other: &Pass| other.number > pass.number && other.begun_ms.is_some();
        if passes.iter().any(is_later) {
            return Ok(Resealed::of(Standing::Behind));
        }
        let is_new = pass.begun_ms.is_none();
        if is_new {
            pass.begun_ms = Some(to_ms(self.now));
            let begin = "UPDATE resealings SET begun_ms = $2 WHERE number = $1";
            execute(self.on, begin, &[&pass.number, &pass.begun_ms]).await?;
        }
        if !has_begun {
            if !is_new {
                pass.again();
            }
            let check = "UPDATE vault_check SET sealed = $1";
            execute(self.on, check, &[&check_value(&self.shared.vault)]).await?;
        } else if pass.ended_ms.is_some() {
            return Ok(Resealed::of(Standing::Done));
        }
        let mut done = Resealed::of(Standing::UnderWay);
        let table = pass.table().ok_or_else(|| corrupt("resealings.at_table"))?;
        let found = self.next(table, pass.at_row.as_deref()).await?;
        pass.is_dirty |= !self.seal(table, &found, &mut done).await?;
        if let Some((key, _)) = found.last() {
            pass.passed(table, bound_to(key));
        }
        if found.len() < SLICE && !pass.next_table(table, to_ms(self.now)) {
            done.standing = Standing::Done;
        }
        pass.count(&done);
        self.write(&pass).await?;
        Ok(done)
    }

    async fn write(&self, pass: &Pass) -> Result<(), Failed> {
        execute(
            self.on,
            "UPDATE resealings SET at_table = $2, at_row = $3, is_dirty = $4, resealed = $5, unreadable = $6, \
             ended_ms = $7 WHERE number = $1",
            &[
                &pass.number,
                &pass.at_table,
                &pass.at_row,
                &pass.is_dirty,
                &(pass.resealed as i64),
                &(pass.unreadable as i64),
                &pass.ended_ms,
            ],
        )
        .await?;
        Ok(())
    }

    async fn next(
        &self,
        table: &'static Table,
        after: Option<&[u8]>,
    ) -> Result<Vec<SealedRow>, Failed> {
        let key = key_columns(table).join(", ");
        let columns: Vec<String> = sealed_columns(table).map(sealed_value).collect();
        let mut sql = format!("SELECT {key}, {} FROM {}", columns.join(", "), table.name);
        let mut values = Vec::new();
        if let Some(after) = after {
            let places: Vec<String> = (1..=table.key).map(|place| format!("${place}")).collect();
            for part in [" WHERE (", &key, ") > (", &places.join(", "), ")"] {
                sql.push_str(part);
            }
            for (part, column) in key_parts(table, after)?.iter().zip(table.columns) {
                values.push(one(part, column));
            }
        }
        for part in [" ORDER BY ", &key, " LIMIT ", &SLICE.to_string()] {
            sql.push_str(part);
        }
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
        let found = query(self.on, &sql, &values).await?;
        Ok(rows::all(&found, |row| {
            let key = (0..table.key).map(|at| part(table, row, at));
            let sealed = (table.key..table.key + columns.len()).map(|at| rows::get(row, at));
            Ok((
                key.collect::<Result<_, StoreError>>()?,
                sealed.collect::<Result<_, StoreError>>()?,
            ))
        })?)
    }

    /// Says whether all that had to change did.
    async fn seal(
        &self,
        table: &'static Table,
        found: &[SealedRow],
        done: &mut Resealed,
    ) -> Result<bool, Failed> {
        let mut is_whole = true;
        for (position, column) in sealed_columns(table).enumerate() {
            let mut changes = Vec::new();
            for (key, values) in found {
                let Some(old) = &values[position] else {
                    continue;
                };
                let row = bound_to(key);
                if let Some(new) = anew(&self.shared.vault, column, &row, old, done) {
                    changes.push(Change {
                        key: key.clone(),
                        old: old.clone(),
                        new,
                    });
                }
            }
            let changed = self.change(table, column, &changes).await?;
            done.values += changed;
            is_whole &= changed == changes.len() as u64;
        }
        Ok(is_whole)
    }

    /// Changes those values that are still what they were and that nobody else has locked. Says how many.
    async fn change(
        &self,
        table: &'static Table,
        column: &Column,
        changes: &[Change],
    ) -> Result<u64, Failed> {
        if changes.is_empty() {
            return Ok(0);
        }
        let (name, sealed) = (table.name, column.name);
        let key = key_columns(table);
        let places: Vec<String> = table.columns[..table.key]
            .iter()
            .enumerate()
            .map(|(place, column)| format!("${}::{}", place + 1, array(column.kind)))
            .collect();
        let (old, new) = (table.key + 1, table.key + 2);
        let same: Vec<String> = key.iter().map(|key| format!("t.{key} = u.{key}")).collect();
        let (keys, places, same) = (key.join(", "), places.join(", "), same.join(" AND "));
        let free = format!(
            "SELECT {} FROM {name} t JOIN unnest({places}, ${old}::bytea[]) AS u ({keys}, old_value) ON {same} \
             WHERE t.{sealed} = u.old_value ORDER BY {} FOR NO KEY UPDATE OF t SKIP LOCKED",
            prefixed(&key),
            prefixed(&key),
        );
        let all: Vec<&Change> = changes.iter().collect();
        let mut values = columns(table, &all);
        values.push(Box::new(old_values(&all)));
        let found = query(self.on, &free, &borrowed(&values)).await?;
        let free: HashSet<Vec<u8>> = rows::all(&found, |row| {
            let key = (0..table.key).map(|at| part(table, row, at));
            Ok(bound_to(&key.collect::<Result<Vec<_>, StoreError>>()?))
        })?
        .into_iter()
        .collect();
        let is_free = |each: &&Change| free.contains(&bound_to(&each.key));
        let ours: Vec<&Change> = all.into_iter().filter(is_free).collect();
        let change = format!(
            "UPDATE {name} t SET {sealed} = u.new_value \
             FROM unnest({places}, ${old}::bytea[], ${new}::bytea[]) AS u ({keys}, old_value, new_value) \
             WHERE {same} AND t.{sealed} = u.old_value"
        );
        let mut values = columns(table, &ours);
        values.push(Box::new(old_values(&ours)));
        let new: Vec<Vec<u8>> = ours.iter().map(|each| each.new.clone()).collect();
        values.push(Box::new(new));
        execute(self.on, &change, &borrowed(&values)).await
    }
}

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

fn borrowed(values: &Values) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| &**value as _).collect()
}

fn prefixed(key: &[&str]) -> String {
    let prefixed: Vec<String> = key.iter().map(|key| format!("t.{key}")).collect();
    prefixed.join(", ")
}

fn old_values(changes: &[&Change]) -> Vec<Vec<u8>> {
    changes.iter().map(|each| each.old.clone()).collect()
}

/// The keys of these, column by column.
fn columns(table: &Table, changes: &[&Change]) -> Values {
    let column = |place: usize, column: &Column| -> Box<dyn ToSql + Sync + Send> {
        let parts = changes.iter().map(|each| &each.key[place]);
        match column.kind {
            Kind::Number => Box::new(parts.map(KeyPart::number).collect::<Vec<i64>>()),
            Kind::Id => Box::new(parts.map(id).collect::<Vec<Uuid>>()),
            _ => Box::new(parts.map(KeyPart::bytes).collect::<Vec<Vec<u8>>>()),
        }
    };
    let key = table.columns[..table.key].iter().enumerate();
    key.map(|(place, each)| column(place, each)).collect()
}

fn one(part: &KeyPart, column: &Column) -> Box<dyn ToSql + Sync + Send> {
    match column.kind {
        Kind::Number => Box::new(part.number()),
        Kind::Id => Box::new(id(part)),
        _ => Box::new(part.bytes()),
    }
}

fn id(part: &KeyPart) -> Uuid {
    Uuid::from_slice(&part.bytes()).unwrap_or_default()
}

fn part(table: &Table, row: &Row, at: usize) -> Result<KeyPart, StoreError> {
    Ok(match table.columns[at].kind {
        Kind::Number => KeyPart::Number(rows::get(row, at)?),
        Kind::Id => KeyPart::Bytes(rows::get::<Uuid>(row, at)?.into_bytes().to_vec()),
        _ => KeyPart::Bytes(rows::get(row, at)?),
    })
}

fn array(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "bigint[]",
        Kind::Id => "uuid[]",
        _ => "bytea[]",
    }
}

/// Notes keys that were not known. Answers with all that are, the oldest first. Under the lock of whoever seals anew, or
/// of whoever migrates.
pub async fn register(on: &impl Ask, vault: &Vault) -> Result<Vec<Pass>, Failed> {
    let passes = passes(on).await?;
    let known: Vec<RingKeyId> = passes.iter().map(|pass| pass.key).collect();
    let ids = vault.ids();
    if ids.iter().all(|id| known.contains(id)) {
        return Ok(passes);
    }
    let proof = query_opt(on, "SELECT sealed FROM vault_check", &[]).await?;
    let proof = proof.and_then(|row| RingKeyId::of_sealed(row.get(0)));
    for key in new_keys(&ids, &known, proof) {
        let key: &[u8] = &key.0;
        execute(
            on,
            "INSERT INTO resealings (number, key_id, is_dirty, resealed, unreadable) \
             SELECT COALESCE(max(number), 0) + 1, $1::bytea, false, 0, 0 FROM resealings ON CONFLICT DO NOTHING",
            &[&key],
        )
        .await?;
    }
    self::passes(on).await
}

/// All passes, the oldest key first.
async fn passes(on: &impl Ask) -> Result<Vec<Pass>, Failed> {
    let sql = "SELECT number, key_id, at_table, at_row, is_dirty, resealed, unreadable, begun_ms, ended_ms \
               FROM resealings ORDER BY number";
    let found = query(on, sql, &[]).await?;
    Ok(rows::all(&found, |row| {
        let key = RingKeyId::of_sealed(rows::get(row, 1)?);
        Ok(Pass {
            number: rows::get(row, 0)?,
            key: key.ok_or_else(|| corrupt("resealings.key_id"))?,
            at_table: rows::get(row, 2)?,
            at_row: rows::get(row, 3)?,
            is_dirty: rows::get(row, 4)?,
            resealed: rows::number(row, 5)?,
            unreadable: rows::number(row, 6)?,
            begun_ms: rows::get(row, 7)?,
            ended_ms: rows::get(row, 8)?,
        })
    })?)
}

/// Counts what is sealed in a database that servers may use.
pub async fn census(address: &Address) -> Result<Census, StoreError> {
    let connections = Connections::new(address, 1, READ)?;
    let connection = connections.get().await?;
    let counted = async {
        schema::refuse_other(&connection).await?;
        // First: what it says is through is through in what is counted after it.
        let newest = passes(&connection)
            .await?
            .iter()
            .rev()
            .find_map(Pass::shown);
        let mut by_key = BTreeMap::new();
        for table in sealed_tables() {
            for column in sealed_columns(table) {
                let value = sealed_value(column);
                let sql = format!(
                    "SELECT substring({value} FROM 1 FOR 4), count(*) FROM {} WHERE {value} IS NOT NULL GROUP BY 1",
                    table.name
                );
                for row in &query(&connection, &sql, &[]).await? {
                    if let Some(key) = RingKeyId::of_sealed(rows::get(row, 0)?) {
                        *by_key.entry(key).or_default() += rows::number::<u64>(row, 1)?;
                    }
                }
            }
        }
        Ok::<_, Failed>(Census {
            by_key: by_key.into_iter().collect(),
            newest,
        })
    };
    counted.await.map_err(|failed| failed.error)
}
