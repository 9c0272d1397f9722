//! Judges that we did not write: libraries from PyPI, in whatever `python3` is on the path.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Whether Python has a module. Without it the test says that it was skipped; with `REQUIRE_PYTHON_RECEIVER=1` it
/// fails instead.
pub fn has_library(module: &str, package: &str) -> bool {
    let mut python = Command::new("python3");
    python
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null());
    let has = python.status().is_ok_and(|status| status.success());
    assert!(
        has || !is_required(),
        "python3 has no {module}: pip install {package}"
    );
    if !has {
        eprintln!("skipped: python3 has no {module} (pip install {package})");
    }
    has
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of this test, not a setting"
)]
fn is_required() -> bool {
    std::env::var_os("REQUIRE_PYTHON_RECEIVER").is_some_and(|value| value == "1")
}

/// What a program answers to a document on its standard input, line by line.
pub fn ask(program: &str, document: &Value) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(document.to_string().as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge in Python crashed");
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(str::to_owned).collect()
}
