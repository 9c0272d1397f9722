//! The API, judged by a tool that we did not write: schemathesis (PyPI) reads the OpenAPI document, asks each operation for
//! what the document allows and for what it does not, in sequences too, and compares every answer with the document.
//!
//! `cargo xtask test` sets it up. Without it the test says that it was skipped. `TEST_SCHEMATHESIS` names the program,
//! `TEST_SCHEMATHESIS_SEED` repeats a run or makes another one.

use std::{path::Path, process::Stdio};

use http::Method;
use serde_json::json;

use crate::support::{app::text, receiver::Receiver, server::Server};

/// So that a failure is there again at the next run.
const SEED: &str = "1";
/// Of each operation. All phases together take about a minute.
const EXAMPLES: &str = "20";
/// Stateful sequences repeat until then.
const SECONDS: &str = "75";

#[expect(
    clippy::disallowed_methods,
    reason = "it tells where a tool is, and is no setting of the server"
)]
fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// One of each thing, so that what is asked for is sometimes there.
async fn filled(server: &Server, receiver: &Receiver) {
    let application = server.application("Booking engine").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let url = json!({ "Url": receiver.url("/hook"), "RetrySchedule": [0, 3600] });
    let made = server.make(&path, &url).await;
    for name in ["Front desk", "Spa"] {
        let integration = server.integration(&application, name).await;
        let path = format!("/v1/integrations/{}/disable", text(&integration["Id"]));
        server.ask(Method::POST, &path, Some(&json!({}))).await;
    }
    let path = format!("/v1/webhooks/{}/backfill", text(&made["Id"]));
    server.ask(Method::POST, &path, Some(&json!({}))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_fault_in_any_operation() {
    let Some(program) = named("TEST_SCHEMATHESIS") else {
        eprintln!(
            "skipped: TEST_SCHEMATHESIS names no schemathesis; `cargo xtask test` sets it up, or: \
             python3 -m pip install schemathesis"
        );
        return;
    };
    let server = Server::start(&[
        ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8"),
        ("BELLHOP_LOG", "warn"),
    ])
    .await;
    let receiver = Receiver::start().await;
    filled(&server, &receiver).await;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folder = tempfile::tempdir().unwrap();
    let seed = named("TEST_SCHEMATHESIS_SEED").unwrap_or_else(|| SEED.to_owned());
    let output = tokio::process::Command::new(program)
        .arg("--config-file")
        .arg(tests.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", server.address)])
        .args([
            "--header",
            "Authorization: Bearer the-operators-key-of-a-test-0123456789",
        ])
        .args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ])
        .args([
            "--seed",
            &seed,
            "--max-examples",
            EXAMPLES,
            "--max-time",
            SECONDS,
        ])
        .args(["--request-timeout", "15", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_requests")
        .env("PYTHONPATH", tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let also = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n{also}\nThe same again: TEST_SCHEMATHESIS_SEED={seed}"
    );
    // It has really asked.
    assert!(said.contains("Test cases:"), "{said}");
    assert!(server.end().await);
}
