//! "Something committed": hints that wake the dispatcher and live views. Never data: a hint that is
//! lost costs time, not a message.
//!
//! What live views are told is kept for a while, numbered, so that one that was away can take up where it was.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, broadcast, futures::Notified};

pub use crate::domain::event::Event;
use crate::{
    clock::{SharedClock, SystemClock, to_ms},
    id::WebhookId,
};

/// How many events a slow listener may lag behind before it is told that it missed some.
const EVENTS_KEPT: usize = 4096;
/// How many events are remembered for views that were away. At 56 bytes each, less than a megabyte.
const REMEMBERED: usize = 16_384;
/// Most events that wait to be told to other replicas. What is more, they are told to have missed.
const MOST_OUTGOING: usize = 4096;

/// Webhooks, each once, in an order that a seed of the simulation repeats: their ids are our own, so nobody needs to be
/// kept from choosing them.
pub type WebhookSet = HashSet<WebhookId, BuildHasherDefault<DefaultHasher>>;

/// Where commits are announced.
#[derive(Debug)]
pub struct Feed {
    clock: SharedClock,
    /// Tells the numbers of this process from those of another.
    origin: u32,
    due: Mutex<WebhookSet>,
    wake: Notify,
    operational: Notify,
    replays: Notify,
    events: broadcast::Sender<Event>,
    remembered: Mutex<Remembered>,
    remembered_wake: Notify,
    outgoing: Option<Outgoing>,
    /// Whether there are other replicas that cannot be heard.
    is_deaf: AtomicBool,
}

/// An event, as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Its number in this process: 1, 2, 3 …
    pub number: u64,
    /// When it happened, by the clock of whoever told it.
    pub at_ms: i64,
    /// What.
    pub event: Event,
}

/// Where somebody who listens is: everything up to it was heard. Survives a reconnection, also to another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The process that numbered it.
    pub origin: u32,
    /// The last number that was heard.
    pub number: u64,
    /// When that was.
    pub at_ms: i64,
}

/// What happened after a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// All of it. After a place of another replica, some of it may have been heard before.
    Known(Vec<Numbered>),
    /// It is too long ago, or this process was not there.
    Forgotten,
}

/// The newest events, oldest first.
#[derive(Debug, Default)]
struct Remembered {
    events: VecDeque<Numbered>,
    /// The number of the newest one there ever was.
    last: u64,
    /// From when on everything is here.
    complete_from_ms: i64,
}

/// What is to be told to other replicas.
#[derive(Debug, Default)]
struct Outgoing {
    events: Mutex<Vec<(i64, Event)>>,
    wake: Notify,
}

/// Clocks of replicas are apart, and word between them takes time: what happened so long before is told again.
const APART_MS: i64 = 2000;

impl Default for Feed {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock), 0, false)
    }
}

impl Feed {
    /// Of the process with this number, which other replicas listen to or not.
    pub fn new(clock: SharedClock, origin: u32, is_shared: bool) -> Self {
        let remembered = Remembered {
            complete_from_ms: to_ms(clock.now()),
            ..Remembered::default()
        };
        Self {
            clock,
            origin,
            due: Mutex::default(),
            wake: Notify::new(),
            operational: Notify::new(),
            replays: Notify::new(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            remembered: Mutex::new(remembered),
            remembered_wake: Notify::new(),
            outgoing: is_shared.then(Outgoing::default),
            is_deaf: AtomicBool::new(false),
        }
    }

    /// Says that these webhooks may have something due.
    pub fn due(&self, webhooks: impl IntoIterator<Item = WebhookId>) {
        let mut due = self.due.lock().expect("no holder panics");
        let before = due.len();
        due.extend(webhooks);
        let more = due.len() > before;
        drop(due);
        if more {
            self.wake.notify_one();
        }
    }

    /// Takes the webhooks that were said to have something due.
    pub fn take_due(&self) -> WebhookSet {
        std::mem::take(&mut *self.due.lock().expect("no holder panics"))
    }

    /// Waits until something is due. Register before looking, so that nothing falls between.
    pub fn woken(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Says that there may be an operational message to send.
    pub fn operational(&self) {
        self.operational.notify_one();
    }

    /// Waits until there may be an operational message to send. Register before looking.
    pub fn operational_woken(&self) -> Notified<'_> {
        self.operational.notified()
    }

    /// Says that a run may go on.
    pub fn wake_replays(&self) {
        self.replays.notify_one();
    }

    /// Waits until a run may go on. Register before looking.
    pub fn replays_woken(&self) -> Notified<'_> {
        self.replays.notified()
    }

