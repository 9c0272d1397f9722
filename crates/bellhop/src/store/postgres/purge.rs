//! Purging: one small transaction at a time, by one replica at a time.
//!
//! Ids of deliveries grow with time, so the oldest are found by a walk through the table in their order. The walk
//! remembers where it is: what it left behind (what is pending, or ended late) is looked at again when somebody asks.

use bellhop_webhook::Action;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Shared, audit_purge,
    connect::Failed,
    connection::{Transaction, execute, query, query_opt, settled},
    counts::{Counts, Writer},
    erasure, rows,
};
use crate::{
    clock::to_ms,
    domain::delivery::DeliveryState,
    store::{Purge, Purged, id_bounds::first_id_at, sealed::corrupt},
    vault::RingKeyId,
};

/// Rows of one kind that one purge looks at.
const SLICE: i64 = 512;

/// Names the lock under which one replica purges, or erases bodies.
pub const PURGE_LOCK: i64 = 0x62_65_6c_6c_68_6f_71;

/// How far the walks have come.
#[derive(Debug, Clone, Copy)]
pub struct Walks {
    /// The delivery that was looked at last.
    delivery: Uuid,
    /// The deleted integration that was looked at last, and when it was deleted.
    integration: (i64, Uuid),
    /// How far erasing bodies has come.
    pub erasure: erasure::Walk,
    /// The key that this process has begun to seal anew with.
    pub resealing: Option<RingKeyId>,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            delivery: Uuid::nil(),
            integration: (i64::MIN, Uuid::nil()),
            erasure: erasure::Walk::default(),
            resealing: None,
        }
    }
}

/// Purges some of what may go. Nothing while another replica does.
pub async fn purge(shared: &Shared, what: &Purge) -> Result<Purged, Failed> {
    let mut walks = *shared.walks.lock().expect("no holder panics");
    if what.again {
        (walks.delivery, walks.integration) = (Uuid::nil(), (i64::MIN, Uuid::nil()));
    }
    let connection = shared.writers.get().await?;
    let purged = settled(connection, async |connection| {
        let transaction = connection.transaction();
        let ask = "SELECT pg_try_advisory_xact_lock($1)";
        let row = query_opt(&transaction, ask, &[&PURGE_LOCK]).await?;
        let row = row.ok_or_else(|| corrupt("pg_try_advisory_xact_lock"))?;
        if !rows::get::<bool>(&row, 0)? {
            transaction.rollback().await?;
            return Ok(Purged::default());
        }
        if let Some(until) = what.audit.filter(|_| what.again) {
            audit_purge::settle(&transaction, shared, until, what.now).await?;
        }
        let mut slice = Slice {
            on: &transaction,
            walks: &mut walks,
            counts: Counts::default(),
            purged: Purged::default(),
            is_full: false,
        };
        slice.purge(what).await?;
        let (counts, is_full) = (slice.counts, slice.is_full);
        let purged = Purged {
            has_more: is_full,
            ..slice.purged
        };
        counts
            .write(&transaction, shared.holder, Writer::Others)
            .await?;
        transaction.commit().await?;
        Ok(purged)
    })
    .await?;
    let mut kept = shared.walks.lock().expect("no holder panics");
    (kept.delivery, kept.integration) = (walks.delivery, walks.integration);
    Ok(purged)
}

/// A few rows of each kind.
struct Slice<'a> {
    on: &'a Transaction<'a>,
    walks: &'a mut Walks,
    counts: Counts,
    purged: Purged,
    /// Whether any kind had as many rows as were looked at: then there may be more.
    is_full: bool,
}

