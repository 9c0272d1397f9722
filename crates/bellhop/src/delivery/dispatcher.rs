//! The dispatcher: claims what is due, gives it to attempts, and knows only webhooks. A lane that waits for a
//! retry holds no task, no connection and no transaction: it is a row with a time in it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    DeliveryObserver,
    attempt::Attempts,
    line::{Room, Turn},
    lines::Lines,
    prepared::{Directory, Prepared},
    room::Standing,
    turns::Turns,
    under_way::{Ended, ForWebhook, Told, UnderWay, prepare},
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
/// Most webhooks that are being read at a time.
const MAX_PREPARING: usize = 64;

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
    /// Most requests at a time to one host.
    pub max_in_flight_per_host: usize,
}

/// Claims and sends.
#[derive(Debug)]
pub struct Dispatcher {
    parts: Arc<Parts>,
    lines: Lines,
    /// Webhooks that may have something due now, each once, and the room that there is.
    turns: Turns,
    /// How many webhooks are being read.
    preparing: usize,
    /// Claims whose attempts were not made or not recorded, until the store has taken them back.
    owed: Vec<(DeliveryId, Fence, WebhookId)>,
    /// The last time that it was.
    latest: Timestamp,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Dispatcher {
    /// A dispatcher with nothing under way.
    pub fn new(parts: Arc<Parts>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            turns: Turns::new(parts.max_in_flight, parts.max_in_flight_per_host),
            parts,
            lines: Lines::default(),
            preparing: 0,
            owed: Vec::new(),
            // Nobody knows what time it was when the store was last used.
            latest: Timestamp::MAX,
            tell,
            told,
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
                told = self.told.recv() => self.take_told(told).await,
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
            self.lines.plan(webhook, due);
        }
        let mut made = self.dispatch().await?;
        while self.is_waiting() {
            let told = self.told.recv().await;
            self.take_told(told).await;
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
            self.watch(now);
            let wants = self.wants(now);
            if wants.is_empty() {
                return Ok(made);
            }
            let wanted = wants.clone();
            fault_point!("claim-before");
            match self.parts.store.claim(ClaimRequest { now, wants }).await {
                Ok(taken) => {
                    fault_point!("claim-after");
                    made += taken
                        .into_iter()
                        .zip(wanted)
                        .map(|(of, want)| self.start(of, want, now))
                        .sum::<usize>();
                }
                Err(error) => {
                    for Want { webhook_id, limit } in wanted {
                        self.give_room_back(webhook_id, limit);
                        self.make_ready(webhook_id);
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
        while let Some(webhook) = self.lines.next_due(now) {
            self.make_ready(webhook);
        }
    }

    /// Webhooks with a request under way for long are slow from now on.
    fn watch(&mut self, now: Timestamp) {
        while let Some(webhook) = self.lines.next_watched(now) {
            let line = self.lines.of(webhook);
            if line.oldest_takes_long(now) {
                self.turns.stand(line, Standing::Slow);
            }
            self.lines.watch(webhook, now);
        }
    }

    /// An equal share of the free room for each webhook that is ready and has room of its own. The room is in use from
    /// now on; what is not needed of it is given back.
    fn wants(&mut self, now: Timestamp) -> Vec<Want> {
        let mut wants = Vec::new();
        for standing in self.turns.round() {
            let share = self.turns.share(standing);
            for _ in 0..self.turns.ready(standing) {
                if wants.len() == MAX_WANTS {
                    return wants;
                }
                let may_read = self.preparing < MAX_PREPARING;
                let Some(webhook_id) = may_read.then(|| self.turns.next(standing)).flatten() else {
                    break;
                };
                let limit = self.room_of(webhook_id, now).min(share);
                if limit > 0 {
                    let line = self.lines.of(webhook_id);
                    self.turns.began(line, limit);
                    wants.push(Want { webhook_id, limit });
                }
            }
        }
        wants
    }

    /// How many requests of a webhook may begin now. If none, it comes back when there is room.
    fn room_of(&mut self, webhook: WebhookId, now: Timestamp) -> usize {
        let line = self.lines.of(webhook);
        line.turn = Turn::None;
        if line.limit.is_none() {
            let Some(prepared) = self.parts.directory.newest(webhook) else {
                self.prepare(webhook);
                return 0;
            };
            self.turns.settle(line, &prepared, now);
        }
        match line.room(now) {
            Room::For(room) => room.min(self.turns.room(webhook, line)),
            Room::WhenOneEnds => {
                line.has_more = true;
                0
            }
            Room::At(at) => {
                self.lines.plan(webhook, at);
                0
            }
        }
    }

    /// Reads a webhook of which nothing is known, so that its limits hold for its first request.
    fn prepare(&mut self, webhook: WebhookId) {
        self.lines.of(webhook).turn = Turn::Prepares;
        self.preparing += 1;
        let (parts, tell) = (self.parts.clone(), self.tell.clone());
        tokio::spawn(async move {
            let now = parts.attempts.clock.now();
            let prepared = parts.directory.prepare(webhook, now).await;
            // The dispatcher is gone only when the process ends.
            let _ = tell.send(Told::Prepared(webhook, prepared));
        });
    }

    /// Starts the attempts of what was taken of one webhook.
    fn start(&mut self, taken: WebhookClaims, want: Want, now: Timestamp) -> usize {
        let WebhookClaims {
            webhook_id,
            revision,
            claims,
            next_due,
            most_in_flight,
        } = taken;
        let n = claims.len();
        self.give_room_back(webhook_id, want.limit - n);
        let line = self.lines.of(webhook_id);
        line.most = most_in_flight.map(|most| most as usize);
        // What is due and was not given waits for requests that are not ours: asked again at once, it still would.
        let is_refused = n == 0 && line.in_flight == 0;
        let soon = if is_refused {
            later(now, STORE_PAUSE)
        } else {
            now
        };
        line.refused_until = is_refused.then_some(soon);
        if let Some(due) = next_due {
            self.lines
                .plan(webhook_id, if due <= now { soon } else { due });
        }
        if n == 0 {
            return 0;
        }
        let ready = self.parts.directory.ready(webhook_id, revision, now);
        let line = self.lines.of(webhook_id);
        line.begin(n, now);
        if let Some(prepared) = &ready {
            self.turns.settle(line, prepared, now);
        }
        self.lines.watch(webhook_id, now);
        let under_way: Vec<UnderWay> = claims
            .iter()
            .map(|claim| UnderWay::new(claim, now, self.tell.clone()))
            .collect();
        let parts = self.parts.clone();
        if let Some(prepared) = ready {
            for (claim, under_way) in claims.into_iter().zip(under_way) {
                tokio::spawn(under_way.run(claim, parts.clone(), prepared.clone()));
            }
        } else {
            let tell = self.tell.clone();
            tokio::spawn(async move {
                let Some(prepared) = prepare(&parts, webhook_id).await else {
                    return;
                };
                // Told now and not with the ending: what goes to another host is no longer counted for the former one.
                let _ = tell.send(Told::Changed(webhook_id, prepared.clone()));
                for (claim, under_way) in claims.into_iter().zip(under_way) {
                    tokio::spawn(under_way.run(claim, parts.clone(), prepared.clone()));
                }
            });
        }
        n
    }

    /// Takes what the dispatcher was told, and all that has come with it.
    async fn take_told(&mut self, first: Option<Told>) {
        let now = self.parts.attempts.clock.now();
        let mut next = first;
        while let Some(told) = next {
            match told {
                Told::Ended(ended) => self.take_ending(&ended, now),
                Told::Prepared(webhook, prepared) => self.take_prepared(webhook, prepared, now),
                Told::Changed(webhook, prepared) => self.settle(webhook, &prepared, now),
            }
            next = self.told.try_recv().ok();
        }
        self.give_back().await;
        self.lines.forget_idle();
    }

    fn take_ending(&mut self, ended: &Ended, now: Timestamp) {
        let webhook = ended.webhook_id;
        let line = self.lines.of(webhook);
        let standing = line.end(ended.begun, ended.shown, now);
        self.turns.ended(line, 1);
        self.turns.stand(line, standing);
        let host = line.host.clone();
        if std::mem::take(&mut line.has_more) {
            self.make_ready(webhook);
        }
        self.wake_host(host.as_deref());
        match ended.result {
            Some(ForWebhook::More(None)) => self.make_ready(webhook),
            Some(ForWebhook::More(Some(at))) => self.lines.plan(webhook, at),
            Some(ForWebhook::Nothing) => {}
            None => {
                let (delivery, fence) = ended.claim;
                self.owed.push((delivery, fence, webhook));
            }
        }
    }

    /// Takes the settings of a webhook over, if it was changed.
    fn settle(&mut self, webhook: WebhookId, prepared: &Prepared, now: Timestamp) {
        let line = self.lines.of(webhook);
        let former = line.host.clone();
        self.turns.settle(line, prepared, now);
        self.wake_host(former.as_deref());
    }

    fn take_prepared(
        &mut self,
        webhook: WebhookId,
        prepared: Result<Option<Arc<Prepared>>, StoreError>,
        now: Timestamp,
    ) {
        self.preparing -= 1;
        let line = self.lines.of(webhook);
        line.turn = Turn::None;
        match prepared {
            Ok(Some(prepared)) => {
                self.turns.settle(line, &prepared, now);
                self.make_ready(webhook);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, %webhook, "a webhook could not be read; trying again");
                self.lines.plan(webhook, later(now, STORE_PAUSE));
            }
        }
    }

    /// Room that was given to a webhook is not needed.
    fn give_room_back(&mut self, webhook: WebhookId, room: usize) {
        if room == 0 {
            return;
        }
        let line = self.lines.of(webhook);
        self.turns.ended(line, room);
        let host = line.host.clone();
        self.wake_host(host.as_deref());
    }

    /// Webhooks that waited for room of this host, and find it.
    fn wake_host(&mut self, host: Option<&str>) {
        for webhook in host.map_or_else(Vec::new, |host| self.turns.found_room(host)) {
            self.lines.of(webhook).turn = Turn::None;
            self.make_ready(webhook);
        }
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
            self.lines.plan(webhook, retry);
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
            self.lines.forget_times();
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
                .for_each(|(webhook, at)| self.lines.plan(webhook, at)),
            Err(error) => tracing::error!(%error, "the store did not say what is due"),
        }
        self.lines.forget_idle();
    }

    fn make_ready(&mut self, webhook: WebhookId) {
        let line = self.lines.of(webhook);
        // One that is being read, or waits for its host, comes back by itself.
        if line.turn == Turn::None {
            line.turn = Turn::Ready;
            self.turns.join(line.standing, webhook);
        }
    }

    fn is_waiting(&self) -> bool {
        self.turns.in_flight() > 0 || self.preparing > 0
    }

    fn until_later(&self) -> Duration {
        let Some(at) = self.lines.next_time() else {
            return POLL_EVERY;
        };
        let now = self.parts.attempts.clock.now();
        Duration::try_from(at.duration_since(now))
            .unwrap_or_default()
            .min(POLL_EVERY)
    }

    /// Lets what is under way end. What does not end in time is sent again after the next start.
    async fn drain(&mut self, limit: Duration) {
        let ended = tokio::time::timeout(limit, async {
            while self.is_waiting() {
                let told = self.told.recv().await;
                self.take_told(told).await;
            }
        });
        if ended.await.is_err() {
            tracing::warn!(
                in_flight = self.turns.in_flight(),
                "attempts did not end in time; they are made again after the next start"
            );
        }
    }
}
