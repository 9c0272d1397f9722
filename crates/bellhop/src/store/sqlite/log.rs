//! The write-ahead log, bounded. SQLite moves it into the database as it goes (`wal_autocheckpoint`), but begins it
//! anew only at a moment at which nobody reads from it. Under load with many readers, one overlapping the other,
//! there is no such moment, and the log grows without end. So once it is long, the writer waits for one.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::schema::BUSY_TIMEOUT;

/// The longest log that is let be, in bytes. SQLite cuts it to this when it begins it anew
/// (`journal_size_limit`), so that it is longer only if it could not.
pub const LIMIT: u64 = 64 << 20;

/// How often its length is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the writer waits for readers, and those for the writer. Readers that begin meanwhile read from the
/// database alone, so this is for the ones that are reading now. A reader that takes longer is met again.
const PATIENCE: Duration = Duration::from_millis(5);

/// Looks after the log.
#[derive(Debug)]
pub struct Log {
    file: PathBuf,
    limit: u64,
    looked: Instant,
}

impl Log {
    /// The log of the writer's database.
    pub fn of(connection: &Connection) -> Self {
        let mut file = connection.path().unwrap_or_default().to_owned();
        file.push_str("-wal");
        Self {
            file: file.into(),
            limit: LIMIT,
            looked: Instant::now(),
        }
    }

    /// Between two transactions: begins the log anew if it is too long. Most of the time it does nothing.
    pub fn keep_short(&mut self, connection: &Connection) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        let is_long = fs::metadata(&self.file).is_ok_and(|file| file.len() > self.limit);
        if is_long && let Err(error) = begin_anew(connection) {
            tracing::warn!(%error, "the write-ahead log could not be begun anew; it grows until it can");
        }
    }
}

/// Moves all of the log into the database, and waits until nobody reads from it. Says whether it came to that.
fn begin_anew(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(PATIENCE)?;
    let result = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| {
        row.get::<_, bool>(0)
    });
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(!result?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema::{open_reader, open_writer};

    /// One reader always overlaps the next.
    #[test]
    fn a_log_that_is_always_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bellhop.db");
        let writer = open_writer(&path).unwrap();
        // SQLite alone tries with each commit, and finds somebody reading.
        let small = 256 << 10;
        writer.pragma_update(None, "wal_autocheckpoint", 8).unwrap();
        writer
            .pragma_update(None, "journal_size_limit", small)
            .unwrap();
        let mut log = Log {
            limit: small,
            ..Log::of(&writer)
        };
        let read = |reader: &Connection| {
            reader
                .execute_batch("BEGIN; SELECT COUNT(*) FROM enterprises;")
                .unwrap();
        };
        let readers = [open_reader(&path).unwrap(), open_reader(&path).unwrap()];
        let length = |log: &Log| fs::metadata(&log.file).unwrap().len();
        let write = |round: i64| {
            let text = "x".repeat(20_000);
            writer
                .execute(
                    "INSERT OR REPLACE INTO enterprises VALUES (?1, ?2, 0)",
                    rusqlite::params![round.to_be_bytes(), text],
                )
                .unwrap();
        };
        read(&readers[0]);
        for round in 0..60 {
            write(round);
            let (one, next) = (round as usize % 2, (round as usize + 1) % 2);
            read(&readers[next]);
            readers[one].execute_batch("COMMIT").unwrap();
        }
        let grown = length(&log);
        assert!(grown > 3 * small, "{grown}");
        // A reader of what is old is in the way, and is not waited for.
        assert!(!begin_anew(&writer).unwrap());
        readers[0].execute_batch("COMMIT").unwrap();
        log.looked -= LOOK_EVERY;
        log.keep_short(&writer);
        write(100);
        let now = length(&log);
        assert!(now <= small, "{now}");
    }
}
