//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// The target directory that this build went to, wherever configuration has put it.
pub fn target() -> anyhow::Result<PathBuf> {
    let binary = std::env::current_exe().context("finding the target directory")?;
    // <target>/<profile>/xtask
    binary
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is not inside a target directory", binary.display()))
}

/// The folder for what `xtask` itself installs; removing it loses nothing.
pub fn tools() -> anyhow::Result<PathBuf> {
    Ok(target()?.join("tools"))
}

/// Builds all there is for development, as tests have it. One command for everybody who needs something of it: with fewer
/// packages, dependencies have fewer features, and all above them is compiled once more.
pub fn build() -> anyhow::Result<bool> {
    let arguments = [
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
    ];
    let built = cargo(arguments).status().context("cargo build")?;
    Ok(built.success())
}

/// A program that [`build`] has built.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    Ok(target()?.join("debug").join(name))
}

/// The cargo that runs this, in the root of the repository.
pub fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}
