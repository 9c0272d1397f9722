//! "Something committed": hints that wake the dispatcher and live views. Never data: a hint that is
//! lost costs time, not a message.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::Mutex,
};

use tokio::sync::{Notify, broadcast, futures::Notified};

use crate::id::{DeliveryId, WebhookId};

/// How many events a slow listener may lag behind before it is told that it missed some.
const EVENTS_KEPT: usize = 4096;

/// Webhooks, each once, in an order that a seed of the simulation repeats: their ids are our own, so nobody needs to be
/// kept from choosing them.
pub type WebhookSet = HashSet<WebhookId, BuildHasherDefault<DefaultHasher>>;

/// Where commits are announced.
#[derive(Debug)]
pub struct Feed {
    due: Mutex<WebhookSet>,
    wake: Notify,
    operational: Notify,
    replays: Notify,
    events: broadcast::Sender<Event>,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A delivery was made, tried, or ended.
    Delivery(DeliveryId),
    /// A webhook's configuration or state is another.
    Webhook(WebhookId),
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            due: Mutex::default(),
            wake: Notify::new(),
            operational: Notify::new(),
            replays: Notify::new(),
            events: broadcast::Sender::new(EVENTS_KEPT),
        }
    }
}

impl Feed {
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

    /// Tells live views. Nobody listening is fine.
    pub fn tell(&self, event: Event) {
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(event);
        }
    }

    /// Listens to what changes from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
