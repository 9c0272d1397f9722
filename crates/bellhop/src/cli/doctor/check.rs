//! One thing that was looked at.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde_json::{Value, json};

use crate::cli::{
    remote::clean,
    style::{BAD, DIM, GOOD, HINT, WARN},
};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warning,
    /// Something has to be done.
    Failed,
    /// It could not be looked at, or is not used.
    Skipped,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    pub verdict: Verdict,
    detail: String,
    next_step: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, detail: impl Display) -> Self {
        Self::of(name, Verdict::Ok, detail, None)
    }

    pub fn skipped(name: &'static str, detail: impl Display) -> Self {
        Self::of(name, Verdict::Skipped, detail, None)
    }

    pub fn warning(name: &'static str, detail: impl Display, next: impl Into<String>) -> Self {
        Self::of(name, Verdict::Warning, detail, Some(next.into()))
    }

    pub fn failed(name: &'static str, detail: impl Display, next: impl Into<String>) -> Self {
        Self::of(name, Verdict::Failed, detail, Some(next.into()))
    }

    fn of(
        name: &'static str,
        verdict: Verdict,
        detail: impl Display,
        next_step: Option<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            detail: detail.to_string(),
            next_step,
        }
    }

    pub fn document(&self) -> Value {
        json!({
            "Name": self.name,
            "Verdict": self.verdict.as_str(),
            "Detail": self.detail,
            "NextStep": self.next_step,
        })
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "Ok",
            Self::Warning => "Warning",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

/// Prints them, a line each, and beneath what is wrong what to do.
pub fn show(checks: &[Check]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    for check in checks {
        let (style, word) = match check.verdict {
            Verdict::Ok => (GOOD, "ok"),
            Verdict::Warning => (WARN, "warn"),
            Verdict::Failed => (BAD, "fail"),
            Verdict::Skipped => (DIM, "skip"),
        };
        writeln!(
            out,
            "{style}{word:4}{style:#}  {:14} {}",
            check.name,
            clean(&check.detail)
        )?;
        if let Some(next) = &check.next_step {
            writeln!(out, "      {HINT}next:{HINT:#} {}", clean(next))?;
        }
    }
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    writeln!(
        out,
        "{DIM}{} ok, {} warnings, {} failed{DIM:#}",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Failed)
    )?;
    out.flush()
}
