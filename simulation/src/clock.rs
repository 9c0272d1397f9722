//! Simulated time: what has passed, and what day it is, which may jump.

use std::{sync::Mutex, time::Duration};

use bellhop::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// When every simulation begins: 2026-01-01T00:00:00Z.
const BEGINNING_S: i64 = 1_767_225_600;
/// The longest time-out of a webhook here. A request that is sent again at once, because its connection was stale, may
/// wait so long for another: it is the same attempt, and bears its time.
const ATTEMPT_S: std::ops::RangeInclusive<i64> = 0..=15;
/// A request that was signed before a jump of the clock arrives within this.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// The runtime's paused clock, and how far the time of day is off.
#[derive(Debug)]
pub struct SimulatedClock {
    began: Instant,
    jumps: Mutex<Vec<Jump>>,
}

#[derive(Debug, Clone, Copy)]
struct Jump {
    at: Instant,
    by_ms: i64,
}

impl SimulatedClock {
    /// Begins now. Inside the runtime only.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            jumps: Mutex::default(),
        }
    }

    /// The time of day jumps.
    pub fn jump(&self, by_ms: i64) {
        let at = Instant::now();
        self.jumps
            .lock()
            .expect("no holder panics")
            .push(Jump { at, by_ms });
    }

    /// Whether it has jumped so far.
    pub fn has_jumped(&self) -> bool {
        !self.jumps.lock().expect("no holder panics").is_empty()
    }

    /// Microseconds since the beginning, jumps forward included and jumps back left out: it never falls, and no wait that
    /// the time of day says is over is longer in it.
    pub fn elapsed_us(&self) -> u64 {
        let forward = self.sum(|jump| jump.by_ms.max(0));
        self.began.elapsed().as_micros() as u64 + forward.cast_unsigned() * 1000
    }

    /// The time of day in seconds since 1970, for judging what says that it was made at `told`: if the clock jumped while
    /// that was on its way, the time before the jump counts as well.
    pub fn unix_s_as_seen(&self, told: i64) -> i64 {
        let now = Instant::now();
        let jumps = self.jumps.lock().expect("no holder panics").clone();
        let mut offset_ms: i64 = jumps.iter().map(|jump| jump.by_ms).sum();
        let mut seen = vec![self.unix_s(offset_ms)];
        for jump in jumps
            .iter()
            .rev()
            .take_while(|jump| now - jump.at < ON_ITS_WAY)
        {
            offset_ms -= jump.by_ms;
            seen.push(self.unix_s(offset_ms));
        }
        if seen.iter().any(|s| ATTEMPT_S.contains(&(s - told))) {
            return told;
        }
        seen.into_iter()
            .min_by_key(|s| s.abs_diff(told))
            .unwrap_or(told)
    }

    fn unix_s(&self, offset_ms: i64) -> i64 {
        self.at(offset_ms).as_second()
    }

    fn at(&self, offset_ms: i64) -> Timestamp {
        let passed_ms = self.began.elapsed().as_millis() as i64;
        let since = SignedDuration::from_millis(BEGINNING_S * 1000 + passed_ms + offset_ms);
        Timestamp::UNIX_EPOCH + since
    }

    fn sum(&self, of: impl Fn(&Jump) -> i64) -> i64 {
        self.jumps
            .lock()
            .expect("no holder panics")
            .iter()
            .map(of)
            .sum()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.at(self.sum(|jump| jump.by_ms))
    }
}
