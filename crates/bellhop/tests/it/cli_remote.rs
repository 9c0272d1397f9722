//! The commands that ask a server, as people meet them: transcripts in `tests/cmd/remote`, against a real one.
//!
//! A transcript names what the server has by a word in braces, `{WEBHOOK}`; it is put in before and taken out after.
//! `TRYCMD=overwrite cargo test -p bellhop --test it cli_remote` writes them anew; read the difference.

use std::{fs, path::Path, process::Stdio};

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{
    receiver::{Received, Receiver},
    server::Server,
    tls,
};

/// A server with one of each thing, and the words for it.
pub struct Filled {
    pub server: Server,
    pub receiver: Receiver,
    pub words: Vec<(&'static str, String)>,
}

impl Filled {
    /// An application with a webhook and an integration whose first message was delivered.
    pub async fn start() -> Self {
        let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
        let receiver = Receiver::start().await;
        let application = server.application("Booking engine").await;
        let path = format!("/v1/applications/{application}/webhooks");
        let settings = json!({ "Url": receiver.url("/hook"), "RetrySchedule": [0, 3600] });
        let webhook = server.make(&path, &settings).await;
        let mut events = server.events("?State=Delivered", "").await;
        let integration = server.integration(&application, "Front desk").await;
        let delivery = events.expect("delivery").await;
        let words = vec![
            ("{SERVER}", format!("http://{}", server.address)),
            ("{RECEIVER}", receiver.url("")),
            ("{APPLICATION}", application),
            ("{ENTERPRISE}", text(&integration["EnterpriseId"])),
            ("{WEBHOOK}", text(&webhook["Id"])),
            ("{INTEGRATION}", text(&integration["Id"])),
            ("{DELIVERY}", text(&delivery["Id"])),
        ];
        Self {
            server,
            receiver,
            words,
        }
    }

    /// What stands for a word.
    pub fn word(&self, word: &str) -> &str {
        let found = self.words.iter().find(|(known, _)| *known == word);
        &found.expect("a word").1
    }

    /// Disables and enables: another message each time.
    pub async fn command(&self, command: &str) -> Value {
        let path = format!("/v1/integrations/{}/{command}", self.word("{INTEGRATION}"));
        self.server
            .ask(Method::POST, &path, Some(&json!({})))
            .await
            .1
    }

