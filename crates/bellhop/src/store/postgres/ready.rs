//! What was made already claimed and lies ready, so that a message that is sent at once is neither looked for nor read
//! again.
//!
//! The database stays the truth: what lies here has its row in `claims`, under a lease, as everything has that is claimed.
//! Whoever claims leaves word how much more it would have taken ([`Ready::asked`]); so much of what this replica makes is
//! claimed by the transaction that makes it (`at_once.rs`). The next claim takes it from here, and asks the database as
//! well if something else of the webhook is due there, or may be, or if nobody has asked for a while.
//!
//! While the database is asked, more is made. If that were all left to the next question, a busy replica would ask for
//! ever. So as long as the database had less than there was room for, half of the room is kept for what is made
//! meanwhile; if it had as much, all of the next room is for what it has.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    clock::to_ms,
    id::{DeliveryId, WebhookId},
    store::{Claim, Fence, Want, WebhookClaims},
};

/// After so long the database is asked, whatever is known: hints of other replicas may have been lost.
const TRUSTED: Duration = Duration::from_secs(1);
/// What nobody has taken for so long is given back. The webhook may be another by then.
const KEPT: Duration = Duration::from_millis(100);
/// Hints of what was just handed out may still come: for so long they ask for nothing more.
const SETTLED: Duration = Duration::from_millis(10);
/// What a replica makes whose clock is further behind than this may be found a second later.
const CLOCKS_APART: Duration = Duration::from_secs(1);
/// Most webhooks of which something is known; beyond it all is forgotten.
const MOST_WEBHOOKS: usize = 20_000;

/// What lies ready, and what is known of webhooks.
#[derive(Default)]
pub struct Ready(Mutex<Lying>);

#[derive(Default)]
struct Lying {
    webhooks: HashMap<WebhookId, Known>,
    /// Deliveries that are being made, and claimed.
    making: HashSet<DeliveryId>,
    /// Claims that nothing will come of: the next one who asks the database gives them back.
    unwanted: Vec<(DeliveryId, Fence)>,
    /// How often everything was forgotten.
    epoch: u64,
    /// Nothing is claimed here for now.
    is_held_off: bool,
}

/// What is known of a webhook.
#[derive(Default)]
struct Known {
    heads: VecDeque<Head>,
    /// How many more would be taken.
    wanted: usize,
    /// Nothing holds it back: neither its settings nor its health.
    is_free: bool,
    /// The database had less than there was room for when it was asked.
    had_room: bool,
    /// When something else is due; `None` if nothing is.
    until: Option<Timestamp>,
    revision: u64,
    most_in_flight: Option<u32>,
    asked: Option<Instant>,
    handed_out: Option<Instant>,
    /// Before this nothing of it was due when all of it was looked at, and when that was.
    nothing_before: Option<(i64, Instant)>,
}

struct Head {
    claim: Claim,
    due: Timestamp,
    since: Instant,
}

/// A claim that was made with its delivery, and when that is due.
pub type Made = (Claim, Timestamp);

/// What there is for a want.
pub struct Handed {
    /// What lay ready.
    pub of: WebhookClaims,
    /// What the database is to be asked for besides, if it is.
    pub ask: Option<Want>,
}

impl Ready {
    /// Hands out what lies ready.
    pub fn hand_out(&self, want: &Want, now: Timestamp) -> Handed {
        let mut lying = self.lying();
        if lying.webhooks.len() >= MOST_WEBHOOKS && !lying.webhooks.contains_key(&want.webhook_id) {
            lying.forget_all();
        }
        let known = lying.webhooks.entry(want.webhook_id).or_default();
        let (must_ask, is_stale) = (known.must_ask(now), known.is_stale(now));
        let unwanted = if is_stale {
            known.drop_heads()
        } else {
            Vec::new()
        };
        let n = want.limit.min(known.heads.len());
        if n > 0 {
            known.handed_out = Some(Instant::now());
        }
        let claims = known.heads.drain(..n).map(|head| head.claim).collect();
        let room = want.limit - n;
        // What is made from now on is wanted if there is room for it.
        known.wanted = match must_ask {
            _ if !known.is_free => 0,
            false => room,
            true if known.had_room && !is_stale => room / 2,
            true => 0,
        };
        let limit = room - known.wanted;
        // Where there is no room left for more, it is asked the next time.
        let ask = must_ask && (limit > 0 || n == 0);
        let of = WebhookClaims {
            webhook_id: want.webhook_id,
            revision: known.revision,
            claims,
            next_due: known.next_due(),
            most_in_flight: known.most_in_flight,
        };
        if ask {
            known.until = None;
        }
        lying.unwanted.extend(unwanted);
        let webhook_id = want.webhook_id;
        Handed {
            of,
            ask: ask.then_some(Want { webhook_id, limit }),
        }
    }

