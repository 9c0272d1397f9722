//! What shows that the store can commit: that it just did.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// How long a commit proves that there can be another.
const LASTS: Duration = Duration::from_secs(1);

/// When a group was last made durable; nothing if the newest was not.
#[derive(Debug, Default)]
pub struct Proof(Mutex<Option<Instant>>);

impl Proof {
    /// Whether the newest group was made durable.
    pub fn note(&self, is_durable: bool) {
        *self.0.lock().expect("no holder panics") = is_durable.then(Instant::now);
    }

    /// Whether one was just now.
    pub fn holds(&self) -> bool {
        let noted = *self.0.lock().expect("no holder panics");
        noted.is_some_and(|at| at.elapsed() < LASTS)
    }
}
