//! `bellhop key` beside a server that runs, and servers that are killed while they seal anew or erase.

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use zoo::{Behaviour, Receiver};

use crate::support::server::Server;

/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// So many bodies with an access token that a kill finds some of them done and some not.
const MANY: usize = 1500;
const KILLS: usize = 3;

/// What `bellhop key` says about the data of a server.
fn key(server: &Server, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .arg("key")
        .args(words)
        .env_clear()
        .env("BELLHOP_DATA_DIR", server.data_dir())
        .current_dir(server.data_dir())
        .output()
        .unwrap()
}

fn key_ok(server: &Server, words: &[&str]) -> String {
    let output = key(server, words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}{failed}");
    said
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&key_ok(server, &["status", "-o", "json"])).unwrap()
}

/// How many values the former keys have sealed, and the newest one.
fn values(status: &Value) -> (u64, u64) {
    let of = |usage: &str| {
        let keys = status["Keys"].as_array().unwrap().iter();
        keys.filter(|key| key["Use"] == usage)
            .map(|key| key["Values"].as_u64().unwrap())
            .sum()
    };
    assert_eq!(of("unknown"), 0, "{status}");
    (of("decrypts"), of("encrypts"))
}

async fn until_sealed_anew(server: &Server) -> Value {
    let began = Instant::now();
    loop {
        let shown = status(server);
        if shown["Resealing"]["EndedUtc"].is_string() {
            return shown;
        }
        assert!(began.elapsed() < WITHIN, "{shown}\n{}", server.log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Integrations of an application; answers with their ids.
async fn integrations(server: &Server, application: &str, many: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < many {
        let some = (0..50.min(many - ids.len())).map(|_| server.integration(application, "Hotel"));
        let made = join_all(some).await;
        ids.extend(
            made.iter()
                .map(|each| each["Id"].as_str().unwrap().to_owned()),
        );
    }
    ids
}

/// Waits until the audit log has just these entries of the command line, oldest first.
async fn noted(server: &Server, action: &str, expected: &[Value]) {
    let began = Instant::now();
    loop {
        let page = server.get(&format!("/v1/audit?Action={action}")).await;
        let entries = page["Items"].as_array().unwrap().iter().rev();
        let details = |entry: &Value| {
            assert_eq!(entry["Actor"]["Kind"], "CommandLine");
            assert_eq!(entry["FromAddress"], Value::Null);
            let mut details = entry["Details"].clone();
            let ran = details.as_object_mut().unwrap().remove("RanUtc").unwrap();
            assert!(
                ran.as_str().unwrap() <= entry["AtUtc"].as_str().unwrap(),
                "{entry}"
            );
            details
        };
        let found: Vec<_> = entries.map(details).collect();
        if found == expected {
            return;
        }
        assert!(found.len() < expected.len(), "{page}");
        assert!(began.elapsed() < WITHIN, "{page}\n{}", server.log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn first_message(server: &Server, id: &str) -> Value {
    let history = server.get(&format!("/v1/integrations/{id}/messages")).await;
    history["Items"][0].clone()
}

/// Without a restart: rotate, wait, prune. Then the new key alone opens everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_while_the_server_runs() {
    let mut server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
    let application = server.application("Sample Key Cards").await;
    let receiver = Receiver::start(Behaviour::healthy()).await.unwrap();
    let path = format!("/v1/applications/{application}/webhooks");
    let settings = json!({ "Url": receiver.url("/hook"), "Headers": { "x-tenant": "hush" } });
    let webhook = server.make(&path, &settings).await;
    let ids = integrations(&server, &application, 20).await;
    let one = key(&server, &["rotate", "--activate"]);
    assert_eq!(one.status.code(), Some(5), "there is nothing to activate");
    let file = server.data_dir().join("encryption-key");
    let before = fs::read_to_string(&file).unwrap();
    let (_, all) = values(&status(&server));
    assert!(all >= 20);

    let said = key_ok(&server, &["rotate"]);
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.trim().ends_with(before.trim()) && after.len() == before.len() + 65);
    assert!(!said.contains(before.trim()), "no key is shown");
    let early = key(&server, &["prune"]);
    assert_eq!(early.status.code(), Some(5), "{early:?}");
    let shown = until_sealed_anew(&server).await;
    let (former, newest) = values(&shown);
    assert_eq!(former, 0, "{shown}");
    assert!(newest >= all && shown["Resealing"]["Resealed"].as_u64() >= Some(all));
    assert!(
        server
            .log()
            .contains("nothing is sealed with a former encryption key any more")
    );
    assert_eq!(server.figure("bellhop_former_key_in_use").await, 0);
    assert!(server.figure("bellhop_resealed_values_total").await >= all);
    let metrics = server.metrics().await;
    let newest = shown["Keys"][0]["Id"].as_str().unwrap();
    let figure = format!("bellhop_encryption_keys{{key=\"{newest}\",use=\"encrypts\"}} 1");
    assert!(metrics.contains(&figure), "{metrics}");

    key_ok(&server, &["prune"]);
    let pruned = fs::read_to_string(&file).unwrap();
    assert_eq!(pruned.trim(), &after[..64]);
    let (newest, former) = (&shown["Keys"][0]["Id"], &shown["Keys"][1]["Id"]);
    let rotated = json!({ "How": "Rotated", "Keys": [newest, former] });
    noted(&server, "EncryptionKeyRotated", &[rotated]).await;
    let pruned = json!({ "Keys": [newest], "TakenOut": [former] });
    noted(&server, "EncryptionKeysPruned", &[pruned]).await;
    server.kill_and_restart().await;
    for id in &ids {
        let message = first_message(&server, id).await;
        assert_eq!(message["Body"]["Action"], "IntegrationCreated");
    }
    let path = format!("/v1/webhooks/{}/test", webhook["Id"].as_str().unwrap());
    let tested = server.ask(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(tested.0, 200, "the secret opens: {}", tested.1);
    // The former key is no key of this database any more.
    fs::write(&file, &before).unwrap();
    let data_dir = server.data_dir();
    let folder = server.folder();
    drop(server);
    let refused = Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env_clear()
        .env("BELLHOP_DATA_DIR", data_dir)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("encrypted with a key that is not configured"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_anew_goes_on_after_a_kill() {
    let mut server = Server::start(&[]).await;
    let application = server.application("Sample Key Cards").await;
    let ids = integrations(&server, &application, MANY).await;
    let (_, all) = values(&status(&server));
    assert!(all >= MANY as u64);
    key_ok(&server, &["rotate"]);
    let mut in_the_middle = 0;
    for _ in 0..KILLS {
        server.kill_and_restart().await;
        let began = Instant::now();
        while server.figure("bellhop_resealed_values_total").await == 0 {
            let is_over = status(&server)["Resealing"]["EndedUtc"].is_string();
            if is_over {
                break;
            }
            assert!(began.elapsed() < WITHIN, "{}", server.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (former, newest) = values(&status(&server));
        in_the_middle += usize::from(former > 0 && newest > 0);
    }
    assert!(
        in_the_middle > 0,
        "it was too fast to be killed in the middle"
    );
    server.kill_and_restart().await;
    let shown = until_sealed_anew(&server).await;
    assert_eq!(values(&shown), (0, all), "{shown}");
    // Each once: what was done before a kill was not done again.
    assert_eq!(shown["Resealing"]["Resealed"], all, "{shown}");
    key_ok(&server, &["prune"]);
    server.kill_and_restart().await;
    for id in ids.iter().step_by(50) {
        let message = first_message(&server, id).await;
        assert_eq!(message["Body"]["Action"], "IntegrationCreated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasure_goes_on_after_a_kill_and_spares_what_is_pending() {
    const HELD: usize = 20;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let allow = ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8");
    let grace = |grace| ("BELLHOP_ERASURE_GRACE_SECONDS", grace);
    let server = Server::start_in(folder.clone(), &[allow, grace("never")]).await;
    let application = server.application("Nobody listens").await;
    let ids = integrations(&server, &application, MANY).await;
    let held = server.application("Sample Key Cards").await;
    let receiver = Receiver::start(Behaviour::healthy()).await.unwrap();
    let path = format!("/v1/applications/{held}/webhooks");
    let webhook = server
        .make(&path, &json!({ "Url": receiver.url("/hook") }))
        .await;
    let webhook = format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap());
    let ask = async |server: &Server, command: &str| {
        let path = format!("{webhook}/{command}");
        let answer = server.ask(Method::POST, &path, Some(&json!({}))).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    };
    ask(&server, "pause").await;
    let pending = integrations(&server, &held, HELD).await;
    assert!(server.end().await);

    let mut server = Server::start_in(folder, &[allow, grace("0")]).await;
    let is_erased = async |server: &Server, id: &str| {
        first_message(server, id).await["BodyErasedUtc"].is_string()
    };
    let mut left_after_a_kill = 0;
    for kills in 0..KILLS {
        let began = Instant::now();
        let erases = loop {
            if server.figure("bellhop_erased_bodies_total").await > 0 {
                break true;
            }
            if began.elapsed() > Duration::from_secs(3) {
                break false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        left_after_a_kill += usize::from(erases && kills > 0);
        server.kill_and_restart().await;
    }
    assert!(
        left_after_a_kill > 0,
        "it was too fast to be killed in the middle"
    );
    let began = Instant::now();
    for id in &ids {
        while !is_erased(&server, id).await {
            assert!(began.elapsed() < WITHIN, "{}", server.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    for id in &pending {
        assert!(!is_erased(&server, id).await, "it is still to be sent");
    }
    ask(&server, "resume").await;
    let began = Instant::now();
    while receiver.requests().len() < HELD {
        assert!(began.elapsed() < WITHIN, "{}", server.log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for request in receiver.requests() {
        let request = String::from_utf8_lossy(&request).into_owned();
        assert!(request.contains("\"AccessToken\":\""), "{request}");
    }
}

/// What the command line does while no server runs is in the log once one does, and once only: also if it was killed
/// between the entry and the end of the file that it came from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_command_line_did_is_an_entry_once() {
    let server = Server::start(&[]).await;
    let (folder, data_dir) = (server.folder(), server.data_dir());
    let pending = || {
        let entries = fs::read_dir(&data_dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_pending =
            |path: &std::path::PathBuf| path.to_string_lossy().contains("audit-pending");
        entries.filter(is_pending).collect::<Vec<_>>()
    };
    assert!(server.end().await);
    let server = {
        let down = Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .args(["key", "rotate", "--prepare"])
            .env_clear()
            .env("BELLHOP_DATA_DIR", &data_dir)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(down.status.success(), "{down:?}");
        let [left] = &pending()[..] else {
            panic!("one file waits")
        };
        let kept = fs::read(left).unwrap();
        let server = Server::start_in(folder.clone(), &[]).await;
        let keys = status(&server)["Keys"].clone();
        let prepared = json!({ "How": "Prepared", "Keys": [keys[0]["Id"], keys[1]["Id"]] });
        noted(
            &server,
            "EncryptionKeyRotated",
            std::slice::from_ref(&prepared),
        )
        .await;
        until_none(&pending).await;
        // As if it had been killed before the file was removed.
        fs::write(left, kept).unwrap();
        until_none(&pending).await;
        noted(
            &server,
            "EncryptionKeyRotated",
            std::slice::from_ref(&prepared),
        )
        .await;
        key_ok(&server, &["rotate", "--activate"]);
        let activated = json!({ "How": "Activated", "Keys": [keys[1]["Id"], keys[0]["Id"]] });
        noted(&server, "EncryptionKeyRotated", &[prepared, activated]).await;
        server
    };
    let refused = key(&server, &["prune"]);
    // It may be through already; if it was refused, it has left nothing.
    let entries = usize::from(refused.status.success());
    until_none(&pending).await;
    let page = server.get("/v1/audit?Action=EncryptionKeysPruned").await;
    assert_eq!(page["Items"].as_array().unwrap().len(), entries, "{page}");
}

async fn until_none(pending: &impl Fn() -> Vec<std::path::PathBuf>) {
    let began = Instant::now();
    while !pending().is_empty() {
        assert!(began.elapsed() < WITHIN, "{:?}", pending());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
