//! What can be judged without running anything: formatting, clippy, dependencies, documentation.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::run::{self, Outcome, Summary};
use crate::{place, tools};

/// The database of advisories comes from another host, which need not be reachable.
const FETCH_LIMIT: Duration = Duration::from_mins(2);

/// Runs all checks; each runs even if one before it failed.
pub fn run(summary: &mut Summary) {
    summary.step("formatting", || {
        run::plain(&mut place::cargo(["fmt", "--all", "--check"]))
    });
    summary.step("clippy", || {
        run::plain(&mut place::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny=warnings",
        ]))
    });
    let deny = tools::deny();
    summary.step("dependencies", || match &deny {
        Ok(deny) => run::plain(cargo_deny(deny).args(["check", "licenses", "bans", "sources"])),
        Err(advice) => Ok(Outcome::Skipped(advice.clone())),
    });
    summary.step("advisories", || match &deny {
        Ok(deny) => advisories(deny),
        Err(advice) => Ok(Outcome::Skipped(advice.clone())),
    });
    summary.step("documentation", || {
        run::plain(
            place::cargo(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "--deny=warnings"),
        )
    });
}

fn advisories(deny: &Path) -> anyhow::Result<Outcome> {
    let fetched = run::within(cargo_deny(deny).args(["fetch", "db"]), FETCH_LIMIT)?;
    if !fetched.is_some_and(|status| status.success()) {
        let why = "the database of advisories cannot be fetched from here; run `cargo deny check advisories` where it can";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    run::plain(cargo_deny(deny).args(["check", "--disable-fetch", "advisories"]))
}

fn cargo_deny(deny: &Path) -> Command {
    let mut command = Command::new(deny);
    command
        .args(["--log-level", "warn"])
        .current_dir(place::root());
    command
}
