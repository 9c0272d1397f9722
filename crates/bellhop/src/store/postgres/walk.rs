//! A step of a run under way: what it is about is locked and read at once, it is decided in memory, and what is due by
//! it is written at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    alone::Alone,
    backfill,
    connect::Failed,
    connection::{Transaction, execute, query, query_opt},
    record::lock,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        delivery::DeliveryState,
        webhook::{Subscription, WebhookState},
    },
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{Candidate, MAX_DUE, MAX_WAITING, Replay, Selection},
};

type Lane = (IntegrationId, WebhookId);

/// What a walk goes over.
pub struct Over {
    pub lanes: BTreeSet<Lane>,
    pub deliveries: Vec<Uuid>,
    /// Those that may have been erased since they were looked at.
    pub messages: BTreeSet<(IntegrationId, u64)>,
    /// Whether deliveries are to be made.
    pub is_history: bool,
}

/// What became of a candidate.
pub enum Taken {
    /// It was made due, or left out for good.
    Up,
    /// It was left out: its bytes were erased.
    Erased,
    /// It has to wait, and what comes after it too.
    NotNow {
        /// For a webhook that is not enabled.
        held_by: Option<WebhookId>,
    },
}

/// A step under way.
pub struct Walk {
    pub run: ReplayId,
    pub at: Timestamp,
    /// What ended after this was settled since it was counted.
    counted_ms: i64,
    /// The first moment at which something may be due: after all that the run has made due already, so that each lane
    /// keeps its order.
    from_ms: i64,
    webhooks: HashMap<WebhookId, (WebhookState, Subscription)>,
    rows: HashMap<DeliveryId, DeliveryRow>,
    /// Messages whose bytes were erased.
    erased: HashSet<(IntegrationId, u64)>,
    /// Lanes with an attempt under way, and its delivery.
    held: HashMap<Lane, DeliveryId>,
    /// How many of each lane were made due at moments of their own.
    lanes: HashMap<Lane, i64>,
    /// How many of each webhook are due.
    due_of: HashMap<WebhookId, usize>,
    pub waiting: usize,
    /// Webhooks that have something due by it.
    due: Vec<WebhookId>,
    made_due: Vec<(DeliveryId, i64)>,
}

/// What must be known of a delivery to send it again.
struct DeliveryRow {
    webhook_id: WebhookId,
    integration_id: IntegrationId,
    state: DeliveryState,
    next_attempt_ms: Option<i64>,
    ended_ms: Option<i64>,
    replay_id: Option<ReplayId>,
}

impl Over {
    pub fn of(candidates: &[Candidate]) -> Self {
        let lane = |each: &Candidate| (each.position.integration_id, each.position.webhook_id);
        let message = |each: &Candidate| (each.position.integration_id, each.position.sequence);
        let deliveries = candidates.iter().filter_map(|each| each.delivery_id);
        Self {
            lanes: candidates.iter().map(lane).collect(),
            deliveries: deliveries.map(|id| id.0).collect(),
            messages: candidates.iter().map(message).collect(),
            is_history: candidates.iter().any(|each| each.delivery_id.is_none()),
        }
    }

    /// As two columns.
    fn lanes(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        self.lanes
            .iter()
            .map(|(integration, webhook)| (integration.0, webhook.0))
            .unzip()
    }

