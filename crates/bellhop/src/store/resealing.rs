//! Sealing anew with a newer key: what is sealed, and how far that has come. The same in both databases.
//!
//! What is sealed is what `copy/tables.rs` says of the columns of each table: a column that is added there is sealed anew,
//! and a test sees to it that none is forgotten.

use jiff::Timestamp;

use super::copy::{Column, Kind, TABLES, Table};
use crate::{
    clock::from_ms,
    store::StoreError,
    vault::{Place, RingKeyId, Vault},
};

/// What a step of sealing anew came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// Values that the newest key has sealed now, and a former one had before.
    pub values: u64,
    /// Values that do not open with any key that is known: they stay as they are.
    pub unreadable: u64,
    /// Where it stands.
    pub standing: Standing,
}

/// Where sealing anew stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is one key, and nothing to do.
    OneKey,
    /// There is more to look at.
    UnderWay,
    /// Nothing is sealed with a former key, as far as this process and those that have gone through all know.
    Done,
    /// Another replica has begun to seal with a key that is newer than the newest of this one.
    Behind,
}

/// How far the newest pass has come, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResealingShown {
    /// The key that seals.
    pub key: RingKeyId,
    /// How many values it has sealed anew.
    pub resealed: u64,
    /// How many did not open.
    pub unreadable: u64,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it had gone through all.
    pub ended: Option<Timestamp>,
}

/// What a database holds that is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// How many values each key has sealed.
    pub by_key: Vec<(RingKeyId, u64)>,
    /// The newest pass, if there ever was one.
    pub newest: Option<ResealingShown>,
}

/// One pass, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    pub number: i64,
    pub key: RingKeyId,
    /// The table that is gone through; `None` before the first.
    pub at_table: Option<String>,
    /// The row of it that was looked at last; `None` before the first.
    pub at_row: Option<Vec<u8>>,
    /// Whether all has to be gone through once more.
    pub is_dirty: bool,
    pub resealed: u64,
    pub unreadable: u64,
    /// `None` until its key was in front somewhere.
    pub begun_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// Which of these keys, newest first, become known now, in order. The one that proves the database is the oldest: one
/// behind another may be older than it, or be put in front later.
pub fn new_keys(
    ids: &[RingKeyId],
    known: &[RingKeyId],
    proof: Option<RingKeyId>,
) -> Vec<RingKeyId> {
    let oldest = proof.filter(|proof| ids.contains(proof));
    let others = ids.iter().rev().copied().filter(|id| Some(*id) != oldest);
    oldest
        .into_iter()
        .chain(others)
        .filter(|id| !known.contains(id))
        .collect()
}

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    Bytes(Vec<u8>),
    Number(i64),
}

impl KeyPart {
    /// As a number.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => 0,
        }
    }

    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Number(number) => number.to_be_bytes().to_vec(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// The tables with sealed columns.
pub fn sealed_tables() -> impl Iterator<Item = &'static Table> {
    TABLES
        .iter()
        .filter(|table| sealed_columns(table).next().is_some())
}

/// The sealed columns of a table.
pub fn sealed_columns(table: &'static Table) -> impl Iterator<Item = &'static Column> {
    table
        .columns
        .iter()
        .filter(|column| column.sealed.is_some())
}

/// The columns of a table's key, as names.
pub fn key_columns(table: &Table) -> Vec<&'static str> {
    let key = &table.columns[..table.key];
    key.iter().map(|column| column.name).collect()
}

/// What to select of a sealed column: where the value is plain, nothing.
pub fn sealed_value(column: &Column) -> String {
    match column.sealed.and_then(|sealed| sealed.only_if) {
        Some(flag) => format!("CASE WHEN {flag} THEN {} END", column.name),
        None => column.name.to_owned(),
    }
}

/// A row's key from what a sealed value of it is bound to.
pub fn key_parts(table: &Table, row: &[u8]) -> Result<Vec<KeyPart>, StoreError> {
    let damaged = || super::sealed::corrupt("resealings.at_row");
    let mut rest = row;
    let mut parts = Vec::with_capacity(table.key);
    for column in &table.columns[..table.key] {
        match column.kind {
            Kind::Number => {
                let (number, after) = rest.split_first_chunk().ok_or_else(damaged)?;
                parts.push(KeyPart::Number(i64::from_be_bytes(*number)));
                rest = after;
            }
            Kind::Id => {
                let (id, after) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
                parts.push(KeyPart::Bytes(id.to_vec()));
                rest = after;
            }
            _ => {
                parts.push(KeyPart::Bytes(rest.to_vec()));
                rest = &[];
            }
        }
    }
    Ok(parts)
}

/// What a sealed value is bound to, from its row's key.
pub fn bound_to(key: &[KeyPart]) -> Vec<u8> {
    let mut row = Vec::new();
    for part in key {
        match part {
            KeyPart::Bytes(bytes) => row.extend_from_slice(bytes),
            KeyPart::Number(number) => row.extend_from_slice(&number.to_be_bytes()),
        }
    }
    row
}

