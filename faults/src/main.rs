//! Runs the fault battery against a Bellhop binary, or judges the logs of a run again.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use faults::{
    battery::{self, Form, Options, Part},
    checker,
    log::Evidence,
    report::Verdict,
};

/// Breaks a Bellhop server and judges what arrives.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the battery
    Run(Run),
    /// Judge the logs that a run left in a folder
    Judge {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// The server's program
    #[arg(long)]
    bellhop: PathBuf,
    /// The same, built with `--features fault-points`: for the part `points`
    #[arg(long)]
    with_points: Option<PathBuf>,
    /// The folder of PostgreSQL's server programs (initdb, postgres): for the parts of replicas
    #[arg(long)]
    postgres: Option<PathBuf>,
    /// The long form: hours instead of minutes
    #[arg(long)]
    long: bool,
    /// Only these parts; without it, all in the long form, and all but the zoo in the short one
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// What all random choices come from; without it, a fresh one
    #[arg(long)]
    seed: Option<u64>,
    /// Longest wait after the last command of a part until everything has arrived, in seconds
    #[arg(long, default_value_t = 600)]
    settle_s: u64,
    /// Keep the logs in this folder, whatever the verdict
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let verdict = match Arguments::parse().command {
        Command::Judge { folder } => checker::judge(&Evidence::read(&folder)?),
        Command::Run(run) => {
            let parts = run.parts();
            let options = run.options();
            eprintln!("seed {}", options.seed);
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(battery::run(&options, &parts))?
        }
    };
    Ok(say(&verdict))
}

fn say(verdict: &Verdict) -> ExitCode {
    if !verdict.holds() {
        for line in verdict.told().lines() {
            eprintln!("violation: {line}");
        }
    }
    println!("{verdict}");
    if verdict.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Run {
    fn parts(&self) -> Vec<Part> {
        match (self.only.as_slice(), self.long) {
            ([], true) => Part::ALL.to_vec(),
            ([], false) => Part::short(),
            (only, _) => only.to_vec(),
        }
    }

    fn options(self) -> Options {
        let seed = self.seed.unwrap_or_else(battery::fresh_seed);
        Options {
            with_points: self.with_points,
            postgres: self.postgres,
            form: if self.long { Form::Long } else { Form::Short },
            settle_within: Duration::from_secs(self.settle_s),
            keep: self.keep,
            ..Options::short(self.bellhop, seed)
        }
    }
}