    /// The database was asked for so many, and gave this. What is left of the limit may be claimed as it is made, if the
    /// webhook is one that nothing holds back.
    pub fn asked(&self, of: &WebhookClaims, limit: usize, is_free: bool) {
        let mut lying = self.lying();
        let Some(known) = lying.webhooks.get_mut(&of.webhook_id) else {
            return;
        };
        // What was made meanwhile may not be in the answer.
        known.expect(of.next_due);
        known.revision = of.revision;
        known.most_in_flight = of.most_in_flight;
        known.asked = Some(Instant::now());
        known.is_free = is_free;
        known.had_room = of.claims.len() < limit;
        known.wanted = match (is_free, known.had_room) {
            (true, true) => known.wanted + limit - of.claims.len(),
            _ => 0,
        };
        if !is_free {
            let unwanted = known.drop_heads();
            lying.unwanted.extend(unwanted);
        }
    }

    /// Whether nothing held this webhook back when the database was asked.
    pub fn is_free(&self, webhook: WebhookId) -> bool {
        let lying = self.lying();
        lying
            .webhooks
            .get(&webhook)
            .is_some_and(|known| known.is_free)
    }

    /// From when on to look for what is due. What comes meanwhile comes later, or is found a second later.
    pub fn since_ms(&self, webhook: WebhookId, now: Timestamp) -> i64 {
        let lying = self.lying();
        let known = lying.webhooks.get(&webhook);
        let seen = known.and_then(|known| known.nothing_before);
        let seen = seen.filter(|(_, at)| at.elapsed() < TRUSTED);
        let latest = to_ms(now) - CLOCKS_APART.as_millis() as i64;
        seen.map_or(i64::MIN, |(first_ms, _)| first_ms.min(latest))
    }

    /// From there on the first was due then. Only who looked at all of it has seen what there is not.
    pub fn saw(&self, webhook: WebhookId, since_ms: i64, first_ms: Option<i64>) {
        let mut lying = self.lying();
        if let (i64::MIN, Some(known)) = (since_ms, lying.webhooks.get_mut(&webhook)) {
            known.nothing_before = Some((first_ms.unwrap_or(i64::MAX), Instant::now()));
        }
    }

    /// These were handed out, and are not wanted after all.
    pub fn take_back(&self, claims: impl IntoIterator<Item = Claim>) {
        let claims = claims.into_iter();
        let unwanted = claims.map(|claim| (claim.delivery_id, claim.fence));
        self.lying().unwanted.extend(unwanted);
    }

    /// Something of this webhook is due then that does not lie ready.
    pub fn expect(&self, webhook: WebhookId, due: Timestamp) {
        if let Some(known) = self.lying().webhooks.get_mut(&webhook) {
            known.expect(Some(due));
        }
    }

    /// Something of this webhook may be due, or it is not what it was: the database is asked next.
    pub fn ask(&self, webhook: WebhookId) {
        self.expect(webhook, Timestamp::MIN);
    }

    /// The same of all, and what lies ready is not wanted.
    pub fn forget_all(&self) {
        self.lying().forget_all();
    }

