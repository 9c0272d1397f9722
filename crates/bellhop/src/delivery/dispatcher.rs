//! The dispatcher: claims what is due, gives it to attempts, and knows only webhooks. A lane that waits for a
//! retry holds no task, no connection and no transaction: it is a row with a time in it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    DeliveryObserver,
    attempt::Attempts,
    line::{Line, Room},
    prepared::Directory,
    under_way::{Ended, ForWebhook, UnderWay, prepare},
};
use crate::{
    domain::retry::later,
    feed::Feed,
    id::{DeliveryId, WebhookId},
    store::{ClaimRequest, Fence, Store, StoreError, Want, WebhookClaims},
};

/// How often the store is asked what is due although nobody said so: the net under the hints.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Most webhooks of one claim.
const MAX_WANTS: usize = 256;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// What the dispatcher works with.
#[derive(Debug)]
pub struct Parts {
    /// Where what is due is.
    pub store: Arc<dyn Store>,
    /// Who says that something is due.
    pub feed: Arc<Feed>,
    /// Who sends.
    pub attempts: Attempts,
    /// The webhooks, ready to be sent to.
    pub directory: Directory,
    /// Who counts.
    pub observer: Arc<dyn DeliveryObserver>,
    /// Most requests at a time, over all webhooks.
    pub max_in_flight: usize,
}

/// Claims and sends.
#[derive(Debug)]
pub struct Dispatcher {
    parts: Arc<Parts>,
    lines: HashMap<WebhookId, Line>,
    /// Webhooks that may have something due now, each once, in turn.
    ready: VecDeque<WebhookId>,
    /// Webhooks that have something due later.
    later: BTreeSet<(Timestamp, WebhookId)>,
    in_flight: usize,
    /// Claims whose attempts were not made or not recorded, until the store has taken them back.
    owed: Vec<(DeliveryId, Fence, WebhookId)>,
    /// The last time that it was.
    latest: Timestamp,
    ended: mpsc::UnboundedSender<Ended>,
    endings: mpsc::UnboundedReceiver<Ended>,
}

impl Dispatcher {
    /// A dispatcher with nothing under way.
    pub fn new(parts: Arc<Parts>) -> Self {
        let (ended, endings) = mpsc::unbounded_channel();
        Self {
            parts,
            lines: HashMap::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            in_flight: 0,
            owed: Vec::new(),
            // Nobody knows what time it was when the store was last used.
            latest: Timestamp::MAX,
            ended,
            endings,
        }
    }

