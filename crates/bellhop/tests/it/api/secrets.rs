//! Secrets are shown once, to whom they belong, and nowhere else.

use std::fmt::Write as _;

use http::Method;
use serde_json::json;

use crate::support::app::{TestApp, text};

#[tokio::test]
async fn no_reading_answer_holds_a_secret() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = app
        .webhook(
            &application,
            json!({
                "Url": "https://hooks.example.com/in?canary-query",
                "Headers": { "X-Api-Key": "canary-header" },
                "Profile": "2025"
            }),
        )
        .await;
    let webhook_id = text(&webhook["Id"]);
    let first = app.integration(&application, "x").await;
    let id = text(&first["Id"]);
    let again = app
        .post(
            &format!("/v1/integrations/{id}/regenerate-access-token"),
            &json!({}),
        )
        .await
        .expect(200);
    let rotated = app
        .post(
            &format!("/v1/webhooks/{webhook_id}/rotate-secret"),
            &json!({}),
        )
        .await
        .expect(200);
    let key = app.key(&json!({ "Scope": "operator" })).await;
    let secrets = [
        text(&first["AccessToken"])[33..].to_owned(),
        text(&again["AccessToken"])[33..].to_owned(),
        text(&webhook["Secret"])[6..].to_owned(),
        text(&rotated["Secret"])[6..].to_owned(),
        key[4..].to_owned(),
        "canary-query".to_owned(),
        "canary-header".to_owned(),
    ];
    let shown = everything_shown(&app, &application, &webhook_id, &id).await;
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret}");
    }
    app.stop().await;
}

/// All that can be read, and the answers of commands that show the thing again.
async fn everything_shown(app: &TestApp, application: &str, webhook_id: &str, id: &str) -> String {
    let mut paths = vec![
        "/metrics".to_owned(),
        "/docs".to_owned(),
        format!("/v1/webhooks/{webhook_id}"),
        format!("/v1/applications/{application}/webhooks"),
        format!("/v1/integrations/{id}"),
    ];
    let deliveries = app.get("/v1/deliveries").await.expect(200);
    for delivery in deliveries["Items"].as_array().unwrap() {
        paths.push(format!("/v1/deliveries/{}", text(&delivery["Id"])));
    }
    let mut shown = app.everything().await.to_string();
    for path in paths {
        let answer = app.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        shown += &answer.text();
    }
    // Commands that show the thing again, and the state itself.
    for path in [
        format!("/v1/webhooks/{webhook_id}/pause"),
        format!("/v1/webhooks/{webhook_id}/resume"),
        format!("/v1/integrations/{id}/disable"),
    ] {
        shown += &app.post(&path, &json!({})).await.text();
    }
    shown += &app
        .operator(Method::PATCH, &format!("/v1/webhooks/{webhook_id}"))
        .send()
        .await
        .text();
    write!(shown, "{:?}", app.api).unwrap();
    shown
}
