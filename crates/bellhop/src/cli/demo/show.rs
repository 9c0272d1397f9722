//! What the demo shows while it happens.

use std::{fmt::Write as _, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    account::{Account, Count, Judgement, Placed},
    life::{STEPS, Sample, Step},
};
use crate::{
    cli::{
        Failure,
        receive::print::time_of_day,
        style::{BAD, DIM, GOOD, HEAD, WARN},
    },
    receiving::{Received, Signature},
};

/// Width of a lane's column.
const LANE_WIDTH: usize = 11;
/// The longest action of the contract.
const ACTION_WIDTH: usize = 21;
/// First attempts that come later than this waited for their turn.
const WAITED: Duration = Duration::from_millis(300);

/// Prints the show on stdout; on a terminal a line of progress stands beneath it.
#[derive(Debug)]
pub struct Show {
    names: Vec<&'static str>,
    progress: ProgressBar,
}

impl Show {
    /// A show with a column for each integration.
    pub fn new(samples: &[Sample]) -> Self {
        // On stderr, and hidden where that is no terminal.
        let progress = ProgressBar::with_draw_target(
            Some((samples.len() * STEPS.len()) as u64),
            ProgressDrawTarget::stderr_with_hz(10),
        );
        let style = ProgressStyle::with_template(
            "{bar:24.green} {pos} of {len} delivered  {wide_msg:.dim}",
        )
        .expect("the template is right");
        progress.set_style(style.progress_chars("━╸─"));
        Self {
            names: samples.iter().map(|sample| sample.name).collect(),
            progress,
        }
    }

    /// Prints one line or more.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        use std::io::Write as _;
        self.progress
            .suspend(|| writeln!(anstream::stdout().lock(), "{text}"))?;
        Ok(())
    }

    /// Prints the heading.
    pub fn heading(&self) -> Result<(), Failure> {
        let mut line = format!("{HEAD}{:12}  ", "TIME (UTC)");
        for name in &self.names {
            let _ = write!(line, "{:LANE_WIDTH$}", name.to_uppercase());
        }
        let _ = write!(
            line,
            " {:ACTION_WIDTH$}  {:>3}  {:>6}  {:9}  {:>8}{HEAD:#}",
            "ACTION", "TRY", "ANSWER", "SIGNATURE", "AFTER"
        );
        self.say(&line)
    }

    /// Prints what the operator does.
    pub fn step(&self, step: Step) -> Result<(), Failure> {
        self.say(&format!(
            "{DIM}──────────── operator: {} both{DIM:#}",
            step.name
        ))
    }

    /// Prints one request.
    pub fn received(&self, received: &Received, placed: Option<Placed>) -> Result<(), Failure> {
        self.say(&self.line(received, placed))
    }

    /// Brings the line of progress up to date.
    pub fn progress(&self, account: &Account, message: &str) {
        self.progress.set_position(account.accepted() as u64);
        self.progress.set_message(message.to_owned());
    }

    /// Takes the line of progress away.
    pub fn finish(&self) {
        self.progress.finish_and_clear();
    }

    fn line(&self, received: &Received, placed: Option<Placed>) -> String {
        let is_accepted = received.answer.is_success();
        let (style, mark) = if is_accepted {
            (GOOD, '●')
        } else {
            (WARN, '✕')
        };
        let sequence = received
            .sequence
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mut line = format!("{DIM}{}{DIM:#}  ", time_of_day(received.at));
        for lane in 0..self.names.len() {
            if placed.is_some_and(|placed| placed.lane == lane) {
                let rest = LANE_WIDTH - 2;
                let _ = write!(line, "{style}{mark}{style:#} {sequence:rest$}");
            } else {
                let _ = write!(line, "{DIM}{:LANE_WIDTH$}{DIM:#}", "│");
            }
        }
        let (signature_style, signature) = match received.signature {
            Signature::Verified(_) => (GOOD, "verified"),
            Signature::Wrong(_) => (BAD, "WRONG"),
            Signature::Unchecked => (DIM, "unchecked"),
        };
        let action = received.action.as_deref().unwrap_or("(test)");
        let attempt = received
            .attempt
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let after = placed.and_then(|placed| placed.after);
        let answer = received.answer.to_string();
        let _ = write!(
            line,
            " {action:ACTION_WIDTH$}  {attempt:>3}  {style}{answer:>6}{style:#}  \
             {signature_style}{signature:9}{signature_style:#}  {:>8}",
            after.map_or_else(String::new, duration)
        );
        if let Some(note) = note(received, placed) {
            let _ = write!(line, "  {DIM}{note}{DIM:#}");
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Prints what it all came to.
    pub fn judgement(&self, judgement: &Judgement) -> Result<(), Failure> {
        let of = |count: Count, what: &str| {
            let (style, word) = verdict(count.is_whole());
            format!(
                "{style}{word}{style:#}  {} of {} {what}",
                count.good, count.all
            )
        };
        self.say("")?;
        self.say(&of(judgement.delivered, "messages delivered"))?;
        let retried = judgement.retried;
        self.say(&of(
            judgement.attempts,
            &format!("attempts arrived, {retried} of them retries"),
        ))?;
        self.say(&of(
            judgement.in_order,
            "integrations in order: 1 to 6, without gaps or duplicates",
        ))?;
        self.say(&of(
            judgement.verified,
            "signatures verified by the receiver",
        ))?;
        self.say(&of(
            judgement.bodies,
            "bodies byte for byte as the server's history has them (access token masked)",
        ))?;
        if let Some((median, slowest)) = judgement.first_attempts {
            let (median, slowest) = (duration(median), duration(slowest));
            self.say(&format!(
                "      From command to first attempt: median {median}, slowest {slowest}"
            ))?;
        }
        Ok(())
    }
}

/// A remark on what is not plain.
fn note(received: &Received, placed: Option<Placed>) -> Option<String> {
    let order = received.order.note();
    if !order.is_empty() {
        return Some(order);
    }
    let Some(placed) = placed else {
        let name = received.integration_name.as_deref().unwrap_or_default();
        return (!name.is_empty()).then(|| format!("{name} {}", received.sequence.unwrap_or(0)));
    };
    let waited = placed.after.is_some_and(|after| after > WAITED);
    match (received.answer.is_success(), received.attempt) {
        (false, _) => Some("retry in about 1 s; the lane waits".to_owned()),
        (true, Some(1)) if waited => Some("waited for its turn".to_owned()),
        (true, Some(2..)) => Some("retried with success".to_owned()),
        (true, _) => None,
    }
}

fn verdict(is_good: bool) -> (anstyle::Style, &'static str) {
    if is_good {
        (GOOD, "ok  ")
    } else {
        (BAD, "FAIL")
    }
}

/// As milliseconds, or as seconds if it is long.
fn duration(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}
