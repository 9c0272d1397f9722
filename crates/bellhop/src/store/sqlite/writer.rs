//! The writer: one thread, one connection. Whatever waits is written in one transaction and one sync,
//! so that a durable commit costs its share of a group and not a sync of its own.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    apply::Apply,
    batch::{Batch, Webhooks},
    claims, erasure,
    log::Log,
    operational::{self, Telling},
    purge, replan, resealing,
    schema::StoreObserver,
};
use crate::{
    id::DeliveryId,
    store::{
        Attempted, ClaimRequest, Commit, CommitError, Erase, Erased, Fence, OperationalAttempted,
        Purge, Purged, Receipt, Recorded, Resealed, StoreError, WebhookClaims, Written,
        access_memory::AccessMemory,
    },
    vault::Vault,
};

/// Most writes of one transaction.
const MAX_GROUP: usize = 1024;

/// A group of so many says that there is load, and the next one waits for company.
const LOAD: usize = 8;

/// How long it waits: less than a sync takes, and worth several, since a page that two writes share is
/// written once.
const LINGER: Duration = Duration::from_micros(300);

/// How long a transaction that was made durable proves that the next one can be.
const PROOF_LASTS: Duration = Duration::from_secs(1);

/// Changes pages and leaves nothing behind.
const PROOF: &str = "BEGIN IMMEDIATE; INSERT OR REPLACE INTO idempotency VALUES (zeroblob(32), zeroblob(32), x'', 0); \
    DELETE FROM idempotency WHERE key = zeroblob(32); COMMIT";

