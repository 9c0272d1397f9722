//! `cargo xtask bench`: builds what is measured the way it is released, and measures it.

use std::process::Command;

use anyhow::Context;

use crate::place;

/// Builds, then hands the arguments over. Whether the bench ran to its end.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let build = ["build", "--release", "--package=bellhop", "--package=bench"];
    let built = place::cargo(build).status().context("cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    let release = place::target()?.join("release");
    let bench = Command::new(release.join("bench"))
        .arg("run")
        .arg("--bellhop")
        .arg(release.join("bellhop"))
        .args(arguments)
        .status()
        .context("starting the bench")?;
    Ok(bench.success())
}
