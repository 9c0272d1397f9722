//! Erasing bodies: one small transaction at a time, by one replica at a time. How messages are found is told with the
//! twin, `store/sqlite/erasure.rs`. Where the walk along the deliveries stands is in the database, for whichever replica
//! goes on.

use std::collections::{BTreeSet, HashSet};

use bellhop_webhook::Action;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Shared,
    connect::Failed,
    connection::{Transaction, execute, query, query_opt, settled},
    purge::PURGE_LOCK,
    rows,
};
use crate::{
    clock::to_ms,
    domain::integration::Integration,
    store::{Erase, Erased, id_bounds::first_id_at, sealed::corrupt},
};

/// Rows of one kind that one erasure looks at.
const SLICE: i64 = 512;

/// Whether the body of the message `m` may go, if what ended at `$1` may. A run that has not come to the integration yet
/// may send any message of it.
const MAY_GO: &str = "m.created_ms <= $1 \
    AND NOT EXISTS (SELECT 1 FROM webhooks w JOIN deliveries d ON d.integration_id = m.integration_id \
     AND d.webhook_id = w.id AND d.sequence = m.sequence \
     WHERE w.application_id = m.application_id AND w.deleted_ms IS NULL \
     AND (d.next_attempt_ms IS NOT NULL OR d.replay_id IS NOT NULL OR COALESCE(d.ended_ms > $1, true))) \
    AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.ended_ms IS NULL AND NOT r.is_exhausted \
     AND (r.application_id IS NULL OR r.application_id = m.application_id) \
     AND (r.at_integration IS NULL OR r.at_integration <= m.integration_id))";

/// Which message.
type MessageKey = (Uuid, i64);

/// How far this replica has looked again at what was left.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walk {
    left: Option<MessageKey>,
    is_left_done: bool,
}

/// Messages that the walk does not meet: integration, sequence, application.
#[derive(Default)]
pub struct Left(Vec<(Uuid, i64, Uuid)>);

impl Left {
    /// A message that nobody wants.
    pub fn push(&mut self, of: &Integration, sequence: u64) {
        self.0.push((of.id.0, sequence as i64, of.application_id.0));
    }

    /// Whether there are none, as most often.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps them to be looked at.
    pub async fn insert(&self, on: &Transaction<'_>) -> Result<(), Failed> {
        if self.is_empty() {
            return Ok(());
        }
        let of: Vec<Uuid> = self.0.iter().map(|each| each.0).collect();
        let sequences: Vec<i64> = self.0.iter().map(|each| each.1).collect();
        let applications: Vec<Uuid> = self.0.iter().map(|each| each.2).collect();
        execute(
            on,
            "INSERT INTO erasures_left (integration_id, sequence, application_id) \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) ON CONFLICT DO NOTHING",
            &[&of, &sequences, &applications],
        )
        .await?;
        Ok(())
    }
}

/// Erases some of what may go. Nothing while another replica does, or purges.
pub async fn erase(shared: &Shared, what: &Erase) -> Result<Erased, Failed> {
    let mut walk = shared.walks.lock().expect("no holder panics").erasure;
    if what.again {
        walk = Walk::default();
    }
    let connection = shared.writers.get().await?;
    let erased = settled(connection, async |connection| {
        let transaction = connection.transaction();
        let ask = "SELECT pg_try_advisory_xact_lock($1)";
        let row = query_opt(&transaction, ask, &[&PURGE_LOCK]).await?;
        let row = row.ok_or_else(|| corrupt("pg_try_advisory_xact_lock"))?;
        if !rows::get::<bool>(&row, 0)? {
            transaction.rollback().await?;
            return Ok(Erased {
                bodies: 0,
                has_more: true,
            });
        }
        let slice = Slice {
            on: &transaction,
            what,
        };
        let erased = slice.erase(&mut walk).await?;
        transaction.commit().await?;
        Ok(erased)
    })
    .await?;
    shared.walks.lock().expect("no holder panics").erasure = walk;
    Ok(erased)
}

/// A few rows of each kind.
struct Slice<'a> {
    on: &'a Transaction<'a>,
    what: &'a Erase,
}