    /// Locks what the walk may change, in the order in which everybody does: the integrations, their webhooks, the
    /// claims of their lanes, and the deliveries. Ends claims whose lease is over: their holders can record nothing any
    /// more. Says what the webhooks are.
    async fn lock(&self, on: &Transaction<'_>) -> Result<Vec<tokio_postgres::Row>, Failed> {
        let (integrations, webhooks) = self.lanes();
        lock(on, &integrations).await?;
        let find = "SELECT id, actions, profile, retry_schedule[1], state FROM webhooks \
                    WHERE id = ANY($1) AND deleted_ms IS NULL ORDER BY id FOR KEY SHARE";
        let gates = query(on, find, &[&webhooks]).await?;
        execute(
            on,
            "DELETE FROM claims c USING unnest($1::uuid[], $2::uuid[]) AS l (integration_id, webhook_id) \
             WHERE c.webhook_id = l.webhook_id AND c.integration_id = l.integration_id \
             AND ($3::boolean OR c.delivery_id = ANY($4)) AND c.lease_until <= clock_timestamp()",
            &[&integrations, &webhooks, &self.is_history, &self.deliveries],
        )
        .await?;
        query(
            on,
            "SELECT 1 FROM claims c JOIN unnest($1::uuid[], $2::uuid[]) AS l (integration_id, webhook_id) \
             ON c.webhook_id = l.webhook_id AND c.integration_id = l.integration_id \
             ORDER BY c.webhook_id, c.integration_id FOR NO KEY UPDATE OF c",
            &[&integrations, &webhooks],
        )
        .await?;
        if self.is_history {
            // The heads: what is put before them must find them free, and nobody may claim them meanwhile.
            query(
                on,
                "SELECT 1 FROM deliveries d JOIN unnest($1::uuid[], $2::uuid[]) AS l (integration_id, webhook_id) \
                 ON d.integration_id = l.integration_id AND d.webhook_id = l.webhook_id \
                 WHERE d.next_attempt_ms IS NOT NULL ORDER BY d.id FOR NO KEY UPDATE OF d",
                &[&integrations, &webhooks],
            )
            .await?;
        }
        Ok(gates)
    }
}

impl Walk {
    /// Locks and reads what a walk is about.
    pub async fn load(
        on: &Transaction<'_>,
        run: &Replay,
        at: Timestamp,
        over: &Over,
    ) -> Result<Self, Failed> {
        let mut walk = Self {
            run: run.id,
            at,
            counted_ms: to_ms(run.counted.at),
            from_ms: to_ms(at),
            webhooks: HashMap::new(),
            rows: HashMap::new(),
            erased: HashSet::new(),
            held: HashMap::new(),
            lanes: HashMap::new(),
            due_of: HashMap::new(),
            waiting: 0,
            due: Vec::new(),
            made_due: Vec::new(),
        };
        if over.lanes.is_empty() {
            return Ok(walk);
        }
        for row in over.lock(on).await? {
            let subscription = rows::subscription(&row, 0)?;
            let known = (rows::text(&row, 4)?, subscription);
            walk.webhooks.insert(subscription.webhook_id, known);
        }
        walk.load_deliveries(on, over).await?;
        walk.load_erased(on, over).await?;
        walk.waiting = waiting(on, run.id).await?;
        if let Selection::Deliveries(_) = run.selection {
            let last = "SELECT max(next_attempt_ms) FROM deliveries WHERE replay_id = $1";
            let last = query_opt(on, last, &[&run.id.0]).await?;
            let last: Option<i64> = last.map_or(Ok(None), |row| rows::get(&row, 0))?;
            walk.from_ms = last.map_or(walk.from_ms, |last| walk.from_ms.max(last + 1));
        }
        walk.count_due(on).await?;
        Ok(walk)
    }

