//! `cargo xtask`: what one does with this repository, as commands that need nothing but Rust.

mod browser;
mod check;
mod faults;
mod fuzz;
mod openapi;
mod outside;
mod place;
mod planted;
mod pooler;
mod postgres;
mod release;
mod run;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::Summary;

/// What one does with this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything: set up what tests need, all tests, the documentation's examples, the demo
    Test(test::Options),
    /// Formatting, clippy, dependencies (cargo-deny) and documentation, without the tests
    Check,
    /// `check`, then `test`: what `.ci/run` does
    Ci(test::Options),
    /// Measure: the raw ceiling, end to end, latency, start (arguments go to the bench; try --help);
    /// with `--postgres` on a PostgreSQL of its own
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments of the bench
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Break it in every way, and judge what arrived (arguments go to the battery; try --help); or, with
    /// `--simulation [SEEDS]` first, do so in simulated time
    #[command(disable_help_flag = true)]
    Faults(faults::Options),
    /// Build what is published: a binary that everybody can build again, a bill of materials, check sums
    Release(release::Options),
    /// Fuzz: URLs, signatures, Retry-After, bodies (needs a nightly toolchain and cargo-fuzz)
    Fuzz(fuzz::Options),
    /// Write `openapi.json` from what the server says of itself
    Openapi {
        /// Only compare, and fail when the file is not what the server says
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match obey(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well; an error is for what should not happen at all.
fn obey(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Test(options) => {
            let mut summary = Summary::default();
            test::run(&options, &mut summary);
            Ok(summary.print())
        }
        Command::Check => {
            let mut summary = Summary::default();
            check::run(&mut summary);
            Ok(summary.print())
        }
        Command::Ci(options) => {
            let mut summary = Summary::default();
            check::run(&mut summary);
            test::run(&options, &mut summary);
            Ok(summary.print())
        }
        Command::Bench { arguments } => outside::run(&arguments),
        Command::Faults(options) => faults::run(&options),
        Command::Release(options) => release::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Openapi { check } => openapi::run(check),
    }
}
