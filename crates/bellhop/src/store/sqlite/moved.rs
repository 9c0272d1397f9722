//! The mark of a database whose data lives elsewhere now: a server that opened it would send again what the other sends.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::{
    clock::{from_ms, to_ms},
    store::StoreError,
};

/// Where a database was moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Of the copy. The target has it too, once it is whole.
    pub id: Uuid,
    /// Where it went: no user, no password.
    pub target: String,
    /// When.
    pub at: Timestamp,
}

impl Mark {
    /// When, for people: to the second.
    pub fn shown(&self) -> Timestamp {
        crate::store::shown(self.at)
    }

    /// Why nothing opens it.
    pub fn refusal(&self) -> StoreError {
        StoreError::Moved {
            target: self.target.clone(),
            at: self.at,
        }
    }
}

/// The mark, if there is one. A database from before there were marks has none.
pub fn read(connection: &Connection) -> Result<Option<Mark>, StoreError> {
    let knows = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'moved'";
    if !connection.prepare(knows)?.exists([])? {
        return Ok(None);
    }
    let mark = connection
        .query_row("SELECT id, target, moved_ms FROM moved", [], |row| {
            Ok(Mark {
                id: Uuid::from_bytes(row.get(0)?),
                target: row.get(1)?,
                at: from_ms(row.get(2)?),
            })
        })
        .optional()?;
    Ok(mark)
}

/// Sets the mark, or takes it away.
pub fn write(connection: &Connection, mark: Option<&Mark>) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("DELETE FROM moved", [])?;
    if let Some(Mark { id, target, at }) = mark {
        let insert = "INSERT INTO moved (id, target, moved_ms) VALUES (?1, ?2, ?3)";
        transaction.execute(insert, params![id.as_bytes(), target, to_ms(*at)])?;
    }
    Ok(transaction.commit()?)
}

/// Refuses a database that was moved.
pub fn refuse(connection: &Connection) -> Result<(), StoreError> {
    read(connection)?.map_or(Ok(()), |mark| Err(mark.refusal()))
}
