//! `cargo xtask faults --planted`: the battery is tested. Each patch of `faults/planted` puts a bug into a copy of the
//! sources, and what must catch it must fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::place;
use crate::postgres::{self, Cluster, Durable};
use crate::run::{self, Outcome, Summary};

/// A bug, and who must see it.
struct Planted {
    /// The patch, without its ending.
    name: &'static str,
    by: By,
}

/// Who must see a bug.
enum By {
    /// This part of the battery.
    Part(&'static str),
    /// A test of the server whose name contains this.
    Test(&'static str),
}

/// What looks for secrets where they do not belong.
const CANARY: &str = "no_canary_is_found";

const PLANTED: [Planted; 15] = [
    Planted {
        name: "acknowledge-before-commit",
        by: By::Part("points"),
    },
    Planted {
        name: "make-the-body-again",
        by: By::Part("ambiguous"),
    },
    Planted {
        name: "no-fencing",
        by: By::Test("a_fence_that_is_not_held"),
    },
    Planted {
        name: "no-fencing-of-replicas",
        by: By::Part("zombies"),
    },
    Planted {
        name: "retry-timer-in-memory",
        by: By::Part("kills"),
    },
    Planted {
        name: "sign-once",
        by: By::Part("ambiguous"),
    },
    Planted {
        name: "ignore-retry-after",
        by: By::Part("drain"),
    },
    Planted {
        name: "drop-what-is-in-flight",
        by: By::Part("drain"),
    },
    Planted {
        name: "order-by-creation",
        by: By::Part("ambiguous"),
    },
    Planted {
        name: "leak-at-rest",
        by: By::Test(CANARY),
    },
    Planted {
        name: "leak-in-a-log",
        by: By::Test(CANARY),
    },
    Planted {
        name: "leak-in-a-trace",
        by: By::Test(CANARY),
    },
    Planted {
        name: "leak-of-an-echo",
        by: By::Test(CANARY),
    },
    Planted {
        name: "leak-in-a-list",
        by: By::Test(CANARY),
    },
    Planted {
        name: "leak-in-an-error",
        by: By::Test(CANARY),
    },
];

/// What is left of the time that arrivals may take: a bug that loses is not waited for as long as the truth is, but longer
/// than a flaky receiver takes.
const SETTLE: &str = "60";

/// Tries every bug, or those that are named. Whether each was seen.
pub fn run(only: &[String]) -> anyhow::Result<bool> {
    for name in only {
        let is_known = PLANTED.iter().any(|planted| planted.name == name);
        ensure!(is_known, "there is no bug {name} in faults/planted");
    }
    let folder = place::target()?.join("planted");
    let battery = build_battery()?;
    let cluster = postgres::start(true, Durable::No).map_err(anyhow::Error::msg)?;
    let mut summary = Summary::default();
    let wanted =
        |planted: &&Planted| only.is_empty() || only.iter().any(|name| name == planted.name);
    for planted in PLANTED.iter().filter(wanted) {
        summary.step(planted.name, || {
            let sources = copy_sources(&folder.join("sources"))?;
            apply(planted.name, &sources)?;
            match planted.by {
                By::Part(part) => try_part(&battery, &sources, &folder, part),
                By::Test(name) => try_test(&sources, &folder, name, &cluster),
            }
        });
    }
    Ok(summary.print())
}

/// The names of the patches that are tried.
#[cfg(test)]
fn names() -> Vec<&'static str> {
    PLANTED.iter().map(|planted| planted.name).collect()
}

fn build_battery() -> anyhow::Result<PathBuf> {
    ensure!(place::build()?, "the battery does not build");
    place::built("faults")
}

/// What git knows of, as it is now.
fn copy_sources(to: &Path) -> anyhow::Result<PathBuf> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(place::root())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(listed.status.success(), "git ls-files");
    for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (place::root().join(file), to.join(file));
        if !from.exists() {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        std::fs::copy(&from, &to).with_context(|| file.to_owned())?;
    }
    Ok(to.to_owned())
}

fn apply(name: &str, sources: &Path) -> anyhow::Result<()> {
    let mut git = git_apply(name);
    git.current_dir(sources);
    ensure!(git.status()?.success(), "{name}.patch does not apply");
    Ok(())
}

fn git_apply(name: &str) -> Command {
    let patch = place::root().join(format!("faults/planted/{name}.patch"));
    let mut git = Command::new("git");
    // The copy is no repository: without this, git would look for one around it.
    git.env("GIT_CEILING_DIRECTORIES", place::root())
        .env("GIT_DIR", "/dev/null")
        .arg("apply")
        .arg(patch);
    git
}

fn try_part(battery: &Path, sources: &Path, folder: &Path, part: &str) -> anyhow::Result<Outcome> {
    let built = cargo(sources, folder)
        .args(["build", "--package=bellhop", "--features=fault-points"])
        .status()?;
    ensure!(built.success(), "it does not build");
    let server = folder.join("target/debug/bellhop");
    let mut command = Command::new(battery);
    command
        .args(["run", "--only", part, "--settle-s", SETTLE])
        .arg("--bellhop")
        .arg(&server)
        .arg("--with-points")
        .arg(&server);
    if let Ok(programs) = postgres::programs(true) {
        command.arg("--postgres").arg(programs);
    }
    let (status, lines) = run::watched(&mut command, |line| line.starts_with("faults="))?;
    let line = lines.join("\n");
    Ok(if status.success() {
        Outcome::Failed(format!("not seen: {line}"))
    } else if line.is_empty() {
        Outcome::Failed("the battery broke off without a verdict".to_owned())
    } else {
        Outcome::Passed(format!("seen by {part}: {line}"))
    })
}

fn try_test(
    sources: &Path,
    folder: &Path,
    name: &str,
    cluster: &Cluster,
) -> anyhow::Result<Outcome> {
    let mut command = cargo(sources, folder);
    command.env("TEST_POSTGRES_URL", &cluster.url);
    command.args(["test", "--package=bellhop", "--test=it", name]);
    let (status, lines) = run::watched(&mut command, |line| line.starts_with("test result:"))?;
    let line = lines.join("\n");
    let is_seen = !status.success() && line.contains("FAILED");
    Ok(if is_seen {
        Outcome::Passed(format!("seen by the tests {name}: {line}"))
    } else {
        Outcome::Failed(format!("not seen: {line}"))
    })
}

fn cargo(sources: &Path, folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(sources)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_bug_still_fits_the_sources() {
        let mut patches: Vec<String> = std::fs::read_dir(place::root().join("faults/planted"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        patches.sort_unstable();
        let mut wanted: Vec<String> = names().iter().map(|name| format!("{name}.patch")).collect();
        wanted.sort_unstable();
        assert_eq!(patches, wanted);
        for name in names() {
            let mut git = git_apply(name);
            let status = git.arg("--check").current_dir(place::root()).status();
            assert!(status.unwrap().success(), "{name}.patch does not apply");
        }
    }
}