/// What the writer is asked, and where the answer goes.
pub enum Request {
    Commit(Box<Commit>, oneshot::Sender<Result<Receipt, CommitError>>),
    Record(
        Box<Attempted>,
        oneshot::Sender<Result<Recorded, StoreError>>,
    ),
    Purge(Box<Purge>, oneshot::Sender<Result<Purged, StoreError>>),
    Erase(Box<Erase>, oneshot::Sender<Result<Erased, StoreError>>),
    Reseal(Timestamp, oneshot::Sender<Result<Resealed, StoreError>>),
    CloseWindows(Timestamp, oneshot::Sender<Result<(), StoreError>>),
    RecordOperational(
        Box<OperationalAttempted>,
        oneshot::Sender<Result<bool, StoreError>>,
    ),
    Claim(
        ClaimRequest,
        oneshot::Sender<Result<Vec<WebhookClaims>, StoreError>>,
    ),
    Release(
        Vec<(DeliveryId, Fence)>,
        oneshot::Sender<Result<(), StoreError>>,
    ),
    Replan(Timestamp, oneshot::Sender<Result<usize, StoreError>>),
    Prove(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The writer's thread.
pub struct Writer {
    pub connection: Connection,
    pub vault: Arc<Vault>,
    pub batch: Batch,
    pub access: Arc<AccessMemory>,
    pub log: Log,
    pub observer: Arc<dyn StoreObserver>,
    /// When a transaction was last made durable; nothing if the newest was not.
    pub proved: Option<Instant>,
}

/// An answer that is sent once the transaction is durable.
enum Answered {
    Commit(Result<Receipt, CommitError>),
    Record(Result<Recorded, StoreError>),
    Purge(Result<Purged, StoreError>),
    Erase(Result<Erased, StoreError>),
    Reseal(Result<Resealed, StoreError>),
    CloseWindows,
    RecordOperational(bool),
}

impl Writer {
    /// Writes until every handle is gone or somebody closes.
    pub fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let mut last_group = 0;
        while let Ok(first) = requests.recv() {
            if last_group >= LOAD {
                linger();
            }
            let (mut writes, mut others) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Commit(..)
                    | Request::Record(..)
                    | Request::Purge(..)
                    | Request::Erase(..)
                    | Request::Reseal(..)
                    | Request::CloseWindows(..)
                    | Request::RecordOperational(..) => writes.push(request),
                    _ => others.push(request),
                }
                next = if writes.len() < MAX_GROUP {
                    requests.try_recv().ok()
                } else {
                    None
                };
            }
            last_group = writes.len();
            self.write(writes);
            self.log.keep_short(&self.connection);
            for request in others {
                if self.answer(request) {
                    return;
                }
            }
        }
    }

    /// Writes a group in one transaction and answers it. If the database fails on any of them, each is
    /// tried alone, so that only the bad one fails.
    fn write(&mut self, writes: Vec<Request>) {
        if writes.is_empty() {
            return;
        }
        let began = Instant::now();
        let n = writes.len();
        if let Ok(answers) = self.transaction(&writes) {
            for (request, answer) in writes.into_iter().zip(answers) {
                reply(request, answer);
            }
        } else {
            for request in writes {
                let alone = std::slice::from_ref(&request);
                match self.transaction(alone) {
                    Ok(mut answers) => {
                        if let Some(answer) = answers.pop() {
                            reply(request, answer);
                        }
                    }
                    Err(error) => fail(request, error),
                }
            }
        }
        self.observer.wrote(n, began.elapsed());
    }

    fn transaction(&mut self, writes: &[Request]) -> Result<Vec<Answered>, StoreError> {
        let result = self.try_transaction(writes);
        self.proved = result.is_ok().then(Instant::now);
        if let Ok(answers) = &result {
            self.batch.committed();
            self.tell_changes(answers);
        } else {
            if !self.connection.is_autocommit() {
                // Nothing more can be done about a rollback that fails: the next BEGIN will tell.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            self.batch.rolled_back();
            // A commit that failed may be on the disk all the same.
            self.access.forget_all();
        }
        result
    }

    /// What introspection remembers changes before anybody is answered.
    fn tell_changes(&self, answers: &[Answered]) {
        for answer in answers {
            if let Answered::Commit(Ok(Receipt::Done { written, .. })) = answer
                && let Written::Integration {
                    integration,
                    changed: true,
                } = written
            {
                self.access.changed(integration);
            }
        }
    }

    fn try_transaction(&mut self, writes: &[Request]) -> Result<Vec<Answered>, StoreError> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        let mut answers = Vec::with_capacity(writes.len());
        for request in writes {
            answers.push(match request {
                Request::Commit(commit, _) => {
                    let mut apply = Apply {
                        connection: &self.connection,
                        vault: &self.vault,
                        batch: &mut self.batch,
                        before: None,
                    };
                    match apply.commit(commit) {
                        Err(CommitError::Store(error)) => return Err(error),
                        answer => Answered::Commit(answer),
                    }
                }
                Request::Record(attempted, _) => Answered::Record(Ok(claims::record(
                    &self.connection,
                    &self.vault,
                    &mut self.batch,
                    attempted,
                )?)),
                Request::Purge(what, _) => {
                    Answered::Purge(Ok(purge::purge(&self.connection, &mut self.batch, what)?))
                }
                Request::Erase(what, _) => {
                    Answered::Erase(Ok(erasure::erase(&self.connection, &mut self.batch, what)?))
                }
                Request::Reseal(now, _) => Answered::Reseal(Ok(resealing::reseal(
                    &self.connection,
                    &self.vault,
                    &mut self.batch.walks.resealing,
                    *now,
                )?)),
                Request::CloseWindows(now, _) => {
                    let mut telling = Telling {
                        connection: &self.connection,
                        vault: &self.vault,
                        batch: &mut self.batch,
                    };
                    telling.close_windows(*now)?;
                    Answered::CloseWindows
                }
                Request::RecordOperational(attempted, _) => {
                    Answered::RecordOperational(operational::record(&self.connection, attempted)?)
                }
                _ => unreachable!("nothing else is written"),
            });
        }
        self.batch.counts.write(&self.connection)?;
        self.batch.linking.link(&self.connection)?;
        fault_point!("commit-before");
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        fault_point!("commit-after");
        Ok(answers)
    }

    /// Whether the disk takes a transaction: under load the newest one says so, otherwise a small one is tried.
    fn prove(&mut self) -> Result<(), StoreError> {
        let is_proved = |at: Instant| at.elapsed() < PROOF_LASTS;
        if self.proved.is_some_and(is_proved) {
            return Ok(());
        }
        let proof = self.connection.execute_batch(PROOF);
        if proof.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.proved = proof.is_ok().then(Instant::now);
        Ok(proof?)
    }

    /// Answers what writes nothing. Says whether to stop.
    fn answer(&mut self, request: Request) -> bool {
        match request {
            Request::Claim(request, to) => {
                let taken = claims::claim(&self.connection, &self.vault, &mut self.batch, &request);
                if let Err(Ok(taken)) = to.send(taken) {
                    // Whoever asked is gone: what was taken for it is free again.
                    let taken: Vec<_> = taken
                        .iter()
                        .flat_map(|of| {
                            of.claims
                                .iter()
                                .map(|claim| (claim.delivery_id, claim.fence))
                        })
                        .collect();
                    claims::release(&mut self.batch, &taken);
                }
            }
            Request::Release(claims, to) => {
                claims::release(&mut self.batch, &claims);
                let _ = to.send(Ok(()));
            }
            Request::Replan(now, to) => {
                let replanned = replan::replan(&mut self.connection, now);
                self.batch.webhooks = Webhooks::default();
                self.batch.ready.forget_all();
                let _ = to.send(replanned.map_err(StoreError::from));
            }
            Request::Prove(to) => {
                let _ = to.send(self.prove());
            }
            Request::Close(to) => {
                let closed = self
                    .connection
                    .pragma_update(None, "wal_checkpoint", "TRUNCATE");
                let _ = to.send(closed.map_err(StoreError::from));
                return true;
            }
            Request::Commit(..)
            | Request::Record(..)
            | Request::Purge(..)
            | Request::Erase(..)
            | Request::Reseal(..)
            | Request::CloseWindows(..)
            | Request::RecordOperational(..) => unreachable!("writes go in groups"),
        }
        false
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer's own thread waits for more to write together; nobody's clock is involved"
)]
fn linger() {
    std::thread::sleep(LINGER);
}

