//! How a webhook fared over time: of each span a sample, so that a page costs the same however much was sent.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::{
    dashboard::{
        Visit, Wrong,
        components::charts::{Point, outcomes, success, table, times},
    },
    domain::webhook::Webhook,
    store::MOST_SAMPLED,
};

/// How far back, in how many spans: the value in the query, its name, the length of a span, their number.
const WINDOWS: [(&str, &str, SignedDuration, i32); 3] = [
    ("1h", "an hour", SignedDuration::from_mins(5), 12),
    ("24h", "a day", SignedDuration::from_hours(1), 24),
    ("7d", "a week", SignedDuration::from_hours(6), 28),
];

/// The charts.
pub async fn history(visit: &Visit, webhook: &Webhook) -> Result<Markup, Wrong> {
    let asked = visit.query().text("Window").unwrap_or("24h");
    let chosen = WINDOWS.iter().find(|(value, ..)| *value == asked);
    let (value, _, span, count) = *chosen.unwrap_or(&WINDOWS[1]);
    let moments = moments(visit.now(), span, count);
    let found = visit.store().history(webhook.id, moments.clone()).await?;
    let points: Vec<_> = found.iter().map(Point::of).collect();
    let is_sampled = points.iter().any(|point| point.total() >= MOST_SAMPLED);
    let spans: Vec<_> = moments
        .iter()
        .map(|at| at.strftime("%a %d %b %H:%M").to_string())
        .zip(points.iter().copied())
        .collect();
    Ok(html! {
        section aria-labelledby="over-time" {
            div.title {
                h2 #over-time { "Over time" }
                nav.windows aria-label="How far back" {
                    @for (each, name, ..) in WINDOWS {
                        a href=(format!("?Window={each}#over-time")) aria-current=[(each == value).then_some("true")] { (name) }
                    }
                }
            }
            @if points.iter().all(|point| point.total() == 0) {
                p.quiet { "No delivery was made for it in this time." }
            } @else {
                div.charts {
                    (outcomes(&points))
                    (success(&points))
                    (times(&points))
                }
                p.axis aria-hidden="true" {
                    span { (spans.first().map_or("", |(name, _)| name)) }
                    span { "now" }
                }
                (table(&spans))
                @if is_sampled { p.quiet { "Of each span the first " (MOST_SAMPLED) " deliveries are looked at." } }
            }
        }
    })
}

/// Where the spans begin, and where the last one ends: whole spans of the clock, the present one among them.
fn moments(now: Timestamp, span: SignedDuration, count: i32) -> Vec<Timestamp> {
    let span = span.as_secs();
    let end = now.as_second().div_euclid(span) * span + span;
    (0..=count)
        .rev()
        .filter_map(|back| Timestamp::from_second(end - i64::from(back) * span).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_and_end_after_now() {
        let now: Timestamp = "2026-01-31T09:30:10Z".parse().unwrap();
        for (_, _, span, count) in WINDOWS {
            let moments = moments(now, span, count);
            assert_eq!(moments.len(), count as usize + 1);
            assert!(moments[moments.len() - 2] <= now && now < moments[moments.len() - 1]);
            for pair in moments.windows(2) {
                assert_eq!(pair[1].duration_since(pair[0]), span);
            }
        }
    }
}
