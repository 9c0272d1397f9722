//! Runs, as the writer moves them on: replays in bulk and backfills.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::{Apply, database},
    backfill, replay_rows,
    values::text,
};
use crate::{
    clock::to_ms,
    domain::{
        delivery::{DeliveryState, Next},
        replay::{ReplayCommand, ReplayState},
        webhook::WebhookState,
    },
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Candidate, CommitError, MAX_DUE, MAX_OPEN, MAX_WAITING, NewReplay, Noun, Replay,
        ReplayStep, Selection, Written, selection::kept,
    },
};

type Outcome = Result<(Written, Vec<WebhookId>), CommitError>;

/// Starts a run, if it still is what was previewed.
pub fn start(apply: &mut Apply<'_>, new: &NewReplay, at: Timestamp) -> Outcome {
    let is_outdated = new.previewed.is_some_and(|seen| seen != new.count.digest)
        || new.expires.is_some_and(|until| at >= until);
    if is_outdated {
        return Err(CommitError::Outdated);
    }
    if find(apply.connection, new.id).is_ok() {
        return Err(CommitError::Exists {
            noun: Noun::Replay,
            id: new.id.0,
        });
    }
    let open: usize = apply
        .connection
        .prepare_cached(
            "SELECT COUNT(*) FROM replays WHERE ended_ms IS NULL AND application_id IS ?1",
        )
        .and_then(|mut select| select.query_row([new.application_id], |row| row.get(0)))
        .map_err(database)?;
    if open >= MAX_OPEN {
        return Err(CommitError::NotNow(format!(
            "There are {MAX_OPEN} replays and backfills that have not ended. Wait for one, or cancel one."
        )));
    }
    if let Selection::History { webhook_id, .. } = &new.selection {
        let gate = apply.batch.webhooks.gate(apply.connection, *webhook_id);
        if gate.map_err(database)?.is_none() {
            return Err(CommitError::NotFound {
                noun: Noun::Webhook,
                id: webhook_id.0,
            });
        }
        apply.batch.backfilled.insert(*webhook_id);
    }
    apply
        .connection
        .prepare_cached(
            "INSERT INTO replays (id, kind, state, application_id, webhook_id, selection, newest, counted_ms, \
             is_exhausted, total, passed, succeeded, failed, created_ms) \
             VALUES (?1, ?2, 'Running', ?3, ?4, ?5, ?6, ?7, 0, ?8, 0, 0, 0, ?9)",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                new.id,
                new.selection.kind(),
                new.application_id,
                new.selection.webhook_id(),
                kept(&new.selection),
                new.count.counted.newest,
                to_ms(new.count.counted.at),
                new.count.total,
                to_ms(at),
            ])
        })
        .map_err(database)?;
    written(apply.connection, new.id, true, Vec::new())
}

/// Pauses, resumes or cancels a run.
pub fn command(
    apply: &mut Apply<'_>,
    id: ReplayId,
    command: ReplayCommand,
    at: Timestamp,
) -> Outcome {
    let run = find(apply.connection, id)?;
    let after = run.state.after(command).ok_or_else(|| {
        CommitError::NotNow(format!(
            "This replay is {}: nothing is left of it to {}.",
            run.state,
            command.as_str()
        ))
    })?;
    if after == run.state {
        return written(apply.connection, id, false, Vec::new());
    }
    let is_replay = matches!(run.selection, Selection::Deliveries(_));
    let mut due = Vec::new();
    match command {
        ReplayCommand::Resume if is_replay => {
            due = make_due_again(apply, &run, at).map_err(database)?;
        }
        ReplayCommand::Pause | ReplayCommand::Cancel if is_replay => {
            withdraw(apply.connection, id, command == ReplayCommand::Cancel).map_err(database)?;
        }
        // What a backfill has made is pending like anything else.
        _ => {}
    }
    let ended = after.has_ended().then(|| to_ms(at));
    apply
        .connection
        .prepare_cached(
            "UPDATE replays SET state = ?2, ended_ms = ?3, held_by = NULL WHERE id = ?1",
        )
        .and_then(|mut update| update.execute(params![id, after.as_str(), ended]))
        .map_err(database)?;
    written(apply.connection, id, true, due)
}

