//! The source: an embedded database that no process has open, read in the order of its keys.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    CopyError,
    row::{self, fields, key_shown},
    table::{Column, Table},
};
use crate::{
    store::{
        StoreError,
        sqlite::{Mark, lock, moved, schema},
    },
    vault::{Place, Vault},
};

/// A piece is sent on when it has become so large: some hundred rows.
const PIECE_BYTES: usize = 64 * 1024;
/// So many pieces may wait for whoever takes them. This and one row are all that is in memory.
const WAITING: usize = 8;

/// Some rows, one after the other.
#[derive(Debug)]
pub struct Piece {
    /// In the form of [`row`].
    pub bytes: Bytes,
    /// How many.
    pub rows: u64,
}

/// Rows of a table as they are read, and how the reading ends.
pub struct Reading {
    /// The rows.
    pub pieces: mpsc::Receiver<Piece>,
    reader: tokio::task::JoinHandle<Result<(), CopyError>>,
}

/// The source. Nobody else opens it until this is dropped.
pub struct Source {
    path: PathBuf,
    /// Brings it up to date and marks it. Nothing before it is up to date.
    writer: Option<Connection>,
    reader: Arc<Mutex<Connection>>,
    _lock: File,
}

impl Source {
    /// Takes the lock, and looks whether this version can read it. Changes nothing.
    pub fn open(path: &Path) -> Result<Self, CopyError> {
        if !path.is_file() {
            return Err(CopyError::NoSource(path.to_owned()));
        }
        let open = || {
            let lock = lock::lock(path)?;
            let reader = schema::open_reader(path)?;
            schema::refuse_newer(&reader)?;
            Ok((lock, reader))
        };
        let (lock, reader) = open().map_err(|error| CopyError::Source {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            path: path.to_owned(),
            writer: None,
            reader: Arc::new(Mutex::new(reader)),
            _lock: lock,
        })
    }

    /// An error that is the source's.
    pub fn failed(&self, error: impl Into<StoreError>) -> CopyError {
        CopyError::Source {
            path: self.path.clone(),
            error: error.into(),
        }
    }

    /// Whether it was moved before.
    pub fn mark(&self) -> Result<Option<Mark>, CopyError> {
        let reader = self.reader.lock().expect("no holder panics");
        moved::read(&reader).map_err(|error| self.failed(error))
    }

    /// Migrates it, as a server would at its start. What is read from here on is read as it is at one moment, also if
    /// somebody writes to the file all the same.
    pub fn bring_up_to_date(&mut self) -> Result<(), CopyError> {
        let opened = schema::open_writer(&self.path);
        self.writer = Some(opened.map_err(|error| self.failed(error))?);
        let reader = self.reader.lock().expect("no holder panics");
        let begun = reader.execute_batch("BEGIN");
        begun.map_err(|error| self.failed(error))
    }

    /// Marks it, or takes the mark away. On the disk when this returns.
    pub fn set_mark(&self, mark: Option<&Mark>) -> Result<(), CopyError> {
        let writer = self.writer.as_ref().expect("it was brought up to date");
        moved::write(writer, mark).map_err(|error| self.failed(error))
    }

    /// How many rows a table has.
    pub fn count(&self, table: &Table) -> Result<u64, CopyError> {
        let reader = self.reader.lock().expect("no holder panics");
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let counted = reader.query_row(&sql, [], |row| row.get(0));
        counted.map_err(|error| self.failed(error))
    }

    /// Reads all rows of a table, on a thread beside, and opens what is sealed in them if there is something to open it
    /// with: what does not open here would not open in the target either.
    pub fn read(&self, table: &'static Table, vault: Option<Arc<Vault>>) -> Reading {
        let (to, pieces) = mpsc::channel(WAITING);
        let (reader, path) = (self.reader.clone(), self.path.clone());
        let reader = tokio::task::spawn_blocking(move || {
            let connection = reader.lock().expect("no holder panics");
            let reads = Reads { table, vault };
            reads.all(&connection, &to).map_err(|stop| match stop {
                Stop::Failed(error) => CopyError::Source {
                    path,
                    error: error.into(),
                },
                Stop::Refused(error) => error,
            })
        });
        Reading { pieces, reader }
    }
}

