//! `cargo xtask test`: sets up what tests need, runs them all, and says what did not run and why.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::browser;
use crate::faults;
use crate::place;
use crate::postgres::{self, Cluster, Durable};
use crate::run::{self, Outcome, Summary};
use crate::tools::{self, Python};

/// Options of `test` and `ci`.
#[derive(Args)]
pub struct Options {
    /// Install nothing: what is missing is skipped, and said
    #[arg(long)]
    offline: bool,
    /// Leave out the fault battery, which takes some minutes
    #[arg(long)]
    no_faults: bool,
}

/// Runs everything; each step runs even if one before it failed.
pub fn run(options: &Options, summary: &mut Summary) {
    let nextest = tools::nextest();
    summary.step("test runner", || {
        Ok(match &nextest {
            Ok(version) => Outcome::Passed(version.clone()),
            Err(advice) => Outcome::Skipped(advice.clone()),
        })
    });
    let python = tools::python(options.offline);
    summary.step("python receiver", || {
        Ok(match &python {
            Ok(python) => {
                let version = &python.version;
                Outcome::Passed(format!(
                    "{version} with standardwebhooks, http-message-signatures and aiosmtpd from PyPI"
                ))
            }
            Err(advice) => Outcome::Skipped(format!("its test is skipped: {advice}")),
        })
    });
    let python = python.ok();
    let schemathesis = tools::schemathesis(options.offline);
    summary.step("schemathesis", || {
        Ok(match &schemathesis {
            Ok(program) => Outcome::Passed(program.display().to_string()),
            Err(advice) => Outcome::Skipped(format!("the API is not judged by it: {advice}")),
        })
    });
    let schemathesis = schemathesis.ok();
    let cluster = cluster(options.offline);
    summary.step("postgresql", || Ok(told(&cluster, options.offline)));
    let cluster = cluster.ok();
    summary.step("build", || {
        Ok(if place::build()? {
            Outcome::Passed(String::new())
        } else {
            Outcome::Failed("see above".to_owned())
        })
    });
    summary.step("documentation's examples", || {
        let mut command = place::cargo(["test", "--doc", "--workspace"]);
        let (status, results) = run::watched(&mut command, is_result)?;
        Ok(run::judge(status, added_up(&results)))
    });
    summary.step("demo", || {
        run::plain(Command::new(place::built("bellhop")?).args(["demo", "--once"]))
    });
    summary.step("dashboard in a browser", || browser::step(options.offline));
    summary.step("fault battery", || {
        if options.no_faults {
            return Ok(Outcome::Skipped("--no-faults".into()));
        }
        faults::step(options.offline)
    });
    summary.step("tests on postgresql", || {
        let Some(cluster) = &cluster else {
            return Ok(Outcome::Skipped("there is no PostgreSQL".into()));
        };
        let mut command = on_postgres(nextest.is_ok());
        cluster.tell(&mut command);
        command.env("TEST_DATABASE", "postgres");
        judged(&mut command, nextest.is_ok())
    });
    // Last, so that its own summary is what one sees last.
    summary.step("tests", || {
        let judges = (python.as_ref(), schemathesis.as_deref());
        tests(nextest.is_ok(), judges, cluster.as_ref())
    });
}

/// What goes through the API and the dispatcher once more, on PostgreSQL: elsewhere it runs on SQLite.
const ON_BOTH: [&str; 8] = [
    "api",
    "dashboard",
    "delivery",
    "delivery_clock",
    "health",
    "operational",
    "replays",
    "retention",
];

fn on_postgres(nextest: bool) -> Command {
    if nextest {
        let which = format!(
            "binary_id(bellhop::it) & test(/^({})::/)",
            ON_BOTH.join("|")
        );
        let mut command = place::cargo(["nextest", "run", "--workspace", "-E"]);
        command.arg(which);
        return command;
    }
    let mut command = place::cargo(["test", "--no-fail-fast", "--package=bellhop", "--test=it"]);
    let which = ON_BOTH.map(|module| format!("{module}::"));
    command.arg("--").args(which);
    command
}

