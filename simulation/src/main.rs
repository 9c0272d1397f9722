//! Runs seeds of the simulation, and prints those that fail.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use clap::Parser;
use simulation::seeds;

/// Runs the server in simulated time, breaks it by seed, and judges what arrives.
#[derive(Parser)]
#[command(name = "simulation")]
struct Arguments {
    /// How many seeds
    #[arg(default_value_t = 500)]
    seeds: u64,
    /// The first of them; those in `simulation/seeds.txt` run before it
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: write both logs into this folder
    #[arg(long, requires = "seed")]
    logs: Option<PathBuf>,
    /// Add seeds that fail to this file
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// How often progress is told.
const TELL_EVERY: u64 = 1000;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let (Some(seed), Some(folder)) = (arguments.seed, &arguments.logs) {
        simulation::run(seed)?.evidence.write(folder)?;
    }
    let further = arguments.first..arguments.first + arguments.seeds;
    let many = || seeds::known().into_iter().chain(further).collect();
    let seeds: Vec<u64> = arguments.seed.map_or_else(many, |seed| vec![seed]);
    let told = AtomicUsize::new(0);
    let summary = seeds::run_all(&seeds, |summary| {
        // At once: a run of hours may be broken off.
        let failed = summary.failed.len();
        tell(&summary.failed[told.swap(failed, Relaxed)..]);
        if summary.seeds.is_multiple_of(TELL_EVERY) {
            eprintln!("{} seeds, {} failed", summary.seeds, summary.failed.len());
        }
    });
    if let Some(file) = arguments.keep.filter(|_| !summary.failed.is_empty()) {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        for (seed, _) in &summary.failed {
            writeln!(file, "{seed}")?;
        }
    }
    println!("seeds={} {}", summary.seeds, summary.total);
    Ok(if summary.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tell(failed: &[(u64, String)]) {
    for (seed, told) in failed {
        eprintln!(
            "seed {seed} fails; repeat it with: cargo xtask faults --simulation --seed {seed}\n{told}\n"
        );
    }
}
