//! How far a copy is, on stderr: a bar on a terminal, a line for each table elsewhere.

use std::sync::Mutex;

use anstream::eprintln;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::style::DIM;
use crate::store::copy::{Phase, Progress};

/// Parts of a large table that a line is printed for.
const PARTS: u64 = 10;
/// Tables with fewer rows get one line.
const LARGE: u64 = 100_000;

/// A bar for each table, or lines.
#[derive(Debug)]
pub struct Shown {
    bar: ProgressBar,
    now: Mutex<Now>,
}

/// Where it is.
#[derive(Debug, Default)]
struct Now {
    doing: String,
    done: u64,
    of: u64,
    parts_told: u64,
}

impl Shown {
    pub fn new() -> Self {
        // Hidden where that is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(
            "{msg:32} {bar:24.green} {human_pos} of {human_len}  {per_sec:.dim}  {eta:.dim}",
        )
        .expect("the template is right");
        bar.set_style(style.progress_chars("━╸─"));
        Self {
            bar,
            now: Mutex::default(),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn is_bar(&self) -> bool {
        !self.bar.is_hidden()
    }
}

impl Progress for Shown {
    fn begins(&self, phase: Phase, table: &'static str, rows: u64) {
        let doing = match phase {
            Phase::Copying => format!("copying {table}"),
            Phase::Verifying => format!("verifying {table}"),
        };
        if self.is_bar() {
            self.bar.reset();
            self.bar.set_length(rows);
            self.bar.set_message(doing);
            return;
        }
        eprintln!("{DIM}{doing}: {rows} rows{DIM:#}");
        *self.now.lock().expect("no holder panics") = Now {
            doing,
            of: rows,
            ..Now::default()
        };
    }

    fn did(&self, rows: u64) {
        if self.is_bar() {
            self.bar.inc(rows);
            return;
        }
        let mut now = self.now.lock().expect("no holder panics");
        now.done += rows;
        let part = (now.done * PARTS).checked_div(now.of).unwrap_or(PARTS);
        if now.of >= LARGE && part > now.parts_told {
            now.parts_told = part;
            let Now {
                doing, done, of, ..
            } = &*now;
            eprintln!("{DIM}{doing}: {done} of {of}{DIM:#}");
        }
    }
}
