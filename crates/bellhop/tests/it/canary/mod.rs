//! A thousand secrets go through every path, and are looked for wherever they do not belong: files, log, metrics, traces,
//! lists, errors, pages, a backup. `cargo xtask faults --planted` puts leaks in, one after the other, and this must see each.
//!
//! A canary is a secret of which nobody else has the like: an access token, a secret or a header of a webhook, the
//! query of its URL, what it proves itself with to its receiver, an API key, a link that signs in, the cookie of a session.
//! It belongs in the one answer that shows it and in the request that carries it.

mod canaries;
mod credentials;
mod echo;
mod mistakes;
mod platform;
mod visits;

use std::{collections::BTreeSet, sync::Arc};

use canaries::{Canaries, Seen};
use credentials::Certified;
use echo::Echo;
use platform::Platform;
use tempfile::TempDir;

use crate::{
    store::postgres::{TestDatabase, cluster},
    support::{collector::Collector, server::Server},
};

/// So many at least.
const AT_LEAST: usize = 1_000;
/// One leak may be found in every row: the first tell where it is.
const SHOWN: usize = 40;
const ENCRYPTION_KEY: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_where_it_does_not_belong() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (mut canaries, mut seen) = (Canaries::default(), Seen::default());
    let echo = Echo::start().await;
    let certified = Certified::start().await;
    let collector = Collector::start().await;
    let operator = operator_settings(&folder, &echo, &certified, &collector, &mut canaries);
    let server = Server::start_in(folder.clone(), &settings(&operator, None)).await;
    let platform = Platform::live(server, echo, &certified, &mut canaries, &mut seen).await;
    seen.put("files while it runs", platform.server.left_behind());
    let backup = folder.path().join("backup.db");
    back_up(&folder.path().join("data/bellhop.db"), &backup);
    seen.put("backup", std::fs::read(&backup).unwrap());
    assert!(platform.end().await);
    put_traces(&collector, &mut seen);
    seen.put_files("files after its end", folder.path());
    judge(&canaries, &seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_where_it_does_not_belong_on_postgresql() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (mut canaries, mut seen) = (Canaries::default(), Seen::default());
    let echo = Echo::start().await;
    let certified = Certified::start().await;
    let collector = Collector::start().await;
    let operator = operator_settings(&folder, &echo, &certified, &collector, &mut canaries);
    let url = database.url();
    let server = Server::start_in(folder.clone(), &settings(&operator, Some(&url))).await;
    let platform = Platform::live(server, echo, &certified, &mut canaries, &mut seen).await;
    seen.put("rows", rows(&url).await);
    assert!(platform.end().await);
    put_traces(&collector, &mut seen);
    seen.put_files("files after its end", folder.path());
    judge(&canaries, &seen);
}

/// Each place is looked at, and each form is known: a place that nobody looks at has no canaries either.
#[test]
fn a_canary_is_found_in_every_form() {
    let mut canaries = Canaries::default();
    canaries.add("token", "9A7C3E51B0D24F68A1C5E7093B2D4F6");
    let secret = canaries.secrets().next().unwrap().to_owned();
    for leak in canaries::forms(&secret) {
        let mut seen = Seen::default();
        seen.put(
            "log",
            [b"before ".to_vec(), leak.clone(), b" after".to_vec()].concat(),
        );
        let found = seen.find(&canaries);
        assert_eq!(found.len(), 1, "{}", String::from_utf8_lossy(&leak));
    }
    let mut seen = Seen::default();
    seen.put("log", b"nothing here");
    assert!(seen.find(&canaries).is_empty());
}

/// The operator's own, and the authority of the receiver that asks for certificates.
fn operator_settings(
    folder: &TempDir,
    echo: &Echo,
    certified: &Certified,
    collector: &Collector,
    canaries: &mut Canaries,
) -> Vec<(&'static str, String)> {
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certified.pem()).unwrap();
    let mut settings = canaries.operator_settings(echo);
    settings.push((
        "BELLHOP_EGRESS_CA_FILE",
        authority.to_str().unwrap().to_owned(),
    ));
    let key = canaries.make("query of the collector's URL");
    let traces = format!("{}/v1/traces?{key}", collector.endpoint());
    settings.push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces));
    let header = format!("x-key={}", canaries.make("key for the collector"));
    settings.push(("OTEL_EXPORTER_OTLP_HEADERS", header));
    settings.push(("OTEL_BSP_MAX_QUEUE_SIZE", "100000".to_owned()));
    settings
}

/// Every byte that the collector was sent, but the two secrets that are for it.
fn put_traces(collector: &Collector, seen: &mut Seen) {
    for export in collector.exports() {
        let mut headers = export.headers.clone();
        assert!(headers.remove("x-key").is_some());
        let path = export.path.split('?').next().unwrap();
        seen.put("traces", format!("{path} {headers:?}"));
        seen.put("traces", &export.body);
    }
    let kinds = collector.spans().into_iter().map(|span| span.kind as i32);
    let kinds: BTreeSet<_> = kinds.collect();
    assert_eq!(kinds.len(), 2, "requests and attempts are traced");
}

fn settings<'a>(
    operator: &'a [(&'static str, String)],
    url: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8"),
        ("BELLHOP_ENCRYPTION_KEY", ENCRYPTION_KEY),
        // Everything that anybody could ask to be logged.
        ("BELLHOP_LOG", "trace"),
    ];
    settings.extend(operator.iter().map(|(name, value)| (*name, value.as_str())));
    settings.extend(url.map(|url| ("BELLHOP_DATABASE_URL", url)));
    settings
}

fn judge(canaries: &Canaries, seen: &Seen) {
    assert!(canaries.len() >= AT_LEAST, "{}", canaries.len());
    // What is to be looked at must be there: an empty log has no canaries.
    seen.assert_seen();
    let found = seen.find(canaries);
    let first = found.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    assert!(
        found.is_empty(),
        "{} found, among them\n{}",
        found.len(),
        first.join("\n")
    );
    println!("{} canaries; {seen}", canaries.len());
}

/// As an operator would while the server runs.
fn back_up(database: &std::path::Path, to: &std::path::Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection
        .execute("VACUUM INTO ?1", [to.to_str().unwrap()])
        .unwrap();
}

/// Every row of every table as text; bytes are in hex there.
async fn rows(url: &str) -> Vec<u8> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let mut all = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        let text = format!("SELECT t::text FROM \"{table}\" t");
        for row in client.query(&text, &[]).await.unwrap() {
            all.extend_from_slice(row.get::<_, &str>(0).as_bytes());
            all.push(b'\n');
        }
    }
    drop(client);
    connection.await.unwrap().unwrap();
    all
}
