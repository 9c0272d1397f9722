//! Charts over time, drawn here: bars of what became of deliveries, and lines of how attempts fared. Each has the same as a
//! table, so the drawings are hidden from whoever reads.

use std::{fmt::Write as _, time::Duration};

use maud::{Markup, html};

use super::moments::took;
use crate::{domain::delivery::DeliveryState, store::Span};

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 110.0;
/// Room at the right for the figures of the scale.
const SCALE: f64 = 50.0;
const FOOT: f64 = 8.0;

/// What a span comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Deliveries by state, in the order of [`DeliveryState::ALL`].
    pub states: [u32; 4],
    /// How many attempts there were, and how many of them succeeded.
    pub attempts: (usize, usize),
    /// Time that half of them took at most, and 95 of 100.
    pub times: Option<(Duration, Duration)>,
}

impl Point {
    /// Of a span.
    pub fn of(span: &Span) -> Self {
        let mut times: Vec<_> = span.attempts.iter().map(|(time, _)| *time).collect();
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1);
        Self {
            states: span.states,
            attempts: (
                times.len(),
                span.attempts.iter().filter(|(_, is_good)| *is_good).count(),
            ),
            times: at(50).copied().zip(at(95).copied()),
        }
    }

    /// How many deliveries there are.
    pub fn total(&self) -> u32 {
        self.states.iter().sum()
    }

    fn rate(&self) -> Option<f64> {
        let (all, good) = self.attempts;
        (all > 0).then(|| good as f64 / all as f64)
    }
}

/// The order in which states are stacked, from the ground: place in [`DeliveryState::ALL`], class.
const STACK: [(DeliveryState, &str); 4] = [
    (DeliveryState::Delivered, "good"),
    (DeliveryState::Discarded, "quiet"),
    (DeliveryState::Pending, "calm"),
    (DeliveryState::Failed, "bad"),
];

fn number(point: &Point, state: DeliveryState) -> u32 {
    let place = DeliveryState::ALL.iter().position(|each| *each == state);
    place.map_or(0, |place| point.states[place])
}

/// What became of the deliveries of each span.
pub fn outcomes(points: &[Point]) -> Markup {
    let most = points.iter().map(Point::total).max().unwrap_or(0).max(1);
    let step = (WIDTH - SCALE) / points.len().max(1) as f64;
    let ground = HEIGHT - FOOT;
    html! {
        figure.chart {
            figcaption { "Deliveries, by what became of them" (key(&[("good", "delivered"), ("calm", "pending"), ("bad", "failed"), ("quiet", "discarded")])) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) aria-hidden="true" focusable="false" {
                (grid(&[(0.0, "0".to_owned()), (1.0, most.to_string())]))
                @for (place, point) in points.iter().enumerate() {
                    @let x = place as f64 * step + step * 0.12;
                    @for (from, height, class) in stacked(point, most) {
                        rect.(class) x=(format!("{x:.1}")) y=(format!("{:.1}", ground - (from + height) * (ground - 6.0)))
                            width=(format!("{:.1}", step * 0.76)) height=(format!("{:.1}", (height * (ground - 6.0)).max(1.5))) {}
                    }
                }
            }
        }
    }
}

/// The parts of a bar: where each begins and how high it is, of the whole.
fn stacked(point: &Point, most: u32) -> Vec<(f64, f64, &'static str)> {
    let mut from = 0.0;
    let parts = STACK.iter().filter_map(|(state, class)| {
        let height = f64::from(number(point, *state)) / f64::from(most);
        let begin = from;
        from += height;
        (height > 0.0).then_some((begin, height, *class))
    });
    parts.collect()
}

/// The part of the attempts that succeeded.
pub fn success(points: &[Point]) -> Markup {
    let line: Vec<_> = points.iter().map(Point::rate).collect();
    html! {
        figure.chart {
            figcaption { "Attempts that succeeded" }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) aria-hidden="true" focusable="false" {
                (grid(&[(0.0, "0 %".to_owned()), (0.5, "50 %".to_owned()), (1.0, "100 %".to_owned())]))
                (drawn(&line, "good"))
            }
        }
    }
}

/// How long attempts took.
pub fn times(points: &[Point]) -> Markup {
    let of = |pick: fn((Duration, Duration)) -> Duration| {
        points
            .iter()
            .map(|point| point.times.map(pick))
            .collect::<Vec<_>>()
    };
    let (p50, p95) = (of(|(half, _)| half), of(|(_, most)| most));
    let longest = p95.iter().flatten().max().copied().unwrap_or_default();
    let longest = longest.max(Duration::from_millis(1));
    let scaled = |line: &[Option<Duration>]| {
        let part = |time: Duration| time.as_secs_f64() / longest.as_secs_f64();
        line.iter().map(|time| time.map(part)).collect::<Vec<_>>()
    };
    html! {
        figure.chart {
            figcaption { "Time of an attempt" (key(&[("calm", "p50"), ("warn", "p95")])) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) aria-hidden="true" focusable="false" {
                (grid(&[(0.0, "0".to_owned()), (0.5, took(longest / 2)), (1.0, took(longest))]))
                (drawn(&scaled(&p95), "warn"))
                (drawn(&scaled(&p50), "calm"))
            }
        }
    }
}