    /// Begins a command that goes on until it is stopped.
    fn begin(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .args(arguments)
            .env_clear()
            .env("BELLHOP_SERVER", self.word("{SERVER}"))
            .env("BELLHOP_API_KEY", "the-operators-key-of-a-test-0123456789")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Compares what the commands of a transcript print with what stands in it.
    pub async fn transcript(&self, name: &str) {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cmd/remote")
            .join(name);
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join(name);
        let mut script = fs::read_to_string(&kept).unwrap();
        for (word, value) in &self.words {
            script = script.replace(word, value);
        }
        fs::write(&run, &script).unwrap();
        let server = self.word("{SERVER}").to_owned();
        let key_file = folder.path().join("key");
        fs::write(&key_file, "the-operators-key-of-a-test-0123456789\n").unwrap();
        let compared = tokio::task::spawn_blocking(move || {
            trycmd::TestCases::new()
                .env("COLUMNS", "100")
                .env("BELLHOP_SERVER", server)
                .env("BELLHOP_API_KEY_FILE", key_file.display().to_string())
                .case(run.display().to_string())
                .default_bin_path(env!("CARGO_BIN_EXE_bellhop"));
            run
        });
        let run = compared.await.expect("it is not as it stands there");
        let mut after = fs::read_to_string(run).unwrap();
        if after != script {
            for (word, value) in &self.words {
                after = after.replace(value, word);
            }
            fs::write(kept, after).unwrap();
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources() {
    Filled::start().await.transcript("resources.trycmd").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_exit_code() {
    let filled = Filled::start().await;
    // Its next messages fail, and are tried again in an hour.
    filled.receiver.answers([500, 500]);
    filled.transcript("exit_codes.trycmd").await;
    // A key that is none: the variables of a transcript are the same for all its commands.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .args(["webhook", "list"])
        .env_clear()
        .env("BELLHOP_SERVER", filled.word("{SERVER}"))
        .env("BELLHOP_API_KEY", "nobodys")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("error: This API key is not known") && said.contains("hint: "),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_https_only_a_server_is_asked_whose_certificate_is_trusted() {
    let filled = Filled::start().await;
    let (address, authority) = tls::before(&filled.server.address).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("authority.pem");
    fs::write(&trusted, authority).unwrap();
    let other = folder.path().join("other.pem");
    fs::write(&other, tls::localhost().1).unwrap();
    let list = async |authorities: &Path, host: &str| {
        Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .args(["webhook", "list", "-o", "jsonl"])
            .args(["--server", &format!("https://{host}:{}", address.port())])
            .env_clear()
            .env("SSL_CERT_FILE", authorities)
            .env("BELLHOP_API_KEY", "the-operators-key-of-a-test-0123456789")
            .output()
            .await
            .unwrap()
    };
    let listed = list(&trusted, "localhost").await;
    let shown = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.status.success() && shown.contains(filled.word("{WEBHOOK}")));
    // An authority that has not signed it, and a name that is not in it.
    for (authorities, host) in [(&other, "localhost"), (&trusted, "127.0.0.1")] {
        let refused = list(authorities, host).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(6), "{said}");
        assert!(said.contains("certificate"), "{said}");
        assert!(refused.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_what_happens_and_comes_again_after_a_restart() {
    let mut filled = Filled::start().await;
    let mut child = filled.begin(&["tail", "-o", "jsonl", "--kind", "Integration"]);
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    // It may not listen yet: one of these it hears.
    let first = loop {
        filled.command("disable").await;
        filled.command("enable").await;
        let line = tokio::time::timeout(std::time::Duration::from_millis(300), shown.next_line());
        if let Ok(line) = line.await {
            break line.unwrap().unwrap();
        }
    };
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["Event"], "integration");
    assert_eq!(first["Data"]["Id"], filled.word("{INTEGRATION}"));
    filled.server.kill_and_restart().await;
    filled.command("cancel").await;
    let mut names = Vec::new();
    loop {
        let line = shown.next_line().await.unwrap().expect("it goes on");
        let line: Value = serde_json::from_str(&line).unwrap();
        names.push(line["Event"].clone());
        if line["Data"]["State"] == "Canceled" || names.contains(&json!("gap")) {
            break;
        }
    }
    // What it missed of the former process it was told of, not left to guess.
    assert!(names.contains(&json!("gap")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay() {
    Filled::start().await.transcript("replay.trycmd").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trigger() {
    let filled = Filled::start().await;
    filled.transcript("trigger.trycmd").await;
    let received = filled.receiver.received();
    let from_here = received
        .iter()
        .find(|each| each.path == "/from-here")
        .unwrap();
    assert_eq!(from_here.header("bellhop-action"), "IntegrationDisabled");
    assert!(from_here.header("webhook-signature").starts_with("v1,"));
}

/// Runs `bellhop listen` until it says that it forwards.
async fn listening(filled: &Filled, arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = filled.begin(&[&["listen"], arguments].concat());
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = Vec::new();
    while let Some(line) = said.next_line().await.unwrap() {
        let is_ready = line.starts_with("Forwarding ");
        lines.push(line);
        if is_ready {
            return (child, lines);
        }
    }
    panic!("it does not listen: {lines:?}");
}

async fn received(receiver: &Receiver, count: usize) -> Vec<Received> {
    crate::replicas::until("it is forwarded", async || {
        receiver.received().len() >= count
    })
    .await;
    receiver.received()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_forwards_each_message_once_byte_for_byte_and_its_replays() {
    let filled = Filled::start().await;
    let local = Receiver::start().await;
    let (mut child, _) = listening(&filled, &["--forward-to", &local.url("/hooks")]).await;
    let made = filled
        .server
        .integration(filled.word("{APPLICATION}"), "Spa")
        .await;
    filled.command("disable").await;
    let here = received(&local, 2).await;
    let there = received(&filled.receiver, 3).await;
    let token = made["AccessToken"].as_str().unwrap();
    for forwarded in &here {
        let id = forwarded.header("webhook-id");
        let sent = there
            .iter()
            .find(|sent| sent.header("webhook-id") == id)
            .unwrap();
        assert_eq!(forwarded.body, sent.body);
        assert_eq!(forwarded.path, "/hooks");
    }
    assert!(here.iter().any(|each| {
        each.body
            .windows(token.len())
            .any(|part| part == token.as_bytes())
    }));

    // A replay of a message from before it listened. That it was asked for is told by itself, before what came of it.
    let mut events = filled.server.events("?Kind=Delivery", "").await;
    filled.receiver.hold(true);
    let path = format!("/v1/deliveries/{}/replay", filled.word("{DELIVERY}"));
    filled
        .server
        .ask(Method::POST, &path, Some(&json!({})))
        .await;
    events.expect("delivery").await;
    filled.receiver.hold(false);
    received(&local, 3).await;
    // It forwards in order: once this is here, whatever came of the replay is here as well.
    filled.command("enable").await;
    let here = received(&local, 4).await;
    let sequences: Vec<u64> = here[2..].iter().map(Received::sequence).collect();
    assert_eq!(sequences, [1, 3], "each once");
    let log = filled.server.get("/v1/audit?Action=DeliveryRevealed").await;
    assert_eq!(log["Items"].as_array().unwrap().len(), 4);
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_makes_a_webhook_for_as_long_as_it_runs() {
    let filled = Filled::start().await;
    let local = Receiver::start().await;
    let application = filled.server.application("Key cards").await;
    let arguments = ["--forward-to", &local.url("/"), "--temporary", &application];
    let (mut child, said) = listening(&filled, &arguments).await;
    let secret = said
        .iter()
        .find_map(|line| line.strip_prefix("Secret  "))
        .unwrap();
    filled.server.integration(&application, "Front desk").await;
    let here = received(&local, 1).await;
    let verifier = bellhop_webhook::Verifier::new(vec![secret.parse().unwrap()], vec![]);
    let headers = bellhop_webhook::SignatureHeaders {
        id: here[0].header("webhook-id"),
        timestamp: here[0].header("webhook-timestamp"),
        signature: here[0].header("webhook-signature"),
    };
    let now = headers.timestamp.parse().unwrap();
    let verified = verifier.verify(&headers, &here[0].body, now, 1);
    assert!(verified.is_ok(), "{verified:?}");

    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(child.wait().await.unwrap().success());
    let left = filled
        .server
        .get(&format!("/v1/applications/{application}/webhooks"))
        .await;
    assert_eq!(left["Items"], json!([]));
}
