//! How many requests a key may make: a token bucket in one number.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

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

/// How a key stands that is limited: what is told with each answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its rate.
    pub per_second: u32,
    /// How many more it may make now.
    pub left: u32,
    /// When the bucket is full again, in seconds.
    pub full_in_s: u32,
    /// How long to wait before the next, in seconds: 0 if there is none to wait for.
    pub wait_s: u32,
}

impl Standing {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): the bucket holds the requests of two
    /// seconds.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 2] {
        let quota = u64::from(self.per_second) * 2;
        let value = |text: String| HeaderValue::try_from(text).expect("numbers are visible");
        let policy = format!("\"key\";q={quota};w=2");
        let now = format!("\"key\";r={};t={}", self.left, self.full_in_s);
        [
            (HeaderName::from_static("ratelimit-policy"), value(policy)),
            (HeaderName::from_static("ratelimit"), value(now)),
        ]
    }
}

/// The bucket of one key, as the moment at which it will be full again (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub struct Bucket {
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Takes one request out of the bucket, unless it is empty: then there is something to wait for, at least 1 s.
    pub fn take(&self, now_ns: u64, per_second: u32) -> Standing {
        let per_second = per_second.max(1);
        let step_ns = NS / u64::from(per_second);
        let burst_ns = 2 * NS;
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now_ns) + step_ns;
            let standing = |full_at: u64, wait_s| Standing {
                per_second,
                left: ((now_ns + burst_ns).saturating_sub(full_at) / step_ns) as u32,
                full_in_s: full_at.saturating_sub(now_ns).div_ceil(NS) as u32,
                wait_s,
            };
            if next > now_ns + burst_ns {
                let wait_ns = next - now_ns - burst_ns;
                return standing(full_at, wait_ns.div_ceil(NS) as u32);
            }
            match self.full_at_ns.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return standing(next, 0),
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
        let take = |now| {
            let taken = (0..100).map(|_| bucket.take(now, 10));
            taken.filter(|standing| standing.wait_s == 0).count()
        };
        let first = bucket.take(now, 10);
        assert_eq!((first.left, first.full_in_s, first.wait_s), (19, 1, 0));
        assert_eq!(take(now), 19);
        let refused = bucket.take(now, 10);
        assert_eq!((refused.left, refused.full_in_s, refused.wait_s), (0, 2, 1));
        assert_eq!(take(now + NS / 2), 5);
    }

    #[test]
    fn what_is_told_is_as_the_draft_has_it() {
        let standing = Bucket::default().take(0, 500);
        let told = standing
            .headers()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        assert_eq!(
            told,
            [
                "ratelimit-policy: \"key\";q=1000;w=2",
                "ratelimit: \"key\";r=999;t=1"
            ]
        );
    }
}
