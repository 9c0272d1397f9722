//! The audit log of a real server: killed in the middle, exported, and verified by a program that was written from
//! docs/audit.md alone.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;

use crate::{
    store::postgres::{TestDatabase, cluster},
    support::{place::is_postgres, server::Server},
};

/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(40);

/// The independent judge: Python, standard library alone.
const JUDGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit_judge.py");

fn judged(export: &[u8]) -> Output {
    let mut python = Command::new("python3")
        .arg(JUDGE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(export).unwrap();
    python.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(export: &[u8]) -> Vec<Value> {
    text(export)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Commands at once, and SIGKILL among them; what was not answered may have happened or not.
/// A start is written down soon after it: a server that is killed before that has left nothing to tell of.
async fn has_begun(server: &Server, times: usize) {
    let began = Instant::now();
    loop {
        let listed = server.get("/v1/audit?Action=ServerStarted").await;
        let starts = listed["Items"].as_array().unwrap().len();
        if starts == times {
            return;
        }
        assert!(starts < times && began.elapsed() < WITHIN, "{listed}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_killed_at_work(server: &mut Server, integrations: &[String]) {
    let mut asking = tokio::task::JoinSet::new();
    for (number, id) in integrations.iter().cycle().take(60).enumerate() {
        let command = if number % 2 == 0 { "disable" } else { "enable" };
        let path = format!("/v1/integrations/{id}/{command}");
        let ask = server.asking(Method::POST, &path);
        asking.spawn(ask);
    }
    for _ in 0..10 {
        asking.join_next().await;
    }
    server.kill_and_restart().await;
    asking.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_an_entry_for_each_change_and_others_verify_them() {
    if !is_postgres() {
        is_whole_after_kills(Server::start(&[]).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_an_entry_for_each_change_on_postgresql() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let url = database.url();
    is_whole_after_kills(Server::start(&[("BELLHOP_DATABASE_URL", &url)]).await).await;
}

/// Waits until all entries are linked: where replicas share a database, that is done soon after.
async fn verified(server: &Server, head: &str) -> Value {
    let began = Instant::now();
    loop {
        let verified = server.command(&["audit", "verify", "--head", head, "-o", "json"]);
        let said = text(&verified.stderr);
        assert_eq!(verified.status.code(), Some(0), "{said}");
        let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
        if verified["Unlinked"] == 0 {
            return verified;
        }
        assert!(began.elapsed() < WITHIN, "{verified}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_whole_after_kills(mut server: Server) {
    let application = server.application("Schlüssel & Söhne 🔑 \"\\").await;
    let mut integrations = Vec::new();
    for _ in 0..6 {
        let made = server.integration(&application, "Front desk").await;
        integrations.push(made["Id"].as_str().unwrap().to_owned());
    }
    for times in 1..=4 {
        has_begun(&server, times).await;
        is_killed_at_work(&mut server, &integrations).await;
    }
    has_begun(&server, 5).await;
    let mut messages = 0;
    for id in &integrations {
        let page = server
            .get(&format!("/v1/integrations/{id}/messages?Limit=1000"))
            .await;
        messages += page["Items"].as_array().unwrap().len();
    }
    // Beside the running server.
    let head = server.command(&["audit", "head"]);
    let head = text(&head.stdout);
    let head = head.trim().split(' ').nth(1).unwrap();
    let verified = verified(&server, head).await;
    let export = server.command(&["audit", "export"]);
    assert_eq!(export.status.code(), Some(0), "{}", text(&export.stderr));
    let entries = lines(&export.stdout);
    assert_eq!(entries.len() as u64, verified["Entries"].as_u64().unwrap());
    let of_integrations = entries
        .iter()
        .filter(|entry| entry["Subject"] == "Integration");
    assert_eq!(
        of_integrations.clone().count(),
        messages,
        "an entry for each message"
    );
    assert!(
        of_integrations
            .clone()
            .all(|entry| entry["FromAddress"] == "127.0.0.1")
    );
    let started = entries
        .iter()
        .filter(|entry| entry["Action"] == "ServerStarted");
    assert_eq!(started.count(), 5);
    assert!(server.log().contains("this is where the audit log stands"));

    let judgement = judged(&export.stdout);
    assert!(judgement.status.success(), "{}", text(&judgement.stderr));
    let newest = entries.last().unwrap()["Hash"].as_str().unwrap();
    assert_eq!(
        text(&judgement.stdout).trim(),
        format!("{} {newest}", entries.len())
    );
    the_judge_finds_what_was_touched(&entries);
    of_a_file(&server, &export.stdout, head);
}

/// A judge that finds nothing would be none.
fn the_judge_finds_what_was_touched(entries: &[Value]) {
    let refuses = |touched: &[Value], what: &str| {
        let lines: Vec<_> = touched.iter().map(Value::to_string).collect();
        let export = lines.join("\n");
        assert!(!judged(export.as_bytes()).status.success(), "{what}");
    };
    for member in [
        "AtUtc",
        "Action",
        "FromAddress",
        "Details",
        "Previous",
        "Hash",
        "Id",
    ] {
        let mut touched = entries.to_vec();
        touched[5][member] = match member {
            "AtUtc" => "2026-01-01T00:00:00.001Z".into(),
            "Id" => "00000000-0000-0000-0000-000000000000".into(),
            _ => Value::Null,
        };
        refuses(&touched, member);
    }
    let mut swapped = entries.to_vec();
    swapped.swap(5, 6);
    refuses(&swapped, "two for each other");
    let mut missing = entries.to_vec();
    missing.remove(5);
    refuses(&missing, "one less");
}

/// `verify --file`: the export alone.
fn of_a_file(server: &Server, export: &[u8], head: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let verify = |path: &PathBuf| {
        let path = path.to_str().unwrap();
        server.command(&["audit", "verify", "--file", path, "--head", head])
    };
    let whole = verify(&file("whole.jsonl", export));
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    let lines: Vec<_> = text(export).lines().map(str::to_owned).collect();
    let joined = |lines: &[String]| lines.join("\n") + "\n";
    let gap = [&lines[..3], &lines[5..]].concat();
    let gap = verify(&file("gap.jsonl", joined(&gap).as_bytes()));
    assert_eq!(gap.status.code(), Some(0));
    assert!(
        text(&gap.stderr).contains("missing in 1 places"),
        "{}",
        text(&gap.stderr)
    );
    let mut touched = lines.clone();
    // What the server does by itself has no address, and on PostgreSQL such an entry may come anywhere.
    let at = lines.iter().position(|line| line.contains("127.0.0.1"));
    let at = at.unwrap();
    touched[at] = touched[at].replace("127.0.0.1", "127.0.0.2");
    let touched = verify(&file("touched.jsonl", joined(&touched).as_bytes()));
    assert_eq!(touched.status.code(), Some(7));
    assert!(
        text(&touched.stderr).contains(&format!("touched.jsonl, line {}: ", at + 1)),
        "{}",
        text(&touched.stderr)
    );
    let cut = verify(&file(
        "cut.jsonl",
        joined(&lines[..lines.len() - 1]).as_bytes(),
    ));
    assert_eq!(cut.status.code(), Some(7));
    assert!(text(&cut.stderr).contains("the log was cut or rewritten"));
}

#[tokio::test]
async fn a_database_that_was_touched_ends_with_7_and_says_where() {
    if is_postgres() {
        return;
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::start_in(folder.clone(), &[]).await;
    server.application("One").await;
    server.application("Two").await;
    let path = folder.path().join("data/bellhop.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let touch = "DROP TRIGGER audit_entries_stay; \
        UPDATE audit_entries SET details = '{}' WHERE details LIKE '%One%'";
    let place = "SELECT count(*) FROM audit_entries WHERE id <= \
        (SELECT id FROM audit_entries WHERE details LIKE '%One%')";
    let place: u64 = database.query_row(place, [], |row| row.get(0)).unwrap();
    database.execute_batch(touch).unwrap();
    let broken = format!("error: the audit log was changed between position {place} and {place}: ");
    let hint = format!(
        "hint: positions up to {} are as they were written",
        place - 1
    );
    for arguments in [&["audit", "verify"][..], &["audit", "export"]] {
        let done = server.command(arguments);
        assert_eq!(done.status.code(), Some(7));
        let said = text(&done.stderr);
        assert!(said.contains(&broken), "{said}");
        assert!(said.contains(&hint), "{said}");
    }
    let range = server.command(&["audit", "export", "--to", "2020-01-01T00:00:00Z"]);
    assert_eq!(text(&range.stdout), "");
}
