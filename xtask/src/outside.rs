//! The programs that measure the server and simulate it, as they are released.

use std::process::Command;

use anyhow::Context;

use crate::place;
use crate::postgres::{self, Durable};

/// Builds the server and the bench for release, and hands the arguments over. `--postgres` starts a PostgreSQL to measure
/// on. Whether the bench was content.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let build = ["build", "--release", "--package=bellhop", "--package=bench"];
    let built = place::cargo(build).status().context("cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    let release = place::target()?.join("release");
    let mut bench = Command::new(release.join("bench"));
    bench
        .arg("run")
        .arg("--bellhop")
        .arg(release.join("bellhop"));
    // Lives as long as the bench.
    let mut cluster = None;
    for argument in arguments {
        if argument == "--postgres" {
            let started = postgres::start(false, Durable::Yes).map_err(anyhow::Error::msg)?;
            bench.args(["--postgres-url", &started.url]);
            let process = started.process().to_string();
            bench.args(["--postgres-process", &process]);
            cluster = Some(started);
        } else {
            bench.arg(argument);
        }
    }
    let status = bench.status().context("starting the bench")?;
    drop(cluster);
    Ok(status.success())
}

/// Builds the simulation for release, and hands the arguments over. Seeds that fail are kept where they run again with
/// every change.
pub fn simulate(arguments: &[String]) -> anyhow::Result<bool> {
    let built = place::cargo(["build", "--release", "--package=simulation"])
        .status()
        .context("cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    let status = Command::new(place::target()?.join("release/simulation"))
        .args(["--keep", "simulation/seeds.txt"])
        .args(arguments)
        .current_dir(place::root())
        .status()
        .context("starting the simulation")?;
    Ok(status.success())
}
