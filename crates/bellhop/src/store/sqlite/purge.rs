//! Purging, inside the writer's transactions: a little with each, so that no write waits long for it.
//!
//! Ids of deliveries grow with time, so the oldest are found by a walk through the table in its own order, and no
//! index is needed. The walk remembers where it is: what it left behind (what is pending, or ended late) is looked
//! at again when somebody asks for that.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{audit_purge, batch::Batch, erasure, read::first_id_at, values::text};
use crate::vault::RingKeyId;
use crate::{
    clock::to_ms,
    domain::delivery::DeliveryState,
    id::{ApplicationId, DeliveryId, IntegrationId, WebhookId},
    store::{Purge, Purged},
};
use bellhop_webhook::Action;

/// How long a purge goes on: what waits for the writer waits that much longer.
const LONGEST: Duration = Duration::from_millis(2);

/// Rows between two looks at the time.
const SLICE: u32 = 64;

/// Rows after which it ends, whatever the time.
const MOST: u64 = 2048;

/// How far the walks have come.
#[derive(Debug, Clone, Copy)]
pub struct Walks {
    /// The delivery that was looked at last.
    delivery: DeliveryId,
    /// The deleted integration that was looked at last, and when it was deleted.
    integration: (i64, IntegrationId),
    /// How far erasing bodies has come.
    pub erasure: erasure::Walk,
    /// The key that this process has begun to seal anew with.
    pub resealing: Option<RingKeyId>,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            delivery: DeliveryId(Uuid::nil()),
            integration: (i64::MIN, IntegrationId(Uuid::nil())),
            erasure: erasure::Walk::default(),
            resealing: None,
        }
    }
}

/// Purges some of what may go.
pub fn purge(connection: &Connection, batch: &mut Batch, what: &Purge) -> rusqlite::Result<Purged> {
    let began = Instant::now();
    if what.again {
        batch.walks = Walks {
            erasure: batch.walks.erasure,
            resealing: batch.walks.resealing,
            ..Walks::default()
        };
    }
    if let Some(until) = what.audit.filter(|_| what.again) {
        audit_purge::settle(connection, batch, until, what.now)?;
    }
    let mut purged = Purged::default();
    let mut looked_at = 0;
    loop {
        let mut slice = Slice {
            connection,
            batch,
            purged: &mut purged,
            is_full: false,
        };
        slice.purge(what)?;
        let is_full = slice.is_full;
        looked_at += u64::from(SLICE);
        purged.has_more = is_full;
        if !is_full || looked_at >= MOST || began.elapsed() >= LONGEST {
            return Ok(purged);
        }
    }
}

/// A few rows of each kind.
struct Slice<'a> {
    connection: &'a Connection,
    batch: &'a mut Batch,
    purged: &'a mut Purged,
    /// Whether any kind had as many rows as were looked at: then there may be more.
    is_full: bool,
}

/// A delivery that is old.
struct Old {
    id: DeliveryId,
    state: DeliveryState,
    /// Whether it has ended long enough ago.
    may_go: bool,
    integration: IntegrationId,
    webhook: WebhookId,
    sequence: u64,
    action: Action,
    /// Whether its lane goes on after it.
    has_next: bool,
}