impl Slice<'_> {
    async fn erase(&self, walk: &mut Walk) -> Result<Erased, Failed> {
        let (passed, is_full) = self.along_deliveries().await?;
        let left = self.along_left(walk).await?;
        let all: BTreeSet<MessageKey> = passed.iter().chain(&left).copied().collect();
        let sealed = self.sealed(&all).await?;
        let may_go = sealed.iter().filter(|each| each.may_go);
        let erased = self.erase_these(may_go.map(|each| each.key)).await?;
        let mut left = Left::default();
        let mut done = all;
        for each in sealed.iter().filter(|each| !erased.contains(&each.key)) {
            done.remove(&each.key);
            if passed.contains(&each.key) {
                left.0.push((each.key.0, each.key.1, each.application_id));
            }
        }
        left.insert(self.on).await?;
        self.forget(&done).await?;
        Ok(Erased {
            bodies: erased.len() as u64,
            has_more: is_full || !walk.is_left_done,
        })
    }

    /// The messages with a secret that the walk passes next, and whether there may be more.
    async fn along_deliveries(&self) -> Result<(BTreeSet<MessageKey>, bool), Failed> {
        let next = query(
            self.on,
            "SELECT id, integration_id, sequence, action FROM deliveries \
             WHERE id > (SELECT delivery_id FROM erasure_walk) AND id < $1 ORDER BY id LIMIT $2",
            &[
                &first_id_at(to_ms(self.what.ended).saturating_add(1)),
                &SLICE,
            ],
        )
        .await?;
        if let Some(last) = next.last() {
            let last: Uuid = rows::get(last, 0)?;
            let sql = "UPDATE erasure_walk SET delivery_id = $1";
            execute(self.on, sql, &[&last]).await?;
        }
        let mut passed = BTreeSet::new();
        for row in &next {
            if rows::text::<Action>(row, 3)?.carries_secret() {
                passed.insert((rows::get(row, 1)?, rows::get(row, 2)?));
            }
        }
        Ok((passed, next.len() as i64 == SLICE))
    }

    /// What was left and is looked at again.
    async fn along_left(&self, walk: &mut Walk) -> Result<Vec<MessageKey>, Failed> {
        if walk.is_left_done {
            return Ok(Vec::new());
        }
        let (of, sequence) = walk.left.unwrap_or((Uuid::nil(), 0));
        let found = query(
            self.on,
            "SELECT integration_id, sequence FROM erasures_left WHERE (integration_id, sequence) > ($1, $2) \
             ORDER BY integration_id, sequence LIMIT $3",
            &[&of, &sequence, &SLICE],
        )
        .await?;
        let found = rows::all(&found, key)?;
        walk.left = found.last().copied().or(walk.left);
        walk.is_left_done = (found.len() as i64) < SLICE;
        Ok(found)
    }

    /// Those that have a body to erase, and whether it may go.
    async fn sealed(&self, all: &BTreeSet<MessageKey>) -> Result<Vec<Sealed>, Failed> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let (of, sequences) = columns(all.iter().copied());
        let found = query(
            self.on,
            &format!(
                "SELECT m.integration_id, m.sequence, m.application_id, {MAY_GO} FROM messages m \
                 JOIN unnest($2::uuid[], $3::bigint[]) AS u (integration_id, sequence) \
                 ON m.integration_id = u.integration_id AND m.sequence = u.sequence \
                 WHERE m.is_sealed AND m.body IS NOT NULL"
            ),
            &[&to_ms(self.what.ended), &of, &sequences],
        )
        .await?;
        Ok(rows::all(&found, |row| {
            Ok(Sealed {
                key: key(row)?,
                application_id: rows::get(row, 2)?,
                may_go: rows::get(row, 3)?,
            })
        })?)
    }

    /// Erases those that may still go once nobody can make anything of them due. An integration that somebody else has
    /// locked is not waited for.
    async fn erase_these(
        &self,
        these: impl Iterator<Item = MessageKey>,
    ) -> Result<HashSet<MessageKey>, Failed> {
        let (of, sequences) = columns(these);
        if of.is_empty() {
            return Ok(HashSet::new());
        }
        let free = query(
            self.on,
            "SELECT id FROM integrations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
            &[&of],
        )
        .await?;
        let free: Vec<Uuid> = rows::all(&free, |row| rows::get(row, 0))?;
        let erased = query(
            self.on,
            &format!(
                "UPDATE messages m SET body = NULL, body_2025 = NULL, erased_ms = $2 \
                 FROM unnest($3::uuid[], $4::bigint[]) AS u (integration_id, sequence) \
                 WHERE m.integration_id = u.integration_id AND m.sequence = u.sequence \
                 AND m.integration_id = ANY($5) AND m.is_sealed AND m.body IS NOT NULL AND {MAY_GO} \
                 RETURNING m.integration_id, m.sequence"
            ),
            &[
                &to_ms(self.what.ended),
                &to_ms(self.what.now),
                &of,
                &sequences,
                &free,
            ],
        )
        .await?;
        Ok(rows::all(&erased, key)?.into_iter().collect())
    }

    /// What was left may have been erased, or be gone.
    async fn forget(&self, these: &BTreeSet<MessageKey>) -> Result<(), Failed> {
        let (of, sequences) = columns(these.iter().copied());
        if of.is_empty() {
            return Ok(());
        }
        execute(
            self.on,
            "DELETE FROM erasures_left l USING unnest($1::uuid[], $2::bigint[]) AS u (integration_id, sequence) \
             WHERE l.integration_id = u.integration_id AND l.sequence = u.sequence",
            &[&of, &sequences],
        )
        .await?;
        Ok(())
    }
}

/// A message with a body to erase.
struct Sealed {
    key: MessageKey,
    application_id: Uuid,
    /// Whether it may go now.
    may_go: bool,
}

fn key(row: &Row) -> Result<MessageKey, crate::store::StoreError> {
    Ok((rows::get(row, 0)?, rows::get(row, 1)?))
}

/// As two columns.
fn columns(keys: impl Iterator<Item = MessageKey>) -> (Vec<Uuid>, Vec<i64>) {
    keys.unzip()
}