    async fn load_deliveries(&mut self, on: &Transaction<'_>, over: &Over) -> Result<(), Failed> {
        let found = query(
            on,
            "SELECT id, webhook_id, integration_id, state, next_attempt_ms, ended_ms, replay_id FROM deliveries \
             WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
            &[&over.deliveries],
        )
        .await?;
        for row in &found {
            let delivery = DeliveryRow {
                webhook_id: rows::id(row, 1)?,
                integration_id: rows::id(row, 2)?,
                state: rows::text(row, 3)?,
                next_attempt_ms: rows::get(row, 4)?,
                ended_ms: rows::get(row, 5)?,
                replay_id: rows::id_or_null(row, 6)?,
            };
            self.rows.insert(rows::id(row, 0)?, delivery);
        }
        // After the deliveries are locked: from now on nobody claims one of them.
        let (integrations, webhooks) = over.lanes();
        let held = query(
            on,
            "SELECT c.integration_id, c.webhook_id, c.delivery_id FROM claims c \
             JOIN unnest($1::uuid[], $2::uuid[]) AS l (integration_id, webhook_id) \
             ON c.webhook_id = l.webhook_id AND c.integration_id = l.integration_id",
            &[&integrations, &webhooks],
        )
        .await?;
        for row in &held {
            let lane = (rows::id(row, 0)?, rows::id(row, 1)?);
            self.held.insert(lane, rows::id(row, 2)?);
        }
        Ok(())
    }

    /// What was erased by the time at which the integrations were locked: from now on nobody erases any of it.
    async fn load_erased(&mut self, on: &Transaction<'_>, over: &Over) -> Result<(), Failed> {
        let messages = over.messages.iter();
        let (of, sequences): (Vec<Uuid>, Vec<i64>) = messages
            .map(|(integration, sequence)| (integration.0, *sequence as i64))
            .unzip();
        let erased = query(
            on,
            "SELECT m.integration_id, m.sequence FROM messages m \
             JOIN unnest($1::uuid[], $2::bigint[]) AS u (integration_id, sequence) \
             ON m.integration_id = u.integration_id AND m.sequence = u.sequence WHERE m.body IS NULL",
            &[&of, &sequences],
        )
        .await?;
        let key = |row: &tokio_postgres::Row| Ok((rows::id(row, 0)?, rows::number(row, 1)?));
        self.erased = rows::all(&erased, key)?.into_iter().collect();
        Ok(())
    }

    async fn count_due(&mut self, on: &Transaction<'_>) -> Result<(), Failed> {
        let webhooks: Vec<Uuid> = self.webhooks.keys().map(|id| id.0).collect();
        let soon = self.from_ms + MAX_DUE as i64;
        let counted = query(
            on,
            "SELECT w.id, (SELECT count(*) FROM (SELECT 1 FROM deliveries d WHERE d.webhook_id = w.id \
             AND d.next_attempt_ms <= $2 LIMIT $3) s) FROM unnest($1::uuid[]) AS w (id)",
            &[&webhooks, &soon, &(MAX_DUE as i64)],
        )
        .await?;
        for row in &counted {
            self.due_of.insert(rows::id(row, 0)?, rows::number(row, 1)?);
        }
        Ok(())
    }

    /// Takes one up, if it may be taken up now.
    pub async fn take(
        &mut self,
        alone: &mut Alone<'_>,
        candidate: &Candidate,
    ) -> Result<Taken, Failed> {
        let webhook = candidate.position.webhook_id;
        let Some((state, subscription)) = self.webhooks.get(&webhook).copied() else {
            return Ok(Taken::Up);
        };
        let position = candidate.position;
        let message = (position.integration_id, position.sequence);
        if candidate.is_erased || self.erased.contains(&message) {
            return Ok(Taken::Erased);
        }
        if state != WebhookState::Enabled {
            let held_by = Some(webhook);
            return Ok(Taken::NotNow { held_by });
        }
        if self.is_full(webhook) {
            return Ok(Taken::NotNow { held_by: None });
        }
        match candidate.delivery_id {
            None => backfill::take(self, alone, candidate.position, subscription).await,
            Some(id) => {
                if self.fits_still(id) {
                    self.make_due(id);
                }
                Ok(Taken::Up)
            }
        }
    }

    fn fits_still(&self, id: DeliveryId) -> bool {
        self.rows.get(&id).is_some_and(|row| {
            row.replay_id.is_none() && row.ended_ms.is_none_or(|ended| ended <= self.counted_ms)
        }) && !self.is_held(id)
    }

