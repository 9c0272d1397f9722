//! How long each page takes when there are very many deliveries.
//!
//! The first ones come by the API, and attempts are made; the many are copies of them with ids of their own, so that a
//! database of a million is made in seconds. `cargo nextest run --release -p bellhop --run-ignored only -E
//! 'test(a_million)' --no-capture` prints a table.

use std::time::{Duration, Instant};

use bellhop::clock::Clock as _;
use serde_json::json;

use super::{Browser, Desk};
use crate::support::{
    app::{ENTERPRISE, text},
    place::is_postgres,
    receiver::Scripted,
    sending::Sending,
};

/// What a page may take, with a release build.
const MOST: Duration = Duration::from_millis(50);
/// How often each is asked for.
const TIMES: usize = 9;
/// Integrations that the copies are shared out to.
const INTEGRATIONS: usize = 200;

/// What the pages are about.
struct Ids {
    application: String,
    webhook: String,
    integration: String,
    delivery: String,
    failed: String,
}

/// Fills the store: so many deliveries, of which one in a hundred failed and the newest few wait.
async fn fill(sending: &mut Sending, many: usize) -> Ids {
    let app = &sending.app;
    let url = sending.receiver.url("/hook");
    let settings = json!({ "Url": url, "RetrySchedule": [0, 3600], "Description": "Production" });
    let webhook = text(&app.webhook(&sending.application, settings.clone()).await["Id"]);
    for name in ["Staging", "Radar"] {
        let mut settings = settings.clone();
        settings["Description"] = name.into();
        app.webhook(&sending.application, settings).await;
    }
    for number in 0..2_000 {
        let name = format!("Hotel {number} of the chain");
        let path = format!("/v1/enterprises/{}", uuid::Uuid::from_u128(number + 1));
        let put = app.operator(http::Method::PUT, &path);
        put.json(&json!({ "Name": name })).send().await.expect(201);
        app.application(&format!("Product {number}")).await;
    }
    let mut integration = String::new();
    for number in 0..INTEGRATIONS {
        integration = sending.integration(&format!("Wing {number}")).await;
    }
    sending.drain().await;
    copy(sending, many);
    // What is live: some delivered, some that failed, some that wait.
    sending.app.clock.advance(Duration::from_hours(1));
    sending
        .receiver
        .answers((0..60).map(|_| Scripted::from(500)));
    for _ in 0..10 {
        sending.command(&integration, "disable").await;
        sending.command(&integration, "enable").await;
    }
    sending.drain().await;
    let first = async |query: &str| {
        let list = format!("/v1/deliveries?{query}&Limit=1");
        text(&sending.app.get(&list).await.expect(200)["Items"][0]["Id"])
    };
    Ids {
        application: sending.application.clone(),
        delivery: first(&format!("WebhookId={webhook}")).await,
        failed: first("State=Failed").await,
        webhook,
        integration,
    }
}

/// Deliveries of the copies: each hundredth has failed.
const DELIVERIES: &str = "
         INSERT INTO deliveries (id, webhook_id, application_id, integration_id, sequence, previous, action, profile, state, cause,
             attempt_count, tries, created_ms, ended_ms)
           SELECT id, webhook_id, application_id, integration_id, sequence, sequence - 1,
             CASE n % 5 WHEN 0 THEN 'IntegrationDisabled' WHEN 1 THEN 'IntegrationEnabled' WHEN 2 THEN 'IntegrationCanceled' ELSE 'IntegrationReinstated' END,
             'default', CASE WHEN n % 100 = 7 THEN 'Failed' ELSE 'Delivered' END, CASE WHEN n % 100 = 7 THEN 'server_error' END,
             1, 1, at, at + 400 FROM copies;";
/// Integrations go on after their copies.
const SEQUENCES: &str = "
         UPDATE integrations SET sequence = 1 + (SELECT MAX(sequence) FROM deliveries d WHERE d.integration_id = integrations.id);";

/// Copies what there is until there are so many, spread over the month before.
fn copy(sending: &Sending, many: usize) {
    let sql = if is_postgres() {
        copy_on_postgres(many)
    } else {
        copy_on_sqlite(many)
    };
    sending.app.place.tamper(&sql);
}

