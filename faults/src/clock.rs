//! Time, twice: what has passed since the run began, and what day it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures a run. Copies tell the same time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it began; never falls.
    pub fn us(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// Time since 1970, for seeds and for judging `webhook-timestamp`.
#[expect(
    clippy::disallowed_methods,
    reason = "the battery has no clock to move: it judges a server that runs in real time"
)]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
