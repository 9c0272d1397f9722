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
mod tests {
    use bellhop_webhook::Action;
    use uuid::Uuid;

    use super::*;
    use crate::{domain::delivery::DeliveryState, id::IntegrationId};

    const WEBHOOK: WebhookId = WebhookId(Uuid::from_u128(1));

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn made(number: u64, due: Timestamp) -> Made {
        let claim = Claim {
            delivery_id: DeliveryId(Uuid::from_u128(number.into())),
            fence: Fence(number),
            webhook_id: WEBHOOK,
            integration_id: IntegrationId(Uuid::from_u128(number.into())),
            sequence: 1,
            previous: 0,
            action: Action::IntegrationCreated,
            state: DeliveryState::Pending,
            number: 1,
            tries: 0,
            planned: None,
            created: due,
            body: None,
            replay_id: None,
        };
        (claim, due)
    }

    fn want(limit: usize) -> Want {
        Want {
            webhook_id: WEBHOOK,
            limit,
        }
    }

    /// What the database is asked for besides.
    fn asks(handed: &Handed) -> Option<usize> {
        handed.ask.map(|want| want.limit)
    }

    fn fences(handed: &Handed) -> Vec<u64> {
        let claims = handed.of.claims.iter();
        claims.map(|claim| claim.fence.0).collect()
    }

    /// The database gave so many, and has more then.
    fn answer(ready: &Ready, limit: usize, given: u64, next_due: Option<Timestamp>, is_free: bool) {
        let of = WebhookClaims {
            webhook_id: WEBHOOK,
            revision: 7,
            claims: (100..100 + given)
                .map(|number| made(number, at(0)).0)
                .collect(),
            next_due,
            most_in_flight: Some(5),
        };
        ready.asked(&of, limit, is_free);
    }

    /// The database was asked at this moment, for so many, and had nothing.
    fn asked(limit: usize, is_free: bool) -> Ready {
        let ready = Ready::default();
        let handed = ready.hand_out(&want(limit), at(0));
        assert_eq!(asks(&handed), Some(limit), "nothing is known");
        answer(&ready, limit, 0, None, is_free);
        ready
    }

    /// So many are made, as far as they are wanted.
    fn make(ready: &Ready, numbers: std::ops::Range<u64>) -> usize {
        let epoch = ready.epoch();
        let wanted = numbers
            .map(|number| made(number, at(0)))
            .filter(|(claim, _)| ready.wants(WEBHOOK, claim.delivery_id));
        let wanted: Vec<Made> = wanted.collect();
        let ids: Vec<DeliveryId> = wanted.iter().map(|(claim, _)| claim.delivery_id).collect();
        ready.made(&ids, wanted, epoch);
        ids.len()
    }

    #[test]
    fn as_much_is_wanted_as_there_was_room_for() {
        assert_eq!(make(&asked(2, true), 0..3), 2);
        assert_eq!(make(&asked(2, false), 0..3), 0, "something holds it back");
        assert_eq!(make(&Ready::default(), 0..3), 0, "nobody has asked");
    }

    #[test]
    fn what_lies_ready_is_handed_out_in_order_and_once() {
        let ready = asked(3, true);
        make(&ready, 0..3);
        let first = ready.hand_out(&want(2), at(1));
        assert_eq!((fences(&first), asks(&first)), (vec![0, 1], None));
        assert_eq!((first.of.revision, first.of.most_in_flight), (7, Some(5)));
        assert_eq!(first.of.next_due, Some(at(0)), "there is one more");
        let rest = ready.hand_out(&want(2), at(1));
        assert_eq!((fences(&rest), rest.of.next_due), (vec![2], None));
        // The room that is left of the last want is there for what is made next.
        assert_eq!(make(&ready, 3..6), 1);
    }

    #[test]
    fn what_is_due_in_the_database_is_asked_for_besides() {
        let ready = asked(8, true);
        make(&ready, 0..2);
        ready.expect(WEBHOOK, at(5));
        let early = ready.hand_out(&want(1), at(4));
        assert_eq!((fences(&early), asks(&early)), (vec![0], None));
        // Of the seven that are left, three are for what is made meanwhile.
        let handed = ready.hand_out(&want(8), at(5));
        assert_eq!((fences(&handed), asks(&handed)), (vec![1], Some(4)));
        assert_eq!(make(&ready, 10..20), 3);
        assert!(ready.unwanted().is_empty());
        // It had as much as was asked for: the next room is all for what it has, and what is made waits there.
        answer(&ready, 4, 4, Some(at(0)), true);
        assert_eq!(make(&ready, 20..30), 0);
        let handed = ready.hand_out(&want(8), at(5));
        assert_eq!((fences(&handed).len(), asks(&handed)), (3, Some(5)));
        assert_eq!(make(&ready, 30..40), 0);
        // It had less: it need not be asked again for what comes.
        answer(&ready, 5, 1, None, true);
        assert_eq!(make(&ready, 40..50), 4);
        let handed = ready.hand_out(&want(8), at(5));
        assert_eq!((fences(&handed).len(), asks(&handed)), (4, None));
    }