impl Slice<'_> {
    fn purge(&mut self, what: &Purge) -> rusqlite::Result<()> {
        self.idempotency(what.now)?;
        if let Some(until) = what.deliveries {
            self.operational_messages(until)?;
            self.deliveries(until)?;
            self.replays(until)?;
        }
        if what.audit.is_some() {
            self.audit()?;
        }
        // Tombstones after all deliveries that may go: one that still has a delivery is left behind.
        if let Some(until) = what.tombstones.filter(|_| !self.is_full) {
            self.integrations(until)?;
            self.keys(until)?;
            if let Some(deliveries) = what.deliveries {
                self.webhooks(until.min(deliveries))?;
            }
        }
        Ok(())
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    /// Deletes at most a slice; says whether that was all.
    fn execute_some(
        &mut self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> rusqlite::Result<(u64, bool)> {
        let n = self.execute(sql, values)? as u64;
        let is_full = n == u64::from(SLICE);
        self.is_full |= is_full;
        Ok((n, !is_full))
    }

    fn idempotency(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let (n, _) = self.execute_some(
            "DELETE FROM idempotency WHERE key IN \
             (SELECT key FROM idempotency WHERE until_ms <= ?1 ORDER BY until_ms LIMIT ?2)",
            params![to_ms(now), SLICE],
        )?;
        self.purged.others += n;
        Ok(())
    }

    /// Up to where the log may go.
    fn audit(&mut self) -> rusqlite::Result<()> {
        let Some(gone) = audit_purge::purged(self.connection)? else {
            return Ok(());
        };
        let (entries, _) = self.execute_some(
            "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE id <= ?1 ORDER BY id LIMIT ?2)",
            params![gone.last.id.as_bytes(), SLICE],
        )?;
        let (links, _) = self.execute_some(
            "DELETE FROM audit_links WHERE position IN \
             (SELECT position FROM audit_links WHERE position < ?1 ORDER BY position LIMIT ?2)",
            params![gone.chain.position, SLICE],
        )?;
        self.purged.others += entries + links;
        Ok(())
    }

    /// Whatever came of them: what could not be sent in all that time is no news.
    fn operational_messages(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        const OLD: &str =
            "(SELECT id FROM operational_messages WHERE id < ?1 ORDER BY id LIMIT ?2)";
        let values = (first_id_at(just_after(until)), SLICE);
        self.execute(
            &format!("DELETE FROM operational_sends WHERE message_id IN {OLD}"),
            values,
        )?;
        let (n, _) = self.execute_some(
            &format!("DELETE FROM operational_messages WHERE id IN {OLD}"),
            values,
        )?;
        self.purged.others += n;
        Ok(())
    }

    /// Runs that have ended. Their ids grow with time, so that what is younger is not looked at. The newest backfill of a
    /// webhook stays: it says that the order of ids is not that of sequences there.
    fn replays(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        let (n, _) = self.execute_some(
            "DELETE FROM replays WHERE id IN (SELECT id FROM replays old WHERE id < ?1 AND ended_ms <= ?2 \
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE replay_id = old.id) \
             AND (kind = 'Replay' OR EXISTS (SELECT 1 FROM replays newer WHERE newer.webhook_id = old.webhook_id \
             AND newer.kind = 'Backfill' AND newer.id > old.id) OR NOT EXISTS (SELECT 1 FROM webhooks w \
             WHERE w.id = old.webhook_id AND w.deleted_ms IS NULL)) ORDER BY id LIMIT ?3)",
            params![first_id_at(just_after(until)), to_ms(until), SLICE],
        )?;
        self.purged.replays += n;
        Ok(())
    }

    fn deliveries(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        let old = self.old_deliveries(until)?;
        self.is_full |= old.len() == SLICE as usize;
        for delivery in &old {
            if delivery.may_go && !self.batch.claims.holds(delivery.id) {
                self.delivery(delivery)?;
            }
            self.batch.walks.delivery = delivery.id;
        }
        Ok(())
    }

    fn old_deliveries(&self, until: Timestamp) -> rusqlite::Result<Vec<Old>> {
        let until_ms = to_ms(until);
        let mut select = self.connection.prepare_cached(
            "SELECT id, state, may_go, integration_id, webhook_id, sequence, action, \
             may_go AND EXISTS (SELECT 1 FROM deliveries next WHERE next.integration_id = old.integration_id \
             AND next.webhook_id = old.webhook_id AND next.sequence > old.sequence) \
             FROM (SELECT id, state, integration_id, webhook_id, sequence, action, \
             next_attempt_ms IS NULL AND COALESCE(ended_ms <= ?3, 0) AS may_go \
             FROM deliveries WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?4) old",
        )?;
        let values = params![
            self.batch.walks.delivery,
            first_id_at(just_after(until)),
            until_ms,
            SLICE
        ];
        let rows = select.query_map(values, |row| {
            Ok(Old {
                id: row.get(0)?,
                state: text(row, 1)?,
                may_go: row.get(2)?,
                integration: row.get(3)?,
                webhook: row.get(4)?,
                sequence: row.get(5)?,
                action: text(row, 6)?,
                has_next: row.get(7)?,
            })
        })?;
        rows.collect()
    }

    fn delivery(&mut self, old: &Old) -> rusqlite::Result<()> {
        if !old.has_next && !self.remember_end(old)? {
            return Ok(());
        }
        self.execute("DELETE FROM attempts WHERE delivery_id = ?1", [old.id])?;
        self.execute("DELETE FROM deliveries WHERE id = ?1", [old.id])?;
        if old.action.carries_secret() {
            // The walk that erases bodies may have to meet it yet.
            erasure::leave(self.connection, (old.integration, old.sequence))?;
        }
        self.batch.counts.removed(old.state);
        self.purged.deliveries += 1;
        Ok(())
    }

    /// The last delivery of a lane tells the next one what came before it. Says whether it may go: it stays while
    /// an earlier one of its lane does, so that only an empty lane has to be looked up elsewhere.
    fn remember_end(&self, last: &Old) -> rusqlite::Result<bool> {
        let has_earlier = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 AND sequence < ?3",
            )?
            .exists(params![last.integration, last.webhook, last.sequence])?;
        if has_earlier {
            return Ok(false);
        }
        self.execute(
            "INSERT INTO lane_ends SELECT ?1, ?2, ?3 \
             WHERE EXISTS (SELECT 1 FROM integrations WHERE id = ?1 AND deleted_ms IS NULL) \
             AND EXISTS (SELECT 1 FROM webhooks WHERE id = ?2 AND deleted_ms IS NULL) \
             ON CONFLICT DO UPDATE SET sequence = MAX(sequence, excluded.sequence)",
            params![last.integration, last.webhook, last.sequence],
        )?;
        Ok(true)
    }

    fn integrations(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        let (after_ms, after) = self.batch.walks.integration;
        let mut select = self.connection.prepare_cached(
            "SELECT deleted_ms, id, EXISTS (SELECT 1 FROM deliveries WHERE integration_id = integrations.id) \
             FROM integrations WHERE deleted_ms IS NOT NULL AND (deleted_ms, id) > (?1, ?2) AND deleted_ms <= ?3 \
             ORDER BY deleted_ms, id LIMIT ?4",
        )?;
        let values = params![after_ms, after, to_ms(until), SLICE];
        let rows = select.query_map(values, |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        let old: Vec<((i64, IntegrationId), bool)> = rows.collect::<rusqlite::Result<_>>()?;
        drop(select);
        self.is_full |= old.len() == SLICE as usize;
        for (place, has_deliveries) in old {
            if !has_deliveries && !self.integration(place.1)? {
                // The rest of its messages go with the next slice.
                return Ok(());
            }
            self.batch.walks.integration = place;
        }
        Ok(())
    }

    /// Says whether nothing of it is left.
    fn integration(&mut self, id: IntegrationId) -> rusqlite::Result<bool> {
        let (n, was_all) = self.execute_some(
            "DELETE FROM messages WHERE integration_id = ?1 AND sequence IN \
             (SELECT sequence FROM messages WHERE integration_id = ?1 ORDER BY sequence LIMIT ?2)",
            params![id, SLICE],
        )?;
        self.purged.others += n;
        if was_all {
            for of_it in [
                "DELETE FROM lane_ends WHERE integration_id = ?1",
                "DELETE FROM erasures_left WHERE integration_id = ?1",
                "DELETE FROM integrations WHERE id = ?1",
            ] {
                self.execute(of_it, [id])?;
            }
            self.purged.tombstones += 1;
        }
        Ok(was_all)
    }

    fn webhooks(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, application_id FROM webhooks WHERE deleted_ms IS NOT NULL AND deleted_ms <= ?1 \
             ORDER BY deleted_ms LIMIT ?2",
        )?;
        let rows = select.query_map(params![to_ms(until), SLICE], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let old: Vec<(WebhookId, ApplicationId)> = rows.collect::<rusqlite::Result<_>>()?;
        drop(select);
        self.is_full |= old.len() == SLICE as usize;
        for (id, of) in old {
            let (n, was_all) = self.execute_some(
                "DELETE FROM lane_ends WHERE webhook_id = ?1 AND integration_id IN \
                 (SELECT integration_id FROM lane_ends WHERE webhook_id = ?1 LIMIT ?2)",
                params![id, SLICE],
            )?;
            self.purged.others += n;
            if !was_all {
                return Ok(());
            }
            self.execute("DELETE FROM webhooks WHERE id = ?1", [id])?;
            self.batch.forget_webhook(id, of);
            self.purged.tombstones += 1;
        }
        Ok(())
    }

    fn keys(&mut self, until: Timestamp) -> rusqlite::Result<()> {
        let (n, _) = self.execute_some(
            "DELETE FROM api_keys WHERE id IN \
             (SELECT id FROM api_keys WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)",
            params![to_ms(until), SLICE],
        )?;
        self.purged.tombstones += n;
        Ok(())
    }
}

/// The next millisecond: ids that are made at this moment are below the first one of that.
pub fn just_after(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(to_ms(moment).saturating_add(1)).unwrap_or(moment)
}