/// What waits is sent no more, and what is pending is tried when it was planned. A claim that is held ends as it
/// would: its record writes all of its row.
fn withdraw(connection: &Connection, id: ReplayId, for_good: bool) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET planned_ms = NULL, replay_id = CASE WHEN ?2 THEN NULL ELSE replay_id END, \
             next_attempt_ms = CASE WHEN state = 'Pending' THEN COALESCE(planned_ms, next_attempt_ms) END \
             WHERE replay_id = ?1",
        )?
        .execute(params![id, for_good])?;
    Ok(())
}

/// What was withdrawn for a while is due again.
fn make_due_again(
    apply: &mut Apply<'_>,
    run: &Replay,
    at: Timestamp,
) -> rusqlite::Result<Vec<WebhookId>> {
    let waiting: Vec<DeliveryId> = apply
        .connection
        .prepare_cached(
            "SELECT id FROM deliveries WHERE replay_id = ?1 ORDER BY integration_id, webhook_id, sequence",
        )?
        .query_map([run.id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut walk = Walk::new(apply, run, at)?;
    for id in waiting {
        if walk.apply.batch.claims.holds(id) {
            continue;
        }
        let row = walk.row(id)?;
        let made = match row {
            Some(row) => walk.make_due(id, &row)?,
            None => false,
        };
        if !made {
            walk.apply
                .connection
                .prepare_cached("UPDATE deliveries SET replay_id = NULL WHERE id = ?1")?
                .execute([id])?;
        }
    }
    Ok(walk.due)
}

/// Moves a run on, as far as it may go now.
pub fn step(apply: &mut Apply<'_>, step: &ReplayStep, at: Timestamp) -> Outcome {
    let before = find(apply.connection, step.id)?;
    if before.state != ReplayState::Running || before.position != step.from {
        return written(apply.connection, step.id, false, Vec::new());
    }
    let mut run = before.clone();
    let mut walk = Walk::new(apply, &before, at).map_err(database)?;
    let mut stopped = None;
    for candidate in &step.candidates {
        match walk.take(candidate)? {
            Taken::Up => run.passed += 1,
            Taken::Erased => (run.passed, run.erased) = (run.passed + 1, run.erased + 1),
            Taken::NotNow { held_by } => {
                stopped = Some(held_by);
                break;
            }
        }
        run.position = Some(candidate.position);
    }
    let due = walk.due;
    if stopped.is_none() {
        run.position = step.to;
        run.is_exhausted = step.is_last;
    }
    let waiting = waiting(apply.connection, run.id).map_err(database)?;
    run.held_by = match stopped {
        Some(held_by) => held_by,
        None if run.passed == before.passed && waiting > 0 => held(apply, run.id)?,
        None => None,
    };
    if run.is_exhausted && waiting == 0 {
        (run.state, run.ended) = (ReplayState::Completed, Some(at));
    }
    let changed = run != before;
    if changed {
        update(apply.connection, &run).map_err(database)?;
    }
    written(apply.connection, run.id, changed, due)
}

/// The first webhook that is not enabled and that something of a run waits for.
fn held(apply: &mut Apply<'_>, id: ReplayId) -> Result<Option<WebhookId>, CommitError> {
    let webhooks: Vec<WebhookId> = apply
        .connection
        .prepare_cached("SELECT DISTINCT webhook_id FROM deliveries WHERE replay_id = ?1")
        .and_then(|mut select| select.query_map([id], |row| row.get(0))?.collect())
        .map_err(database)?;
    for webhook in webhooks {
        let gate = apply.batch.webhooks.gate(apply.connection, webhook);
        if gate
            .map_err(database)?
            .is_some_and(|gate| gate.state != WebhookState::Enabled)
        {
            return Ok(Some(webhook));
        }
    }
    Ok(None)
}

fn update(connection: &Connection, run: &Replay) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE replays SET state = ?2, at_integration = ?3, at_webhook = ?4, at_sequence = ?5, \
             is_exhausted = ?6, passed = ?7, held_by = ?8, ended_ms = ?9, erased = ?10 WHERE id = ?1",
        )?
        .execute(params![
            run.id,
            run.state.as_str(),
            run.position.map(|at| at.integration_id),
            run.position.map(|at| at.webhook_id),
            run.position.map(|at| at.sequence),
            run.is_exhausted,
            run.passed,
            run.held_by,
            run.ended.map(to_ms),
            run.erased,
        ])
}

