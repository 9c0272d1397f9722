//! Keys that are refused, in the audit log: that it happens, from where, how often. Strangers must not fill the log, so
//! there is one entry a minute at most.

use std::{net::IpAddr, sync::Mutex};

use jiff::{SignedDuration, Timestamp};

use super::state::ApiState;
use crate::domain::audit::{Actor, AuditAction, By, Fact};

/// After an entry, the next one waits so long.
const NOTE_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How many there were since the newest entry, and when that was.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(u64, Option<Timestamp>)>);

impl Refusals {
    /// One more. Says of how many there has to be an entry now.
    fn add(&self, now: Timestamp) -> Option<u64> {
        let mut counted = self.0.lock().expect("no holder panics");
        let (count, noted) = &mut *counted;
        *count += 1;
        let waits = noted.is_some_and(|at| now.duration_since(at).abs() < NOTE_EVERY);
        if waits {
            return None;
        }
        *noted = Some(now);
        Some(std::mem::take(count))
    }
}

/// A request came with a key that is not known.
pub async fn refused(api: &ApiState, from: Option<IpAddr>, request_id: &str) {
    let Some(count) = api.refusals.add(api.lifecycle().now()) else {
        return;
    };
    let fact =
        Fact::of_server(AuditAction::KeysRefused).saying(format_args!(r#"{{"Count":{count}}}"#));
    let by = By {
        actor: Actor::Stranger,
        from,
        request_id: Some(request_id.into()),
    };
    if let Err(error) = api.lifecycle().note(fact, by).await {
        tracing::warn!(%error, count, "keys were refused, and the audit log could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_a_minute_with_all_that_came_before_it() {
        let refusals = Refusals::default();
        let at = |second| refusals.add(Timestamp::from_second(second).unwrap());
        assert_eq!(at(0), Some(1));
        assert_eq!([at(1), at(2), at(59)], [None; 3]);
        assert_eq!(at(60), Some(4));
        assert_eq!(at(61), None);
        assert_eq!(at(1000), Some(2));
        // A clock that was set back does not end it.
        assert_eq!(at(500), Some(1));
    }
}
