//! `cargo xtask openapi`: the committed document is what the server says of itself.

use anyhow::{Context, ensure};

use crate::place;

/// Writes the file, or compares only. False when it differs.
pub fn run(check: bool) -> anyhow::Result<bool> {
    let said = place::cargo(["run", "--quiet", "--package=bellhop", "--", "openapi"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cargo run")?;
    ensure!(said.status.success(), "`bellhop openapi` failed");
    ensure!(!said.stdout.is_empty(), "`bellhop openapi` said nothing");
    let file = place::root().join("openapi.json");
    let written = std::fs::read(&file).unwrap_or_default();
    if written == said.stdout {
        println!("openapi.json is up to date");
        return Ok(true);
    }
    if check {
        println!("openapi.json is not what the server says; write it with: cargo xtask openapi");
        return Ok(false);
    }
    std::fs::write(&file, &said.stdout).context("writing openapi.json")?;
    println!("openapi.json written");
    Ok(true)
}
