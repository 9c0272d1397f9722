//! Runs the fault battery against a Bellhop binary, or judges the logs of a run again.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use faults::{
    battery::{self, Options},
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
    /// What all random choices come from; without it, a fresh one
    #[arg(long)]
    seed: Option<u64>,
    /// How often the server is killed
    #[arg(long, default_value_t = 25)]
    kills: u64,
    /// How many integrations live
    #[arg(long, default_value_t = 200)]
    integrations: u64,
    /// Longest life of the server between two kills, in milliseconds
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(60..))]
    life_ms: u64,
    /// Longest wait after the last command until everything has arrived, in seconds
    #[arg(long, default_value_t = 60)]
    settle_s: u64,
    /// Keep the logs in this folder, whatever the verdict
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let verdict = match Arguments::parse().command {
        Command::Judge { folder } => checker::judge(&Evidence::read(&folder)?),
        Command::Run(run) => {
            let options = run.options();
            eprintln!("seed {}", options.seed);
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(battery::run(&options))?
        }
    };
    Ok(say(&verdict))
}

fn say(verdict: &Verdict) -> ExitCode {
    if !verdict.holds() {
        eprintln!("{}", verdict.told());
    }
    println!("{verdict}");
    if verdict.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Run {
    fn options(self) -> Options {
        let seed = self.seed.unwrap_or_else(battery::fresh_seed);
        let short = Options::short(self.bellhop, seed);
        Options {
            kills: self.kills,
            integrations: self.integrations,
            life_ms: (short.life_ms.0, self.life_ms),
            settle_within: Duration::from_secs(self.settle_s),
            keep: self.keep,
            ..short
        }
    }
}
