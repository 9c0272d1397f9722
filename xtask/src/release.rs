//! `cargo xtask release`: the binary as it is published, the same bytes for everybody who builds the same commit with
//! the same compilers, with a bill of materials (CycloneDX) and check sums beside it.
//!
//! What a build would take from its machine is taken out: paths of the source, of cargo's and of the compiler's
//! own folder (also those that C code has by `__FILE__`), and the time, which is that of the commit. The rest is
//! pinned by `Cargo.lock` and the toolchain.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

use crate::{place, run, tools};

/// What is released.
const BINARY: &str = "bellhop";

/// Options of `release`.
#[derive(Args)]
pub struct Options {
    /// Build a second time, from a copy of the commit in another folder, and compare: the same bytes, or it fails
    #[arg(long)]
    verify: bool,
}

/// Builds, and puts what belongs together into `<target>/dist`.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let dist = place::target()?.join("dist");
    let release = Release::of(place::root())?;
    if release.has_changes {
        eprintln!("note: there are changes that are not committed; nobody else can build this");
    }
    let built = release.build(place::root(), &dist.join("build"))?;
    let binary = dist.join(BINARY);
    fs::copy(&built, &binary).context("keeping the binary")?;
    let bill = release.bill_of_materials(&dist)?;
    if options.verify {
        release.build_again(&binary)?;
    }
    check_sums(&dist, &[&binary, &bill])?;
    let folder = dist.display();
    println!("{folder}: {BINARY}, {BINARY}.cdx.json, SHA256SUMS");
    Ok(true)
}

/// What is built.
struct Release {
    commit: String,
    /// Of the commit, in seconds since 1970: <https://reproducible-builds.org/specs/source-date-epoch/>.
    epoch: String,
    has_changes: bool,
}

impl Release {
    fn of(root: &Path) -> anyhow::Result<Self> {
        let ask = |arguments: &[&str]| {
            run::first_line(Command::new("git").args(arguments).current_dir(root))
                .context("a release is of a commit: this is no git repository, or git is missing")
        };
        Ok(Self {
            commit: ask(&["rev-parse", "HEAD"])?,
            epoch: ask(&["log", "-1", "--format=%ct"])?,
            has_changes: !ask(&["status", "--porcelain", "--untracked-files=no"])?.is_empty(),
        })
    }

    /// Builds the source in this folder, and says where the binary is.
    fn build(&self, source: &Path, target: &Path) -> anyhow::Result<PathBuf> {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--release", "--locked", "--package", BINARY])
            .arg("--target-dir")
            .arg(target)
            .current_dir(source)
            .envs(self.environment(source, target)?);
        ensure!(cargo.status()?.success(), "cargo build failed");
        Ok(target.join("release").join(BINARY))
    }

    /// What makes a build forget where and when it was made.
    fn environment(
        &self,
        source: &Path,
        target: &Path,
    ) -> anyhow::Result<Vec<(&'static str, OsString)>> {
        let sysroot = run::first_line(Command::new("rustc").args(["--print", "sysroot"]))
            .context("rustc is missing")?;
        let places = [
            (source, "/bellhop"),
            (target, "/target"),
            (&cargo_home()?, "/cargo"),
            (Path::new(&sysroot), "/rust"),
        ];
        let flags = |form: &str| {
            let of = |(from, to): &(&Path, &str)| format!("{form}={}={to}", from.display());
            places.iter().map(of).collect::<Vec<_>>()
        };
        Ok(vec![
            // Unlike RUSTFLAGS, it lets a path have spaces.
            (
                "CARGO_ENCODED_RUSTFLAGS",
                flags("--remap-path-prefix").join("\u{1f}").into(),
            ),
            ("CFLAGS", flags("-ffile-prefix-map").join(" ").into()),
            ("CXXFLAGS", flags("-ffile-prefix-map").join(" ").into()),
            ("SOURCE_DATE_EPOCH", self.epoch.clone().into()),
            ("CARGO_INCREMENTAL", "0".into()),
        ])
    }

    /// What is in the binary: each package with its version, licence and check sum.
    fn bill_of_materials(&self, dist: &Path) -> anyhow::Result<PathBuf> {
        let cyclonedx = tools::cyclonedx()?;
        let mut command = Command::new(cyclonedx);
        command
            .args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
            .args(["--override-filename", "bill-of-materials"])
            .args(["--manifest-path", "crates/bellhop/Cargo.toml"])
            .current_dir(place::root())
            .env("SOURCE_DATE_EPOCH", &self.epoch);
        ensure!(command.status()?.success(), "cargo cyclonedx failed");
        let bill = dist.join(format!("{BINARY}.cdx.json"));
        // It writes one beside the manifest of each crate of the workspace.
        for manifest in manifests()? {
            let written = manifest.with_file_name("bill-of-materials.json");
            if manifest.ends_with("crates/bellhop/Cargo.toml") {
                keep_bill(&written, &bill)?;
            }
            if written.exists() {
                fs::remove_file(&written)?;
            }
        }
        Ok(bill)
    }

    /// Builds the commit from another folder into another one.
    fn build_again(&self, binary: &Path) -> anyhow::Result<()> {
        let folder = place::target()?.join("dist/again");
        let source = folder.join("source");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut clone = Command::new("git");
        clone
            .args(["clone", "--quiet", "--no-checkout"])
            .args([place::root(), &source]);
        let mut checkout = Command::new("git");
        checkout
            .args(["checkout", "--quiet", &self.commit])
            .current_dir(&source);
        ensure!(clone.status()?.success(), "git clone failed");
        ensure!(checkout.status()?.success(), "git checkout failed");
        let again = self.build(&source, &folder.join("build"))?;
        let (one, other) = (fs::read(binary)?, fs::read(&again)?);
        let first = one.iter().zip(&other).position(|(a, b)| a != b);
        ensure!(
            one == other,
            "not reproducible: {} and {} have {} and {} bytes; the first that differs is at {first:?}",
            binary.display(),
            again.display(),
            one.len(),
            other.len(),
        );
        println!("built twice, in two folders: the same {} bytes", one.len());
        fs::remove_dir_all(&folder).context("clearing away the second build")
    }
}

/// Keeps a bill of materials, without the path that our own crates had here.
fn keep_bill(written: &Path, to: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(written).context("reading the bill of materials")?;
    let here = place::root().display().to_string();
    fs::write(to, text.replace(&here, "/bellhop")).context("keeping the bill of materials")
}

/// Writes `SHA256SUMS`, as `sha256sum --check` reads it.
fn check_sums(dist: &Path, files: &[&Path]) -> anyhow::Result<()> {
    let mut text = String::new();
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        let mut command = Command::new("sha256sum");
        command.arg(name).current_dir(dist);
        let line = run::first_line(&mut command)
            .context("sha256sum is missing (Debian: coreutils; macOS: brew install coreutils)")?;
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(dist.join("SHA256SUMS"), text).context("writing the check sums")
}

/// Every manifest of the workspace.
fn manifests() -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(place::root().join("Cargo.toml"))?;
    let members = text
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .context("Cargo.toml has no list of members")?
        .0;
    let manifest = |member: &str| {
        let folder = member.trim().trim_matches('"');
        place::root().join(folder).join("Cargo.toml")
    };
    Ok(members.split(',').map(manifest).collect())
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> anyhow::Result<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the build's own tools are is the system's, not a setting"
    )]
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("CARGO_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor HOME says where cargo keeps its files")
}
