//! What goes wrong from outside, by seed.

use std::{sync::Arc, time::Duration};

use bellhop::{domain::webhook::WebhookState, id::WebhookId};

use crate::{
    clock::SimulatedClock,
    operator::Platform,
    random::Seeded,
    receiver::{Door, Receiver},
    weather::Weather,
};

const HOUR_MS: i64 = 3_600_000;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// The process dies.
    Death,
    /// A receiver takes no connections for a while.
    Down(Door, Duration),
    /// The store fails for a while.
    StoreFails(Duration),
    /// The time of day jumps.
    Jump(i64),
    /// A webhook is paused.
    Pause,
    /// A webhook is resumed.
    Resume,
}

impl Trouble {
    /// The next one.
    pub fn choose(random: &Seeded) -> Self {
        let seconds = |most: u64| Duration::from_millis(random.within(100, most * 1000));
        match random.within(0, 99) {
            0..25 => Self::Death,
            25..40 => Self::Down(Door::Refuses, seconds(30)),
            40..50 => Self::Down(Door::Silent, seconds(30)),
            50..62 => Self::StoreFails(seconds(15)),
            62..70 => Self::Jump(random.within(1, 48) as i64 * HOUR_MS),
            70..76 => Self::Jump(-(random.within(1, 60_000) as i64)),
            76..86 => Self::Pause,
            _ => Self::Resume,
        }
    }
}

/// What trouble is made for.
pub struct Victims<'a> {
    pub webhooks: Vec<(WebhookId, Arc<Receiver>)>,
    pub platform: &'a Arc<Platform>,
    pub clock: &'a SimulatedClock,
    pub weather: &'a Weather,
    pub random: Seeded,
}

impl Victims<'_> {
    /// Makes it, but for the death of the process, which is for who holds it.
    pub fn suffer(&self, trouble: Trouble) {
        match trouble {
            Trouble::Death => {}
            Trouble::Down(door, how_long) => {
                let receiver = self.random.one_of(&self.webhooks).1.clone();
                self.weather.note("network");
                receiver.set_door(door);
                tokio::spawn(async move {
                    tokio::time::sleep(how_long).await;
                    receiver.set_door(Door::Open);
                });
            }
            Trouble::StoreFails(how_long) => self.weather.fail_for(how_long),
            Trouble::Jump(by_ms) => {
                self.weather.note("clock");
                self.clock.jump(by_ms);
                self.weather.note("clock");
            }
            Trouble::Pause => self.set_state(WebhookState::Paused),
            Trouble::Resume => self.set_state(WebhookState::Enabled),
        }
    }

    /// A person asks for it, and whoever waits for the answer is somebody else.
    fn set_state(&self, state: WebhookState) {
        let platform = self.platform.clone();
        let (webhook, receiver) = self.random.one_of(&self.webhooks).clone();
        tokio::spawn(async move { platform.set_state(webhook, &receiver, state).await });
    }
}
