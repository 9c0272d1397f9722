//! The command line as people meet it: transcripts in `tests/cmd`, and commands that run on as processes.
//!
//! `TRYCMD=overwrite cargo test -p bellhop --test it transcripts` writes the transcripts anew; read the difference.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bellhop() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellhop"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Keys that others may read are refused, and git keeps no such modes.
fn make_private(files: &[&str]) {
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn transcripts() {
    make_private(&[
        "tests/cmd/key.in/data/encryption-key",
        "tests/cmd/key.in/one/encryption-key",
    ]);
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd")
        .default_bin_path(env!("CARGO_BIN_EXE_bellhop"));
}

#[test]
fn the_demo_delivers_everything_in_order_and_verified() {
    let output = bellhop().args(["demo", "--once"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}{said}");
    for line in [
        "ok    12 of 12 messages delivered",
        "ok    14 of 14 attempts arrived, 2 of them retries",
        "ok    2 of 2 integrations in order",
        "ok    14 of 14 signatures verified",
        "ok    14 of 14 bodies byte for byte",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert_eq!(shown.matches(" 500  ").count(), 2, "{shown}");
    assert_eq!(said, "");
    // Nothing of a terminal where there is none.
    assert!(!shown.contains('\x1b'), "{shown}");
}

#[test]
fn serve_starts_on_an_empty_directory_and_stops_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let child = bellhop()
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "text"])
        .current_dir(directory.path())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut said = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let mut line_with = |part: &str| {
        said.by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("no line with {part}"))
    };
    let base = line_with("http://127.0.0.1:");
    let address = base.trim().rsplit('/').next().unwrap().to_owned();
    let key_line = line_with("Operator key");
    assert!(key_line.contains("(made just now)"), "{key_line}");
    line_with("curl -H");
    let key = fs::read_to_string(directory.path().join("bellhop-data/operator-key")).unwrap();
    let key = key.trim();
    for (authorization, status) in [
        (format!("Bearer {key}"), "200"),
        ("Bearer no".into(), "401"),
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET /v1/applications HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(running.0.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    line_with("Stopping");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    assert!(said.map(Result::unwrap).all(|line| !line.contains(key)));
}

#[test]
fn a_taken_port_and_a_readable_key_stop_serve_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let serve = |listen: &str| {
        let output = bellhop()
            .args(["serve", "--listen", listen])
            .current_dir(directory.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = serve(&address);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("error: cannot listen") && said.contains("hint: see who listens"),
        "{said}"
    );
    let key = directory.path().join("bellhop-data/operator-key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = serve("127.0.0.1:0");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("hint: chmod 600 ") && said.contains("(mode 0644)"),
        "{said}"
    );
}

#[test]
fn receive_prints_what_arrives_as_json() {
    let child = bellhop()
        .args([
            "receive", "--port", "0", "--behave", "429:30", "-o", "jsonl",
        ])
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut said = BufReader::new(running.0.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line
        .split(['/', ' '])
        .find(|part| part.starts_with("127.0.0.1:"))
        .unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    let body =
        r#"{"AccessToken":"9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF"}"#;
    write!(
        stream,
        "POST /in HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(
        answer.to_lowercase().contains("retry-after: 30"),
        "{answer}"
    );

    let mut shown = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut shown)
        .unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["Path"], "/in");
    assert_eq!(shown["Answer"], "429");
    assert_eq!(
        shown["Body"]["AccessToken"],
        "9E5E84E9974D4F169662AB2200F27CB1-*******************************"
    );
}

#[test]
fn the_manual_and_the_completions_have_every_command() {
    let page = bellhop().arg("man").output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    let script = bellhop().args(["completions", "bash"]).output().unwrap();
    let script = String::from_utf8(script.stdout).unwrap();
    for command in [
        "tail",
        "listen",
        "trigger",
        "replay",
        "doctor",
        "webhook rotate-secret",
        "integration messages",
        "api-key create",
        "backup restore",
        "delivery discard",
        "enterprise list",
        "application update",
        "replay cancel",
        "audit verify",
    ] {
        assert!(
            page.contains(&format!("COMMAND {}", command.to_uppercase())),
            "{command}"
        );
        let word = command.rsplit(' ').next().unwrap();
        assert!(script.contains(word), "{command}");
    }
}
