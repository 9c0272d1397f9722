//! The dashboard's tests in a browser: Debian's Chromium, driven from Node. What is missing is set up where that is possible.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    place,
    postgres::{install, is_root},
    run::{self, Outcome},
};

/// Two small packages from the registry.
const PACKAGES_LIMIT: Duration = Duration::from_mins(3);
/// All pages, four times, take two minutes on two cores; payloads, commands and the partner take two to three more.
const TESTS_LIMIT: Duration = Duration::from_mins(10);
const NODE_ADVICE: &str =
    "Node.js 20 or later and npm are missing; get them: apt install nodejs npm";
const CHROMIUM_ADVICE: &str =
    "Chromium is missing; get it (Debian: apt install chromium), or name one in CHROMIUM";

/// Runs them, or says what is missing.
pub fn step(offline: bool) -> anyhow::Result<Outcome> {
    let folder = place::root().join("e2e");
    for program in ["node", "npm"] {
        if run::first_line(Command::new(program).arg("--version")).is_none() {
            return Ok(Outcome::Skipped(NODE_ADVICE.to_owned()));
        }
    }
    let Some(chromium) = chromium(offline) else {
        return Ok(Outcome::Skipped(CHROMIUM_ADVICE.to_owned()));
    };
    if !has_packages(&folder) {
        if offline {
            return Ok(Outcome::Skipped(
                "its packages are missing; get them: npm ci in e2e/".to_owned(),
            ));
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder);
        npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
        if !run::within(&mut npm, PACKAGES_LIMIT)?.is_some_and(|status| status.success()) {
            return Ok(Outcome::Skipped(
                "its packages could not be had; try: npm ci in e2e/".to_owned(),
            ));
        }
    }
    if !place::build()? {
        return Ok(Outcome::Failed("the server could not be built".to_owned()));
    }
    let mut tests = Command::new("node");
    tests
        .args(["--test", "--test-concurrency=1", "tests/"])
        .current_dir(&folder);
    tests.env("CHROMIUM", chromium);
    tests.env("BELLHOP_BINARY", place::built("bellhop")?);
    Ok(match run::within(&mut tests, TESTS_LIMIT)? {
        Some(status) => run::judge(status, String::new()),
        None => Outcome::Failed(format!(
            "it took longer than {} minutes",
            TESTS_LIMIT.as_secs() / 60
        )),
    })
}

fn has_packages(folder: &Path) -> bool {
    ["axe-core", "playwright-core"]
        .iter()
        .all(|name| folder.join("node_modules").join(name).exists())
}

fn chromium(offline: bool) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it tells where tests run, and is no setting of the server"
    )]
    let given = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    let find = || {
        let known = known.iter().map(PathBuf::from);
        given
            .clone()
            .into_iter()
            .chain(known)
            .find(|path| path.exists())
    };
    find().or_else(|| {
        let is_installed = !offline && is_root() && install("chromium");
        is_installed.then(find).flatten()
    })
}