/// Names of the colours.
fn key(entries: &[(&str, &str)]) -> Markup {
    html! {
        span.key {
            @for (class, name) in entries { span.entry { span.swatch.(class) aria-hidden="true" {} (name) } }
        }
    }
}

/// Lines across, with what they stand for.
fn grid(at: &[(f64, String)]) -> Markup {
    let ground = HEIGHT - FOOT;
    html! {
        @for (part, name) in at {
            @let y = ground - part * (ground - 6.0);
            line.grid x1="0" x2=(WIDTH - SCALE) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
            text x=(WIDTH - SCALE + 6.0) y=(format!("{:.1}", y + 4.0)) { (name) }
        }
    }
}

/// A line through the points that there are: where a span has none, it is broken; a point alone is a dot.
fn drawn(line: &[Option<f64>], class: &str) -> Markup {
    let ground = HEIGHT - FOOT;
    let step = (WIDTH - SCALE) / line.len().max(1) as f64;
    let place = |index: usize, part: f64| {
        let x = (index as f64 + 0.5) * step;
        (x, ground - part.clamp(0.0, 1.0) * (ground - 6.0))
    };
    let mut path = String::new();
    let mut is_down = false;
    let mut dots = Vec::new();
    for (index, part) in line.iter().enumerate() {
        let Some(part) = part else {
            is_down = false;
            continue;
        };
        let (x, y) = place(index, *part);
        let begins = if is_down { 'L' } else { 'M' };
        let _ = write!(path, "{begins}{x:.1} {y:.1}");
        is_down = true;
        dots.push((x, y));
    }
    html! {
        path.line.(class) d=(path) {}
        @for (x, y) in dots { circle.(class) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {} }
    }
}

/// The same figures as a table: the name of each span, and what it comes to.
pub fn table(spans: &[(String, Point)]) -> Markup {
    html! {
        details.raw {
            summary { "The charts as a table" }
            table.cards {
                caption.unseen { "Spans, oldest first" }
                thead {
                    tr {
                        th scope="col" { "From" } th.number scope="col" { "Delivered" } th.number scope="col" { "Pending" }
                        th.number scope="col" { "Failed" } th.number scope="col" { "Attempts" } th.number scope="col" { "Succeeded" }
                        th.number scope="col" { "p50" } th.number scope="col" { "p95" }
                    }
                }
                tbody {
                    @for (name, point) in spans.iter().filter(|(_, point)| point.total() > 0) {
                        tr {
                            th scope="row" data-label="From" { (name) }
                            td.number data-label="Delivered" { (number(point, DeliveryState::Delivered)) }
                            td.number data-label="Pending" { (number(point, DeliveryState::Pending)) }
                            td.number data-label="Failed" { (number(point, DeliveryState::Failed)) }
                            td.number data-label="Attempts" { (point.attempts.0) }
                            td.number data-label="Succeeded" { @match point.rate() { Some(rate) => { (format!("{:.0} %", rate * 100.0)) } None => "–" } }
                            td.number data-label="p50" { (point.times.map_or("–".to_owned(), |(half, _)| took(half))) }
                            td.number data-label="p95" { (point.times.map_or("–".to_owned(), |(_, most)| took(most))) }
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

    #[test]
    fn a_span_comes_to_its_figures() {
        let span = Span {
            states: [1, 2, 0, 0],
            attempts: (1..=20)
                .map(|ms| (Duration::from_millis(ms), ms != 20))
                .collect(),
        };
        let point = Point::of(&span);
        assert_eq!((point.total(), point.attempts), (3, (20, 19)));
        let ms = |ms| Duration::from_millis(ms);
        assert_eq!(point.times, Some((ms(10), ms(19))));
        assert_eq!(Point::of(&Span::default()).times, None);
        let bar = stacked(&point, 6);
        assert!((bar.iter().map(|(_, height, _)| height).sum::<f64>() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_line_is_broken_where_nothing_was() {
        let shown = drawn(&[Some(0.0), Some(1.0), None, Some(0.5)], "good").into_string();
        assert_eq!(shown.matches('M').count(), 2, "{shown}");
        assert_eq!(shown.matches("<circle").count(), 3);
    }
}
