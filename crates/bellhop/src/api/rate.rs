//! How many requests a key may make: a token bucket in one number.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::api_key::Scope;

const NS: u64 = 1_000_000_000;

/// Requests a second that one key may make, by its scope; no limit where there is none. Twice as many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRates {
    /// Of a key of scope `operator`.
    pub operator: Option<u32>,
    /// Of a key of scope `application`.
    pub application: Option<u32>,
    /// Of a key of scope `introspect`.
    pub introspect: Option<u32>,
}

impl Default for KeyRates {
    /// Only applications' keys are limited: they are in other people's hands.
    fn default() -> Self {
        Self {
            operator: None,
            application: Some(500),
            introspect: None,
        }
    }
}

impl KeyRates {
    /// The rate of a scope.
    pub fn of(self, scope: Scope) -> Option<u32> {
        match scope {
            Scope::Operator => self.operator,
            Scope::Application(_) => self.application,
            Scope::Introspect => self.introspect,
        }
    }
}

/// The bucket of one key, as the moment at which it will be full again (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub struct Bucket {
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Takes one request out of the bucket. If it is empty, the number of seconds to wait, at least 1.
    pub fn take(&self, now_ns: u64, per_second: u32) -> Result<(), u32> {
        let step_ns = NS / u64::from(per_second.max(1));
        let burst_ns = 2 * NS;
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now_ns) + step_ns;
            if next > now_ns + burst_ns {
                let wait_ns = next - now_ns - burst_ns;
                return Err(wait_ns.div_ceil(NS) as u32);
            }
            match self.full_at_ns.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let bucket = Bucket::default();
        let now = 5 * NS;
        let taken = (0..100).filter(|_| bucket.take(now, 10).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(bucket.take(now, 10), Err(1));
        let later = now + NS / 2;
        let taken = (0..100).filter(|_| bucket.take(later, 10).is_ok()).count();
        assert_eq!(taken, 5);
    }
}
