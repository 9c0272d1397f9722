//! `cargo xtask fuzz`: the targets of `fuzz/`, one after the other.

use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::place;

/// All of them; a test compares them with the programs.
const TARGETS: [&str; 4] = ["bodies", "retry_after", "signature", "url"];

/// Options of `fuzz`.
#[derive(Args)]
pub struct Options {
    /// For how long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// These targets; all unless given
    targets: Vec<String>,
}

/// Runs them. Whether none of them found anything.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let toolchain = Command::new("cargo")
        .args(["+nightly", "fuzz", "--version"])
        .output();
    if !toolchain.is_ok_and(|output| output.status.success()) {
        bail!(
            "fuzzing needs a nightly toolchain and cargo-fuzz; get them: rustup toolchain install nightly; \
             cargo install cargo-fuzz --locked"
        );
    }
    let all = TARGETS.map(str::to_owned).to_vec();
    let targets = if options.targets.is_empty() {
        &all
    } else {
        &options.targets
    };
    let mut all_held = true;
    for target in targets {
        if !all.contains(target) {
            bail!(
                "there is no target {target}; there are {}",
                TARGETS.join(", ")
            );
        }
        eprintln!("\n── {target}, {} s", options.seconds);
        let mut command = Command::new("cargo");
        command
            .args(["+nightly", "fuzz", "run", target, "--"])
            .arg(format!("-max_total_time={}", options.seconds))
            .args([
                "-max_len=4096",
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
            ])
            .current_dir(place::root());
        let status = command.status().context("starting cargo-fuzz")?;
        all_held &= status.success();
    }
    Ok(all_held)
}