    /// Tells live views, here and at other replicas. Nobody listening is fine.
    pub fn tell(&self, event: Event) {
        let at_ms = to_ms(self.clock.now());
        self.hear(at_ms, event);
        if let Some(outgoing) = &self.outgoing {
            outgoing.add(at_ms, event);
        }
    }

    /// Tells live views here what another replica told.
    pub fn hear(&self, at_ms: i64, event: Event) {
        let mut remembered = self.remembered.lock().expect("no holder panics");
        remembered.add(at_ms, event);
        drop(remembered);
        self.remembered_wake.notify_one();
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(event);
        }
    }

    /// Word of other replicas may have been missed.
    pub fn missed(&self) {
        let now_ms = to_ms(self.clock.now());
        self.hear(now_ms, Event::Missed);
        let mut remembered = self.remembered.lock().expect("no holder panics");
        remembered.complete_from_ms = now_ms;
    }

    /// Other replicas cannot be heard, and will not be.
    pub fn deafen(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
    }

    /// Whether there may be other replicas that are not heard.
    pub fn is_deaf(&self) -> bool {
        self.is_deaf.load(Ordering::Relaxed)
    }

    /// Listens to what changes from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The place of whoever has heard everything up to now.
    pub fn place(&self) -> Place {
        let last = self.remembered.lock().expect("no holder panics").last;
        self.place_of(last, to_ms(self.clock.now()))
    }

    /// The place behind an event.
    pub fn place_of(&self, number: u64, at_ms: i64) -> Place {
        Place {
            origin: self.origin,
            number,
            at_ms,
        }
    }

    /// What happened after a place.
    pub fn since(&self, place: Place) -> Since {
        let remembered = self.remembered.lock().expect("no holder panics");
        if place.origin == self.origin {
            remembered.after(place.number)
        } else {
            remembered.after_time(place.at_ms.saturating_sub(APART_MS))
        }
    }

    /// Waits until something is remembered that was not before. For one who listens: the runner of live views.
    pub fn remembered_woken(&self) -> Notified<'_> {
        self.remembered_wake.notified()
    }

    /// Waits until there is something to tell other replicas; for ever if there are none.
    pub async fn outgoing(&self) {
        match &self.outgoing {
            Some(outgoing) => outgoing.wake.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what is to be told to other replicas.
    pub fn take_outgoing(&self) -> Vec<(i64, Event)> {
        let outgoing = self.outgoing.as_ref().map(|outgoing| &outgoing.events);
        let taken =
            outgoing.map(|events| std::mem::take(&mut *events.lock().expect("no holder panics")));
        taken.unwrap_or_default()
    }
}

impl Remembered {
    fn add(&mut self, at_ms: i64, event: Event) {
        if self.events.len() == REMEMBERED
            && let Some(oldest) = self.events.pop_front()
        {
            self.complete_from_ms = self.complete_from_ms.max(oldest.at_ms + 1);
        }
        self.last += 1;
        self.events.push_back(Numbered {
            number: self.last,
            at_ms,
            event,
        });
    }

    /// What has a greater number.
    fn after(&self, number: u64) -> Since {
        let missing = self
            .last
            .checked_sub(number)
            .and_then(|n| usize::try_from(n).ok());
        let kept = self.events.len();
        match missing.and_then(|missing| kept.checked_sub(missing)) {
            Some(from) => Since::Known(self.events.range(from..).copied().collect()),
            None => Since::Forgotten,
        }
    }

    /// What happened later, and perhaps a little before: they came in the order in which they were heard.
    fn after_time(&self, at_ms: i64) -> Since {
        if at_ms < self.complete_from_ms {
            return Since::Forgotten;
        }
        let first = self.events.iter().position(|kept| kept.at_ms > at_ms);
        let from = first.unwrap_or(self.events.len());
        Since::Known(self.events.range(from..).copied().collect())
    }
}

impl Outgoing {
    fn add(&self, at_ms: i64, event: Event) {
        let mut events = self.events.lock().expect("no holder panics");
        match events.len() {
            0..MOST_OUTGOING => events.push((at_ms, event)),
            MOST_OUTGOING => events.push((at_ms, Event::Missed)),
            _ => return,
        }
        drop(events);
        self.wake.notify_one();
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:x}-{:x}", self.origin, self.number, self.at_ms)
    }
}

