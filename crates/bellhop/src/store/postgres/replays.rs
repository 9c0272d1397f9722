//! Runs: they are started, paused, resumed, canceled and moved on. One at a time of these for each run, whichever
//! replica does it. What a run is about is locked before the row of the run, as records do it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    alone::{Alone, Outcome, Stop, not_now},
    connect::Failed,
    connection::{Transaction, execute, query, query_opt},
    record::lock,
    replay_rows, rows,
    walk::{Over, Taken, Walk, waiting},
};
use crate::{
    clock::to_ms,
    domain::replay::{ReplayCommand, ReplayState},
    id::{DeliveryId, ReplayId, WebhookId},
    store::{
        CommitError, MAX_OPEN, NewReplay, Noun, Replay, ReplayStep, Selection, Written,
        selection::kept,
    },
};

/// Names the lock under which runs are started: how many there may be is counted.
const START_LOCK: i64 = 0x62_65_6c_6c_68_6f_72;

/// Starts a run, if it still is what was previewed.
pub async fn start(alone: &mut Alone<'_>, new: &NewReplay, at: Timestamp) -> Outcome {
    let is_outdated = new.previewed.is_some_and(|seen| seen != new.count.digest)
        || new.expires.is_some_and(|until| at >= until);
    if is_outdated {
        return Err(Stop::Refused(CommitError::Outdated));
    }
    wait_for(alone.on, START_LOCK).await?;
    if replay_rows::one(alone.on, new.id).await?.is_some() {
        let (noun, id) = (Noun::Replay, new.id.0);
        return Err(Stop::Refused(CommitError::Exists { noun, id }));
    }
    let open = "SELECT count(*) FROM replays WHERE ended_ms IS NULL AND application_id IS NOT DISTINCT FROM $1";
    let application = new.application_id.map(|id| id.0);
    let open = query_opt(alone.on, open, &[&application]).await?;
    let open: usize = open.map_or(Ok(0), |row| rows::number(&row, 0))?;
    if open >= MAX_OPEN {
        return Err(not_now(&format!(
            "There are {MAX_OPEN} replays and backfills that have not ended. Wait for one, or cancel one."
        )));
    }
    if let Selection::History { webhook_id, .. } = &new.selection {
        let find = "SELECT 1 FROM webhooks WHERE id = $1 AND deleted_ms IS NULL FOR KEY SHARE";
        if query_opt(alone.on, find, &[&webhook_id.0]).await?.is_none() {
            let (noun, id) = (Noun::Webhook, webhook_id.0);
            return Err(Stop::Refused(CommitError::NotFound { noun, id }));
        }
    }
    execute(
        alone.on,
        "INSERT INTO replays (id, kind, state, application_id, webhook_id, selection, newest, counted_ms, \
         is_exhausted, total, passed, succeeded, failed, created_ms) \
         VALUES ($1, $2, 'Running', $3, $4, $5, $6, $7, false, $8, 0, 0, 0, $9)",
        &[
            &new.id.0,
            &new.selection.kind(),
            &application,
            &new.selection.webhook_id().map(|id| id.0),
            &kept(&new.selection),
            &new.count.counted.newest.0,
            &to_ms(new.count.counted.at),
            &(new.count.total as i64),
            &to_ms(at),
        ],
    )
    .await?;
    written(alone.on, new.id, true, Vec::new()).await
}

/// Pauses, resumes or cancels a run.
pub async fn command(
    alone: &mut Alone<'_>,
    id: ReplayId,
    command: ReplayCommand,
    at: Timestamp,
) -> Outcome {
    wait_for(alone.on, lock_of(id)).await?;
    let run = find(alone.on, id).await?;
    let after = run.state.after(command).ok_or_else(|| {
        not_now(&format!(
            "This replay is {}: nothing is left of it to {}.",
            run.state,
            command.as_str()
        ))
    })?;
    if after == run.state {
        return written(alone.on, id, false, Vec::new()).await;
    }
    let is_replay = matches!(run.selection, Selection::Deliveries(_));
    let mut due = Vec::new();
    match command {
        ReplayCommand::Resume if is_replay => due = make_due_again(alone, &run, at).await?,
        ReplayCommand::Pause | ReplayCommand::Cancel if is_replay => {
            withdraw(alone.on, id, command == ReplayCommand::Cancel).await?;
        }
        // What a backfill has made is pending like anything else.
        _ => {}
    }
    let ended = after.has_ended().then(|| to_ms(at));
    execute(
        alone.on,
        "UPDATE replays SET state = $2, ended_ms = $3, held_by = NULL WHERE id = $1",
        &[&id.0, &after.as_str(), &ended],
    )
    .await?;
    written(alone.on, id, true, due).await
}

/// What waits is sent no more, and what is pending is tried when it was planned. A claim that is held ends as it
/// would: its record writes all of its row.
async fn withdraw(on: &Transaction<'_>, id: ReplayId, for_good: bool) -> Result<(), Failed> {
    let find = "SELECT DISTINCT integration_id FROM deliveries WHERE replay_id = $1";
    let integrations = query(on, find, &[&id.0]).await?;
    let integrations: Vec<Uuid> = rows::all(&integrations, |row| rows::get(row, 0))?;
    lock(on, &integrations).await?;
    execute(
        on,
        "UPDATE deliveries SET planned_ms = NULL, replay_id = CASE WHEN $2::boolean THEN NULL ELSE replay_id END, \
         next_attempt_ms = CASE WHEN state = 'Pending' THEN COALESCE(planned_ms, next_attempt_ms) END \
         WHERE replay_id = $1",
        &[&id.0, &for_good],
    )
    .await?;
    Ok(())
}

