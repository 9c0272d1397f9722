//! Random histories, given to a database and to the model at once. They must tell the same, after
//! every step, in every answer and every list.
//!
//! `PROPTEST_CASES` raises the number of histories.

mod runs;
pub mod told;

use bellhop::{
    domain::{
        delivery::{Delivery, DeliveryState},
        webhook::WebhookState,
    },
    id::{DeliveryId, ReplayId},
    store::{Claim, ClaimRequest, Commit, DeliveryFilter, Erase, Purge, Receipt, Recorded, Want},
};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};

use super::{
    databases::{Database, InMemory, Sqlite},
    operating,
    postgres::{Pooled, Postgres},
    steps::{End, Step, Steps, a_history},
    world::{ALL, attempted},
};
use told::{claim_told, everything, told};

proptest! {
    #![proptest_config(Config {
        cases: cases(64),
        ..config()
    })]

    #[test]
    fn sqlite_is_the_model(history in a_history(40)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { Pair::<Sqlite>::new().await.live(history).await });
    }
}

proptest! {
    #![proptest_config(Config {
        // A database for each case, and a round trip for each question.
        cases: cases(12),
        ..config()
    })]

    #[test]
    fn postgres_is_the_model(history in a_history(40)) {
        if Postgres::is_there() {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async { Pair::<Postgres>::new().await.live(history).await });
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: cases(4),
        ..config()
    })]

    #[test]
    fn postgres_behind_a_pooler_is_the_model(history in a_history(40)) {
        if Pooled::is_there() {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async { Pair::<Pooled>::new().await.live(history).await });
        }
    }
}

pub fn config() -> Config {
    Config {
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    }
}

/// Every case opens a database, so there are fewer of them than proptest's own default.
pub fn cases(most: u32) -> u32 {
    Config::default()
        .cases
        .min(if is_told() { u32::MAX } else { most })
}

#[expect(
    clippy::disallowed_methods,
    reason = "proptest reads the same variable for itself"
)]
fn is_told() -> bool {
    std::env::var_os("PROPTEST_CASES").is_some()
}

/// A database and the model, that go through the same.
pub struct Pair<D> {
    database: D,
    model: InMemory,
    steps: Steps,
    /// What both hold: the claim of the database and that of the model.
    held: Vec<(Claim, Claim)>,
    /// Claims that are held no longer: nothing may be recorded under them.
    lost: Vec<(Claim, Claim)>,
    /// Replays and backfills that were started.
    runs: Vec<ReplayId>,
}

