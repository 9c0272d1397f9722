//! Where the time of an attempt went: a drawing, and the same as a table.

use std::time::Duration;

use maud::{Markup, html};

use super::moments::took;
use crate::domain::delivery::Timings;

/// How wide the drawing is, in units of its own: it is stretched to what there is.
const WIDTH: f64 = 1000.0;
/// Less cannot be seen.
const NARROWEST: f64 = 4.0;

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
    let scale = WIDTH / whole.max(total).as_secs_f64().max(1e-6);
    let begins = phases.iter().scan(0.0, |at, (.., span)| {
        let begin = *at;
        *at += span.as_secs_f64() * scale;
        Some(begin)
    });
    html! {
        div.waterfall aria-hidden="true" {
            @for ((name, class, span), begin) in phases.iter().zip(begins) {
                @let width = (span.as_secs_f64() * scale).max(NARROWEST);
                @let begin = begin.min(WIDTH - width);
                span { (name) }
                svg viewBox=(format!("0 0 {WIDTH} 1")) preserveAspectRatio="none" focusable="false" {
                    rect.(class) x=(format!("{begin:.1}")) width=(format!("{width:.1}")) height="1" {}
                }
                span.figure { (took(*span)) }
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
