//! Against the official library of Standard Webhooks for Python, which is
//! what many receivers verify with (`pip install standardwebhooks`).
//!
//! Without it the test says that it was skipped; with
//! `REQUIRE_PYTHON_RECEIVER=1` it fails instead.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bellhop_webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId};
use bellhop_webhook::{Secret, Signer, SigningKey};

/// Verifies every case of the JSON on standard input, prints an answer each.
const RECEIVER: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for case in json.load(sys.stdin):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("verified")
    except WebhookVerificationError:
        print("refused")
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "the official library takes no clock"
)]
fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of this test, not a setting"
)]
fn is_required() -> bool {
    std::env::var_os("REQUIRE_PYTHON_RECEIVER").is_some_and(|value| value == "1")
}

fn has_library() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import standardwebhooks"]);
    python.stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// What Python says to each case, in order.
fn ask_python(cases: &serde_json::Value) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", RECEIVER])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(cases.to_string().as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the receiver in Python crashed");
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(str::to_owned).collect()
}

#[test]
fn python_verifies_what_we_sign() {
    if !has_library() {
        assert!(!is_required(), "python3 has no package standardwebhooks");
        eprintln!(
            "SKIPPED: python3 has no package standardwebhooks (pip install standardwebhooks)"
        );
        return;
    }
    let id = MessageId::test([6; 16]).to_string();
    let now = now();
    let newest = Secret::from([1; 32]);
    let previous = Secret::from_bytes([2; 24]).unwrap();
    let longest = Secret::from_bytes([3; 64]).unwrap();
    let stranger = Secret::from([4; 32]);
    let alone = Signer::new(vec![newest.clone()], vec![]);
    let several = [newest.clone(), previous.clone(), longest.clone()];
    // The library does not know v1a and must pass over it.
    let key = SigningKey::from_seed([5; 32]);
    let rotating = Signer::new(several.to_vec(), vec![key]);

    let mut cases = Vec::new();
    let mut wanted = Vec::new();
    for body in [
        include_str!("golden/integration-created-requestor.json"),
        include_str!("golden/integration-deleted.json"),
    ] {
        let mut add = |signer: &Signer, secret: &Secret, received: &str, answer: &'static str| {
            cases.push(serde_json::json!({
                "secret": secret.expose(),
                "body": received,
                "headers": {
                    HEADER_ID: id,
                    HEADER_TIMESTAMP: now.to_string(),
                    HEADER_SIGNATURE: signer.sign(&id, now, body.as_bytes()),
                },
            }));
            wanted.push(answer);
        };
        add(&alone, &newest, body, "verified");
        add(&alone, &previous, body, "refused");
        for secret in &several {
            add(&rotating, secret, body, "verified");
        }
        add(&rotating, &stranger, body, "refused");
        add(&rotating, &newest, &format!("{body}\n"), "refused");
    }
    assert_eq!(ask_python(&cases.into()), wanted);
}
