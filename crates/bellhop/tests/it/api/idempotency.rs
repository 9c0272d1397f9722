//! `Idempotency-Key`: done once, answered twice with the same bytes.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    answer::Asking,
    app::{ENTERPRISE, TestApp, text},
};

fn post<'a>(app: &'a TestApp, path: &str, key: &str, body: &Value) -> Asking<'a> {
    app.operator(Method::POST, path)
        .header("idempotency-key", key)
        .json(body)
}

async fn create_body(app: &TestApp) -> Value {
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    json!({ "ApplicationId": application, "EnterpriseId": ENTERPRISE, "Name": "x" })
}

#[tokio::test]
async fn the_same_request_is_done_once_and_gets_the_same_bytes() {
    let app = TestApp::start();
    let body = create_body(&app).await;
    let application = text(&body["ApplicationId"]);
    let webhook = app.webhook(&application, json!({})).await;
    let integration = text(&app.integration(&application, "y").await["Id"]);
    let requests = [
        ("/v1/integrations".to_owned(), body),
        ("/v1/applications".to_owned(), json!({ "Name": "Other" })),
        (
            format!("/v1/applications/{application}/webhooks"),
            json!({ "Url": "https://h.example/" }),
        ),
        (format!("/v1/integrations/{integration}/disable"), json!({})),
        (
            format!("/v1/integrations/{integration}/regenerate-access-token"),
            json!({}),
        ),
        (
            format!("/v1/webhooks/{}/rotate-secret", text(&webhook["Id"])),
            json!({}),
        ),
        ("/v1/keys".to_owned(), json!({ "Scope": "operator" })),
    ];
    for (path, body) in requests {
        let first = post(&app, &path, &path, &body).send().await;
        assert!(first.status.is_success(), "{path}: {}", first.text());
        assert_eq!(first.header("idempotency-replayed"), "");
        let before = app.everything().await;
        app.clock.advance(Duration::from_secs(1));
        let again = post(&app, &path, &path, &body).send().await;
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
        assert_eq!(again.status, first.status, "{path}");
        assert_eq!(again.bytes, first.bytes, "{path}");
        for header in ["location", "etag", "content-type"] {
            assert_eq!(again.header(header), first.header(header), "{path}");
        }
        assert_eq!(app.everything().await, before, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let app = TestApp::start();
    let body = create_body(&app).await;
    post(&app, "/v1/integrations", "k", &body)
        .send()
        .await
        .expect(201);
    let before = app.everything().await;
    let mut other = body.clone();
    other["Name"] = "z".into();
    for (path, body) in [
        ("/v1/integrations", &other),
        ("/v1/applications", &json!({ "Name": "x" })),
    ] {
        let refused = post(&app, path, "k", body).send().await.expect(422);
        assert_eq!(refused["code"], "idempotency_key_reused");
    }
    assert_eq!(app.everything().await, before);
    app.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_caller() {
    let app = TestApp::start();
    let other = app.key(&json!({ "Scope": "operator" })).await;
    let body = json!({ "Name": "x" });
    let first = post(&app, "/v1/applications", "k", &body)
        .send()
        .await
        .expect(201);
    let second = app
        .ask(Method::POST, "/v1/applications")
        .key(&other)
        .header("idempotency-key", "k")
        .json(&body)
        .send()
        .await
        .expect(201);
    assert_ne!(first["Id"], second["Id"]);
    app.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_is_not_done_twice() {
    let app = TestApp::start();
    let body = json!({ "Name": "x" });
    let ask = || post(&app, "/v1/applications", "k", &body).send();
    let (first, second) = tokio::join!(ask(), ask());
    first.expect(201);
    assert_eq!(second.expect(409)["code"], "idempotency_in_flight");
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(ask().await.bytes, first.bytes);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_request_is_not_remembered_and_neither_is_an_old_one() {
    let app = TestApp::start();
    post(&app, "/v1/applications", "k", &json!({ "Name": "" }))
        .send()
        .await
        .expect(422);
    let body = json!({ "Name": "x" });
    let first = post(&app, "/v1/applications", "k", &body)
        .send()
        .await
        .expect(201);
    app.clock.advance(Duration::from_hours(25));
    let later = post(&app, "/v1/applications", "k", &body)
        .send()
        .await
        .expect(201);
    assert_ne!(first["Id"], later["Id"]);
    app.stop().await;
}

#[tokio::test]
async fn a_key_has_a_form() {
    let app = TestApp::start();
    let body = json!({ "Name": "x" });
    for key in ["", "a b", &"x".repeat(256)] {
        let refused = post(&app, "/v1/applications", key, &body)
            .send()
            .await
            .expect(400);
        assert_eq!(refused["code"], "bad_header");
    }
    let longest = "x".repeat(255);
    post(&app, "/v1/applications", &longest, &body)
        .send()
        .await
        .expect(201);
    app.stop().await;
}
