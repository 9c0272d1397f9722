//! Copies of the database file: taken while a server writes to it, and looked through.

use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::schema::{open_reader, refuse_newer};
use crate::{
    store::{
        StoreError,
        copy::Kind,
        resealing::{
            KeyPart, bound_to, key_columns, key_parts, sealed_columns, sealed_tables, sealed_value,
        },
        sealed::proves,
    },
    vault::{Place, Vault},
};

/// Rows that are read at a time.
const SLICE: usize = 256;
/// Most faults of the database file that are named.
const MOST_FAULTS: usize = 10;

/// What was found in a database file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The version of its schema.
    pub schema: u32,
    /// How many integrations, messages and deliveries it has.
    pub integrations: u64,
    /// See [`BackupReport::integrations`].
    pub messages: u64,
    /// See [`BackupReport::integrations`].
    pub deliveries: u64,
    /// How many sealed values were opened.
    pub opened: u64,
    /// How many do not open with the keys that are known.
    pub unreadable: u64,
    /// What is wrong with the file, for people.
    pub faults: Vec<String>,
}

impl BackupReport {
    /// Whether it is what it must be.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.unreadable == 0
    }
}

/// Copies a database into an empty file, as it is at one moment, while a server goes on writing to it. What was deleted and
/// not overwritten yet is not in the copy.
pub fn copy_into(database: &Path, empty: &Path) -> Result<(), StoreError> {
    let connection = open_reader(database)?;
    refuse_newer(&connection)?;
    let target = empty.to_str().ok_or_else(|| {
        StoreError::Database(format!("{}: the path is not UTF-8", empty.display()))
    })?;
    connection.execute("VACUUM INTO ?1", [target])?;
    Ok(())
}

/// Looks through a database file: its structure, and each sealed value.
pub fn look_through(
    file: &Path,
    vault: &Vault,
    mut looked_at: impl FnMut(u64),
) -> Result<BackupReport, StoreError> {
    let connection = open_reader(file)?;
    let mut report = BackupReport {
        schema: refuse_newer(&connection)?,
        ..BackupReport::default()
    };
    report.faults = faults(&connection)?;
    if !report.faults.is_empty() {
        return Ok(report);
    }
    if report.schema == 0 {
        report
            .faults
            .push("it is no database of Bellhop".to_owned());
        return Ok(report);
    }
    let count = |table: &str| -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        Ok(connection.query_row(&sql, [], |row| row.get(0))?)
    };
    report.integrations = count("integrations")?;
    report.messages = count("messages")?;
    report.deliveries = count("deliveries")?;
    let proof = connection.query_row("SELECT sealed FROM vault_check", [], |row| {
        row.get::<_, Vec<u8>>(0)
    });
    match proof {
        Ok(proof) => proves(vault, &proof)?,
        Err(rusqlite::Error::QueryReturnedNoRows) => {}
        Err(error) => return Err(error.into()),
    }
    open_all(&connection, vault, &mut report, &mut looked_at)?;
    Ok(report)
}

/// The integrity of the file and of what names what.
fn faults(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut select = connection.prepare(&format!("PRAGMA integrity_check({MOST_FAULTS})"))?;
    let found = select.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults: Vec<String> = found.collect::<rusqlite::Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

fn open_all(
    connection: &Connection,
    vault: &Vault,
    report: &mut BackupReport,
    looked_at: &mut impl FnMut(u64),
) -> Result<(), StoreError> {
    // A former schema may lack columns that this version seals: a server would add them empty.
    for table in sealed_tables() {
        let known = columns_of(connection, table.name)?;
        let sealed: Vec<_> = sealed_columns(table)
            .filter(|column| known.iter().any(|name| name == column.name))
            .collect();
        let width = table.key;
        let key = key_columns(table).join(", ");
        let selected: Vec<String> = sealed.iter().map(|column| sealed_value(column)).collect();
        if known.is_empty() || selected.is_empty() {
            continue;
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let mut sql = format!("SELECT {key}, {} FROM {}", selected.join(", "), table.name);
            let mut values = Vec::new();
            if let Some(after) = &after {
                values = key_parts(table, after)?;
                let places = vec!["?"; width].join(", ");
                sql = format!("{sql} WHERE ({key}) > ({places})");
            }
            sql = format!("{sql} ORDER BY {key} LIMIT {SLICE}");
            let mut select = connection.prepare_cached(&sql)?;
            let mut rows = select.query(params_from_iter(values))?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                count += 1;
                let mut parts = Vec::with_capacity(width);
                for (at, column) in table.columns[..width].iter().enumerate() {
                    parts.push(match column.kind {
                        Kind::Number => KeyPart::Number(row.get(at)?),
                        _ => KeyPart::Bytes(row.get(at)?),
                    });
                }
                let bound = bound_to(&parts);
                for (index, column) in sealed.iter().enumerate() {
                    let value: Option<Vec<u8>> = row.get(width + index)?;
                    let (Some(value), Some(is)) = (value, column.sealed) else {
                        continue;
                    };
                    let place = Place {
                        column: is.place,
                        row: &bound,
                    };
                    match vault.open(place, &value) {
                        Ok(_) => report.opened += 1,
                        Err(_) => report.unreadable += 1,
                    }
                }
                after = Some(bound);
            }
            looked_at(count as u64);
            if count < SLICE {
                break;
            }
        }
    }
    Ok(())
}

fn columns_of(connection: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let mut select = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = select.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// What can be said of a database file that a server may have open, quickly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// The version of its schema, and the one that this version of Bellhop knows.
    pub schema: u32,
    /// See [`FileState::schema`].
    pub known: u32,
    /// Whether a process has it open as its server.
    pub is_served: bool,
}

/// Opens the file for reading and says how it is.
pub fn file_state(database: &Path) -> Result<FileState, StoreError> {
    let connection = open_reader(database)?;
    let schema = refuse_newer(&connection)?;
    connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| {
        row.get::<_, u32>(0)
    })?;
    let is_served = matches!(super::lock::lock(database), Err(StoreError::InUse(_)));
    Ok(FileState {
        schema,
        known: super::schema::known(),
        is_served,
    })
}
