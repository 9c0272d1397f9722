//! The real server before, the real command, and the real server after.

use std::{
    collections::HashMap,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop::store::Store as _;
use http::Method;
use serde_json::{Value, json};

use crate::{
    store::postgres::{TestDatabase, cluster, execute, open},
    support::{receiver::Receiver, server::Server},
};

/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(40);

const SETTINGS: [(&str, &str); 1] = [("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")];

async fn pending(server: &Server) -> usize {
    let listed = server.get("/v1/deliveries?State=Pending&Limit=1000").await;
    listed["Items"].as_array().unwrap().len()
}

/// Looks again and again until nothing is pending.
async fn drained(server: &Server) {
    let began = Instant::now();
    while pending(server).await > 0 {
        assert!(began.elapsed() < WITHIN, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sequences by lane, as they arrived.
fn lanes(receiver: &Receiver) -> HashMap<String, Vec<u64>> {
    let mut lanes: HashMap<String, Vec<u64>> = HashMap::new();
    for received in receiver.received() {
        let id = received.header("webhook-id").to_owned();
        let (lane, _) = id.rsplit_once('_').unwrap();
        lanes
            .entry(lane.to_owned())
            .or_default()
            .push(received.sequence());
    }
    lanes
}

/// A webhook that has had some of its deliveries, and is paused with sixteen more; and five integrations.
async fn live(server: &Server, receiver: &Receiver) -> (String, String, Vec<Value>) {
    let application = server.application("Booking engine").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let url = json!({"Url": receiver.url("/hooks")});
    let webhook = server.make(&path, &url).await;
    let webhook = id(&webhook).to_owned();
    let mut integrations = Vec::new();
    for number in 0..5 {
        let name = format!("Desk {number}");
        integrations.push(server.integration(&application, &name).await);
    }
    drained(server).await;
    post(server, &format!("/v1/webhooks/{webhook}/pause")).await;
    for integration in &integrations {
        for command in ["disable", "enable", "cancel"] {
            let path = format!("/v1/integrations/{}/{command}", id(integration));
            post(server, &path).await;
        }
    }
    let path = format!("/v1/integrations/{}/reinstate", id(&integrations[0]));
    post(server, &path).await;
    assert_eq!(pending(server).await, 16);
    (application, webhook, integrations)
}

/// Not while the server runs; then wholly; and what was moved is not served any more.
async fn moves(server: Server, folder: &tempfile::TempDir, database: &TestDatabase) {
    let (code, said) = copy(folder, database);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("another process has this data directory open"),
        "{said}"
    );
    assert!(server.end().await);
    let (code, said) = copy(folder, database);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("each was read back and is the same"),
        "{said}"
    );

    let (code, said) = serve(folder);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("was moved to") && said.contains("bellhop store reopen"),
        "{said}"
    );
}

/// Every lane in order, and nothing twice.
fn arrived(receiver: &Receiver, reinstated: &str) {
    let lanes = lanes(receiver);
    assert_eq!(lanes.len(), 6);
    let reinstated = reinstated.replace('-', "");
    for (lane, sequences) in lanes {
        let expected: &[u64] = match sequences.len() {
            1 => &[1],
            5 if lane.contains(&reinstated) => &[1, 2, 3, 4, 5],
            _ => &[1, 2, 3, 4],
        };
        assert_eq!(sequences, expected, "{lane}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_goes_on_in_order_and_once() {
    if cluster().is_none() {
        return;
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::start_in(folder.clone(), &SETTINGS).await;
    let receiver = Receiver::start().await;
    let (application, webhook, integrations) = live(&server, &receiver).await;
    let key = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let new = json!({"ApplicationId": application, "EnterpriseId": "8865aa96-f62d-4f9b-a912-ab2100f60f42", "Name": "Once"});
    let (status, first) = server.ask_once(key, "/v1/integrations", &new).await;
    assert_eq!(status, 201);
    let token = integrations[0]["AccessToken"].as_str().unwrap();
    let canceled = integrations[1]["AccessToken"].as_str().unwrap();
    let before = everything(&server).await;
    let database = TestDatabase::new().await;

    moves(server, &folder, &database).await;
    let url = database.url();
    let settings = [SETTINGS[0], ("BELLHOP_DATABASE_URL", &*url)];
    let moved = Server::start_in(folder.clone(), &settings).await;
    assert_eq!(everything(&moved).await, before);
    assert!(moved.is_active(token).await && !moved.is_active(canceled).await);
    let (status, again) = moved.ask_once(key, "/v1/integrations", &new).await;
    assert_eq!((status, again), (201, first));
    assert_eq!(
        receiver.received().len(),
        5,
        "the webhook is paused there too"
    );
    post(&moved, &format!("/v1/webhooks/{webhook}/resume")).await;
    drained(&moved).await;
    arrived(&receiver, id(&integrations[0]));
    assert!(moved.end().await);
}

fn id(integration: &Value) -> &str {
    integration["Id"].as_str().unwrap()
}

async fn post(server: &Server, path: &str) {
    let (status, answer) = server.ask(Method::POST, path, Some(&json!({}))).await;
    assert_eq!(status, 200, "{path}: {answer}");
}

/// All that the API lists.
async fn everything(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for list in [
        "enterprises",
        "applications",
        "webhooks",
        "integrations",
        "deliveries",
        "keys",
    ] {
        all.push(server.get(&format!("/v1/{list}?Limit=1000")).await);
    }
    all
}

fn bellhop(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellhop"));
    command.env_clear().current_dir(folder.path());
    command
}

/// The command; answers with its code, and with all that it said.
fn copy(folder: &tempfile::TempDir, to: &TestDatabase) -> (Option<i32>, String) {
    said(bellhop(folder).args(["store", "copy", "--from", "sqlite:data", "--to", &to.url()]))
}

fn serve(folder: &tempfile::TempDir) -> (Option<i32>, String) {
    said(bellhop(folder).args(["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]))
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// What a script and a person learn when it fails.
#[tokio::test]
async fn each_failure_has_its_code_and_the_next_step() {
    let Some((folder, path, database)) = super::filled().await else {
        return;
    };
    let key = "07".repeat(32);
    let run = |key, to: &str| run(&folder, &path, key, to, &[]);
    let url = database.url();
    let away = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable";
    let full = TestDatabase::new().await;
    open(&full.url(), 1).await.close().await.unwrap();
    execute(
        &full.url(),
        "INSERT INTO enterprises VALUES (gen_random_uuid(), 'x', 1)",
    )
    .await;
    let broken = TestDatabase::new().await;
    open(&broken.url(), 1).await.close().await.unwrap();
    let plant = "CREATE FUNCTION plant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        NEW.name = 'x'; RETURN NEW; END $$; \
        CREATE TRIGGER plant BEFORE INSERT ON enterprises FOR EACH ROW EXECUTE FUNCTION plant()";
    execute(&broken.url(), plant).await;
    for (key, to, code, cause, step) in [
        (
            None,
            &*url,
            2,
            "encryption-key is missing",
            "BELLHOP_ENCRYPTION_KEY",
        ),
        (
            Some(&*"08".repeat(32)),
            &url,
            4,
            "a key that is not configured",
            "encryption key",
        ),
        (Some(&key), away, 6, "cannot be reached", "psql"),
        (
            Some(&key),
            &full.url(),
            5,
            "there are rows in enterprises",
            "createdb",
        ),
        (
            Some(&key),
            &broken.url(),
            7,
            "another name",
            "served as before",
        ),
    ] {
        let (found, said) = run(key, to);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(cause) && said.contains(step), "{said}");
    }
}

#[tokio::test]
async fn a_script_gets_a_document_and_nobody_a_secret() {
    let Some((folder, path, database)) = super::filled().await else {
        return;
    };
    let key = "07".repeat(32);
    let url = database.url();
    let with_password = url.replace("postgres@", "postgres:hush@");
    let json = ["-o", "json"];
    let (code, said) = run(&folder, &path, Some(&key), &with_password, &json);
    assert_eq!(code, Some(0), "{said}");
    let document: Value = serde_json::from_str(&said[..=said.rfind("}\n").unwrap()]).unwrap();
    assert_eq!(document["Tables"][0]["Table"], "enterprises");
    assert_eq!(document["Tables"][0]["Rows"], 1);
    assert!(said.contains("can read the password in --to"), "{said}");
    assert!(!said.contains("hush") && !said.contains('\x1b'), "{said}");
    let (code, said) = run(&folder, &path, Some(&key), &url, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("already, whole"), "{said}");
}

/// The command on a filled database, with this key; answers with its code, and with all that it said.
fn run(
    folder: &tempfile::TempDir,
    path: &Path,
    key: Option<&str>,
    to: &str,
    more: &[&str],
) -> (Option<i32>, String) {
    let mut command = bellhop(folder);
    if let Some(key) = key {
        command.env("BELLHOP_ENCRYPTION_KEY", key);
    }
    let from = format!("sqlite:{}", path.display());
    command.args(["store", "copy", "--from", &from, "--to", to]);
    said(command.args(more))
}
