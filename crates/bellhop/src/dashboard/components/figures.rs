//! Figures: large numbers, and how attempts have fared lately.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::moments::{ago, clock, took};
use crate::store::RecentAttempt;

/// What the newest attempts come to.
#[derive(Debug)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// How many of them succeeded.
    pub succeeded: usize,
    /// Time that half of them took at most.
    pub p50: Duration,
    /// The same of 95 in 100.
    pub p95: Duration,
    /// The same of 99 in 100.
    pub p99: Duration,
}

impl Summary {
    /// `None` if there was no attempt.
    pub fn of(attempts: &[RecentAttempt]) -> Option<Self> {
        let mut times: Vec<_> = attempts.iter().map(|attempt| attempt.duration).collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied()
        };
        Some(Self {
            count: times.len(),
            succeeded: attempts
                .iter()
                .filter(|attempt| attempt.cause.is_none())
                .count(),
            p50: at(50)?,
            p95: at(95)?,
            p99: at(99)?,
        })
    }

    /// `98 %`; not 100 unless all succeeded, nor 0 unless none did.
    pub fn rate(&self) -> String {
        let percent = self.succeeded as f64 * 100.0 / self.count.max(1) as f64;
        let percent = if self.succeeded == self.count || self.succeeded == 0 {
            percent
        } else {
            percent.round().clamp(1.0, 99.0)
        };
        format!("{percent:.0} %")
    }
}

/// A large number with its name.
pub fn figure(name: &str, value: &str, class: &str, more: Markup) -> Markup {
    html! {
        div.figure.(class) {
            dt { (name) }
            dd { span.value { (value) } @if !more.0.is_empty() { span.more { (more) } } }
        }
    }
}

/// A number with thin spaces, as in `1 234 567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

const WIDTH: usize = 600;
const HEIGHT: usize = 96;
/// Most bars that are drawn.
const BARS: usize = 100;

/// The newest attempts as bars, oldest first: height is time, on a scale of roots so that short ones can be seen. Those that
/// failed hang below the line.
pub fn bars(attempts: &[RecentAttempt], now: Timestamp) -> Markup {
    let shown: Vec<_> = attempts.iter().take(BARS).rev().collect();
    let longest = shown
        .iter()
        .map(|attempt| attempt.duration)
        .max()
        .unwrap_or_default();
    let longest = longest.as_secs_f64().max(1e-6).sqrt();
    let step = WIDTH as f64 / BARS as f64;
    let line = HEIGHT as f64 * 0.62;
    let first = (BARS - shown.len()) as f64 * step;
    html! {
        svg.bars viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            line x1="0" x2=(WIDTH) y1=(line) y2=(line) {}
            @for (place, attempt) in shown.iter().enumerate() {
                @let part = attempt.duration.as_secs_f64().sqrt() / longest;
                @let is_good = attempt.cause.is_none();
                @let height = if is_good { (part * (line - 4.0)).max(3.0) } else { (part * (HEIGHT as f64 - line - 2.0)).max(8.0) };
                @let y = if is_good { line - height - 1.0 } else { line + 1.0 };
                rect.(if is_good { "good" } else { "bad" }) x=(format!("{:.1}", first + place as f64 * step + 0.5))
                    y=(format!("{y:.1}")) width=(format!("{:.1}", step - 1.5)) height=(format!("{height:.1}")) rx="1" {}
            }
        }
        details.raw {
            summary { "The newest attempts as a table" }
            table {
                thead {
                    tr {
                        th scope="col" { "Began" } th scope="col" { "Result" } th.number scope="col" { "Time" }
                        th scope="col" { "Delivery" }
                    }
                }
                tbody {
                    @for attempt in attempts.iter().take(20) {
                        tr {
                            td data-label="Began" { (clock(attempt.started)) " " (ago(attempt.started, now)) }
                            td data-label="Result" {
                                @match (attempt.cause, attempt.status) {
                                    (Some(cause), _) => { "Failed: " code { (cause) } }
                                    (None, Some(status)) => { "Succeeded: " (status) }
                                    (None, None) => { "Succeeded" }
                                }
                            }
                            td.number data-label="Time" { (took(attempt.duration)) }
                            td data-label="Delivery" {
                                a href=(format!("/dashboard/deliveries/{}", attempt.delivery_id)) {
                                    "Attempt " (attempt.number)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::cause::Cause, id::DeliveryId};

    fn attempt(ms: u64, cause: Option<Cause>) -> RecentAttempt {
        RecentAttempt {
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            number: 1,
            started: Timestamp::UNIX_EPOCH,
            duration: Duration::from_millis(ms),
            cause,
            status: None,
        }
    }

    #[test]
    fn percentiles_are_of_attempts_that_were_made() {
        let mut attempts: Vec<_> = (1..=100).map(|ms| attempt(ms, None)).collect();
        let summary = Summary::of(&attempts).unwrap();
        assert_eq!(summary.rate(), "100 %");
        assert_eq!(
            [summary.p50, summary.p95, summary.p99].map(|span| span.as_millis()),
            [50, 95, 99]
        );
        attempts[0].cause = Some(Cause::Timeout);
        attempts.extend((0..900).map(|_| attempt(1, None)));
        assert_eq!(Summary::of(&attempts).unwrap().rate(), "99 %");
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
