//! The program that measures the server from outside, as it is released.

use std::process::Command;

use anyhow::Context;

use crate::place;

/// Builds the server and the bench for release, and hands the arguments over. Whether the bench
/// was content.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let build = ["build", "--release", "--package=bellhop", "--package=bench"];
    let built = place::cargo(build).status().context("cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    let release = place::target()?.join("release");
    let status = Command::new(release.join("bench"))
        .arg("run")
        .arg("--bellhop")
        .arg(release.join("bellhop"))
        .args(arguments)
        .status()
        .context("starting the bench")?;
    Ok(status.success())
}
