//! Group commit: whatever waits goes into one transaction, so that a durable write costs its share of a group and not
//! a transaction of its own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::{Shared, TRIES, connect::Failed};
use crate::store::StoreError;

/// Most writes that wait; beyond it the store is busy.
const MAX_WAITING: usize = 16_384;
/// Most writes of one transaction.
const MAX_GROUP: usize = 512;
/// When so many waited while the group before was written, the next one waits for more: what a group costs beside its
/// rows is shared by more then.
const BUSY: usize = 8;
/// It waits until it is as large as the one before, or as this, and no longer than that. Callers that are answered come
/// again soon, and a group that does not wait for them is half of what it could be.
const WORTH_A_WAIT: usize = 16;
const LINGER: Duration = Duration::from_millis(6);

/// What a queue is for.
#[async_trait]
pub trait Write: Send + Sync + 'static {
    /// What is asked.
    type Asked: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// Writes all of them in one transaction, and answers in their order. Nothing is written if it fails.
    async fn write(shared: &Shared, asked: &[Self::Asked]) -> Result<Vec<Self::Answer>, Failed>;

    /// Says that one was not written.
    fn failed(error: StoreError) -> Self::Answer;
}

type Waiting<W> = (<W as Write>::Asked, oneshot::Sender<<W as Write>::Answer>);

/// What waits to be written.
pub struct Queue<W: Write>(mpsc::Sender<Waiting<W>>);

impl<W: Write> Queue<W> {
    /// A queue, and the task that empties it until every handle is gone.
    pub fn start(shared: Arc<Shared>) -> Self {
        let (waiting, received) = mpsc::channel(MAX_WAITING);
        tokio::spawn(write_groups::<W>(shared, received));
        Self(waiting)
    }

    /// Waits until it is written.
    pub async fn ask(&self, asked: W::Asked) -> Result<W::Answer, StoreError> {
        let (to, answer) = oneshot::channel();
        self.0.try_send((asked, to)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)
    }
}

async fn write_groups<W: Write>(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Waiting<W>>) {
    let mut group = Vec::new();
    let mut former = 0;
    while waiting.recv_many(&mut group, MAX_GROUP).await > 0 {
        if group.len() >= BUSY {
            let enough = former.max(WORTH_A_WAIT);
            // What has come when the time is over goes.
            let _ = tokio::time::timeout(LINGER, fill(&mut group, &mut waiting, enough)).await;
        }
        former = group.len();
        let (asked, to): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let answers = write_group::<W>(&shared, &asked).await;
        for (to, answer) in to.into_iter().zip(answers) {
            // A caller that went away meanwhile finds out by asking again.
            let _ = to.send(answer);
        }
    }
}

/// Adds to the group until there is enough in it, or nobody is left who could ask.
async fn fill<T>(group: &mut Vec<T>, waiting: &mut mpsc::Receiver<T>, enough: usize) {
    while group.len() < enough {
        let room = MAX_GROUP - group.len();
        if waiting.recv_many(group, room).await == 0 {
            return;
        }
    }
}

/// If the database fails on a group, each is tried alone, so that only the bad one fails.
async fn write_group<W: Write>(shared: &Shared, asked: &[W::Asked]) -> Vec<W::Answer> {
    let began = std::time::Instant::now();
    let failed = match try_again::<W>(shared, asked).await {
        Ok(answers) => {
            shared.observer.wrote(asked.len(), began.elapsed());
            shared.proof.note(true);
            return answers;
        }
        Err(failed) => failed,
    };
    if !failed.is_refusal {
        shared.proof.note(false);
    }
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        if !failed.is_refusal {
            answers.push(W::failed(failed.error.clone()));
            continue;
        }
        let alone = try_again::<W>(shared, std::slice::from_ref(one)).await;
        answers.push(match alone {
            Ok(mut answers) => answers.remove(0),
            Err(failed) => W::failed(failed.error),
        });
    }
    answers
}

async fn try_again<W: Write>(
    shared: &Shared,
    asked: &[W::Asked],
) -> Result<Vec<W::Answer>, Failed> {
    let mut tries = 0;
    loop {
        tries += 1;
        match W::write(shared, asked).await {
            Err(failed) if failed.again && tries < TRIES => {}
            done => return done,
        }
    }
}

impl<W: Write> std::fmt::Debug for Queue<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("free", &self.0.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_group_is_filled_until_there_is_enough_and_keeps_what_has_come() {
        let (sender, mut waiting) = mpsc::channel(MAX_WAITING);
        let mut group = vec![0];
        let send = |range: std::ops::Range<usize>| {
            for number in range {
                sender.try_send(number).unwrap();
            }
        };
        send(1..3);
        let filled = fill(&mut group, &mut waiting, 5).now_or_never();
        assert!(filled.is_none(), "it waits for more");
        assert_eq!(group, [0, 1, 2], "and has what came");
        send(3..8);
        fill(&mut group, &mut waiting, 5).await;
        assert_eq!(group.len(), 8, "what is there goes along");
        send(8..MAX_GROUP + 10);
        fill(&mut group, &mut waiting, MAX_GROUP).await;
        assert_eq!(group.len(), MAX_GROUP);
        drop(sender);
        let mut last = Vec::new();
        fill(&mut last, &mut waiting, 100).await;
        assert_eq!(last.len(), 10, "nobody is left who could ask");
    }
}