fn waiting(connection: &Connection, id: ReplayId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("SELECT COUNT(*) FROM deliveries WHERE replay_id = ?1")?
        .query_row([id], |row| row.get(0))
}

fn find(connection: &Connection, id: ReplayId) -> Result<Replay, CommitError> {
    replay_rows::one(connection, id)?.ok_or(CommitError::NotFound {
        noun: Noun::Replay,
        id: id.0,
    })
}

fn written(connection: &Connection, id: ReplayId, changed: bool, due: Vec<WebhookId>) -> Outcome {
    let replay = Box::new(find(connection, id)?);
    Ok((Written::Replay { replay, changed }, due))
}

/// Notes what became of an attempt of a delivery that belongs to a run.
pub fn recorded(
    connection: &Connection,
    delivery: DeliveryId,
    run: ReplayId,
    (before, is_replay): (DeliveryState, bool),
    next: Next,
) -> rusqlite::Result<()> {
    let has_arrived = next == Next::Delivered;
    let is_settled = match before {
        DeliveryState::Pending if has_arrived || next == Next::Failed => true,
        // A replay is one attempt; a delivery that a backfill made has all of its schedule.
        DeliveryState::Pending => is_replay && is_of_kind(connection, run, "Replay")?,
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Discarded => true,
    };
    if !is_settled {
        return Ok(());
    }
    // It may have been taken out of its run while the attempt was under way: it counts all the same.
    connection
        .prepare_cached("UPDATE deliveries SET replay_id = NULL WHERE id = ?1")?
        .execute([delivery])?;
    connection
        .prepare_cached(
            "UPDATE replays SET succeeded = succeeded + ?2, failed = failed + 1 - ?2 WHERE id = ?1",
        )?
        .execute(params![run, has_arrived])?;
    Ok(())
}