fn copy_on_sqlite(many: usize) -> String {
    format!(
        "PRAGMA synchronous = OFF;
         CREATE TEMP TABLE lanes AS SELECT row_number() OVER () - 1 AS lane, * FROM
           (SELECT DISTINCT webhook_id, application_id, integration_id FROM deliveries);
         CREATE TEMP TABLE bounds AS SELECT (SELECT MIN(created_ms) FROM deliveries) AS at, (SELECT COUNT(*) FROM lanes) AS many;
         CREATE TEMP TABLE copies AS WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < {many})
           SELECT n, unhex(printf('%012x7%03x%s%s', b.at - 60000 - ({many} - n) * (2592000000 / {many}), n % 4096, '8000', printf('%012x', n))) AS id,
             b.at - 60000 - ({many} - n) * (2592000000 / {many}) AS at, l.*, n / b.many + 2 AS sequence
           FROM n, bounds b JOIN lanes l ON l.lane = n % b.many;
         {DELIVERIES}
         INSERT INTO attempts (delivery_id, number, started_ms, duration_us, cause, signature, traceparent, status, is_truncated, wait_us)
           SELECT id, 1, at + 5, 20000 + (n * 7919) % 90000, CASE WHEN n % 100 = 7 THEN 'server_error' END, 'v1,x', '', CASE WHEN n % 100 = 7 THEN 500 ELSE 204 END, 0, 19000
           FROM copies;
         {SEQUENCES}
         UPDATE delivery_counts SET n = (SELECT COUNT(*) FROM deliveries d WHERE d.state = delivery_counts.state);
         INSERT OR IGNORE INTO messages (integration_id, sequence, action, created_ms, is_sealed, body)
           SELECT integration_id, sequence, action, created_ms, 0, x'7b7d' FROM deliveries;"
    )
}