impl Slice<'_> {
    async fn purge(&mut self, what: &Purge) -> Result<(), Failed> {
        let expired = "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE until_ms <= $1 \
                       ORDER BY until_ms LIMIT $2 FOR UPDATE SKIP LOCKED)";
        self.purged.others += self.some(expired, to_ms(what.now)).await?;
        if let Some(until) = what.deliveries {
            self.operational_messages(until).await?;
            self.deliveries(until).await?;
            self.replays(until).await?;
        }
        if what.audit.is_some() {
            self.audit().await?;
        }
        // Tombstones after all deliveries that may go: one that still has a delivery is left behind.
        if let Some(until) = what.tombstones.filter(|_| !self.is_full) {
            self.integrations(until).await?;
            let expired = "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE expires_ms <= $1 \
                           ORDER BY expires_ms LIMIT $2)";
            self.purged.tombstones += self.some(expired, to_ms(until)).await?;
            if let Some(deliveries) = what.deliveries {
                self.webhooks(until.min(deliveries)).await?;
            }
        }
        Ok(())
    }

    /// Runs that have ended. Their ids grow with time, so that what is younger is not looked at. The newest backfill of a
    /// webhook stays: it says that the order of ids is not that of sequences there.
    async fn replays(&mut self, until: Timestamp) -> Result<(), Failed> {
        let bound = first_id_at(to_ms(until).saturating_add(1));
        let n = execute(
            self.on,
            "DELETE FROM replays WHERE id IN (SELECT id FROM replays o WHERE id < $1 AND ended_ms <= $2 \
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE replay_id = o.id) \
             AND (kind = 'Replay' OR EXISTS (SELECT 1 FROM replays n WHERE n.webhook_id = o.webhook_id \
             AND n.kind = 'Backfill' AND n.id > o.id) OR NOT EXISTS (SELECT 1 FROM webhooks w \
             WHERE w.id = o.webhook_id AND w.deleted_ms IS NULL)) ORDER BY id LIMIT $3)",
            &[&bound, &to_ms(until), &SLICE],
        )
        .await?;
        self.is_full |= n == SLICE as u64;
        self.purged.replays += n;
        Ok(())
    }

    /// Deletes at most a slice of what is that old.
    async fn some(&mut self, sql: &str, until_ms: i64) -> Result<u64, Failed> {
        let n = execute(self.on, sql, &[&until_ms, &SLICE]).await?;
        self.is_full |= n == SLICE as u64;
        Ok(n)
    }

    /// Up to where the log may go.
    async fn audit(&mut self) -> Result<(), Failed> {
        let Some(gone) = audit_purge::purged(self.on).await? else {
            return Ok(());
        };
        let entries = execute(
            self.on,
            "DELETE FROM audit_entries WHERE (xact, id) IN (SELECT xact, id FROM audit_entries \
             WHERE (xact, id) <= ($1, $2) ORDER BY xact, id LIMIT $3)",
            &[&(gone.last.group as i64), &gone.last.id, &SLICE],
        )
        .await?;
        let links = execute(
            self.on,
            "DELETE FROM audit_links WHERE position IN \
             (SELECT position FROM audit_links WHERE position < $1 ORDER BY position LIMIT $2)",
            &[&(gone.chain.position as i64), &SLICE],
        )
        .await?;
        self.is_full |= entries.max(links) == SLICE as u64;
        self.purged.others += entries + links;
        Ok(())
    }

    /// Whatever came of them: what could not be sent in all that time is no news.
    async fn operational_messages(&mut self, until: Timestamp) -> Result<(), Failed> {
        let bound = first_id_at(to_ms(until).saturating_add(1));
        let n = execute(
            self.on,
            "WITH gone AS (DELETE FROM operational_messages WHERE id IN (SELECT id FROM operational_messages \
             WHERE id < $1 ORDER BY id LIMIT $2) RETURNING id), \
             sends_gone AS (DELETE FROM operational_sends s USING gone WHERE s.message_id = gone.id) \
             SELECT id FROM gone",
            &[&bound, &SLICE],
        )
        .await?;
        self.is_full |= n == SLICE as u64;
        self.purged.others += n;
        Ok(())
    }

    /// The last delivery of a lane tells the next one what came before it: it stays while an earlier one of its lane
    /// does, and leaves its sequence behind when it goes.
    async fn deliveries(&mut self, until: Timestamp) -> Result<(), Failed> {
        let until_ms = to_ms(until);
        let bound = first_id_at(until_ms.saturating_add(1));
        let seen = query(
            self.on,
            "SELECT id, state, integration_id, webhook_id, application_id, sequence, \
             next_attempt_ms IS NULL AND COALESCE(ended_ms <= $3, false) AS may_go \
             FROM deliveries WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4",
            &[&self.walks.delivery, &bound, &until_ms, &SLICE],
        )
        .await?;
        self.is_full |= seen.len() as i64 == SLICE;
        let Some(last) = seen.last() else {
            return Ok(());
        };
        self.walks.delivery = rows::get(last, 0)?;
        let may_go = rows::all(&seen, |row| {
            Ok((rows::get::<Uuid>(row, 0)?, rows::get::<bool>(row, 6)?))
        })?;
        let ids: Vec<Uuid> = may_go
            .into_iter()
            .filter(|(_, may_go)| *may_go)
            .map(|(id, _)| id)
            .collect();
        // In their order: one that goes is no longer before the one after it.
        let mut going = Vec::new();
        for row in &seen {
            let id: Uuid = rows::get(row, 0)?;
            if ids.contains(&id) && self.is_free(row, &going).await? {
                going.push(id);
            }
        }
        self.delete(&going, until_ms).await
    }

    /// Whether a delivery that is old may go without leaving a hole in what its lane knows.
    async fn is_free(&self, row: &tokio_postgres::Row, going: &[Uuid]) -> Result<bool, Failed> {
        let lane: (Uuid, Uuid, Uuid) = (rows::get(row, 2)?, rows::get(row, 3)?, rows::get(row, 4)?);
        let sequence: i64 = rows::get(row, 5)?;
        let found = query_opt(
            self.on,
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE integration_id = $1 AND webhook_id = $2 AND sequence > $3), \
             EXISTS (SELECT 1 FROM deliveries WHERE integration_id = $1 AND webhook_id = $2 AND sequence < $3 \
             AND id <> ALL($4))",
            &[&lane.0, &lane.1, &sequence, &going],
        )
        .await?
        .ok_or_else(|| corrupt("deliveries"))?;
        let (has_next, has_earlier): (bool, bool) = (rows::get(&found, 0)?, rows::get(&found, 1)?);
        if has_next {
            return Ok(true);
        }
        if has_earlier {
            return Ok(false);
        }
        execute(
            self.on,
            "INSERT INTO lane_ends AS e (integration_id, webhook_id, application_id, sequence) \
             SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM integrations WHERE id = $1 AND deleted_ms IS NULL) \
             AND EXISTS (SELECT 1 FROM webhooks WHERE id = $2 AND deleted_ms IS NULL) \
             ON CONFLICT (integration_id, webhook_id, application_id) \
             DO UPDATE SET sequence = GREATEST(e.sequence, excluded.sequence)",
            &[&lane.0, &lane.1, &lane.2, &sequence],
        )
        .await?;
        Ok(true)
    }

    /// Deletes those that are still as they were.
    async fn delete(&mut self, ids: &[Uuid], until_ms: i64) -> Result<(), Failed> {
        if ids.is_empty() {
            return Ok(());
        }
        let gone = query(
            self.on,
            "WITH gone AS (DELETE FROM deliveries WHERE id = ANY($1) AND next_attempt_ms IS NULL AND ended_ms <= $2 \
             RETURNING id, state, integration_id, sequence, action), \
             attempts_gone AS (DELETE FROM attempts a USING gone WHERE a.delivery_id = gone.id), \
             left_over AS (INSERT INTO erasures_left (integration_id, sequence, application_id) \
              SELECT DISTINCT m.integration_id, m.sequence, m.application_id FROM gone JOIN messages m \
              ON m.integration_id = gone.integration_id AND m.sequence = gone.sequence \
              WHERE gone.action = ANY($3) AND m.is_sealed AND m.body IS NOT NULL ON CONFLICT DO NOTHING) \
             SELECT state FROM gone",
            // The walk that erases bodies may have to meet them yet.
            &[&ids, &until_ms, &carrying_secrets()],
        )
        .await?;
        for row in &gone {
            self.counts.removed(rows::text::<DeliveryState>(row, 0)?);
        }
        self.purged.deliveries += gone.len() as u64;
        Ok(())
    }

    async fn integrations(&mut self, until: Timestamp) -> Result<(), Failed> {
        let (after_ms, after) = self.walks.integration;
        let old = query(
            self.on,
            "SELECT deleted_ms, id, EXISTS (SELECT 1 FROM deliveries WHERE integration_id = integrations.id) \
             FROM integrations WHERE deleted_ms IS NOT NULL AND (deleted_ms, id) > ($1, $2) AND deleted_ms <= $3 \
             ORDER BY deleted_ms, id LIMIT $4",
            &[&after_ms, &after, &to_ms(until), &SLICE],
        )
        .await?;
        self.is_full |= old.len() as i64 == SLICE;
        for row in &old {
            let place: (i64, Uuid) = (rows::get(row, 0)?, rows::get(row, 1)?);
            let has_deliveries: bool = rows::get(row, 2)?;
            if !has_deliveries && !self.integration(place.1).await? {
                // The rest of its messages go with the next slice.
                return Ok(());
            }
            self.walks.integration = place;
        }
        Ok(())
    }

    /// Says whether nothing of it is left.
    async fn integration(&mut self, id: Uuid) -> Result<bool, Failed> {
        let n = execute(
            self.on,
            "DELETE FROM messages WHERE integration_id = $1 AND sequence IN \
             (SELECT sequence FROM messages WHERE integration_id = $1 ORDER BY sequence LIMIT $2)",
            &[&id, &SLICE],
        )
        .await?;
        self.purged.others += n;
        if n == SLICE as u64 {
            self.is_full = true;
            return Ok(false);
        }
        for of_it in [
            "DELETE FROM lane_ends WHERE integration_id = $1",
            "DELETE FROM erasures_left WHERE integration_id = $1",
            "DELETE FROM integrations WHERE id = $1",
        ] {
            execute(self.on, of_it, &[&id]).await?;
        }
        self.purged.tombstones += 1;
        Ok(true)
    }

    async fn webhooks(&mut self, until: Timestamp) -> Result<(), Failed> {
        let old = query(
            self.on,
            "SELECT id FROM webhooks WHERE deleted_ms IS NOT NULL AND deleted_ms <= $1 ORDER BY deleted_ms LIMIT $2",
            &[&to_ms(until), &SLICE],
        )
        .await?;
        self.is_full |= old.len() as i64 == SLICE;
        for row in &old {
            let id: Uuid = rows::get(row, 0)?;
            let n = execute(
                self.on,
                "DELETE FROM lane_ends WHERE webhook_id = $1 AND integration_id IN \
                 (SELECT integration_id FROM lane_ends WHERE webhook_id = $1 LIMIT $2)",
                &[&id, &SLICE],
            )
            .await?;
            self.purged.others += n;
            if n == SLICE as u64 {
                self.is_full = true;
                return Ok(());
            }
            execute(self.on, "DELETE FROM webhooks WHERE id = $1", &[&id]).await?;
            self.purged.tombstones += 1;
        }
        Ok(())
    }
}

/// The actions whose bodies carry an access token.
pub fn carrying_secrets() -> Vec<&'static str> {
    let all = Action::ALL.into_iter();
    all.filter(|action| action.carries_secret())
        .map(Action::as_str)
        .collect()
}