    /// The same of one.
    pub fn forget(&self, webhook: WebhookId) {
        let mut lying = self.lying();
        if let Some(mut known) = lying.webhooks.remove(&webhook) {
            let unwanted = known.drop_heads();
            lying.unwanted.extend(unwanted);
        }
    }

    /// Claims to give back. They stay here until [`Ready::gave_back`].
    pub fn unwanted(&self) -> Vec<(DeliveryId, Fence)> {
        self.lying().unwanted.clone()
    }

    /// These were given back.
    pub fn gave_back(&self, claims: &[(DeliveryId, Fence)]) {
        let claims: HashSet<_> = claims.iter().collect();
        self.lying().unwanted.retain(|each| !claims.contains(each));
    }

    /// From now on nothing is claimed as it is made. Whether something still is.
    pub fn hold_off(&self) -> bool {
        let mut lying = self.lying();
        lying.is_held_off = true;
        !lying.making.is_empty()
    }

    /// It may be again.
    pub fn go_on(&self) {
        self.lying().is_held_off = false;
    }

    /// How often everything was forgotten.
    pub fn epoch(&self) -> u64 {
        self.lying().epoch
    }

    /// Whether a delivery that is about to be made is wanted. It counts as being made until [`Ready::made`].
    pub fn wants(&self, webhook: WebhookId, id: DeliveryId) -> bool {
        let mut lying = self.lying();
        if lying.is_held_off {
            return false;
        }
        let Some(known) = lying.webhooks.get_mut(&webhook) else {
            return false;
        };
        let is_wanted = known.wanted > 0;
        if is_wanted {
            known.wanted -= 1;
            lying.making.insert(id);
        }
        is_wanted
    }

    /// These are made no longer; of them these were claimed, and that is durable. They lie ready, unless everything was
    /// forgotten since.
    pub fn made(&self, ids: &[DeliveryId], claims: Vec<Made>, epoch: u64) {
        let mut lying = self.lying();
        for id in ids {
            lying.making.remove(id);
        }
        let is_known = lying.epoch == epoch;
        for (claim, due) in claims {
            match lying.webhooks.get_mut(&claim.webhook_id) {
                Some(known) if is_known => known.heads.push_back(Head {
                    claim,
                    due,
                    since: Instant::now(),
                }),
                _ => lying.unwanted.push((claim.delivery_id, claim.fence)),
            }
        }
    }

    fn lying(&self) -> std::sync::MutexGuard<'_, Lying> {
        self.0.lock().expect("no holder panics")
    }
}

impl Lying {
    fn forget_all(&mut self) {
        self.epoch += 1;
        for (_, mut known) in self.webhooks.drain() {
            self.unwanted.extend(known.drop_heads());
        }
    }
}

impl Known {
    /// Whether the database has to be asked as well.
    fn must_ask(&self, now: Timestamp) -> bool {
        let within = |since: Option<Instant>, limit| since.is_some_and(|at| at.elapsed() < limit);
        let has_others = self.until.is_some_and(|until| until <= now);
        has_others
            || !within(self.asked, TRUSTED)
            || (self.heads.is_empty() && !within(self.handed_out, SETTLED))
            || self.is_stale(now)
    }

    /// Whether what lies ready is not to be sent: for too long, or it is not due by this clock.
    fn is_stale(&self, now: Timestamp) -> bool {
        let head = self.heads.front();
        head.is_some_and(|head| head.since.elapsed() >= KEPT || now < head.due)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let head = self.heads.front();
        head.map(|head| head.due)
            .into_iter()
            .chain(self.until)
            .min()
    }

    fn expect(&mut self, due: Option<Timestamp>) {
        self.until = self.until.into_iter().chain(due).min();
    }

    fn drop_heads(&mut self) -> Vec<(DeliveryId, Fence)> {
        let heads = self.heads.drain(..);
        heads
            .map(|head| (head.claim.delivery_id, head.claim.fence))
            .collect()
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lying = self.lying();
        let heads: usize = lying.webhooks.values().map(|known| known.heads.len()).sum();
        f.debug_struct("Ready")
            .field("webhooks", &lying.webhooks.len())
            .field("heads", &heads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
