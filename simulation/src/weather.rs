//! What happens to the store's operations, by seed, and the log of the faults that were made.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use faults::log::{Fault, Parts};
use tokio::{sync::Notify, time::Instant};

use crate::{clock::SimulatedClock, random::Seeded};

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Fine,
    /// It fails, and nothing is done.
    FailsBefore,
    /// It is done, and the caller is told that it failed.
    FailsAfter,
    /// The process dies, and nothing is done.
    DiesBefore,
    /// It is done, and the process dies before anybody knows.
    DiesAfter,
}

/// Whether an operation changes what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It does: it may fail after it was done.
    Writes,
    /// It does not, or only in the process's memory.
    Reads,
}

/// What happens, over all lives of the process.
#[derive(Debug)]
pub struct Weather {
    random: Seeded,
    clock: Arc<SimulatedClock>,
    is_calm: AtomicBool,
    fails_until: Mutex<Option<Instant>>,
    died: Notify,
    faults: Mutex<Vec<Fault>>,
}

impl Weather {
    /// Calm, to begin with.
    pub fn new(random: Seeded, clock: Arc<SimulatedClock>) -> Self {
        Self {
            random,
            clock,
            is_calm: AtomicBool::new(true),
            fails_until: Mutex::new(None),
            died: Notify::new(),
            faults: Mutex::default(),
        }
    }

    /// Whether things go wrong by themselves.
    pub fn set_calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Relaxed);
        if is_calm {
            *self.fails_until.lock().expect("no holder panics") = None;
        }
    }

    /// The store fails most of the time until then.
    pub fn fail_for(&self, how_long: Duration) {
        *self.fails_until.lock().expect("no holder panics") = Some(Instant::now() + how_long);
    }

    /// An operation takes a moment.
    pub async fn pass(&self) {
        tokio::time::sleep(Duration::from_micros(self.random.within(0, 2_000))).await;
    }

    /// Decides what becomes of an operation, and notes it if it is a fault.
    pub fn fate(&self, kind: Kind) -> Fate {
        if self.is_calm.load(Relaxed) {
            return Fate::Fine;
        }
        let fails_until = *self.fails_until.lock().expect("no holder panics");
        let fails = if fails_until.is_some_and(|until| Instant::now() < until) {
            800
        } else {
            3
        };
        let fate = if self.random.per_mille(fails) {
            Fate::FailsBefore
        } else if kind == Kind::Reads {
            Fate::Fine
        } else {
            match self.random.within(0, 999) {
                0..3 => Fate::FailsAfter,
                3..6 => Fate::DiesBefore,
                6..9 => Fate::DiesAfter,
                _ => Fate::Fine,
            }
        };
        if matches!(fate, Fate::FailsBefore | Fate::FailsAfter) {
            self.note("store");
        }
        fate
    }

    /// The process dies now.
    pub fn die(&self) {
        self.died.notify_one();
    }

    /// Waits until the process has died.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Notes a fault.
    pub fn note(&self, kind: &str) {
        let at_us = self.clock.elapsed_us();
        let fault = Fault {
            kind: kind.to_owned(),
            at_us,
            ends_us: at_us,
            // Answers get lost in the network as well.
            parts: Parts::Answers,
        };
        self.faults.lock().expect("no holder panics").push(fault);
    }

    /// The faults so far, in order.
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.lock().expect("no holder panics").clone()
    }
}
