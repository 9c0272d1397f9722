//! `cargo xtask faults`: builds the server, with fault points and without, and lets the battery loose on it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

use crate::outside;
use crate::place;
use crate::planted;
use crate::postgres;
use crate::run::{self, Outcome};

/// Options of `faults`.
#[derive(Args)]
pub struct Options {
    /// Build for release instead of for development
    #[arg(long)]
    release: bool,
    /// Test the battery itself: plant each bug of `faults/planted` in a copy of the sources, and demand that it is seen
    #[arg(long)]
    planted: bool,
    /// Arguments of the battery; with `--planted` the bugs to try, in place of all
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the battery. Whether everything held.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    if let Some((first, seeds)) = options.arguments.split_first()
        && first == "--simulation"
    {
        return outside::simulate(seeds);
    }
    if options.planted {
        return planted::run(&options.arguments);
    }
    let status = battery(options)?.status().context("starting the battery")?;
    Ok(status.success())
}

/// The short form as a step of `test`: its one line is what is told, and what did not hold.
pub fn step(offline: bool) -> anyhow::Result<Outcome> {
    if !offline {
        provide_clock();
    }
    let options = Options {
        release: false,
        planted: false,
        arguments: Vec::new(),
    };
    let mut command = battery(&options)?;
    let (status, lines) = run::watched(&mut command, |line| {
        let told = ["faults=", "violation: ", "Error: "];
        told.iter().any(|start| line.starts_with(start)) || line.contains("skipped:")
    })?;
    let mut lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.reverse();
    Ok(run::judge(status, lines.join("\n")))
}

/// The battery, built, with the paths of both servers.
fn battery(options: &Options) -> anyhow::Result<Command> {
    let profile = if options.release { "release" } else { "debug" };
    let folder = place::target()?.join(profile);
    let with_points = build_with_points(options, &folder.join("bellhop"))?;
    if options.release {
        build(options, &["--package=bellhop", "--package=faults"])?;
    } else {
        ensure!(place::build()?, "the build failed");
    }
    let mut command = Command::new(folder.join("faults"));
    command
        .arg("run")
        .arg("--bellhop")
        .arg(folder.join("bellhop"))
        .arg("--with-points")
        .arg(with_points);
    match postgres::programs(true) {
        Ok(programs) => {
            command.arg("--postgres").arg(programs);
        }
        Err(advice) => eprintln!("{advice}"),
    }
    command.args(&options.arguments);
    Ok(command)
}

/// A server that kills itself where it is told to. It is put where no build without fault points overwrites it, and
/// nobody takes it for one.
fn build_with_points(options: &Options, built: &PathBuf) -> anyhow::Result<PathBuf> {
    let what = [
        "--workspace",
        "--bin=bellhop",
        "--features=bellhop/fault-points",
    ];
    build(options, &what)?;
    let kept = built.with_file_name("bellhop-with-fault-points");
    // Cargo links what it has built there: a copy, or the next build would change it.
    std::fs::copy(built, &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

/// One part sets the server's clock. Without the library it says that it was skipped.
fn provide_clock() {
    if run::first_line(Command::new("faketime").arg("--version")).is_none() && postgres::is_root() {
        postgres::install("faketime");
    }
}

fn build(options: &Options, what: &[&str]) -> anyhow::Result<()> {
    let mut command = place::cargo(["build", "--locked"]);
    command.args(options.release.then_some("--release"));
    let built = command.args(what).status().context("cargo build")?;
    ensure!(built.success(), "the build failed");
    Ok(())
}