/// What was withdrawn for a while is due again.
async fn make_due_again(
    alone: &Alone<'_>,
    run: &Replay,
    at: Timestamp,
) -> Result<Vec<WebhookId>, Failed> {
    let find = "SELECT id, integration_id, webhook_id FROM deliveries WHERE replay_id = $1 \
                ORDER BY integration_id, webhook_id, sequence";
    let found = query(alone.on, find, &[&run.id.0]).await?;
    let waiting: Vec<DeliveryId> = rows::all(&found, |row| rows::id(row, 0))?;
    let lanes = rows::all(&found, |row| Ok((rows::id(row, 1)?, rows::id(row, 2)?)))?;
    let over = Over {
        lanes: lanes.into_iter().collect(),
        deliveries: waiting.iter().map(|id| id.0).collect(),
        // What belongs to a run is not erased.
        messages: BTreeSet::new(),
        is_history: false,
    };
    let mut walk = Walk::load(alone.on, run, at, &over).await?;
    let mut left: Vec<Uuid> = Vec::new();
    for id in waiting {
        if walk.is_held(id) {
            continue;
        }
        if !walk.make_due(id) {
            left.push(id.0);
        }
    }
    let due = walk.write(alone.on).await?;
    let take_out = "UPDATE deliveries SET replay_id = NULL WHERE id = ANY($1)";
    execute(alone.on, take_out, &[&left]).await?;
    Ok(due)
}

/// Moves a run on, as far as it may go now.
pub async fn step(alone: &mut Alone<'_>, step: &ReplayStep, at: Timestamp) -> Outcome {
    wait_for(alone.on, lock_of(step.id)).await?;
    let before = find(alone.on, step.id).await?;
    if before.state != ReplayState::Running || before.position != step.from {
        return written(alone.on, step.id, false, Vec::new()).await;
    }
    let mut run = before.clone();
    let mut walk = Walk::load(alone.on, &before, at, &Over::of(&step.candidates)).await?;
    let mut stopped = None;
    for candidate in &step.candidates {
        match walk.take(alone, candidate).await? {
            Taken::Up => run.passed += 1,
            Taken::Erased => (run.passed, run.erased) = (run.passed + 1, run.erased + 1),
            Taken::NotNow { held_by } => {
                stopped = Some(held_by);
                break;
            }
        }
        run.position = Some(candidate.position);
    }
    let due = walk.write(alone.on).await?;
    if stopped.is_none() {
        run.position = step.to;
        run.is_exhausted = step.is_last;
    }
    let waiting = waiting(alone.on, run.id).await?;
    run.held_by = match stopped {
        Some(held_by) => held_by,
        None if run.passed == before.passed && waiting > 0 => held(alone.on, run.id).await?,
        None => None,
    };
    if run.is_exhausted && waiting == 0 {
        (run.state, run.ended) = (ReplayState::Completed, Some(at));
    }
    let changed = run != before;
    if changed {
        update(alone.on, &run).await?;
    }
    written(alone.on, run.id, changed, due).await
}

/// The first webhook that is not enabled and that something of a run waits for.
async fn held(on: &Transaction<'_>, id: ReplayId) -> Result<Option<WebhookId>, Failed> {
    let find = "SELECT w.id FROM webhooks w WHERE w.deleted_ms IS NULL AND w.state <> 'Enabled' AND w.id IN \
                (SELECT webhook_id FROM deliveries WHERE replay_id = $1) ORDER BY w.id LIMIT 1";
    let found = query_opt(on, find, &[&id.0]).await?;
    Ok(found.map(|row| rows::id(&row, 0)).transpose()?)
}

/// How many succeeded and failed is written by records.
async fn update(on: &Transaction<'_>, run: &Replay) -> Result<(), Failed> {
    execute(
        on,
        "UPDATE replays SET state = $2, at_integration = $3, at_webhook = $4, at_sequence = $5, \
         is_exhausted = $6, passed = $7, held_by = $8, ended_ms = $9, erased = $10 WHERE id = $1",
        &[
            &run.id.0,
            &run.state.as_str(),
            &run.position.map(|at| at.integration_id.0),
            &run.position.map(|at| at.webhook_id.0),
            &run.position.map(|at| at.sequence as i64),
            &run.is_exhausted,
            &(run.passed as i64),
            &run.held_by.map(|id| id.0),
            &run.ended.map(to_ms),
            &(run.erased as i64),
        ],
    )
    .await?;
    Ok(())
}

async fn find(on: &Transaction<'_>, id: ReplayId) -> Result<Replay, Stop> {
    let found = replay_rows::one(on, id).await?;
    let (noun, id) = (Noun::Replay, id.0);
    found.ok_or(Stop::Refused(CommitError::NotFound { noun, id }))
}

async fn written(
    on: &Transaction<'_>,
    id: ReplayId,
    changed: bool,
    due: Vec<WebhookId>,
) -> Outcome {
    let replay = Box::new(find(on, id).await?);
    Ok((Written::Replay { replay, changed }, due))
}

/// The lock of a run: the random half of its id. Two runs with the same one wait for each other, no more.
fn lock_of(id: ReplayId) -> i64 {
    id.0.as_u64_pair().1 as i64
}

async fn wait_for(on: &Transaction<'_>, lock: i64) -> Result<(), Failed> {
    query(on, "SELECT pg_advisory_xact_lock($1)", &[&lock]).await?;
    Ok(())
}