    /// Works until `stop`, then lets what is under way end, for `drain` at most.
    pub async fn run(mut self, stop: impl Future<Output = ()>, drain: Duration) {
        tokio::pin!(stop);
        let mut poll = tokio::time::interval(POLL_EVERY);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let parts = self.parts.clone();
            // Registered before looking: a hint that comes while we look wakes us.
            let woken = parts.feed.woken();
            if let Err(error) = self.dispatch().await {
                tracing::error!(%error, "the store did not say what is due; trying again");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            let pause = self.until_later();
            // In a fixed order, so that a seed of the simulation repeats a run. Nothing starves: the store is asked at
            // most once a second, and what a hint wakes for is gathered at the next turn, whatever this one was for.
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = poll.tick() => self.look().await,
                ended = self.endings.recv() => self.take_endings(ended).await,
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.drain(drain).await;
    }

    /// One round for a test that moves time by hand: sends what is due now and waits until it is recorded.
    /// Says how many attempts were made.
    pub async fn step(&mut self) -> Result<usize, StoreError> {
        self.notice_the_time().await?;
        for (webhook, due) in self.parts.store.due().await? {
            self.plan(webhook, due);
        }
        let mut made = self.dispatch().await?;
        while self.in_flight > 0 {
            let ended = self.endings.recv().await;
            self.take_endings(ended).await;
            made += self.dispatch().await?;
        }
        Ok(made)
    }

    /// Claims for every webhook that may have something due and has room, and starts the attempts.
    async fn dispatch(&mut self) -> Result<usize, StoreError> {
        let mut made = 0;
        loop {
            let now = self.parts.attempts.clock.now();
            self.gather(now);
            let wants = self.wants();
            if wants.is_empty() {
                return Ok(made);
            }
            let webhooks: Vec<WebhookId> = wants.iter().map(|want| want.webhook_id).collect();
            fault_point!("claim-before");
            match self.parts.store.claim(ClaimRequest { now, wants }).await {
                Ok(taken) => {
                    fault_point!("claim-after");
                    made += taken
                        .into_iter()
                        .map(|of| self.start(of, now))
                        .sum::<usize>();
                }
                Err(error) => {
                    for webhook in webhooks {
                        self.make_ready(webhook);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Webhooks that were hinted at, and those whose time has come.
    fn gather(&mut self, now: Timestamp) {
        for webhook in self.parts.feed.take_due() {
            self.make_ready(webhook);
        }
        while let Some((due, webhook)) = self.later.first().copied().filter(|(due, _)| *due <= now)
        {
            self.later.remove(&(due, webhook));
            if let Some(line) = self.lines.get_mut(&webhook) {
                line.later = None;
            }
            self.make_ready(webhook);
        }
    }

    /// An equal share of the free room for each webhook that is ready and has room of its own.
    fn wants(&mut self) -> Vec<Want> {
        let free = self.parts.max_in_flight.saturating_sub(self.in_flight);
        if free == 0 {
            return Vec::new();
        }
        let share = (free / self.ready.len().max(1)).max(1);
        let now = self.parts.attempts.clock.now();
        let mut left = free;
        let mut wants = Vec::new();
        while left > 0 && wants.len() < MAX_WANTS {
            let Some(webhook_id) = self.ready.pop_front() else {
                break;
            };
            let line = self.lines.entry(webhook_id).or_default();
            line.is_ready = false;
            let room = match line.room(now) {
                Room::For(room) => room.min(share).min(left),
                Room::WhenOneEnds => {
                    line.has_more = true;
                    continue;
                }
                Room::At(at) => {
                    self.plan(webhook_id, at);
                    continue;
                }
            };
            left -= room;
            wants.push(Want {
                webhook_id,
                limit: room,
            });
        }
        wants
    }

    /// Starts the attempts of what was taken of one webhook.
    fn start(&mut self, taken: WebhookClaims, now: Timestamp) -> usize {
        let WebhookClaims {
            webhook_id,
            revision,
            claims,
            next_due,
            most_in_flight,
        } = taken;
        let n = claims.len();
        let line = self.lines.entry(webhook_id).or_default();
        line.most = most_in_flight.map(|most| most as usize);
        // What is due and was not given waits for requests that are not ours: asked again at once, it still would.
        let is_refused = n == 0 && line.in_flight == 0;
        if let Some(due) = next_due {
            let soon = later(
                now,
                if is_refused {
                    STORE_PAUSE
                } else {
                    Duration::ZERO
                },
            );
            self.plan(webhook_id, if due <= now { soon } else { due });
        }
        self.in_flight += n;
        let ready = self.parts.directory.ready(webhook_id, revision, now);
        let line = self.lines.entry(webhook_id).or_default();
        line.in_flight += n;
        if let Some(pace) = &mut line.pace {
            pace.took(n);
        }
        if let Some(prepared) = &ready {
            line.settle(prepared, now);
        }
        if n == 0 {
            self.forget_idle(webhook_id);
            return 0;
        }
        let under_way: Vec<UnderWay> = claims
            .iter()
            .map(|claim| UnderWay::new(claim, self.ended.clone()))
            .collect();
        let parts = self.parts.clone();
        if let Some(prepared) = ready {
            for (claim, under_way) in claims.into_iter().zip(under_way) {
                tokio::spawn(under_way.run(claim, parts.clone(), prepared.clone()));
            }
        } else {
            tokio::spawn(async move {
                let Some(prepared) = prepare(&parts, webhook_id).await else {
                    return;
                };
                for (claim, under_way) in claims.into_iter().zip(under_way) {
                    tokio::spawn(under_way.run(claim, parts.clone(), prepared.clone()));
                }
            });
        }
        n
    }

    /// Takes an ending and all that have come with it.
    async fn take_endings(&mut self, first: Option<Ended>) {
        let now = self.parts.attempts.clock.now();
        let mut next = first;
        while let Some(ended) = next {
            self.in_flight -= 1;
            let line = self.lines.entry(ended.webhook_id).or_default();
            line.in_flight -= 1;
            if let Some(webhook) = &ended.webhook {
                line.settle(webhook, now);
            }
            if std::mem::take(&mut line.has_more) {
                self.make_ready(ended.webhook_id);
            }
            match ended.result {
                Some(ForWebhook::More(None)) => self.make_ready(ended.webhook_id),
                Some(ForWebhook::More(Some(at))) => self.plan(ended.webhook_id, at),
                Some(ForWebhook::Nothing) => {}
                None => {
                    let (delivery, fence) = ended.claim;
                    self.owed.push((delivery, fence, ended.webhook_id));
                }
            }
            self.forget_idle(ended.webhook_id);
            next = self.endings.try_recv().ok();
        }
        self.give_back().await;
    }

    /// Gives claims back that nothing will come of. What the store does not take now is offered again every second: a
    /// claim that nobody gives back holds its lane until the next start.
    async fn give_back(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let claims = self
            .owed
            .iter()
            .map(|(delivery, fence, _)| (*delivery, *fence));
        if let Err(error) = self.parts.store.release(claims.collect()).await {
            tracing::error!(%error, "claims could not be given back; trying again");
            return;
        }
        let retry = later(self.parts.attempts.clock.now(), STORE_PAUSE);
        for (_, _, webhook) in std::mem::take(&mut self.owed) {
            self.plan(webhook, retry);
        }
    }

    /// If the clock was set back, what was planned by it moves along.
    async fn notice_the_time(&mut self) -> Result<(), StoreError> {
        let now = self.parts.attempts.clock.now();
        if now < self.latest {
            let replanned = self.parts.store.replan(now).await?;
            if replanned > 0 {
                tracing::warn!(replanned, "the clock was set back; plans were moved along");
            }
            self.later.clear();
            self.lines.values_mut().for_each(|line| line.later = None);
        }
        self.latest = now;
        Ok(())
    }

    /// Asks the store what is due, whatever was hinted.
    async fn look(&mut self) {
        self.give_back().await;
        if let Err(error) = self.notice_the_time().await {
            tracing::error!(%error, "plans could not be moved after the clock was set back; trying again");
        }
        match self.parts.store.due().await {
            Ok(due) => due
                .into_iter()
                .for_each(|(webhook, at)| self.plan(webhook, at)),
            Err(error) => tracing::error!(%error, "the store did not say what is due"),
        }
    }

    fn make_ready(&mut self, webhook: WebhookId) {
        let line = self.lines.entry(webhook).or_default();
        if !line.is_ready {
            line.is_ready = true;
            self.ready.push_back(webhook);
        }
    }

    /// The webhook has something due at this moment; only the earliest is remembered.
    fn plan(&mut self, webhook: WebhookId, due: Timestamp) {
        let line = self.lines.entry(webhook).or_default();
        if line.is_ready || line.later.is_some_and(|planned| planned <= due) {
            return;
        }
        if let Some(planned) = line.later.replace(due) {
            self.later.remove(&(planned, webhook));
        }
        self.later.insert((due, webhook));
    }

    /// Forgets a webhook with nothing under way and nothing planned, so that memory follows work.
    fn forget_idle(&mut self, webhook: WebhookId) {
        let is_idle = |line: &Line| {
            line.in_flight == 0 && !line.is_ready && !line.has_more && line.later.is_none()
        };
        if self.lines.get(&webhook).is_some_and(is_idle) && self.lines.len() > MAX_WANTS {
            self.lines.remove(&webhook);
        }
    }

    fn until_later(&self) -> Duration {
        let Some((due, _)) = self.later.first() else {
            return POLL_EVERY;
        };
        let now = self.parts.attempts.clock.now();
        Duration::try_from(due.duration_since(now))
            .unwrap_or_default()
            .min(POLL_EVERY)
    }

    /// Lets what is under way end. What does not end in time is sent again after the next start.
    async fn drain(&mut self, limit: Duration) {
        let ended = tokio::time::timeout(limit, async {
            while self.in_flight > 0 {
                let ended = self.endings.recv().await;
                self.take_endings(ended).await;
            }
        });
        if ended.await.is_err() {
            tracing::warn!(
                in_flight = self.in_flight,
                "attempts did not end in time; they are made again after the next start"
            );
        }
    }
}
