//! Erasing bodies, inside the writer's transactions: a little with each, so that no write waits long for it.
//!
//! Ids of deliveries grow with time, so a walk along them meets every message that was sent, in the order of their age,
//! and no index is needed. What it may not erase when it passes goes into `erasures_left`, as does what it cannot meet: a
//! message that nobody wanted, and one whose deliveries were purged. That is looked at again when somebody asks for it.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{batch::Batch, purge::just_after, read::first_id_at, values::text};
use crate::{
    clock::to_ms,
    id::{DeliveryId, IntegrationId},
    store::{Erase, Erased},
};
use bellhop_webhook::Action;

/// How long an erasure goes on: what waits for the writer waits that much longer.
const LONGEST: Duration = Duration::from_millis(2);

/// Rows between two looks at the time.
const SLICE: u32 = 64;

/// Which message.
type MessageKey = (IntegrationId, u64);

/// How far the walks have come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walk {
    /// The delivery that was looked at last; `None` until it was read from the database.
    delivery: Option<DeliveryId>,
    /// The last of what was left that was looked at again.
    left: Option<MessageKey>,
    /// Whether all that was left has been looked at.
    is_left_done: bool,
}

/// Notes a message that the walk does not meet, if it has a body to erase.
pub fn leave(connection: &Connection, (of, sequence): MessageKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO erasures_left SELECT integration_id, sequence FROM messages \
             WHERE integration_id = ?1 AND sequence = ?2 AND is_sealed AND body IS NOT NULL",
        )?
        .execute(params![of, sequence])?;
    Ok(())
}

/// Erases some of what may go.
pub fn erase(connection: &Connection, batch: &mut Batch, what: &Erase) -> rusqlite::Result<Erased> {
    // Pages that are free by it are overwritten as well: what is erased is in none of them.
    connection.pragma_update(None, "secure_delete", "ON")?;
    let erased = in_slices(connection, &mut batch.walks.erasure, what);
    connection.pragma_update(None, "secure_delete", super::schema::SECURE_DELETE)?;
    erased
}

fn in_slices(connection: &Connection, walk: &mut Walk, what: &Erase) -> rusqlite::Result<Erased> {
    let began = Instant::now();
    if what.again {
        (walk.left, walk.is_left_done) = (None, false);
    }
    let before = match walk.delivery {
        Some(before) => before,
        None => position(connection)?,
    };
    walk.delivery = Some(before);
    let mut slice = Slice {
        connection,
        walk,
        what,
        bodies: 0,
    };
    let mut has_more = true;
    while has_more && began.elapsed() < LONGEST {
        let is_full = slice.along_deliveries()?;
        has_more = slice.along_left()? || is_full;
    }
    let bodies = slice.bodies;
    if walk.delivery != Some(before) {
        connection
            .prepare_cached("UPDATE erasure_walk SET delivery_id = ?1")?
            .execute([walk.delivery])?;
    }
    Ok(Erased { bodies, has_more })
}

fn position(connection: &Connection) -> rusqlite::Result<DeliveryId> {
    let found = connection
        .prepare_cached("SELECT delivery_id FROM erasure_walk")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(DeliveryId(Uuid::nil())))
}

/// A few rows.
struct Slice<'a> {
    connection: &'a Connection,
    walk: &'a mut Walk,
    what: &'a Erase,
    bodies: u64,
}

/// What became of a message that was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// Its body is gone.
    Erased,
    /// It stays for now.
    Stays,
    /// It has none to erase, or is gone itself.
    Nothing,
}

impl Slice<'_> {
    /// Says whether there may be more.
    fn along_deliveries(&mut self) -> rusqlite::Result<bool> {
        let passed = self.next_deliveries()?;
        for (id, key, action) in &passed {
            if action.carries_secret() && self.look(*key)? == Looked::Stays {
                leave(self.connection, *key)?;
            }
            self.walk.delivery = Some(*id);
        }
        Ok(passed.len() == SLICE as usize)
    }

    fn next_deliveries(&self) -> rusqlite::Result<Vec<(DeliveryId, MessageKey, Action)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, integration_id, sequence, action FROM deliveries WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let until = first_id_at(just_after(self.what.ended));
        let rows = select.query_map(params![self.walk.delivery, until, SLICE], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?), text(row, 3)?))
        })?;
        rows.collect()
    }

    /// Says whether there may be more.
    fn along_left(&mut self) -> rusqlite::Result<bool> {
        if self.walk.is_left_done {
            return Ok(false);
        }
        let left = self.next_left()?;
        for key in &left {
            if self.look(*key)? == Looked::Nothing {
                self.forget(*key)?;
            }
            self.walk.left = Some(*key);
        }
        self.walk.is_left_done = left.len() < SLICE as usize;
        Ok(!self.walk.is_left_done)
    }

    fn next_left(&self) -> rusqlite::Result<Vec<MessageKey>> {
        let (of, sequence) = self.walk.left.unwrap_or((IntegrationId(Uuid::nil()), 0));
        let mut select = self.connection.prepare_cached(
            "SELECT integration_id, sequence FROM erasures_left WHERE (integration_id, sequence) > (?1, ?2) \
             ORDER BY integration_id, sequence LIMIT ?3",
        )?;
        let rows = select.query_map(params![of, sequence, SLICE], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    }

    /// Erases a body, if there is one that may go.
    fn look(&mut self, key: MessageKey) -> rusqlite::Result<Looked> {
        let Some(may_go) = self.may_go(key)? else {
            return Ok(Looked::Nothing);
        };
        if !may_go {
            return Ok(Looked::Stays);
        }
        self.connection
            .prepare_cached(
                "UPDATE messages SET body = NULL, body_2025 = NULL, erased_ms = ?3 \
                 WHERE integration_id = ?1 AND sequence = ?2",
            )?
            .execute(params![key.0, key.1, to_ms(self.what.now)])?;
        self.forget(key)?;
        self.bodies += 1;
        Ok(Looked::Erased)
    }

    /// Whether a body may go; `None` if there is none to erase. A run that has not come to the integration yet may send
    /// any message of it.
    fn may_go(&self, (of, sequence): MessageKey) -> rusqlite::Result<Option<bool>> {
        self.connection
            .prepare_cached(
                "SELECT m.created_ms <= ?3 \
                 AND NOT EXISTS (SELECT 1 FROM webhooks w CROSS JOIN deliveries d ON d.integration_id = ?1 \
                  AND d.webhook_id = w.id AND d.sequence = ?2 \
                  WHERE w.application_id = i.application_id AND w.deleted_ms IS NULL \
                  AND (d.next_attempt_ms IS NOT NULL OR d.replay_id IS NOT NULL OR COALESCE(d.ended_ms > ?3, 1))) \
                 AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.ended_ms IS NULL AND NOT r.is_exhausted \
                  AND (r.application_id IS NULL OR r.application_id = i.application_id) \
                  AND (r.at_integration IS NULL OR r.at_integration <= ?1)) \
                 FROM messages m CROSS JOIN integrations i ON i.id = m.integration_id \
                 WHERE m.integration_id = ?1 AND m.sequence = ?2 AND m.is_sealed AND m.body IS NOT NULL",
            )?
            .query_row(params![of, sequence, to_ms(self.what.ended)], |row| row.get(0))
            .optional()
    }

    fn forget(&self, (of, sequence): MessageKey) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM erasures_left WHERE integration_id = ?1 AND sequence = ?2",
            )?
            .execute(params![of, sequence])?;
        Ok(())
    }
}