/// Seals one value anew. `None` if there is nothing to do, or it does not open.
pub fn anew(
    vault: &Vault,
    column: &Column,
    row: &[u8],
    sealed: &[u8],
    done: &mut Resealed,
) -> Option<Vec<u8>> {
    let place = Place {
        column: column.sealed?.place,
        row,
    };
    match vault.reseal(place, sealed) {
        Ok(anew) => anew,
        Err(error) => {
            done.unreadable += 1;
            if done.unreadable == 1 {
                tracing::warn!(%error, "a value cannot be sealed with the newest key, and stays as it is");
            }
            None
        }
    }
}

impl Resealed {
    /// Nothing yet.
    pub fn of(standing: Standing) -> Self {
        Self {
            values: 0,
            unreadable: 0,
            standing,
        }
    }
}

impl Pass {
    /// A process has begun to seal with the key, and may have sealed with another until then.
    pub fn again(&mut self) {
        if self.ended_ms.take().is_some() {
            self.go_through_all();
        } else {
            self.is_dirty = true;
        }
    }

    fn go_through_all(&mut self) {
        (self.at_table, self.at_row, self.is_dirty) = (None, None, false);
    }

    /// For people; `None` if it has not begun.
    pub fn shown(&self) -> Option<ResealingShown> {
        Some(ResealingShown {
            key: self.key,
            resealed: self.resealed,
            unreadable: self.unreadable,
            begun: from_ms(self.begun_ms?),
            ended: self.ended_ms.map(from_ms),
        })
    }

    /// The table that is gone through now.
    pub fn table(&self) -> Option<&'static Table> {
        match &self.at_table {
            None => sealed_tables().next(),
            // A list that has changed since: from the start.
            Some(name) => sealed_tables()
                .find(|table| table.name == name)
                .or_else(|| sealed_tables().next()),
        }
    }

    /// A table is gone through. Says whether there is another.
    pub fn next_table(&mut self, table: &Table, now_ms: i64) -> bool {
        self.at_row = None;
        let mut after = sealed_tables().skip_while(|each| each.name != table.name);
        after.next();
        if let Some(next) = after.next() {
            self.at_table = Some(next.name.to_owned());
            return true;
        }
        if self.is_dirty {
            self.go_through_all();
            return true;
        }
        self.ended_ms = Some(now_ms);
        false
    }

    /// It looked at this row of a table last.
    pub fn passed(&mut self, table: &Table, row: Vec<u8>) {
        (self.at_table, self.at_row) = (Some(table.name.to_owned()), Some(row));
    }

    /// Adds what a step came to.
    pub fn count(&mut self, done: &Resealed) {
        self.resealed += done.values;
        self.unreadable += done.unreadable;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_known_oldest_first() {
        let [old, new, newer] = [1, 2, 3].map(|byte| RingKeyId([byte; 4]));
        // One after the other, behind or in front.
        assert_eq!(new_keys(&[old, new], &[old], Some(old)), [new]);
        assert_eq!(new_keys(&[new, old], &[old], Some(old)), [new]);
        assert_eq!(new_keys(&[new, old], &[old, new], Some(new)), []);
        // All at once: what proves the database was there before.
        assert_eq!(new_keys(&[new, old], &[], None), [old, new]);
        assert_eq!(new_keys(&[old, new], &[], Some(old)), [old, new]);
        assert_eq!(
            new_keys(&[newer, new, old], &[], Some(new)),
            [new, old, newer]
        );
    }

    #[test]
    fn a_pass_goes_through_each_table_and_once_more_if_it_must() {
        let mut pass = Pass {
            number: 1,
            key: RingKeyId([1; 4]),
            at_table: None,
            at_row: None,
            is_dirty: true,
            resealed: 0,
            unreadable: 0,
            begun_ms: Some(0),
            ended_ms: None,
        };
        let tables = sealed_tables().count();
        for round in 0..2 {
            for n in 1..=tables {
                assert_eq!(pass.ended_ms, None);
                let table = pass.table().unwrap();
                pass.passed(table, vec![0; 24]);
                let goes_on = pass.next_table(table, 7);
                assert_eq!(goes_on, round == 0 || n < tables);
            }
        }
        assert_eq!(pass.ended_ms, Some(7));
        pass.again();
        assert_eq!((pass.ended_ms, pass.is_dirty), (None, false));
        assert_eq!(
            pass.table().unwrap().name,
            sealed_tables().next().unwrap().name
        );
    }

    #[test]
    fn a_row_is_found_by_what_its_values_are_bound_to() {
        for table in sealed_tables() {
            let key: Vec<KeyPart> = table.columns[..table.key]
                .iter()
                .map(|column| match column.kind {
                    Kind::Number => KeyPart::Number(77),
                    Kind::Id => KeyPart::Bytes(vec![5; 16]),
                    _ => KeyPart::Bytes(vec![6; 32]),
                })
                .collect();
            assert_eq!(
                key_parts(table, &bound_to(&key)).unwrap(),
                key,
                "{}",
                table.name
            );
        }
    }
}
