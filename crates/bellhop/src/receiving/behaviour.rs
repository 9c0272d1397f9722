//! How a receiver behaves: well, or in one of the ways in which receivers fail.

use std::{fmt, str::FromStr, time::Duration};

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour {
    /// Answers with this status; with `Retry-After` in seconds, if there is one.
    Status(u16, Option<u32>),
    /// Answers 200 after this long.
    Slow(Duration),
    /// Reads the request and never answers.
    Hang,
    /// Closes the connection without an answer.
    Drop,
    /// Sends the sender elsewhere, with 307.
    Redirect,
    /// Answers 500 with this probability, else 200.
    Flaky(f64),
    /// Answers 500 to this many first attempts of each message, then 200.
    Failing(u32),
}

/// Why a text is not a behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a behaviour is one of {SYNTAX}")]
pub struct BehaviourError;

/// All behaviours, as they are written.
pub const SYNTAX: &str = "200 (any status), 429:30 (with Retry-After), slow:8s, hang, drop, redirect, flaky:0.5, failing:2";

/// Longest pause of `slow`, in seconds.
const MAX_SLOW_SECONDS: f64 = 3600.0;
/// Seconds to wait that `429` and `503` ask for when none are given: none.
const MAX_RETRY_AFTER_SECONDS: u32 = 7 * 86_400;

impl Default for Behaviour {
    fn default() -> Self {
        Self::Status(200, None)
    }
}

impl FromStr for Behaviour {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_lowercase();
        let (name, detail) = match text.split_once(':') {
            Some((name, detail)) => (name, Some(detail.trim())),
            None => (text.as_str(), None),
        };
        let parsed = match (name.trim(), detail) {
            ("hang", None) => Some(Self::Hang),
            ("drop", None) => Some(Self::Drop),
            ("redirect", None) => Some(Self::Redirect),
            ("slow", Some(detail)) => seconds(detail).map(Self::Slow),
            ("flaky", Some(detail)) => probability(detail).map(Self::Flaky),
            ("failing", Some(detail)) => detail.parse().ok().map(Self::Failing),
            (status, detail) => status_of(status, detail),
        };
        parsed.ok_or(BehaviourError)
    }
}

fn status_of(status: &str, detail: Option<&str>) -> Option<Behaviour> {
    let status = status.parse().ok().filter(|s| (200..=599).contains(s))?;
    let retry_after = match detail {
        None => None,
        Some(detail) => {
            let seconds: u32 = detail.trim_end_matches('s').parse().ok()?;
            (seconds <= MAX_RETRY_AFTER_SECONDS).then_some(seconds)?;
            Some(seconds)
        }
    };
    Some(Behaviour::Status(status, retry_after))
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = match text.strip_suffix("ms") {
        Some(ms) => ms.parse::<f64>().ok()? / 1000.0,
        None => text.trim_end_matches('s').parse().ok()?,
    };
    (0.0..=MAX_SLOW_SECONDS)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
}

fn probability(text: &str) -> Option<f64> {
    text.parse().ok().filter(|p| (0.0..=1.0).contains(p))
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, None) => write!(f, "{status}"),
            Self::Status(status, Some(seconds)) => write!(f, "{status}:{seconds}"),
            Self::Slow(pause) => write!(f, "slow:{}s", pause.as_secs_f64()),
            Self::Hang => f.write_str("hang"),
            Self::Drop => f.write_str("drop"),
            Self::Redirect => f.write_str("redirect"),
            Self::Flaky(probability) => write!(f, "flaky:{probability}"),
            Self::Failing(attempts) => write!(f, "failing:{attempts}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_are_read_and_written() {
        for (text, behaviour) in [
            ("200", Behaviour::Status(200, None)),
            ("410", Behaviour::Status(410, None)),
            ("429:30", Behaviour::Status(429, Some(30))),
            ("slow:8s", Behaviour::Slow(Duration::from_secs(8))),
            ("hang", Behaviour::Hang),
            ("drop", Behaviour::Drop),
            ("redirect", Behaviour::Redirect),
            ("flaky:0.5", Behaviour::Flaky(0.5)),
            ("failing:2", Behaviour::Failing(2)),
        ] {
            assert_eq!(text.parse(), Ok(behaviour));
            assert_eq!(behaviour.to_string(), text);
        }
        assert_eq!(
            " Slow: 250ms\n".parse(),
            Ok(Behaviour::Slow(Duration::from_millis(250)))
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ok",
            "99",
            "600",
            "200:x",
            "429:99999999",
            "slow",
            "slow:-1s",
            "slow:1e9",
            "flaky:2",
            "flaky",
            "hang:1",
            "failing:-1",
        ] {
            assert_eq!(text.parse::<Behaviour>(), Err(BehaviourError), "{text}");
        }
    }
}