/// With statistics, as there are in time. Autovacuum may have come in the middle, when none of it was committed.
fn copy_on_postgres(many: usize) -> String {
    format!(
        "CREATE TEMP TABLE lanes AS SELECT row_number() OVER () - 1 AS lane, l.* FROM
           (SELECT DISTINCT webhook_id, application_id, integration_id FROM deliveries) l;
         CREATE TEMP TABLE bounds AS SELECT (SELECT MIN(created_ms) FROM deliveries) AS at, (SELECT COUNT(*) FROM lanes) AS many;
         CREATE TEMP TABLE copies AS
           SELECT n, (lpad(to_hex(b.at - 60000 - ({many} - n) * (2592000000 / {many})), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')
               || '8000' || lpad(to_hex(n), 12, '0'))::uuid AS id,
             b.at - 60000 - ({many} - n) * (2592000000 / {many}) AS at, l.*, n / b.many + 2 AS sequence
           FROM generate_series(0, {many}::bigint - 1) AS n, bounds b, lanes l WHERE l.lane = n % b.many;
         {DELIVERIES}
         INSERT INTO attempts (delivery_id, application_id, number, started_ms, duration_us, cause, signature, traceparent, status, is_truncated, wait_us)
           SELECT id, application_id, 1, at + 5, 20000 + (n * 7919) % 90000, CASE WHEN n % 100 = 7 THEN 'server_error' END, 'v1,x', '',
             CASE WHEN n % 100 = 7 THEN 500 ELSE 204 END, false, 19000 FROM copies;
         {SEQUENCES}
         DELETE FROM delivery_counts;
         INSERT INTO delivery_counts (shard, state, n) SELECT 0, state, COUNT(*) FROM deliveries GROUP BY state;
         INSERT INTO messages (integration_id, sequence, application_id, action, created_ms, is_sealed, body)
           SELECT integration_id, sequence, application_id, action, created_ms, false, '\\x7b7d' FROM deliveries ON CONFLICT DO NOTHING;
         ANALYZE deliveries, attempts, messages, integrations;"
    )
}

/// Each page: its name, and its path; what is in braces is put in.
#[rustfmt::skip]
const PAGES: &[(&str, &str)] = &[
    ("overview", ""),
    ("deliveries", "/deliveries"),
    ("deliveries, failed", "/deliveries?State=Failed"),
    ("deliveries, pending", "/deliveries?State=Pending"),
    ("deliveries, delivered", "/deliveries?State=Delivered"),
    ("deliveries, a cause that none has", "/deliveries?Cause=gone"),
    ("deliveries, failed for a cause that none has", "/deliveries?State=Failed&Cause=gone"),
    ("deliveries, an action", "/deliveries?Action=IntegrationDisabled"),
    ("deliveries, an action that none has", "/deliveries?Action=IntegrationApiKeyCreated"),
    ("deliveries, a webhook", "/deliveries?WebhookId={webhook}"),
    ("deliveries, a webhook's pending", "/deliveries?WebhookId={webhook}&State=Pending"),
    ("deliveries, a webhook's failed", "/deliveries?WebhookId={webhook}&State=Failed"),
    ("deliveries, an application", "/deliveries?ApplicationId={application}"),
    ("deliveries, an integration", "/deliveries?IntegrationId={integration}"),
    ("deliveries, an integration's failed", "/deliveries?IntegrationId={integration}&State=Failed"),
    ("deliveries, an enterprise of all", "/deliveries?EnterpriseId={enterprise}"),
    ("deliveries, an enterprise without any", "/deliveries?EnterpriseId=00000000-0000-0000-0000-000000000005"),
    ("deliveries, an hour", "/deliveries?FromUtc=2019-12-01T00:00:00Z&ToUtc=2019-12-01T01:00:00Z"),
    ("deliveries, an old hour's failed", "/deliveries?State=Failed&FromUtc=2019-11-20T00:00:00Z&ToUtc=2019-11-20T01:00:00Z"),
    ("deliveries, before all", "/deliveries?ToUtc=2001-01-01T00:00:00Z"),
    ("a delivery", "/deliveries/{delivery}"),
    ("a failed delivery", "/deliveries/{failed}"),
    ("integrations", "/integrations"),
    ("integrations, none", "/integrations?State=Canceled"),
    ("an integration", "/integrations/{integration}"),
    ("webhooks", "/webhooks"),
    ("a webhook", "/webhooks/{webhook}"),
    ("a webhook over a week", "/webhooks/{webhook}?Window=7d"),
    ("applications", "/applications"),
    ("an application", "/applications/{application}"),
    ("enterprises", "/enterprises"),
    ("an enterprise", "/enterprises/{enterprise}"),
    ("search, a name", "/search?Text=hotel%201999"),
    ("search, an id", "/search?Text={delivery}"),
    ("audit", "/audit"),
    ("audit, one action", "/audit?Action=ApplicationCreated"),
    ("replays", "/replays"),
    ("keys", "/keys"),
    ("catalogue", "/catalogue/IntegrationCreated"),
];

fn pages(ids: &Ids) -> Vec<(&'static str, String)> {
    let path = |path: &str| {
        let path = path
            .replace("{application}", &ids.application)
            .replace("{webhook}", &ids.webhook)
            .replace("{integration}", &ids.integration)
            .replace("{enterprise}", ENTERPRISE)
            .replace("{delivery}", &ids.delivery)
            .replace("{failed}", &ids.failed);
        format!("/dashboard{path}")
    };
    let pages = PAGES.iter();
    pages.map(|(name, text)| (*name, path(text))).collect()
}

/// The median time of a page.
async fn time(browser: &Browser<'_>, path: &str) -> Duration {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let began = Instant::now();
        browser.page(path).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[TIMES / 2]
}

async fn all(many: usize) -> Vec<(&'static str, Duration)> {
    let mut sending = Sending::start().await;
    let ids = fill(&mut sending, many).await;
    let now = sending.app.clock.now();
    let stats = sending.app.store.stats(now).await.unwrap();
    assert!(stats.deliveries.iter().sum::<u64>() >= many as u64);
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let mut told = Vec::new();
    for (name, path) in pages(&ids) {
        told.push((name, time(&browser, &path).await));
    }
    sending.app.stop().await;
    told
}

#[tokio::test]
async fn every_page_is_there_when_there_are_many() {
    let told = all(30_000).await;
    assert!(told.len() > 30);
}

#[tokio::test]
#[ignore = "takes a minute and a release build: it is for measuring"]
async fn a_million_deliveries() {
    let told = all(1_000_000).await;
    for (name, took) in &told {
        println!("| {name} | {:.1} ms |", took.as_secs_f64() * 1e3);
    }
    let slow: Vec<_> = told.iter().filter(|(_, took)| *took > MOST).collect();
    assert!(cfg!(debug_assertions) || slow.is_empty(), "{slow:?}");
}
