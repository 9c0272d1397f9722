//! The command line.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tempfile::TempDir;

use crate::postgres::Cluster;
use crate::server::Program;

/// Measures Bellhop.
#[derive(Parser)]
#[command(name = "bench")]
pub struct Arguments {
    #[command(subcommand)]
    pub mode: Mode,
}

#[derive(Subcommand)]
pub enum Mode {
    /// Measure and report
    Run(Box<RunOptions>),
    /// The receiver (started by `run`): prints its port, ends with its stdin
    Sink {
        /// Port on loopback; 0 takes a free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// The load (started by `run`): reads a plan on stdin, prints what came of it
    Produce,
    /// The load of introspection (started by `run`): reads a plan on stdin, prints what came of it
    Ask,
    /// A bare server (started by `run`): prints its port, ends with its stdin
    Bare,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Signed POSTs in a loop, no store
    Raw,
    /// From command to receiver, as fast as it goes
    EndToEnd,
    /// From command to receiver at a fixed pace
    Latency,
    /// Introspection of access tokens, as fast as it goes
    Introspection,
    /// Start to ready, idle memory, size of the binary
    Start,
}

#[derive(Args)]
pub struct RunOptions {
    /// The server's binary, built for release
    #[arg(long, value_name = "FILE")]
    pub bellhop: PathBuf,
    #[command(flatten)]
    pub postgres: Option<Cluster>,
    /// Messages of one round end to end (the raw ceiling takes five times as many)
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Connections of the load
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Replicas end to end on one PostgreSQL; the load is shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8), requires = "postgres_url")]
    pub replicas: u8,
    /// Each command end to end has an `Idempotency-Key`
    #[arg(long)]
    pub idempotency_keys: bool,
    /// Rounds end to end, each on an empty directory; the middle one is reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub rounds: u8,
    /// Paces of the latency scenario, in commands a second
    #[arg(long, value_delimiter = ',', default_values_t = [50, 500], value_parser = clap::value_parser!(u32).range(1..))]
    pub paces: Vec<u32>,
    /// Seconds at each pace
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Starts of which the median is taken
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..))]
    pub starts: u8,
    /// Scenarios to leave out
    #[arg(long, value_enum, value_delimiter = ',')]
    pub skip: Vec<Scenario>,
    /// Nothing but backlogs of so many pending deliveries, as in 1000,100000,1000000: does it cost more to have more?
    #[arg(long, value_name = "PENDING", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    pub backlog: Vec<u64>,
    /// Nothing but 10,000 webhooks, some of them dead or hanging: do the healthy ones notice?
    #[arg(long)]
    pub isolation: bool,
    /// Nothing but the soak, for so many minutes: steady load and short retention; do memory and files come to rest?
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub soak: Option<u32>,
    /// Messages a second of the soak
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub soak_rate: u32,
    /// Small numbers: shows that it works, measures nothing
    #[arg(long)]
    pub quick: bool,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where the servers' directories are made: on a real disk, not in memory
    /// [default: beside the server's binary]
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

impl RunOptions {
    pub fn wants(&self, scenario: Scenario) -> bool {
        let only_others = self.soak.is_some() || self.isolation || !self.backlog.is_empty();
        !only_others && !self.skip.contains(&scenario)
    }

    /// What is started to be measured.
    pub fn program(&self) -> Program<'_> {
        Program {
            bellhop: &self.bellhop,
            postgres: self.postgres.as_ref(),
        }
    }

    pub fn messages(&self) -> u64 {
        self.small(self.messages, 500)
    }

    pub fn rounds(&self) -> u8 {
        self.small(self.rounds, 1)
    }

    pub fn seconds(&self) -> u32 {
        self.small(self.seconds, 1)
    }

    pub fn starts(&self) -> u8 {
        self.small(self.starts, 2)
    }

    /// The number, or a small one where it is only shown that it works.
    pub fn small<T: Ord>(&self, wanted: T, at_most: T) -> T {
        if self.quick {
            wanted.min(at_most)
        } else {
            wanted
        }
    }

    /// A directory for everything that the servers write, removed at the end.
    pub fn place(&self) -> anyhow::Result<TempDir> {
        let parent = match (&self.directory, self.bellhop.parent()) {
            (Some(directory), _) => directory.as_path(),
            (None, Some(beside)) if beside != Path::new("") => beside,
            _ => Path::new("."),
        };
        tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(parent)
            .with_context(|| format!("making a directory in {}", parent.display()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Arguments, Mode};

    fn has_postgres(more: &[&str]) -> Option<bool> {
        let given = ["bench", "run", "--bellhop", "bellhop"];
        match Arguments::try_parse_from(given.iter().chain(more))
            .ok()?
            .mode
        {
            Mode::Run(options) => Some(options.postgres.is_some()),
            _ => None,
        }
    }

    #[test]
    fn postgres_is_named_whole_or_not_at_all() {
        assert_eq!(has_postgres(&[]), Some(false));
        assert_eq!(has_postgres(&["--postgres-url", "postgres://h"]), None);
        let whole = ["--postgres-url", "postgres://h", "--postgres-process", "7"];
        assert_eq!(has_postgres(&whole), Some(true));
    }
}
