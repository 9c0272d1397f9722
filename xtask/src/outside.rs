//! The programs that look at the server from outside, as it is released: bench and faults.

use std::process::Command;

use anyhow::Context;

use crate::place;

/// Builds the server and the program for release, and hands the arguments over. Whether the program
/// was content.
pub fn run(program: &str, arguments: &[String]) -> anyhow::Result<bool> {
    let build = [
        "build",
        "--release",
        "--package=bellhop",
        "--package",
        program,
    ];
    let built = place::cargo(build).status().context("cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    let release = place::target()?.join("release");
    let status = Command::new(release.join(program))
        .arg("run")
        .arg("--bellhop")
        .arg(release.join("bellhop"))
        .args(arguments)
        .status()
        .with_context(|| format!("starting {program}"))?;
    Ok(status.success())
}
