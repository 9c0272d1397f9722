//! How long what was replaced goes on beside what replaces it: keys, secrets.

use std::time::Duration;

use super::{Call, Checks};

/// The longest overlap: a week.
const MAX_OVERLAP_SECONDS: u32 = 7 * 86_400;

/// What the caller says, or the server's setting.
pub fn overlap(call: &Call, checks: &mut Checks, seconds: Option<u32>) -> Duration {
    checks.number("/OverlapSeconds", seconds, 0, MAX_OVERLAP_SECONDS);
    seconds.map_or(call.api.options.secret_overlap, |seconds| {
        Duration::from_secs(seconds.into())
    })
}
