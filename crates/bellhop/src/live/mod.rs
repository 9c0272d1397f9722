//! What happens, as it happens: for the API's stream of events and for pages that are open.
//!
//! The feed says that something changed; one runner, while anybody listens, reads what it is now, once for all
//! listeners, and hands it out. A listener that does not keep up is told so and let go: nothing waits for it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::broadcast::{self, Receiver},
    time::timeout,
};

use crate::{
    domain::{delivery::Delivery, integration::Integration, webhook::Webhook},
    feed::{Feed, Numbered, Place, Since},
    id::{ApplicationId, EnterpriseId, WebhookId},
    store::Store,
};

mod filter;
mod listener;
mod read;

pub use filter::{Kind, LiveFilter};
pub use listener::{Heard, Listener};
use read::Reader;

/// How far a listener may lag behind before it is let go. What lags is shared by all: the memory does not grow with them.
const MOST_BEHIND: usize = 1024;
/// Most events that are read before they are handed out.
const BATCH: usize = 256;
/// How long what happens is gathered, so that what changes twice is read once.
const GATHER: Duration = Duration::from_millis(20);
/// How often the runner looks whether anybody still listens.
const LOOK: Duration = Duration::from_secs(5);

/// What listeners are told.
#[derive(Debug, Clone)]
pub struct Told {
    /// The place behind it, once it was heard; `None` if more about the same event follows.
    pub place: Option<Place>,
    /// Its number at this process.
    number: u64,
    /// What.
    pub what: What,
}

/// What has changed, as it is now.
#[derive(Debug, Clone)]
pub enum What {
    /// A delivery.
    Delivery {
        /// As it is now.
        delivery: Arc<Delivery>,
        /// Whose integration it is about, if that is known.
        enterprise_id: Option<EnterpriseId>,
    },
    /// A webhook.
    Webhook(Arc<Webhook>),
    /// A webhook is gone.
    WebhookDeleted {
        /// Which.
        id: WebhookId,
        /// Whose it was.
        application_id: ApplicationId,
    },
    /// An integration.
    Integration(Arc<Integration>),
    /// Something is missing here.
    Gap(Gap),
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// The listener was away for too long.
    Away {
        /// Since when, in milliseconds since 1970.
        since_ms: i64,
    },
    /// So much happened at once that it could not be kept.
    TooMuch,
    /// The connection to other replicas was lost for a while, or they had too much to say.
    OtherReplicas,
    /// Other replicas cannot be heard at all.
    Deaf,
    /// The database did not answer.
    Database,
}

/// Hands out what happens.
#[derive(Debug)]
pub struct Live {
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    told: broadcast::Sender<Arc<Told>>,
    /// Locked while the runner begins or ends.
    is_running: Mutex<bool>,
}

impl Live {
    /// Over this feed.
    pub fn new(store: Arc<dyn Store>, feed: Arc<Feed>) -> Arc<Self> {
        Arc::new(Self {
            store,
            feed,
            told: broadcast::Sender::new(MOST_BEHIND),
            is_running: Mutex::new(false),
        })
    }

    /// Listens from now on, or from the place where somebody was before.
    pub fn listen(self: &Arc<Self>, filter: LiveFilter, after: Option<Place>) -> Listener {
        let receiver = self.join();
        // After joining: what happens meanwhile is in both, and told once.
        let present = self.feed.place();
        let since = after.map(|place| (place, self.feed.since(place)));
        let (missed, is_away) = match since {
            None => (Vec::new(), None),
            Some((_, Since::Known(events))) => (events, None),
            Some((place, Since::Forgotten)) => (Vec::new(), Some(place)),
        };
        let until = missed.last().map_or(present.number, |last| last.number);
        Listener::new(self.clone(), filter, receiver, missed, is_away, until)
    }

    /// The runner runs while there are receivers.
    fn join(self: &Arc<Self>) -> Receiver<Arc<Told>> {
        let mut is_running = self.is_running.lock().expect("no holder panics");
        let receiver = self.told.subscribe();
        if !*is_running {
            *is_running = true;
            let from = self.feed.place();
            tokio::spawn(run(self.clone(), from));
        }
        receiver
    }

    /// Whether nobody listens any more; then the runner has ended.
    fn ends(&self) -> bool {
        let mut is_running = self.is_running.lock().expect("no holder panics");
        *is_running = self.told.receiver_count() > 0;
        !*is_running
    }
}

/// Reads what happens after this place and hands it out, until nobody listens.
async fn run(live: Arc<Live>, mut from: Place) {
    let mut reader = Reader::new(live.store.clone());
    loop {
        let woken = live.feed.remembered_woken();
        let events = match live.feed.since(from) {
            Since::Known(events) => events,
            Since::Forgotten => {
                from = live.feed.place();
                hand_out(&live, Told::of(from, What::Gap(Gap::TooMuch)));
                continue;
            }
        };
        if events.is_empty() {
            // Nothing is lost by the time-out: the places say what was read.
            let _ = timeout(LOOK, woken).await;
            if live.ends() {
                return;
            }
            tokio::time::sleep(GATHER).await;
            continue;
        }
        let batch = &events[..events.len().min(BATCH)];
        for told in reader.read(&live.feed, batch).await {
            hand_out(&live, told);
        }
        if let Some(last) = batch.last() {
            from = live.feed.place_of(last.number, last.at_ms);
        }
    }
}

fn hand_out(live: &Live, told: Told) {
    // Nobody listening any more is noticed by the loop.
    let _ = live.told.send(Arc::new(told));
}

impl Told {
    fn of(place: Place, what: What) -> Self {
        Self {
            place: Some(place),
            number: place.number,
            what,
        }
    }
}

/// What is to be read of these events: the last of each that says the same.
fn newest(events: &[Numbered]) -> Vec<Numbered> {
    let mut seen = std::collections::HashSet::new();
    let mut newest: Vec<Numbered> = events
        .iter()
        .rev()
        .filter(|numbered| seen.insert(numbered.event))
        .copied()
        .collect();
    newest.reverse();
    newest
}
