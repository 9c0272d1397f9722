//! What machines ask without a key.

use std::time::Duration;

use bellhop::domain::cause::Cause;
use http::Method;

use crate::support::app::TestApp;

#[tokio::test]
async fn a_server_that_goes_away_is_not_ready() {
    let app = TestApp::start();
    let ask = |path| app.ask(Method::GET, path).send();
    ask("/livez").await.expect(200);
    assert_eq!(ask("/readyz").await.expect(200)["Status"], "Ready");
    app.api.drain();
    ask("/livez").await.expect(200);
    let away = ask("/readyz").await;
    assert_eq!(away.expect(503)["code"], "unavailable");
    assert!(!away.header("retry-after").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn without_its_store_a_server_is_not_ready_and_promises_nothing() {
    let app = TestApp::start();
    app.store.close().await.unwrap();
    app.ask(Method::GET, "/livez").send().await.expect(200);
    let refused = app
        .post("/v1/applications", &serde_json::json!({ "Name": "x" }))
        .await;
    assert_eq!(refused.expect(503)["code"], "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn figures_are_there_from_the_start_and_name_no_webhook() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = app.webhook(&application, serde_json::json!({})).await;
    app.integration(&application, "x").await;
    app.clock.advance(Duration::from_secs(7));
    app.ask(Method::GET, "/nonsense/path")
        .send()
        .await
        .expect(404);
    let figures = app.ask(Method::GET, "/metrics").send().await;
    assert!(
        figures
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = figures.text();
    for line in [
        "bellhop_attempts_total{result=\"succeeded\",cause=\"none\"} 0",
        "bellhop_attempts_total{result=\"failed\",cause=\"tls_certificate_expired\"} 0",
        "bellhop_deliveries{state=\"Pending\"} 1",
        "bellhop_deliveries{state=\"Failed\"} 0",
        "bellhop_oldest_due_delivery_age_seconds 7.0",
        "bellhop_lanes_held 0",
        "bellhop_operational_messages_pending 0",
        "bellhop_http_requests_total{route=\"/v1/integrations\",method=\"POST\",status=\"201\"} 1",
        "bellhop_http_requests_total{route=\"none\",method=\"any\",status=\"404\"} 1",
        "bellhop_build_info{version=\"0.1.0\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|each| each == line), "{line}\n{text}");
    }
    for name in [
        "bellhop_attempt_duration_seconds_bucket",
        "bellhop_commit_to_first_attempt_seconds_bucket",
        "bellhop_http_request_duration_seconds_bucket",
        "bellhop_store_batch_size_bucket",
        "bellhop_store_commit_seconds_bucket",
        "bellhop_store_database_bytes ",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    let failed = text
        .lines()
        .filter(|line| line.starts_with("bellhop_attempts_total{result=\"failed\""));
    assert_eq!(failed.count(), Cause::ALL.len());
    assert!(!text.contains(webhook["Id"].as_str().unwrap()));
    assert!(!text.contains("nonsense"));
    app.stop().await;
}