fn is_of_kind(connection: &Connection, run: ReplayId, kind: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM replays WHERE id = ?1 AND kind = ?2")?
        .exists(params![run, kind])
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
pub struct Walk<'a, 'b> {
    pub apply: &'a mut Apply<'b>,
    pub run: ReplayId,
    pub at: Timestamp,
    /// What ended after this was settled since it was counted.
    counted_ms: i64,
    /// The first moment at which something may be due: after all that the run has made due already, so that
    /// each lane keeps its order.
    from_ms: i64,
    /// How many of each lane were made due at moments of their own.
    lanes: HashMap<(IntegrationId, WebhookId), i64>,
    /// How many of each webhook are due.
    due_of: HashMap<WebhookId, usize>,
    pub waiting: usize,
    /// Webhooks that have something due by it.
    pub due: Vec<WebhookId>,
}

/// What must be known of a delivery to send it again.
pub struct DeliveryRow {
    webhook_id: WebhookId,
    integration_id: IntegrationId,
    state: DeliveryState,
    next_attempt_ms: Option<i64>,
    ended_ms: Option<i64>,
    replay_id: Option<ReplayId>,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(apply: &'a mut Apply<'b>, run: &Replay, at: Timestamp) -> rusqlite::Result<Self> {
        let last: Option<i64> = match run.selection {
            Selection::History { .. } => None,
            Selection::Deliveries(_) => apply
                .connection
                .prepare_cached("SELECT MAX(next_attempt_ms) FROM deliveries WHERE replay_id = ?1")?
                .query_row([run.id], |row| row.get(0))?,
        };
        Ok(Self {
            run: run.id,
            at,
            counted_ms: to_ms(run.counted.at),
            from_ms: last.map_or(to_ms(at), |last| to_ms(at).max(last + 1)),
            lanes: HashMap::new(),
            due_of: HashMap::new(),
            waiting: waiting(apply.connection, run.id)?,
            due: Vec::new(),
            apply,
        })
    }

    fn take(&mut self, candidate: &Candidate) -> Result<Taken, CommitError> {
        let webhook = candidate.position.webhook_id;
        let gate = self
            .apply
            .batch
            .webhooks
            .gate(self.apply.connection, webhook);
        let Some(gate) = gate.map_err(database)? else {
            return Ok(Taken::Up);
        };
        // What was read beside the writer holds: while a run has not come to a message, nobody erases it.
        if candidate.is_erased {
            return Ok(Taken::Erased);
        }
        if gate.state != WebhookState::Enabled {
            let held_by = Some(webhook);
            return Ok(Taken::NotNow { held_by });
        }
        if self.is_full(webhook).map_err(database)? {
            return Ok(Taken::NotNow { held_by: None });
        }
        match candidate.delivery_id {
            None => backfill::take(self, candidate.position),
            Some(id) => {
                let row = self.row(id).map_err(database)?;
                if let Some(row) = row.filter(|row| self.fits_still(id, row)) {
                    self.make_due(id, &row).map_err(database)?;
                }
                Ok(Taken::Up)
            }
        }
    }

    fn fits_still(&self, id: DeliveryId, row: &DeliveryRow) -> bool {
        row.replay_id.is_none()
            && row.ended_ms.is_none_or(|ended| ended <= self.counted_ms)
            && !self.apply.batch.claims.holds(id)
    }

    /// Whether the webhook has enough to do.
    fn is_full(&mut self, webhook: WebhookId) -> rusqlite::Result<bool> {
        if self.waiting >= MAX_WAITING {
            return Ok(true);
        }
        let due = if let Some(due) = self.due_of.get(&webhook) {
            *due
        } else {
            let soon = self.from_ms + MAX_DUE as i64;
            let due = self
                .apply
                .connection
                .prepare_cached(
                    "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries \
                         WHERE webhook_id = ?1 AND next_attempt_ms <= ?2 LIMIT ?3)",
                )?
                .query_row(params![webhook, soon, MAX_DUE], |row| row.get(0))?;
            self.due_of.insert(webhook, due);
            due
        };
        Ok(due >= MAX_DUE)
    }

    /// Notes one more of the webhook that is due.
    pub fn note_due(&mut self, webhook: WebhookId) {
        *self.due_of.entry(webhook).or_default() += 1;
        if !self.due.contains(&webhook) {
            self.due.push(webhook);
        }
    }

    fn row(&self, id: DeliveryId) -> rusqlite::Result<Option<DeliveryRow>> {
        self.apply
            .connection
            .prepare_cached(
                "SELECT webhook_id, integration_id, state, next_attempt_ms, ended_ms, replay_id \
                 FROM deliveries WHERE id = ?1",
            )?
            .query_row([id], |row| {
                Ok(DeliveryRow {
                    webhook_id: row.get(0)?,
                    integration_id: row.get(1)?,
                    state: text(row, 2)?,
                    next_attempt_ms: row.get(3)?,
                    ended_ms: row.get(4)?,
                    replay_id: row.get(5)?,
                })
            })
            .optional()
    }

    /// Makes a delivery due once more. One that is pending keeps its planned try; one behind another of its lane,
    /// or due already, needs nothing. Says whether it did.
    fn make_due(&mut self, id: DeliveryId, row: &DeliveryRow) -> rusqlite::Result<bool> {
        let lane = (row.integration_id, row.webhook_id);
        let offset = self.lanes.entry(lane).or_default();
        let due_ms = self.from_ms + *offset;
        let is_pending = row.state == DeliveryState::Pending;
        if is_pending && row.next_attempt_ms.is_none_or(|next| next <= due_ms) {
            return Ok(false);
        }
        let gate = self
            .apply
            .batch
            .webhooks
            .gate(self.apply.connection, row.webhook_id)?;
        if gate.is_none() {
            return Ok(false);
        }
        *offset += 1;
        self.apply
            .connection
            .prepare_cached(
                "UPDATE deliveries SET next_attempt_ms = ?2, replay_id = ?3, \
                 planned_ms = CASE WHEN state = 'Pending' THEN COALESCE(planned_ms, next_attempt_ms) END \
                 WHERE id = ?1",
            )?
            .execute(params![id, due_ms, self.run])?;
        self.apply
            .batch
            .claims
            .wait_for_lane(row.webhook_id, row.integration_id);
        self.waiting += 1;
        self.note_due(row.webhook_id);
        Ok(true)
    }
}