impl<D: Database> Pair<D> {
    pub async fn new() -> Self {
        Self {
            database: D::fresh().await,
            model: InMemory::fresh().await,
            steps: Steps::new(),
            held: Vec::new(),
            lost: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub async fn live(mut self, history: Vec<Step>) {
        for step in history {
            self.steps.tick();
            match step {
                Step::Claim { webhook, limit } => self.claim(webhook, limit).await,
                Step::Record { which, end } => self.record(which, end).await,
                Step::RecordLost { which } => self.record_lost(which).await,
                Step::Release { which } => self.release(which).await,
                Step::Operational { is_taken } => {
                    let (one, other) = (self.database.store(), self.model.store());
                    operating::send(&*one, &*other, self.steps.now(), is_taken).await;
                }
                Step::StartReplay { .. } | Step::StartBackfill { .. } => {
                    self.start_run(&step).await;
                }
                Step::MoveRun { which } => {
                    self.step_run(which).await;
                }
                Step::CommandRun { which, command } => self.command_run(which, command).await,
                Step::Suffer { webhook } => self.suffer(webhook).await,
                Step::Reopen => self.reopen().await,
                Step::Purge { seconds } => self.purge(seconds).await,
                Step::Erase { seconds } => self.erase(seconds).await,
                Step::Wait { seconds } => self.steps.wait(seconds),
                other => self.commit(&other).await,
            }
            self.compare().await;
        }
        self.drain().await;
    }

    async fn commit(&mut self, step: &Step) {
        let ours = self.delivery(step).await;
        let writes = self.steps.writes(step, ours);
        let [one, other] = writes.map(|write| Commit {
            at: self.steps.now(),
            write,
            by: bellhop::domain::audit::By::system(),
            remember: self.steps.remember(step),
        });
        let one = self.database.store().commit(one).await;
        let other = self.model.store().commit(other).await;
        assert_eq!(told(&one), told(&other), "{step:?}");
        if let Ok(Receipt::Done { written, .. }) = one {
            self.steps.note(&written);
        }
        self.forget_deleted().await;
    }

    /// The delivery that a step means, in both stores.
    async fn delivery(&self, step: &Step) -> [DeliveryId; 2] {
        let [mut one, mut other] = [DeliveryId(uuid::Uuid::nil()); 2];
        if let Some(which) = step.delivery() {
            let (ones, others) = self.deliveries().await;
            if !ones.is_empty() {
                (one, other) = (ones[which % ones.len()].id, others[which % others.len()].id);
            }
        }
        [one, other]
    }

    async fn deliveries(&self) -> (Vec<Delivery>, Vec<Delivery>) {
        let none = DeliveryFilter::default;
        let ones = self.database.store().deliveries(none(), ALL).await;
        let others = self.model.store().deliveries(none(), ALL).await;
        (ones.unwrap(), others.unwrap())
    }

    /// Claims on a webhook that was deleted are void.
    async fn forget_deleted(&mut self) {
        let store = self.model.store();
        let mut kept = Vec::new();
        for pair in self.held.drain(..) {
            match store.webhook(pair.1.webhook_id).await.unwrap() {
                Some(_) => kept.push(pair),
                None => self.lost.push(pair),
            }
        }
        self.held = kept;
    }

    async fn claim(&mut self, webhook: usize, limit: usize) {
        let Some(webhook_id) = self.steps.webhook(webhook) else {
            return;
        };
        let request = ClaimRequest {
            now: self.steps.now(),
            wants: vec![Want { webhook_id, limit }],
        };
        let one = self
            .database
            .store()
            .claim(request.clone())
            .await
            .unwrap()
            .remove(0);
        let other = self.model.store().claim(request).await.unwrap().remove(0);
        assert_eq!(one.webhook_id, other.webhook_id);
        assert_eq!(
            (one.revision, one.next_due, one.most_in_flight),
            (other.revision, other.next_due, other.most_in_flight)
        );
        // What is to be sent is never erased.
        assert!(one.claims.iter().all(|claim| claim.body.is_some()));
        let told = |claims: &[Claim]| -> Vec<String> { claims.iter().map(claim_told).collect() };
        assert_eq!(told(&one.claims), told(&other.claims));
        self.held.extend(one.claims.into_iter().zip(other.claims));
        self.one_attempt_a_lane();
    }

    /// The first rule of all.
    fn one_attempt_a_lane(&self) {
        let lanes = self
            .held
            .iter()
            .map(|(claim, _)| (claim.webhook_id, claim.integration_id));
        let mut lanes: Vec<_> = lanes.collect();
        lanes.sort_unstable();
        assert!(
            lanes.is_sorted_by(|one, next| one < next),
            "two attempts in one lane"
        );
    }

    async fn record(&mut self, which: usize, end: End) {
        if self.held.is_empty() {
            return;
        }
        let pair = self.held.swap_remove(which % self.held.len());
        let (one, other) = self.recorded(&pair, end).await;
        assert!(matches!(one, Recorded::Done { .. }));
        // A replay that waits may be told of or not: whoever waits for it finds it by claiming.
        let (ones, _) = self.deliveries().await;
        let lane = |each: &&Delivery| {
            (each.webhook_id, each.integration_id) == (pair.0.webhook_id, pair.0.integration_id)
        };
        let is_replay =
            |each: &Delivery| each.state != DeliveryState::Pending && each.next_attempt.is_some();
        if !ones.iter().filter(lane).any(is_replay) && !is_replay_of_ended(&pair.0) {
            assert_eq!(one, other);
        }
        self.lost.push(pair);
    }

    /// Enough failures in a row to open a circuit, if there is enough to send.
    async fn suffer(&mut self, webhook: usize) {
        for _ in 0..12 {
            self.claim(webhook, 4).await;
            while let Some(last) = self.held.len().checked_sub(1) {
                self.steps.tick();
                self.record(last, End::Failed).await;
            }
            self.compare().await;
            self.steps.wait(11);
        }
    }

    async fn record_lost(&mut self, which: usize) {
        if self.lost.is_empty() {
            return;
        }
        let pair = self.lost[which % self.lost.len()].clone();
        // A fence of before may have been given again since the database was reopened.
        let is_held = |(one, other): &(Claim, Claim)| {
            (one.delivery_id, one.fence) == (pair.0.delivery_id, pair.0.fence)
                || (other.delivery_id, other.fence) == (pair.1.delivery_id, pair.1.fence)
        };
        if self.held.iter().any(is_held) {
            return;
        }
        let recorded = self.recorded(&pair, End::Delivered).await;
        assert_eq!(recorded, (Recorded::Lost, Recorded::Lost));
    }

    async fn recorded(&self, (one, other): &(Claim, Claim), end: End) -> (Recorded, Recorded) {
        let (next, effect) = self.steps.outcome(one, end);
        let at = self.steps.now();
        let make = |claim| attempted(claim, next, effect.clone(), at);
        let one = self.database.store().record(make(one)).await.unwrap();
        let other = self.model.store().record(make(other)).await.unwrap();
        (one, other)
    }

    async fn release(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let pair = self.held.swap_remove(which % self.held.len());
        let proof = |claim: &Claim| vec![(claim.delivery_id, claim.fence)];
        self.database.store().release(proof(&pair.0)).await.unwrap();
        self.model.store().release(proof(&pair.1)).await.unwrap();
        self.lost.push(pair);
    }

    /// Lets go of what is older than that.
    async fn purge(&mut self, seconds: u64) {
        let now = self.steps.now();
        let before = Some(now - std::time::Duration::from_secs(seconds));
        let mut what = Purge {
            now,
            deliveries: before,
            tombstones: before,
            audit: None,
            again: true,
        };
        let ours = self.database.store();
        while ours.purge(what).await.unwrap().has_more {
            what.again = false;
        }
        self.model.store().purge(what).await.unwrap();
    }

    /// Erases what has outlived its deliveries by that.
    async fn erase(&mut self, seconds: u64) {
        let now = self.steps.now();
        let mut what = Erase {
            now,
            ended: now - std::time::Duration::from_secs(seconds),
            again: true,
        };
        let ours = self.database.store();
        let mut bodies = 0;
        loop {
            let erased = ours.erase(what).await.unwrap();
            bodies += erased.bodies;
            what.again = false;
            if !erased.has_more {
                break;
            }
        }
        let other = self.model.store().erase(what).await.unwrap();
        assert_eq!(bodies, other.bodies);
    }

    async fn reopen(&mut self) {
        self.database.reopen().await;
        self.model.reopen().await;
        self.lost.append(&mut self.held);
    }

    /// Everything that both tell.
    async fn compare(&self) {
        let (one, other) = (self.database.store(), self.model.store());
        assert_eq!(
            everything(&*one, self.steps.now()).await,
            everything(&*other, self.steps.now()).await
        );
        self.heads().await;
    }

    /// In each lane, the first pending delivery alone has a next attempt.
    async fn heads(&self) {
        let (mut ones, _) = self.deliveries().await;
        ones.retain(|each| each.state == DeliveryState::Pending);
        ones.sort_by_key(|each| (each.webhook_id, each.integration_id, each.sequence));
        for lane in ones
            .chunk_by(|a, b| (a.webhook_id, a.integration_id) == (b.webhook_id, b.integration_id))
        {
            let due: Vec<_> = lane
                .iter()
                .map(|each| each.next_attempt.is_some())
                .collect();
            let head: Vec<_> = (0..lane.len()).map(|position| position == 0).collect();
            assert_eq!(due, head);
        }
    }

    /// Once every webhook is enabled and every receiver answers, nothing stays behind.
    async fn drain(mut self) {
        self.reopen().await;
        for webhook in 0..self.steps.webhooks() {
            let patch = Step::SetState {
                webhook,
                state: WebhookState::Enabled,
            };
            self.commit(&patch).await;
        }
        loop {
            self.steps.wait(100_000);
            for webhook in 0..self.steps.webhooks() {
                self.claim(webhook, 3).await;
            }
            self.steps.tick();
            let got_on = self.move_runs_on().await;
            if self.held.is_empty() && !got_on {
                break;
            }
            while !self.held.is_empty() {
                self.record(0, End::Delivered).await;
            }
        }
        self.compare().await;
        let (ones, _) = self.deliveries().await;
        assert!(ones.iter().all(|each| each.state != DeliveryState::Pending));
        assert!(ones.iter().all(|each| each.next_attempt.is_none()));
        self.runs_have_ended().await;
    }
}

fn is_replay_of_ended(claim: &Claim) -> bool {
    claim.state != DeliveryState::Pending
}
