//! Where the time of an attempt went: a drawing, and the same as a table.

use std::time::Duration;

use maud::{Markup, html};

use super::moments::took;
use crate::domain::delivery::Timings;

const WIDTH: f64 = 600.0;
const LABELS: f64 = 96.0;
const FIGURES: f64 = 84.0;
const ROW: usize = 26;

/// The phases that there were, in order.
fn phases(timings: &Timings) -> Vec<(&'static str, &'static str, Duration)> {
    [
        ("DNS", "dns", timings.dns_us),
        ("Connect", "connect", timings.connect_us),
        ("TLS", "tls", timings.tls_us),
        ("Send", "send", timings.send_us),
        ("Wait", "wait", timings.wait_us),
        ("Receive", "receive", timings.receive_us),
    ]
    .into_iter()
    .filter_map(|(name, class, us)| us.map(|us| (name, class, Duration::from_micros(us.into()))))
    .collect()
}

/// The drawing, hidden from whoever reads the table.
pub fn waterfall(timings: &Timings, whole: Duration) -> Markup {
    let phases = phases(timings);
    if phases.is_empty() {
        return html! { p.quiet { "No timings: nothing was sent." } };
    }
    let total: Duration = phases.iter().map(|(.., span)| *span).sum();
    let scale = (WIDTH - LABELS - FIGURES) / whole.max(total).as_secs_f64().max(1e-6);
    let height = phases.len() * ROW;
    let begins = phases.iter().scan(0.0, |at, (.., span)| {
        let begin = *at;
        *at += span.as_secs_f64() * scale;
        Some(LABELS + begin)
    });
    html! {
        svg.waterfall viewBox=(format!("0 0 {WIDTH} {height}")) aria-hidden="true" focusable="false" {
            @for ((row, (name, class, span)), x) in phases.iter().enumerate().zip(begins) {
                @let width = span.as_secs_f64() * scale;
                @let y = row * ROW;
                text x="0" y=(y + 17) { (name) }
                line x1=(LABELS) x2=(WIDTH - FIGURES) y1=(y + 13) y2=(y + 13) {}
                rect.(class) x=(format!("{x:.1}")) y=(y + 6) width=(format!("{:.1}", width.max(2.0))) height="14" rx="3" {}
                text.figure x=(WIDTH) y=(y + 17) { (took(*span)) }
            }
        }
        details.raw {
            summary { "Timings as a table" }
            table {
                thead { tr { th scope="col" { "Phase" } th.number scope="col" { "Time" } } }
                tbody {
                    @for (name, _, span) in &phases {
                        tr { th scope="row" { (name) } td.number data-label="Time" { (took(*span)) } }
                    }
                    tr { th scope="row" { "Whole attempt" } td.number data-label="Time" { (took(whole)) } }
                }
            }
        }
    }
}
