//! What the writer keeps in memory beside the database. It is the only writer, so it may.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{audit::Linking, claims::Claims, purge::Walks, ready::Ready, rows, values::text};
use crate::{
    clock::from_ms,
    domain::{
        delivery::DeliveryState,
        health::Health,
        operational::Destination,
        webhook::{ActionFilter, Subscription, WebhookState},
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, Ids, WebhookId},
    store::StoreError,
};

/// The writer's memory.
pub struct Batch {
    pub ids: Ids,
    /// Where operational messages are sent to.
    pub destinations: Arc<[Destination]>,
    pub claims: Claims,
    pub ready: Ready,
    pub walks: Walks,
    pub subscriptions: Subscriptions,
    pub enterprises: Enterprises,
    pub webhooks: Webhooks,
    /// Changes to the counts that are not yet written.
    pub counts: Counts,
    /// Webhooks deleted in this transaction: their claims are void once it is durable.
    pub dropped: Vec<WebhookId>,
    /// Webhooks that a backfill was started for: their lanes may have something pending before what has ended.
    /// One too many, after a rollback, costs a longer look and nothing else.
    pub backfilled: HashSet<WebhookId>,
    /// Claims recorded in this transaction: no longer held once it is durable.
    pub recorded: HashSet<DeliveryId>,
    /// Where the chain of the audit log stands.
    pub linking: Linking,
}

/// The webhooks of each application.
#[derive(Default)]
pub struct Subscriptions(HashMap<ApplicationId, Arc<[Subscription]>>);

/// The names of enterprises, which go into bodies.
#[derive(Default)]
pub struct Enterprises(HashMap<EnterpriseId, Arc<str>>);

/// What claiming must know of a webhook.
#[derive(Debug, Clone, Copy)]
pub struct WebhookGate {
    pub state: WebhookState,
    pub not_before: Option<Timestamp>,
    pub revision: u64,
    pub first_wait: Duration,
    pub max_in_flight: u32,
    pub health: Health,
}

/// The gates of the webhooks.
#[derive(Default)]
pub struct Webhooks(HashMap<WebhookId, Option<WebhookGate>>);

/// How the number of deliveries in each state changes.
#[derive(Default, Clone, Copy)]
pub struct Counts([i64; 4]);

/// Most entries of a cache; beyond it is emptied.
const MAX_CACHED: usize = 20_000;

impl Batch {
    pub fn new(
        ids: Ids,
        destinations: Arc<[Destination]>,
        backfilled: HashSet<WebhookId>,
        linking: Linking,
    ) -> Self {
        Self {
            ids,
            destinations,
            claims: Claims::default(),
            ready: Ready::default(),
            walks: Walks::default(),
            subscriptions: Subscriptions::default(),
            enterprises: Enterprises::default(),
            webhooks: Webhooks::default(),
            counts: Counts::default(),
            dropped: Vec::new(),
            backfilled,
            recorded: HashSet::new(),
            linking,
        }
    }

    /// The transaction is durable: what it freed is free.
    pub fn committed(&mut self) {
        for id in self.recorded.drain() {
            self.claims.end(id);
        }
        for webhook in self.dropped.drain(..) {
            self.claims.end_all_of(webhook);
            self.ready.forget(webhook);
        }
        self.ready.committed();
        self.linking.committed();
        self.counts = Counts::default();
    }

    /// The transaction never happened: what was read inside it may be wrong.
    pub fn rolled_back(&mut self) {
        self.recorded.clear();
        self.dropped.clear();
        self.ready.forget_all();
        self.linking.rolled_back();
        self.counts = Counts::default();
        self.walks = Walks::default();
        self.subscriptions.0.clear();
        self.enterprises.0.clear();
        self.webhooks.0.clear();
    }

    /// A webhook has changed.
    pub fn forget_webhook(&mut self, id: WebhookId, of: ApplicationId) {
        self.subscriptions.forget(of);
        self.webhooks.forget(id);
    }
}