impl Reading {
    /// How it ended: whether everything was read.
    pub async fn end(self) -> Result<(), CopyError> {
        drop(self.pieces);
        self.reader.await.expect("the reader does not panic")
    }
}

/// Why no more is read.
enum Stop {
    Failed(rusqlite::Error),
    Refused(CopyError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// One reading of a table.
struct Reads {
    table: &'static Table,
    vault: Option<Arc<Vault>>,
}

impl Reads {
    fn all(&self, connection: &Connection, to: &mpsc::Sender<Piece>) -> Result<(), Stop> {
        let mut select = connection.prepare(&self.table.select())?;
        let mut rows = select.query([])?;
        let mut piece = BytesMut::with_capacity(PIECE_BYTES * 2);
        let mut count = 0;
        while let Some(found) = rows.next()? {
            let begin = piece.len();
            self.put(found, &mut piece)?;
            if let Some(vault) = &self.vault {
                self.open(vault, &piece[begin..])?;
            }
            count += 1;
            if piece.len() >= PIECE_BYTES {
                let whole = Piece {
                    bytes: piece.split().freeze(),
                    rows: std::mem::take(&mut count),
                };
                if to.blocking_send(whole).is_err() {
                    // Whoever wanted it has failed, and says so.
                    return Ok(());
                }
            }
        }
        let last = Piece {
            bytes: piece.freeze(),
            rows: count,
        };
        let _ = to.blocking_send(last);
        Ok(())
    }

    fn put(&self, found: &rusqlite::Row<'_>, to: &mut BytesMut) -> Result<(), Stop> {
        let begin = to.len();
        to.put_i16(self.table.columns.len() as i16);
        for (position, column) in self.table.columns.iter().enumerate() {
            let value = found.get_ref(position)?;
            let is_missing = column.found.is_some() && value == rusqlite::types::ValueRef::Null;
            let put = if is_missing {
                Err("the row that it belongs to is not there")
            } else {
                row::put(to, column.kind, value)
            };
            put.map_err(|why| self.value(column, &to[begin..], why))?;
        }
        Ok(())
    }

    fn value(&self, column: &Column, row: &[u8], why: &'static str) -> Stop {
        Stop::Refused(CopyError::Value {
            table: self.table.name,
            key: key_shown(self.table, row),
            column: column.name,
            why,
        })
    }

    /// Opens what is sealed in a row.
    fn open(&self, vault: &Vault, row: &[u8]) -> Result<(), Stop> {
        let columns = self.table.columns;
        if columns.iter().all(|column| column.sealed.is_none()) {
            return Ok(());
        }
        let fields = fields(row);
        let key: Vec<u8> = fields[..self.table.key]
            .iter()
            .flatten()
            .flat_map(|field| field.iter().copied())
            .collect();
        for (column, field) in columns.iter().zip(&fields) {
            let (Some(sealed), Some(field)) = (column.sealed, field) else {
                continue;
            };
            if sealed
                .only_if
                .is_some_and(|flag| !is_set(columns, &fields, flag))
            {
                continue;
            }
            let place = Place {
                column: sealed.place,
                row: &key,
            };
            vault.open(place, field).map_err(|error| {
                Stop::Refused(CopyError::Sealed {
                    table: self.table.name,
                    key: key_shown(self.table, row),
                    error,
                })
            })?;
        }
        Ok(())
    }
}

fn is_set(columns: &[Column], fields: &[Option<&[u8]>], flag: &str) -> bool {
    let mut both = columns.iter().zip(fields);
    both.any(|(column, field)| column.name == flag && *field == Some(&[1]))
}
