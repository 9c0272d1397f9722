//! The API, judged by a tool that we did not write: schemathesis (PyPI) reads the OpenAPI document, asks each operation for
//! what the document allows and for what it does not, in sequences too, and compares every answer with the document.
//!
//! `cargo xtask test` sets it up. Without it the test says that it was skipped. `TEST_SCHEMATHESIS` names the program,
//! `TEST_SCHEMATHESIS_SEED` repeats a run or makes another one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use http::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{app::text, receiver::Receiver, server::Server};

/// So that a failure is there again at the next run.
const SEED: &str = "1";
/// Of each operation. All phases together take about a minute.
const EXAMPLES: &str = "20";
/// Stateful sequences repeat until then.
const SECONDS: &str = "75";
/// The same, where only what one of two partners can see of the other is judged.
const SECONDS_OF_TWO: &str = "30";
/// The headers of the operator.
const OPERATOR: &str = "Authorization: Bearer the-operators-key-of-a-test-0123456789";

#[expect(
    clippy::disallowed_methods,
    reason = "it tells where a tool is, and is no setting of the server"
)]
fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The program, a server that holds one of each thing, and what it sends to.
struct Attack {
    program: String,
    server: Server,
    receiver: Receiver,
    folder: TempDir,
}

impl Attack {
    /// `None`, and it says so, where the program is missing.
    async fn prepare() -> Option<Self> {
        let Some(program) = named("TEST_SCHEMATHESIS") else {
            eprintln!(
                "skipped: TEST_SCHEMATHESIS names no schemathesis; `cargo xtask test` sets it up, or: \
                 python3 -m pip install schemathesis"
            );
            return None;
        };
        let server = Server::start(&[
            ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8"),
            ("BELLHOP_LOG", "warn"),
        ])
        .await;
        Some(Self {
            program,
            server,
            receiver: Receiver::start().await,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// An application with one of each thing, so that what is asked for is sometimes there.
    async fn fill(&self, name: &str) -> String {
        let Self {
            server, receiver, ..
        } = self;
        let application = server.application(name).await;
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
        application
    }

    /// A name in the document of identities, and the key that it stands for.
    async fn partner(&self, name: &str) -> serde_json::Value {
        let application = self.fill(name).await;
        let scope = json!({ "Scope": "application", "ApplicationId": application });
        let made = self.server.make("/v1/keys", &scope).await;
        let header = format!("Bearer {}", text(&made["Key"]));
        json!({ "name": name, "fixedHeaders": [{ "name": "Authorization", "value": header }] })
    }

    /// What is given of `tests/schemathesis.toml`, and two partners of whom neither may see what is the other's.
    async fn two_partners(&self) -> PathBuf {
        let partners = [self.partner("one").await, self.partner("two").await];
        let identities = self.folder.path().join("identities.json");
        fs::write(&identities, json!({ "auth": partners }).to_string()).unwrap();
        let given = fs::read_to_string(tests().join("schemathesis.toml")).unwrap();
        let identities = identities.display();
        let of_two =
            format!("{given}\n[auth.wfc]\npath = '{identities}'\npeers = ['one', 'two']\n");
        let config = self.folder.path().join("of-two.toml");
        fs::write(&config, of_two).unwrap();
        config
    }

    /// Lets it run to its end: no check has failed.
    async fn run(&self, config: &Path, arguments: &[&str]) {
        let seed = named("TEST_SCHEMATHESIS_SEED").unwrap_or_else(|| SEED.to_owned());
        let document = format!("http://{}/openapi.json", self.server.address);
        let output = tokio::process::Command::new(&self.program)
            .arg("--config-file")
            .arg(config)
            .args(["run", &document, "--seed", &seed])
            .args(["--max-examples", EXAMPLES])
            .args(["--request-timeout", "15", "--no-color"])
            .args(arguments)
            .env("SCHEMATHESIS_HOOKS", "schemathesis_requests")
            .env("PYTHONPATH", tests())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.folder.path())
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
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_fault_in_any_operation() {
    let Some(attack) = Attack::prepare().await else {
        return;
    };
    attack.fill("Booking engine").await;
    let all = ["--checks", "all", "--header", OPERATOR];
    let phases = ["--phases", "examples,coverage,fuzzing,stateful"];
    let arguments = [&all[..], &phases, &["--max-time", SECONDS]].concat();
    let config = tests().join("schemathesis.toml");
    attack.run(&config, &arguments).await;
    assert!(attack.server.end().await);
}

/// What one partner made or was listed, it reads as the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_of_one_partner_that_another_can_read() {
    let Some(attack) = Attack::prepare().await else {
        return;
    };
    let config = attack.two_partners().await;
    let check = ["--checks", "object_level_authorization"];
    let phases = ["--phases", "fuzzing,stateful"];
    let arguments = [&check[..], &phases, &["--max-time", SECONDS_OF_TWO]].concat();
    attack.run(&config, &arguments).await;
    assert!(attack.server.end().await);
}