    /// Whether the webhook has enough to do.
    fn is_full(&self, webhook: WebhookId) -> bool {
        let due = self.due_of.get(&webhook).copied().unwrap_or(0);
        self.waiting >= MAX_WAITING || due >= MAX_DUE
    }

    /// Whether an attempt of the lane is under way.
    pub fn is_busy(&self, lane: Lane) -> bool {
        self.held.contains_key(&lane)
    }

    /// Whether an attempt of the delivery is under way.
    pub fn is_held(&self, id: DeliveryId) -> bool {
        let row = self.rows.get(&id);
        row.is_some_and(|row| self.held.get(&row.lane()) == Some(&id))
    }

    /// Notes one more of the webhook that is due.
    pub fn note_due(&mut self, webhook: WebhookId) {
        *self.due_of.entry(webhook).or_default() += 1;
        if !self.due.contains(&webhook) {
            self.due.push(webhook);
        }
    }

    /// Makes a delivery due once more. One that is pending keeps its planned try; one behind another of its lane, or
    /// due already, needs nothing. Says whether it did.
    pub fn make_due(&mut self, id: DeliveryId) -> bool {
        let Some(row) = self.rows.get(&id) else {
            return false;
        };
        let (lane, webhook) = (row.lane(), row.webhook_id);
        let offset = self.lanes.entry(lane).or_default();
        let due_ms = self.from_ms + *offset;
        let is_pending = row.state == DeliveryState::Pending;
        if is_pending && row.next_attempt_ms.is_none_or(|next| next <= due_ms) {
            return false;
        }
        if !self.webhooks.contains_key(&webhook) {
            return false;
        }
        *offset += 1;
        self.made_due.push((id, due_ms));
        self.waiting += 1;
        self.note_due(webhook);
        true
    }

    /// Writes what was made due. Says of which webhooks.
    pub async fn write(self, on: &Transaction<'_>) -> Result<Vec<WebhookId>, Failed> {
        if self.made_due.is_empty() {
            return Ok(self.due);
        }
        let (ids, due_ms): (Vec<Uuid>, Vec<i64>) =
            self.made_due.iter().map(|(id, due)| (id.0, *due)).unzip();
        execute(
            on,
            "UPDATE deliveries d SET next_attempt_ms = u.due_ms, replay_id = $3, \
             planned_ms = CASE WHEN d.state = 'Pending' THEN COALESCE(d.planned_ms, d.next_attempt_ms) END \
             FROM unnest($1::uuid[], $2::bigint[]) AS u (id, due_ms) WHERE d.id = u.id",
            &[&ids, &due_ms, &self.run.0],
        )
        .await?;
        let made: HashSet<Lane> = self
            .made_due
            .iter()
            .filter_map(|(id, _)| self.rows.get(id))
            .map(DeliveryRow::lane)
            .filter(|lane| self.held.contains_key(lane))
            .collect();
        let (integrations, webhooks): (Vec<Uuid>, Vec<Uuid>) = made
            .iter()
            .map(|(integration, webhook)| (integration.0, webhook.0))
            .unzip();
        if !webhooks.is_empty() {
            execute(
                on,
                "UPDATE claims c SET waits = true FROM unnest($1::uuid[], $2::uuid[]) AS l (integration_id, webhook_id) \
                 WHERE c.webhook_id = l.webhook_id AND c.integration_id = l.integration_id",
                &[&integrations, &webhooks],
            )
            .await?;
        }
        Ok(self.due)
    }
}

impl DeliveryRow {
    fn lane(&self) -> Lane {
        (self.integration_id, self.webhook_id)
    }
}

/// How many of a run have not ended.
pub async fn waiting(on: &Transaction<'_>, id: ReplayId) -> Result<usize, Failed> {
    let count = "SELECT count(*) FROM deliveries WHERE replay_id = $1";
    let counted = query_opt(on, count, &[&id.0]).await?;
    Ok(counted.map_or(Ok(0), |row| rows::number(&row, 0))?)
}
