//! Replays in bulk and backfills, in both stores at once.

use bellhop::{
    domain::{
        delivery::DeliveryState,
        replay::{ReplayCommand, ReplayState},
    },
    id::{DeliveryId, ReplayId},
    store::{
        Commit, Counted, DeliveryFilter, NewReplay, Receipt, Replay, ReplayCount, Selection, Store,
        Write, Written,
    },
};

use super::{ALL, Database, Pair, Step, told};

impl<D: Database> Pair<D> {
    pub async fn start_run(&mut self, step: &Step) {
        let selection = match step {
            Step::StartReplay { state } => Selection::Deliveries(DeliveryFilter {
                state: DeliveryState::ALL.get(*state).copied(),
                ..DeliveryFilter::default()
            }),
            Step::StartBackfill { webhook } => {
                let Some(webhook_id) = self.steps.webhook(*webhook) else {
                    return;
                };
                Selection::History {
                    webhook_id,
                    integrations: None,
                }
            }
            other => unreachable!("{other:?} starts nothing"),
        };
        let id = self.steps.id();
        let now = self.steps.now();
        let mut started = Vec::new();
        for store in [self.database.store(), self.model.store()] {
            let count = store.count_replay(selection.clone(), None, now).await;
            let count = count.unwrap();
            let previewed = Some(count.digest);
            // Counted again as of then, it is the same.
            let again = store
                .count_replay(selection.clone(), Some(count.counted), now)
                .await;
            assert_eq!(again.unwrap(), count);
            let new = NewReplay {
                id,
                selection: selection.clone(),
                application_id: None,
                count: count.clone(),
                previewed,
                expires: None,
            };
            let answer = self.write(&*store, Write::StartReplay(Box::new(new))).await;
            started.push((count_told(&count), answer));
        }
        assert_eq!(started[0], started[1], "{step:?}");
        if started[0].1.is_ok() {
            self.runs.push(id);
        }
    }

    /// One step. Says whether the run got on.
    pub async fn step_run(&mut self, which: usize) -> bool {
        let Some(id) = self.run(which) else {
            return false;
        };
        let mut steps = Vec::new();
        for store in [self.database.store(), self.model.store()] {
            steps.push(store.next_of_replay(id).await.unwrap());
        }
        let [Some(one), Some(other)] = &steps[..] else {
            assert!(steps.iter().all(Option::is_none), "{steps:?}");
            return false;
        };
        assert_eq!((one.from, one.is_last), (other.from, other.is_last));
        let positions = |step: &bellhop::store::ReplayStep| -> Vec<_> {
            step.candidates.iter().map(|each| each.position).collect()
        };
        assert_eq!(positions(one), positions(other));
        let before = self.database.store().replay(id).await.unwrap();
        let one = Write::StepReplay(Box::new(one.clone()));
        let other = Write::StepReplay(Box::new(other.clone()));
        self.write_both([one, other]).await;
        before != self.database.store().replay(id).await.unwrap()
    }

    pub async fn command_run(&mut self, which: usize, command: ReplayCommand) {
        if let Some(id) = self.run(which) {
            let write = Write::CommandReplay { id, command };
            self.write_both([write.clone(), write]).await;
        }
    }

    async fn write_both(&self, [one, other]: [Write; 2]) {
        let one = self.write(&*self.database.store(), one).await;
        let other = self.write(&*self.model.store(), other).await;
        assert_eq!(one, other);
    }

    async fn write(&self, store: &dyn Store, write: Write) -> Result<String, String> {
        let commit = Commit {
            at: self.steps.now(),
            write,
            by: bellhop::domain::audit::By::system(),
            remember: None,
        };
        match store.commit(commit).await {
            Ok(Receipt::Done {
                written: Written::Replay { replay, changed },
                mut due,
            }) => {
                due.sort();
                Ok(format!("{:?} {changed} {due:?}", run_told(&replay)))
            }
            other => Err(told(&other)),
        }
    }

    fn run(&self, which: usize) -> Option<ReplayId> {
        let place = which.checked_rem(self.runs.len())?;
        self.runs.get(place).copied()
    }

    /// Every run goes on as far as it can. Says whether any got on.
    pub async fn move_runs_on(&mut self) -> bool {
        let mut got_on = false;
        for which in 0..self.runs.len() {
            let run = self.database.store().replay(self.runs[which]).await;
            let is_paused = |run: Replay| run.state == ReplayState::Paused;
            if run.unwrap().is_some_and(is_paused) {
                self.command_run(which, ReplayCommand::Resume).await;
            }
            got_on |= self.step_run(which).await;
        }
        got_on
    }

    /// Every run has ended, and nothing waits in any.
    pub async fn runs_have_ended(&self) {
        for run in self.database.store().replays(None, ALL).await.unwrap() {
            assert!(run.state.has_ended(), "{run:?}");
            assert_eq!(run.waiting, 0, "{run:?}");
            assert_eq!(run.done(), run.succeeded + run.failed + run.skipped());
        }
    }
}

/// A run without what differs from store to store.
pub fn run_told(run: &Replay) -> Replay {
    let newest = DeliveryId(uuid::Uuid::nil());
    Replay {
        counted: Counted {
            newest,
            ..run.counted
        },
        ..run.clone()
    }
}

fn count_told(count: &ReplayCount) -> String {
    let ReplayCount {
        counted: _,
        digest: _,
        ..
    } = count;
    format!(
        "{} {:?} {:?} {} {} {} {}",
        count.total,
        count.by_state,
        count.by_webhook,
        count.stale,
        count.erased,
        count.without_webhook,
        count.behind
    )
}
