//! A clock that stands still until it is moved.

use std::{sync::Mutex, time::Duration};

use bellhop::clock::{Clock, SystemClock};
use jiff::Timestamp;

/// Tells the moment that it was set to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that begins at the moment of the contract's sample.
    pub fn new() -> Self {
        Self(Mutex::new("2019-12-13T14:42:52.250Z".parse().unwrap()))
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    /// Tells what the machine does, for judges that look at its clock.
    pub fn set_to_now(&self) {
        *self.0.lock().unwrap() = SystemClock.now();
    }

    /// Is set back.
    pub fn set_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
