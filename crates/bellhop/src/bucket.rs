//! How often somebody may ask: a bucket of requests that fills again as time goes by, kept as one number.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const NS: u64 = 1_000_000_000;
/// Buckets of addresses: 512 KiB, however many addresses ask. Two that share one are rare, and are one to it.
const ADDRESSES: usize = 65_536;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    step_ns: u64,
    burst_ns: u64,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many more there may be now.
    pub left: u32,
    /// When the bucket is full again, in seconds.
    pub full_in_s: u32,
    /// How long to wait before the next, in seconds: 0 if this one may be.
    pub wait_s: u32,
}

/// One bucket, as the moment at which it will be full again (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub struct Bucket {
    full_at_ns: AtomicU64,
}

/// A bucket for each address that asks.
#[derive(Debug)]
pub struct AddressBuckets {
    // Nobody can choose with whom to share.
    hash: RandomState,
    buckets: Box<[Bucket]>,
}

impl Pace {
    /// One each `every`, and so many at once.
    pub const fn new(every: Duration, at_once: u32) -> Self {
        let step_ns = every.as_nanos() as u64;
        Self {
            step_ns,
            burst_ns: step_ns * at_once as u64,
        }
    }

    /// So many a second, twice as many at once.
    pub const fn per_second(rate: u32) -> Self {
        let rate = if rate == 0 { 1 } else { rate };
        Self {
            step_ns: NS / rate as u64,
            burst_ns: 2 * NS,
        }
    }
}

impl Bucket {
    /// Takes one request out of the bucket, unless it is empty: then there is something to wait for, at least 1 s.
    pub fn take(&self, now_ns: u64, pace: Pace) -> Taken {
        let Pace { step_ns, burst_ns } = pace;
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        if full_at > now_ns + burst_ns {
            // The clock was set back.
            self.full_at_ns
                .fetch_min(now_ns + burst_ns, Ordering::Relaxed);
            full_at = now_ns + burst_ns;
        }
        loop {
            let next = full_at.max(now_ns) + step_ns;
            let taken = |full_at: u64, wait_s| Taken {
                left: ((now_ns + burst_ns).saturating_sub(full_at) / step_ns) as u32,
                full_in_s: full_at.saturating_sub(now_ns).div_ceil(NS) as u32,
                wait_s,
            };
            if next > now_ns + burst_ns {
                let wait_ns = next - now_ns - burst_ns;
                return taken(full_at, wait_ns.div_ceil(NS) as u32);
            }
            let (order, other) = (Ordering::Relaxed, Ordering::Relaxed);
            match self
                .full_at_ns
                .compare_exchange_weak(full_at, next, order, other)
            {
                Ok(_) => return taken(next, 0),
                Err(other) => full_at = other,
            }
        }
    }
}

impl Default for AddressBuckets {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            buckets: (0..ADDRESSES).map(|_| Bucket::default()).collect(),
        }
    }
}

impl AddressBuckets {
    /// The bucket of this address. Whoever has one IPv6 address has the 2^64 beside it.
    pub fn of(&self, address: IpAddr) -> &Bucket {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        };
        let is_v4 = address.to_canonical().is_ipv4();
        &self.buckets[self.hash.hash_one((is_v4, network)) as usize % ADDRESSES]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn taken(bucket: &Bucket, now_ns: u64, pace: Pace) -> usize {
        let asked = (0..100).map(|_| bucket.take(now_ns, pace));
        asked.filter(|taken| taken.wait_s == 0).count()
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let (bucket, pace) = (Bucket::default(), Pace::per_second(10));
        let now = 5 * NS;
        let first = bucket.take(now, pace);
        assert_eq!((first.left, first.full_in_s, first.wait_s), (19, 1, 0));
        assert_eq!(taken(&bucket, now, pace), 19);
        let refused = bucket.take(now, pace);
        assert_eq!((refused.left, refused.full_in_s, refused.wait_s), (0, 2, 1));
        assert_eq!(taken(&bucket, now + NS / 2, pace), 5);
    }

    #[test]
    fn a_clock_that_was_set_back_lets_nobody_wait_for_it() {
        let pace = Pace::new(Duration::from_secs(2), 30);
        let bucket = Bucket::default();
        let (now, a_day) = (1_000_000 * NS, 86_400 * NS);
        assert_eq!(taken(&bucket, now, pace), 30);
        assert_eq!(taken(&bucket, now - a_day, pace), 0);
        assert_eq!(taken(&bucket, now - a_day + 4 * NS, pace), 2);
    }

    #[test]
    fn each_address_has_a_bucket_and_an_ipv6_network_has_one() {
        let buckets = AddressBuckets::default();
        let of = |text: &str| std::ptr::from_ref(buckets.of(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        let many: HashSet<_> = (0..1000u32)
            .map(|n| of(&std::net::Ipv4Addr::from(n + 0x0a00_0000).to_string()))
            .collect();
        assert!(many.len() > 980, "{}", many.len());
    }
}
