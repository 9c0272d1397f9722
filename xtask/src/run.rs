//! Steps: a command, what came of it, and the summary at the end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

/// What came of one step.
pub enum Outcome {
    /// It ran and was right; what to say about it (may be several lines).
    Passed(String),
    /// It ran and was wrong.
    Failed(String),
    /// It did not run: why, and how to get it.
    Skipped(String),
}

/// What ran, what did not, and why.
#[derive(Default)]
pub struct Summary {
    rows: Vec<(String, Outcome, Duration)>,
}

impl Summary {
    /// Runs one step and keeps its outcome. A step that cannot even start has failed.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Outcome>) {
        eprintln!("\n── {name}");
        let started = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.rows
            .push((name.to_owned(), outcome, started.elapsed()));
    }

    /// Prints one row a step, and answers whether nothing failed.
    pub fn print(&self) -> bool {
        println!("\n── summary");
        let width = self.rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
        for (name, outcome, took) in &self.rows {
            let (word, text) = match outcome {
                Outcome::Passed(text) => ("ok", text),
                Outcome::Failed(text) => ("FAILED", text),
                Outcome::Skipped(text) => ("skipped", text),
            };
            let took_s = took.as_secs_f64();
            let mut lines = text.lines();
            let first = lines.next().unwrap_or("");
            println!("{word:>8}  {name:width$}  {took_s:6.1} s  {first}");
            for line in lines {
                println!("{:>indent$}{line}", "", indent = width + 22);
            }
        }
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let total = self.rows.len();
        println!("{total} steps, {failed} failed, {skipped} skipped");
        failed == 0
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| which(&row.1)).count()
    }
}

/// The outcome of a command that says by its exit status how it went; its output is shown as it is.
pub fn plain(command: &mut Command) -> anyhow::Result<Outcome> {
    let status = show(command).status().context(name_of(command))?;
    Ok(judge(status, String::new()))
}

/// Runs a command, shows its lines as they come, and answers with those that `keep` wants.
pub fn watched(
    command: &mut Command,
    mut keep: impl FnMut(&str) -> bool,
) -> anyhow::Result<(ExitStatus, Vec<String>)> {
    show(command).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| name_of(command))?;
    let (lines, arrived) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|pipe| read(pipe, lines.clone())),
        child.stderr.take().map(|pipe| read(pipe, lines)),
    ];
    let mut kept = Vec::new();
    for line in arrived {
        eprintln!("{line}");
        if keep(&line) {
            kept.push(line);
        }
    }
    for reader in readers.into_iter().flatten() {
        reader.join().expect("a reader of lines does not panic");
    }
    Ok((child.wait()?, kept))
}

/// The first line that a command writes to stdout, or nothing when it is not there or fails.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or("").trim().to_owned())
}

/// Runs a command that may hang on a network that is not there; ends it when `limit` is over.
pub fn within(command: &mut Command, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let mut child = show(command).spawn().with_context(|| name_of(command))?;
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "waiting for a child with a limit; nothing else is served here"
        )]
        thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Passed or failed, by an exit status.
pub fn judge(status: ExitStatus, text: String) -> Outcome {
    if status.success() {
        Outcome::Passed(text)
    } else if text.is_empty() {
        Outcome::Failed(status.to_string())
    } else {
        Outcome::Failed(text)
    }
}

fn show(command: &mut Command) -> &mut Command {
    eprintln!("$ {}", name_of(command));
    command.stdin(Stdio::null())
}

fn name_of(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

fn read(pipe: impl Read + Send + 'static, lines: mpsc::Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            if lines
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    })
}
