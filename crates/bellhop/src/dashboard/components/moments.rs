//! Moments and spans of time, for people: UTC, and in words.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

/// A moment in words, with the moment itself for whoever points at it, and for machines.
pub fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(iso(at)) title=(full(at)) { (relative(at, now)) }
    }
}

/// A moment in full, and in words.
pub fn both(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(iso(at)) { (full(at)) }
        " " span.quiet { "(" (relative(at, now)) ")" }
    }
}

/// `2026-01-31 09:30:00 UTC`.
pub fn full(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `09:30:00.250`, for what follows each other closely.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// `2026-01-31T09:30:00.250Z`.
pub fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `3 min ago`, `in 2 h`, `just now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let passed = now.duration_since(at);
    if passed.abs() < SignedDuration::from_secs(1) {
        "just now".to_owned()
    } else if passed.is_negative() {
        format!("in {}", coarse(passed.unsigned_abs()))
    } else {
        format!("{} ago", coarse(passed.unsigned_abs()))
    }
}

/// A span in one unit: `12 min`.
pub fn coarse(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds.max(1), "s"),
        60..3600 => (seconds / 60, "min"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => return format!("{} days", seconds / 86_400),
    };
    format!("{count} {unit}")
}

/// How long a request took: `840 µs`, `12.4 ms`, `1.2 s`.
pub fn took(span: Duration) -> String {
    let us = span.as_micros();
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_words() {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        for (second, words) in [
            (0, "just now"),
            (-5, "5 s ago"),
            (-180, "3 min ago"),
            (7200, "in 2 h"),
            (-3 * 86_400, "3 days ago"),
        ] {
            assert_eq!(relative(at(second), at(0)), words);
        }
        assert_eq!(full(at(0)), "1970-01-12 13:46:40 UTC");
        assert_eq!(iso(at(0)), "1970-01-12T13:46:40.000Z");
    }

    #[test]
    fn spans_have_one_unit() {
        for (us, words) in [(840, "840 µs"), (12_400, "12.4 ms"), (1_200_000, "1.2 s")] {
            assert_eq!(took(Duration::from_micros(us)), words);
        }
    }
}
