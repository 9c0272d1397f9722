//! `Retry-After` (RFC 9110, 10.2.3): seconds, or a date in one of the three forms of HTTP.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, header::RETRY_AFTER};
use jiff::Timestamp;

/// Nobody may silence a webhook for longer with one header.
const LONGEST: Duration = Duration::from_hours(24);
/// What is longer is neither a number that means something nor a date.
const LONGEST_VALUE: usize = 128;
const MOST_VALUES: usize = 4;

/// The `Retry-After` headers of a response, as they came: what they mean depends on the time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryAfter {
    values: Vec<String>,
}

impl RetryAfter {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers
            .get_all(RETRY_AFTER)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let values: Vec<String> = texts
            .filter(|text| text.len() <= LONGEST_VALUE)
            .take(MOST_VALUES)
            .map(str::to_owned)
            .collect();
        (!values.is_empty()).then_some(Self { values })
    }

    /// How long to wait from now; see [`parse_retry_after`].
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        parse_retry_after(&values, now)
    }
}

/// How long a receiver asked to wait, seen from `now`: never less than it said, except that a day is the most. Of
/// several headers the longest wait counts; what is neither seconds nor a date is ignored; a moment that is over is
/// no wait.
pub fn parse_retry_after(values: &[&str], now: Timestamp) -> Option<Duration> {
    values
        .iter()
        .filter_map(|value| parse_one(value, now))
        .max()
        .map(|wait| wait.min(LONGEST))
}

fn parse_one(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are many seconds all the same.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs));
    }
    // In the standard library's types: their years reach further than those of a `Timestamp`.
    let until = httpdate::parse_http_date(value)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    let now = Duration::try_from(now.as_duration()).unwrap_or(Duration::ZERO);
    Some(until.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn waits(values: &[&str]) -> Option<u64> {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        parse_retry_after(values, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn both_forms_and_all_the_nonsense() {
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120\t", Some(120)),
            ("00120", Some(120)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999999999", Some(86_400)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("120, 240", None),
            ("120;240", None),
            ("", None),
            (" ", None),
            ("soon", None),
            ("\u{661}\u{662}", None),
            ("Sun, 01 Mar 2026 12:02:00 GMT", Some(120)),
            ("Sunday, 01-Mar-26 12:02:00 GMT", Some(120)),
            ("Sun Mar  1 12:02:00 2026", Some(120)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("Tue, 31 Feb 2026 12:00:00 GMT", None),
            ("Sun, 01 Mar 2026 25:00:00 GMT", None),
            ("2026-03-01T12:02:00Z", None),
        ] {
            assert_eq!(waits(&[value]), expected, "{value:?}");
        }
    }

    #[test]
    fn of_two_headers_the_later_counts() {
        assert_eq!(waits(&["60", "120"]), Some(120));
        assert_eq!(waits(&["120", "60"]), Some(120));
        assert_eq!(waits(&["soon", "60"]), Some(60));
        assert_eq!(waits(&["60", "Sun, 01 Mar 2026 12:02:00 GMT"]), Some(120));
        assert_eq!(waits(&[]), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_exceeds_a_day(value in "\\PC{0,40}", at in 0i64..253_402_207_200) {
            let now = Timestamp::from_second(at).unwrap();
            prop_assert!(parse_retry_after(&[&value], now).is_none_or(|wait| wait <= LONGEST));
        }

        #[test]
        fn never_earlier_than_told(seconds in 0u64..86_400, nanos in 0i32..1_000_000_000) {
            let base = Timestamp::from_second(1_772_366_400).unwrap();
            let now = base.saturating_add(SignedDuration::new(0, nanos)).unwrap();
            let until = base.saturating_add(SignedDuration::from_secs(seconds as i64)).unwrap();
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(until.as_second() as u64));
            let wait = parse_retry_after(&[&date], now).unwrap();
            let reached = now.saturating_add(SignedDuration::try_from(wait).unwrap()).unwrap();
            prop_assert!(reached >= until);
        }
    }
}
