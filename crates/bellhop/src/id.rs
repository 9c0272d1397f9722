//! Identifiers. One newtype for each noun, so that the compiler keeps them apart.

use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::random::{Random, SharedRandom, bytes};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

ids! {
    /// Of an enterprise: the operator's own.
    EnterpriseId
    /// Of an application.
    ApplicationId
    /// Of a webhook.
    WebhookId
    /// Of an integration; its 32 hex digits begin its access tokens and its messages' ids.
    IntegrationId
    /// Of a delivery. Later deliveries have greater ids.
    DeliveryId
    /// Of an API key.
    KeyId
    /// Of an operational message. Later messages have greater ids.
    OperationalMessageId
    /// Of a replay in bulk or a backfill.
    ReplayId
}

/// Makes identifiers that grow with time (UUID version 7, RFC 9562 section 5.7), so that indexes
/// grow at their right edge, and that never fall even if the clock does.
#[derive(Debug)]
pub struct Ids {
    random: SharedRandom,
    last: Mutex<u128>,
}

impl Ids {
    /// Identifiers from this source of random bits.
    pub fn new(random: SharedRandom) -> Self {
        Self {
            random,
            last: Mutex::new(0),
        }
    }

    /// Identifiers above this one: what a store has made already stays below what it makes next, even if the
    /// clock fell while it was closed.
    pub fn above(random: SharedRandom, last: Uuid) -> Self {
        Self {
            random,
            last: Mutex::new(last.as_u128()),
        }
    }

    /// The next identifier, greater than each before it.
    pub fn next<Id: From<Uuid>>(&self, at: Timestamp) -> Id {
        let fresh = version_7(at, &*self.random).as_u128();
        let mut last = self.last.lock().expect("no holder panics");
        *last = if fresh > *last {
            fresh
        } else {
            successor(*last)
        };
        Id::from(Uuid::from_u128(*last))
    }
}

fn version_7(at: Timestamp, random: &dyn Random) -> Uuid {
    let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &bytes::<10>(random)).into_uuid()
}

/// The next version 7 identifier: counts in the low 62 bits and carries into the 12 bits above the variant.
fn successor(id: u128) -> u128 {
    const LOW: u128 = (1 << 62) - 1;
    if id & LOW < LOW {
        id + 1
    } else {
        ((id >> 64) + 1) << 64 | 0b10 << 62
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use std::sync::Arc;

    #[test]
    fn identifiers_grow_even_when_the_clock_falls() {
        let ids = Ids::new(Arc::new(SystemRandom));
        let mut last = Uuid::nil();
        for ms in [
            1_700_000_000_000,
            1_700_000_000_000,
            1_600_000_000_000,
            1_700_000_000_001,
        ] {
            for _ in 0..100 {
                let next: Uuid = ids.next(Timestamp::from_millisecond(ms).unwrap());
                assert!(next > last);
                assert_eq!(next.get_version_num(), 7);
                last = next;
            }
        }
    }

    #[test]
    fn a_full_counter_carries() {
        let full = 0x0190_0000_0000_7fff_bfff_ffff_ffff_ffff;
        assert_eq!(successor(full) & ((1 << 62) - 1), 0);
        assert!(successor(full) > full);
    }
}