impl std::str::FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut part = || parts.next().filter(|part| part.len() <= 15).ok_or(());
        let (origin, number, at_ms) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Self {
            origin: u32::from_str_radix(origin, 16).map_err(drop)?,
            number: u64::from_str_radix(number, 16).map_err(drop)?,
            at_ms: i64::from_str_radix(at_ms, 16).map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::DeliveryId;

    fn delivery(number: u128) -> Event {
        Event::Delivery(DeliveryId(Uuid::from_u128(number)))
    }

    fn numbers(since: Since) -> Vec<u64> {
        match since {
            Since::Known(events) => events.iter().map(|event| event.number).collect(),
            Since::Forgotten => panic!("forgotten"),
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let place = Place {
            origin: 7,
            number: 300,
            at_ms: 1_790_000_000_123,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for other in [
            "",
            "1",
            "1-2",
            "1-2-3-4",
            "g-2-3",
            "1--3",
            "123456789-2-3",
            "1-2-fffffffffffffffff",
        ] {
            assert_eq!(other.parse::<Place>(), Err(()), "{other}");
        }
    }

    #[test]
    fn who_was_away_is_told_what_came_after_and_nothing_twice() {
        let feed = Feed::default();
        feed.tell(delivery(1));
        let place = feed.place();
        assert_eq!(numbers(feed.since(place)), [0_u64; 0]);
        feed.tell(delivery(2));
        feed.tell(delivery(3));
        assert_eq!(numbers(feed.since(place)), [2, 3]);
    }

    #[test]
    fn what_was_forgotten_is_not_passed_over_in_silence() {
        let feed = Feed::default();
        let place = feed.place();
        for number in 0..=REMEMBERED {
            feed.tell(delivery(number as u128));
        }
        assert_eq!(feed.since(place), Since::Forgotten);
        let ahead = Place {
            number: u64::MAX,
            ..place
        };
        assert_eq!(feed.since(ahead), Since::Forgotten);
    }

    #[test]
    fn a_place_of_another_replica_is_found_by_its_time() {
        let feed = Feed::default();
        let now_ms = feed.place().at_ms;
        for second in 1..=9 {
            feed.hear(now_ms + second * 1000, delivery(1));
        }
        let elsewhere = |second: i64| Place {
            origin: 9,
            number: 77,
            at_ms: now_ms + second * 1000,
        };
        assert_eq!(numbers(feed.since(elsewhere(8))), [7, 8, 9]);
        assert_eq!(
            feed.since(elsewhere(1)),
            Since::Forgotten,
            "this process was not there"
        );
    }

    #[test]
    fn other_replicas_are_told_what_happened_here_and_not_what_they_told() {
        let feed = Feed::new(Arc::new(SystemClock), 1, true);
        feed.tell(delivery(1));
        feed.hear(5, delivery(2));
        let told: Vec<Event> = feed
            .take_outgoing()
            .into_iter()
            .map(|(_, event)| event)
            .collect();
        assert_eq!(told, [delivery(1)]);
        for number in 0..MOST_OUTGOING * 2 {
            feed.tell(delivery(number as u128));
        }
        let told = feed.take_outgoing();
        assert_eq!(told.len(), MOST_OUTGOING + 1);
        assert_eq!(told.last().unwrap().1, Event::Missed);
    }
}
