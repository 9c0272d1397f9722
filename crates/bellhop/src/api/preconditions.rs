//! Conditional requests (RFC 9110 section 13) and preferences (RFC 7240).

use std::time::Duration;

use http::{HeaderValue, header};

use super::{call::Call, code::Code, error::ApiError};

/// The longest time that a caller may wait for an attempt.
const MAX_WAIT_SECONDS: u64 = 60;

impl Call {
    /// Refuses the request if `If-Match` names none of the versions that `version` writes without quotes.
    pub fn if_match(&self, version: impl std::fmt::Display) -> Result<(), ApiError> {
        let Some(wanted) = self.headers.get(header::IF_MATCH) else {
            return Ok(());
        };
        // RFC 9110 section 13.1.1: compared strongly, so a weak version never matches.
        let version = format!("\"{version}\"");
        if listed(wanted).any(|each| each == "*" || each == version) {
            Ok(())
        } else {
            Err(ApiError::new(
                Code::PreconditionFailed,
                "It was changed since you read it: If-Match does not name the present version.",
            ))
        }
    }

    /// Whether there is an `If-Match` that must be checked before a write.
    pub fn has_if_match(&self) -> bool {
        self.headers.contains_key(header::IF_MATCH)
    }

    /// How long the caller wants to wait for an attempt (`Prefer: wait=10`).
    pub fn wait(&self) -> Option<Duration> {
        self.headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .filter_map(|preference| preference.trim().split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
            .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u64>().ok())
            .map(|seconds| Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)))
    }
}

/// Whether `If-None-Match` names this version (compared weakly).
pub fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or_default();
    listed(known).any(|each| each == "*" || each.trim_start_matches("W/") == etag)
}

fn listed(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}