    #[test]
    fn where_there_is_no_room_but_for_what_lies_ready_the_database_is_next() {
        let ready = asked(2, true);
        make(&ready, 0..2);
        ready.expect(WEBHOOK, at(0));
        let handed = ready.hand_out(&want(2), at(1));
        assert_eq!((fences(&handed), asks(&handed)), (vec![0, 1], None));
        assert_eq!(handed.of.next_due, Some(at(0)));
        assert_eq!(make(&ready, 2..4), 0);
        assert_eq!(asks(&ready.hand_out(&want(2), at(1))), Some(1));
    }

    #[test]
    fn what_was_due_before_the_first_is_not_walked_along_again() {
        let ready = asked(3, true);
        let now = at(100_000);
        assert_eq!(ready.since_ms(WEBHOOK, now), i64::MIN, "nobody has looked");
        ready.saw(WEBHOOK, i64::MIN, Some(40_000));
        assert_eq!(ready.since_ms(WEBHOOK, now), 40_000);
        ready.saw(WEBHOOK, 40_000, Some(70_000));
        assert_eq!(
            ready.since_ms(WEBHOOK, now),
            40_000,
            "not all was looked at"
        );
        // What comes meanwhile is due a moment ago at the earliest.
        ready.saw(WEBHOOK, i64::MIN, Some(99_999));
        assert_eq!(ready.since_ms(WEBHOOK, now), 99_000);
        ready.saw(WEBHOOK, i64::MIN, None);
        assert_eq!(ready.since_ms(WEBHOOK, now), 99_000);
        ready.forget(WEBHOOK);
        assert_eq!(ready.since_ms(WEBHOOK, now), i64::MIN);
    }

    #[test]
    fn what_is_not_due_yet_is_not_handed_out() {
        let ready = asked(3, true);
        make(&ready, 0..1);
        let handed = ready.hand_out(&want(1), at(-1));
        assert_eq!((fences(&handed), asks(&handed)), (Vec::new(), Some(1)));
        let unwanted = ready.unwanted();
        assert_eq!(unwanted.len(), 1);
        ready.gave_back(&unwanted);
        assert!(ready.unwanted().is_empty());
    }

    #[test]
    fn what_was_made_meanwhile_is_not_wanted_of_a_webhook_that_is_held_back() {
        let ready = asked(8, true);
        ready.expect(WEBHOOK, at(0));
        assert_eq!(asks(&ready.hand_out(&want(8), at(0))), Some(4));
        assert_eq!(make(&ready, 0..3), 3);
        answer(&ready, 4, 0, None, false);
        assert_eq!(ready.unwanted().len(), 3);
        assert!(!ready.is_free(WEBHOOK));
    }

    #[test]
    fn what_was_made_for_what_was_forgotten_is_not_wanted() {
        let ready = asked(3, true);
        let (claim, due) = made(1, at(0));
        let (id, epoch) = (claim.delivery_id, ready.epoch());
        assert!(ready.wants(WEBHOOK, id));
        ready.forget_all();
        ready.made(&[id], vec![(claim, due)], epoch);
        assert_eq!(ready.unwanted(), [(id, Fence(1))]);
    }

    #[test]
    fn nothing_is_made_while_claims_that_nobody_knows_of_are_ended() {
        let ready = asked(3, true);
        let (claim, _) = made(1, at(0));
        assert!(ready.wants(WEBHOOK, claim.delivery_id));
        assert!(ready.hold_off(), "one is being made");
        assert!(!ready.wants(WEBHOOK, DeliveryId(Uuid::nil())));
        ready.made(&[claim.delivery_id], Vec::new(), ready.epoch());
        assert!(!ready.hold_off());
        ready.go_on();
        assert!(ready.wants(WEBHOOK, claim.delivery_id));
    }
}
