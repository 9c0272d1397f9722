//! The one place that asks what time it is. Everything else is told.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time. A parameter everywhere, so that tests move time by hand.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock that many parts share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others are told by"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A moment as milliseconds since 1970, the form in which stores keep it.
pub fn to_ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The moment that a store kept as milliseconds. Out of range (a damaged row) becomes the nearest moment.
pub fn from_ms(ms: i64) -> Timestamp {
    let nearest = if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(ms).unwrap_or(nearest)
}
