//! The quick start of `README.md`, run as it is printed: a page that does not work is worse than none.
//!
//! Only the two ports are others, so that it runs beside whatever uses those of the page.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

const README: &str = include_str!("../../../../README.md");
const SECTION: &str = "## Quick start";
/// Far more than it takes (5 s), for machines that are busy.
const DEADLINE: Duration = Duration::from_mins(1);

/// A shell and all that it starts, in a process group of their own.
struct Shell {
    group: Pid,
    child: Option<Child>,
    /// The script waits for all that it started, so nothing is left when it succeeds.
    has_succeeded: bool,
}

impl Shell {
    fn run(script: &Path, directory: &Path, listen: &str) -> Self {
        let file = |name: &str| File::create(directory.with_extension(name)).unwrap();
        let child = Command::new("sh")
            .arg("-eu")
            .arg(script)
            .current_dir(directory)
            .env("BELLHOP_LISTEN", listen)
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            // Files, because what runs on in the background would keep a pipe open.
            .stdout(file("out"))
            .stderr(file("err"))
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            group: Pid::from_raw(i32::try_from(child.id()).unwrap()),
            child: Some(child),
            has_succeeded: false,
        }
    }

    /// How it ended; `None` if it has not within the deadline.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait()));
        let status = told.recv_timeout(DEADLINE).ok().map(Result::unwrap);
        self.has_succeeded = status.is_some_and(|status| status.success());
        status
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if !self.has_succeeded {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

/// The `sh` blocks of a section, one after the other.
fn blocks(page: &str, section: &str) -> String {
    let lines = page
        .lines()
        .skip_while(|line| *line != section)
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let mut script = String::new();
    let mut is_inside = false;
    for line in lines {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            _ if is_inside => script.extend([line, "\n"]),
            _ => {}
        }
    }
    script
}

/// Two ports that were free just now.
fn ports() -> [String; 2] {
    [(), ()]
        .map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// The value of every member of this name, as the answers have it.
fn members<'a>(shown: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("\"{name}\":");
    shown
        .split(&start)
        .skip(1)
        .filter_map(|rest| rest.split([',', '}']).next())
        .collect()
}

#[test]
fn the_quick_start_works_as_it_is_printed() {
    let script = blocks(README, SECTION);
    assert!(script.contains("bellhop serve") && script.contains("/replay"));
    let [api, receiver] = ports();
    let script = script.replace("8080", &api).replace("9000", &receiver);

    let temporary = tempfile::tempdir().unwrap();
    let (bin, directory) = (temporary.path().join("bin"), temporary.path().join("empty"));
    for folder in [&bin, &directory] {
        fs::create_dir(folder).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_bellhop"), bin.join("bellhop")).unwrap();
    let file = temporary.path().join("script");
    let path = format!("PATH='{}':\"$PATH\"\n", bin.display());
    fs::write(&file, path + &script).unwrap();

    let mut shell = Shell::run(&file, &directory, &format!("127.0.0.1:{api}"));
    let status = shell.end();
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let shown = read(&directory.with_extension("out"));
    let said = read(&directory.with_extension("err"));
    let log = read(&directory.join("serve.log"));
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{shown}\n{said}\n{log}"
    );

    // What the receiver got: its verdict, its answer, the action, the sequence, the attempt.
    let received = read(&directory.join("received.txt"));
    let lines: Vec<Vec<&str>> = received
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().skip(1).collect())
        .collect();
    let expected = [
        "ok 500 IntegrationCreated 1 1 North Wing",
        "ok 200 IntegrationCreated 1 2 North Wing",
        "ok 500 IntegrationDisabled 2 1 North Wing",
        "ok 200 IntegrationDisabled 2 2 North Wing",
        "ok 200 IntegrationDisabled 2 3 North Wing duplicate",
    ];
    assert_eq!(
        lines.iter().map(|line| line.join(" ")).collect::<Vec<_>>(),
        expected,
        "{log}"
    );
    // What the page shows of it is what one sees, times apart.
    for line in expected {
        let is_shown = |page: &str| {
            let words: Vec<&str> = page.split_whitespace().skip(1).collect();
            words.join(" ") == line
        };
        assert!(README.lines().any(is_shown), "the page lacks: {line}");
    }

    // What the caller saw: a token that stops with its integration, a delivery before and after its replay.
    assert_eq!(members(&shown, "active"), ["true", "false"], "{shown}");
    assert_eq!(members(&shown, "AttemptCount"), ["2", "3"], "{shown}");
    assert!(shown.contains(r#""Cause":"server_error""#), "{shown}");
    let canary = shown.contains("\"AccessToken\"") || log.contains("whsec_");
    assert!(!canary, "a secret was shown\n{shown}\n{log}");
}

#[test]
fn only_the_blocks_of_the_section_are_run() {
    let page = "## A\n```sh\nno\n```\n## B\n```sh\none\n```\n```\nno\n```\n```sh\ntwo\n```\n## C\n```sh\nno\n```\n";
    assert_eq!(blocks(page, "## B"), "one\ntwo\n");
    assert_eq!(blocks(page, "## D"), "");
}
