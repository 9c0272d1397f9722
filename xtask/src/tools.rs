//! The tools that tests and checks use, found or set up, and how to get those that are missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::place;
use crate::run;

/// What receivers in Python verify with (the official library, and one of HTTP Message Signatures), and a mail server,
/// as on PyPI.
const PYTHON_PACKAGES: [&str; 3] = [
    "standardwebhooks==1.1.0",
    "http-message-signatures==3.0.0",
    "aiosmtpd==1.4.6",
];

/// What these are to Python.
const PYTHON_MODULES: &str = "import standardwebhooks, http_message_signatures, aiosmtpd";

/// What judges the API by its OpenAPI document, as on PyPI. It needs much, so it has an environment of its own.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// PyPI is asked only once, for one small package and what it needs.
const INSTALL_LIMIT: Duration = Duration::from_mins(3);

/// A tool: there (with its version), or not (with how to get it).
pub type Found = Result<String, String>;

/// cargo-nextest runs the tests when it is there; `cargo test` does otherwise.
pub fn nextest() -> Found {
    run::first_line(&mut place::cargo(["nextest", "--version"])).ok_or_else(|| {
        "cargo-nextest is missing, `cargo test` is used; get it: cargo install cargo-nextest --locked"
            .to_owned()
    })
}

/// cargo-deny, from the path or where `.ci/run` has put it.
pub fn deny() -> Result<PathBuf, String> {
    let own = place::tools().map(|tools| tools.join("bin/cargo-deny"));
    let candidates = own.into_iter().chain([PathBuf::from("cargo-deny")]);
    for candidate in candidates {
        if run::first_line(Command::new(&candidate).arg("--version")).is_some() {
            return Ok(candidate);
        }
    }
    Err("cargo-deny is missing; get it: cargo install cargo-deny --locked".to_owned())
}

/// cargo-cyclonedx, which writes the bill of materials of a release; set up where it is missing.
pub fn cyclonedx() -> anyhow::Result<PathBuf> {
    let folder = place::tools()?;
    let own = folder.join("bin/cargo-cyclonedx");
    for candidate in [own.clone(), PathBuf::from("cargo-cyclonedx")] {
        if run::first_line(Command::new(&candidate).args(["cyclonedx", "--version"])).is_some() {
            return Ok(candidate);
        }
    }
    let mut install = place::cargo([
        "install",
        "cargo-cyclonedx",
        "--locked",
        "--version",
        "^0.5",
    ]);
    install
        .arg("--root")
        .arg(&folder)
        .arg("--target-dir")
        .arg(folder.join("build"));
    anyhow::ensure!(
        install.status()?.success(),
        "cargo-cyclonedx could not be set up; get it: cargo install cargo-cyclonedx --locked"
    );
    Ok(own)
}

/// A Python that has the official library: the one on the path, or a virtual environment of our
/// own in the target directory, which is made here.
pub struct Python {
    /// The folder to put first in `PATH`, so that tests find this one as `python3`.
    pub folder: Option<PathBuf>,
    /// Its version.
    pub version: String,
}

/// Finds such a Python or makes it.
pub fn python(offline: bool) -> Result<Python, String> {
    let Some(version) = run::first_line(Command::new("python3").arg("--version")) else {
        return Err("python3 is missing; get it from your system (Debian: apt install python3 python3-venv)".to_owned());
    };
    if has_library("python3".into()) {
        return Ok(Python {
            folder: None,
            version,
        });
    }
    let folder = place::tools()
        .map_err(|error| format!("{error:#}"))?
        .join("python");
    let bin = folder.join("bin");
    let python = bin.join("python3");
    let packages = PYTHON_PACKAGES.join(" ");
    let advice = format!("get it: python3 -m pip install {packages}");
    if !has_library(python.clone().into()) {
        if offline {
            return Err(format!("{packages} from PyPI is missing; {advice}"));
        }
        install(&folder, &PYTHON_PACKAGES).map_err(|error| {
            format!("{packages} from PyPI could not be set up ({error:#}); {advice}")
        })?;
    }
    Ok(Python {
        folder: Some(bin),
        version,
    })
}

/// Finds schemathesis, in the environment of its own or in the path, or makes that environment.
pub fn schemathesis(offline: bool) -> Result<PathBuf, String> {
    let folder = place::tools()
        .map_err(|error| format!("{error:#}"))?
        .join("schemathesis");
    let own = folder.join("bin/st");
    let is_there = |program: &Path| {
        let version = run::first_line(Command::new(program).arg("--version"));
        version.is_some_and(|version| version.contains(' '))
    };
    for program in [&own, &PathBuf::from("st")] {
        if is_there(program) {
            return Ok(program.clone());
        }
    }
    let advice = format!("get it: python3 -m pip install {SCHEMATHESIS}");
    if offline {
        return Err(format!("{SCHEMATHESIS} from PyPI is missing; {advice}"));
    }
    install(&folder, &[SCHEMATHESIS]).map_err(|error| {
        format!("{SCHEMATHESIS} from PyPI could not be set up ({error:#}); {advice}")
    })?;
    Ok(own)
}

fn has_library(python: OsString) -> bool {
    run::first_line(Command::new(python).args(["-c", PYTHON_MODULES])).is_some()
}

fn install(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    finish(
        &mut venv,
        "python3 -m venv fails (Debian: apt install python3-venv)",
    )?;
    let mut pip = Command::new(folder.join("bin/python3"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--retries", "1", "--timeout", "15"])
    .args(packages);
    finish(&mut pip, "pip cannot install it")
}

fn finish(command: &mut Command, otherwise: &str) -> anyhow::Result<()> {
    let status = run::within(command, INSTALL_LIMIT)?;
    anyhow::ensure!(status.is_some_and(|status| status.success()), "{otherwise}");
    Ok(())
}

/// `PATH` with a folder in front.
pub fn path_with(folder: &Path) -> anyhow::Result<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "PATH is the system's, not a setting"
    )]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("PATH")
}