impl Subscriptions {
    /// The webhooks of an application; `None` if there is no such application.
    pub fn of(
        &mut self,
        connection: &Connection,
        id: ApplicationId,
    ) -> Result<Option<Arc<[Subscription]>>, StoreError> {
        if let Some(known) = self.0.get(&id) {
            return Ok(Some(known.clone()));
        }
        let exists = connection
            .prepare_cached("SELECT 1 FROM applications WHERE id = ?1")?
            .exists([id])?;
        if !exists {
            return Ok(None);
        }
        let mut select = connection.prepare_cached(
            "SELECT id, actions, profile, retry_schedule ->> 0 FROM webhooks WHERE application_id = ?1 AND deleted_ms IS NULL ORDER BY id",
        )?;
        let rows = select.query_map([id], |row| {
            let actions = ActionFilter::from_bits(row.get(1)?);
            Ok(Subscription {
                webhook_id: row.get(0)?,
                actions,
                profile: text(row, 2)?,
                first_wait: Duration::from_secs(row.get(3)?),
            })
        })?;
        let found: Arc<[Subscription]> = rows.collect::<rusqlite::Result<_>>()?;
        if self.0.len() >= MAX_CACHED {
            self.0.clear();
        }
        self.0.insert(id, found.clone());
        Ok(Some(found))
    }

    /// Its webhooks have changed.
    pub fn forget(&mut self, id: ApplicationId) {
        self.0.remove(&id);
    }
}

impl Enterprises {
    /// The name of an enterprise; `None` if there is no such enterprise.
    pub fn name(
        &mut self,
        connection: &Connection,
        id: EnterpriseId,
    ) -> rusqlite::Result<Option<Arc<str>>> {
        if let Some(known) = self.0.get(&id) {
            return Ok(Some(known.clone()));
        }
        let name: Option<Arc<str>> = connection
            .prepare_cached("SELECT name FROM enterprises WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        if let Some(name) = &name {
            if self.0.len() >= MAX_CACHED {
                self.0.clear();
            }
            self.0.insert(id, name.clone());
        }
        Ok(name)
    }

    /// It has changed.
    pub fn forget(&mut self, id: EnterpriseId) {
        self.0.remove(&id);
    }
}

impl Webhooks {
    /// The gate of a webhook; `None` if there is no such webhook.
    pub fn gate(
        &mut self,
        connection: &Connection,
        id: WebhookId,
    ) -> rusqlite::Result<Option<WebhookGate>> {
        if let Some(known) = self.0.get(&id) {
            return Ok(*known);
        }
        let sql = format!(
            "SELECT state, not_before_ms, revision, retry_schedule ->> 0, max_in_flight, {} FROM webhooks \
             WHERE id = ?1 AND deleted_ms IS NULL",
            rows::HEALTH
        );
        let gate = connection
            .prepare_cached(&sql)?
            .query_row([id], |row| {
                Ok(WebhookGate {
                    state: text(row, 0)?,
                    not_before: row.get::<_, Option<i64>>(1)?.map(from_ms),
                    revision: row.get(2)?,
                    first_wait: Duration::from_secs(row.get(3)?),
                    max_in_flight: row.get(4)?,
                    health: rows::health(row, 5)?,
                })
            })
            .optional()?;
        if self.0.len() >= MAX_CACHED {
            self.0.clear();
        }
        self.0.insert(id, gate);
        Ok(gate)
    }

    /// Its health has changed, and nothing else.
    pub fn fares(&mut self, id: WebhookId, health: Health) {
        if let Some(Some(gate)) = self.0.get_mut(&id) {
            gate.health = health;
        }
    }

    /// It has changed.
    pub fn forget(&mut self, id: WebhookId) {
        self.0.remove(&id);
    }
}

impl Counts {
    pub fn added(&mut self, state: DeliveryState) {
        self.0[state as usize] += 1;
    }

    pub fn removed(&mut self, state: DeliveryState) {
        self.0[state as usize] -= 1;
    }

    pub fn moved(&mut self, from: DeliveryState, to: DeliveryState) {
        self.moved_many(from, to, 1);
    }

    pub fn moved_many(&mut self, from: DeliveryState, to: DeliveryState, n: usize) {
        self.0[from as usize] -= n as i64;
        self.0[to as usize] += n as i64;
    }

    /// Adds what has changed to the table.
    pub fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (state, change) in DeliveryState::ALL.into_iter().zip(self.0) {
            if change != 0 {
                connection
                    .prepare_cached("UPDATE delivery_counts SET n = n + ?2 WHERE state = ?1")?
                    .execute(rusqlite::params![state, change])?;
            }
        }
        Ok(())
    }
}