fn reply(request: Request, answer: Answered) {
    // A caller that went away meanwhile finds out by asking again.
    match (request, answer) {
        (Request::Commit(_, to), Answered::Commit(answer)) => drop(to.send(answer)),
        (Request::Record(_, to), Answered::Record(answer)) => drop(to.send(answer)),
        (Request::Purge(_, to), Answered::Purge(answer)) => drop(to.send(answer)),
        (Request::Erase(_, to), Answered::Erase(answer)) => drop(to.send(answer)),
        (Request::Reseal(_, to), Answered::Reseal(answer)) => drop(to.send(answer)),
        (Request::CloseWindows(_, to), Answered::CloseWindows) => drop(to.send(Ok(()))),
        (Request::RecordOperational(_, to), Answered::RecordOperational(done)) => {
            drop(to.send(Ok(done)));
        }
        _ => unreachable!("answers are of the kind of their requests"),
    }
}

fn fail(request: Request, error: StoreError) {
    match request {
        Request::Commit(_, to) => drop(to.send(Err(CommitError::Store(error)))),
        Request::Record(_, to) => drop(to.send(Err(error))),
        Request::Purge(_, to) => drop(to.send(Err(error))),
        Request::Erase(_, to) => drop(to.send(Err(error))),
        Request::Reseal(_, to) => drop(to.send(Err(error))),
        Request::CloseWindows(_, to) => drop(to.send(Err(error))),
        Request::RecordOperational(_, to) => drop(to.send(Err(error))),
        _ => unreachable!("nothing else is written"),
    }
}
