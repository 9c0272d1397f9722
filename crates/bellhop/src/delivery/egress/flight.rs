//! How far one request has come: what the connector tells the sender about the request that made it connect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

tokio::task_local! {
    /// The request that is being polled. The HTTP client gives a connector nothing but a URI, and polls it in the
    /// request's own task; a connection that it finishes in the background, for a later request, finds none here.
    pub(in crate::delivery) static FLIGHT: Arc<Flight>;
}

/// One request on its way.
#[derive(Debug)]
pub struct Flight {
    /// When it began.
    pub started: Instant,
    /// The limit for TCP and TLS together.
    pub connect_timeout: Duration,
    phase: AtomicU8,
    /// Microseconds from `started` to the moment when a connection took the request; 0 before.
    taken_us: AtomicU64,
}

/// What a request is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for its turn.
    Begun,
    /// Resolving the host's name.
    Dns,
    /// Connecting.
    Connect,
    /// In the TLS handshake.
    Tls,
    /// A connection has taken the request.
    Taken,
}

impl Flight {
    pub fn new(connect_timeout: Duration) -> Self {
        Self {
            started: Instant::now(),
            connect_timeout,
            phase: AtomicU8::new(Phase::Begun as u8),
            taken_us: AtomicU64::new(0),
        }
    }

    /// Notes the phase, which only goes forward.
    pub fn reach(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Relaxed);
    }

    /// Notes that a connection took the request.
    pub fn take(&self) {
        self.taken_us
            .store(micros(self.started.elapsed()).max(1), Relaxed);
        self.reach(Phase::Taken);
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Begun,
            1 => Phase::Dns,
            2 => Phase::Connect,
            3 => Phase::Tls,
            _ => Phase::Taken,
        }
    }

    /// When a connection took the request.
    pub fn taken(&self) -> Option<Instant> {
        let us = self.taken_us.load(Relaxed);
        (us > 0).then(|| self.started + Duration::from_micros(us))
    }
}

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
