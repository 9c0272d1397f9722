//! The command line as people meet it: transcripts in `tests/cmd`, and commands that run on as processes.
//!
//! `TRYCMD=overwrite cargo test -p bellhop --test it transcripts` writes the transcripts anew; read the difference.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
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

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd")
        .default_bin_path(env!("CARGO_BIN_EXE_bellhop"));
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