/// A PostgreSQL for the tests.
enum Place {
    /// Started here, and ended with this.
    Ours(Cluster),
    /// Where somebody has one.
    Given(String),
}

impl Place {
    /// Tells tests where it is.
    fn tell(&self, command: &mut Command) {
        match self {
            Self::Given(url) => {
                command.env("TEST_POSTGRES_URL", url);
            }
            Self::Ours(cluster) => {
                command
                    .env("TEST_POSTGRES_URL", &cluster.url)
                    .env("TEST_POSTGRES_CERTIFICATE", &cluster.certificate);
                if let Ok(pooler) = &cluster.pooler {
                    command.env("TEST_POSTGRES_POOLER", &pooler.url);
                }
            }
        }
    }
}

/// What there is.
fn told(cluster: &Result<Place, String>, offline: bool) -> Outcome {
    match cluster {
        Ok(Place::Ours(cluster)) => Outcome::Passed(match &cluster.pooler {
            Ok(_) => format!("{}, and PgBouncer", cluster.version),
            Err(advice) => format!("{}; {advice}", cluster.version),
        }),
        Ok(Place::Given(_)) => Outcome::Passed("the one that TEST_POSTGRES_URL names".to_owned()),
        Err(advice) if offline => Outcome::Skipped(format!("its tests are skipped: {advice}")),
        Err(advice) => Outcome::Failed(advice.clone()),
    }
}

fn cluster(offline: bool) -> Result<Place, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it tells where tests run, and is no setting of the server"
    )]
    let given = std::env::var("TEST_POSTGRES_URL");
    match given {
        Ok(url) => Ok(Place::Given(url)),
        Err(_) => postgres::start(offline, Durable::No).map(Place::Ours),
    }
}

fn tests(
    nextest: bool,
    (python, schemathesis): (Option<&Python>, Option<&Path>),
    cluster: Option<&Place>,
) -> anyhow::Result<Outcome> {
    let mut command = if nextest {
        place::cargo(["nextest", "run", "--workspace"])
    } else {
        place::cargo(["test", "--workspace", "--all-targets", "--no-fail-fast"])
    };
    if let Some(cluster) = cluster {
        cluster.tell(&mut command);
    }
    if let Some(python) = python {
        // It is there, so the test that wants it must not skip itself.
        command.env("REQUIRE_PYTHON_RECEIVER", "1");
        if let Some(folder) = &python.folder {
            command.env("PATH", tools::path_with(folder)?);
        }
    }
    if let Some(program) = schemathesis {
        command.env("TEST_SCHEMATHESIS", program);
    }
    judged(&mut command, nextest)
}

fn judged(command: &mut Command, nextest: bool) -> anyhow::Result<Outcome> {
    let (status, text) = if nextest {
        watch_nextest(command)?
    } else {
        let (status, results) = run::watched(command, is_result)?;
        (status, added_up(&results))
    };
    Ok(run::judge(status, text))
}

/// Keeps nextest's own summary: that line, and the failures that it lists below.
fn watch_nextest(command: &mut Command) -> anyhow::Result<(std::process::ExitStatus, String)> {
    let mut reached = false;
    let (status, lines) = run::watched(command, |line| {
        reached |= line.contains("Summary [");
        reached
    })?;
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    Ok((status, lines.join("\n")))
}

fn is_result(line: &str) -> bool {
    line.starts_with("test result: ")
}

/// One line from the many `test result:` lines of `cargo test`.
fn added_up(results: &[String]) -> String {
    let sum = |word: &str| -> u64 {
        results
            .iter()
            .filter_map(|line| number_before(line, word))
            .sum()
    };
    let (passed, failed, ignored) = (sum(" passed"), sum(" failed"), sum(" ignored"));
    format!("{passed} passed, {failed} failed, {ignored} ignored")
}

/// The number that stands right before a word.
fn number_before(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.0.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::added_up;

    #[test]
    fn results_of_several_binaries_add_up() {
        let lines = [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(added_up(&lines), "15 passed, 2 failed, 1 ignored");
    }
}
