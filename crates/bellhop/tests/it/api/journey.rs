//! One integration through its whole life, as the operator and the partner see it.

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

#[tokio::test]
async fn an_integration_lives_its_life() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = app.webhook(&application, json!({})).await;
    let created = app.integration(&application, "WebhookTEST").await;
    let id = text(&created["Id"]);
    assert_eq!(created["State"], "Enabled");
    assert_eq!(created["Sequence"], 1);
    assert_eq!(created["CreatedUtc"], "2019-12-13T14:42:52Z");
    assert_eq!(text(&created["AccessToken"]).len(), 64);

    for (command, state, sequence, changed) in [
        ("enable", "Enabled", 1, false),
        ("disable", "Disabled", 2, true),
        ("disable", "Disabled", 2, false),
        ("enable", "Enabled", 3, true),
        ("cancel", "Canceled", 4, true),
        ("reinstate", "Enabled", 5, true),
    ] {
        let path = format!("/v1/integrations/{id}/{command}");
        let after = app.operator(Method::POST, &path).send().await.expect(200);
        assert_eq!(after["State"], state, "{command}");
        assert_eq!(after["Sequence"], sequence, "{command}");
        assert_eq!(after["Changed"], changed, "{command}");
        assert!(after["AccessToken"].is_null(), "{command}");
    }
    let path = format!("/v1/integrations/{id}");
    for changed in [true, false] {
        let gone = app.operator(Method::DELETE, &path).send().await.expect(200);
        assert_eq!(gone["State"], "Deleted");
        assert_eq!(gone["Changed"], changed);
        assert_eq!(gone["DeletedUtc"], "2019-12-13T14:42:52Z");
    }

    let history = app.get(&format!("{path}/messages")).await.expect(200);
    let actions: Vec<_> = items(&history).iter().map(|m| text(&m["Action"])).collect();
    assert_eq!(
        actions,
        [
            "IntegrationCreated",
            "IntegrationDisabled",
            "IntegrationEnabled",
            "IntegrationCanceled",
            "IntegrationReinstated",
            "IntegrationDeleted"
        ]
    );
    let shown = text(&items(&history)[0]["Body"]["Data"]["AccessToken"]);
    let integration_part = id.replace('-', "").to_uppercase();
    assert_eq!(shown, format!("{integration_part}-{}", "*".repeat(31)));

    let deliveries = app
        .get(&format!(
            "/v1/deliveries?WebhookId={}",
            text(&webhook["Id"])
        ))
        .await
        .expect(200);
    assert_eq!(items(&deliveries).len(), 6);
    let oldest = &items(&deliveries)[5];
    assert_eq!(oldest["Previous"], 0);
    let one = app
        .get(&format!("/v1/deliveries/{}", text(&oldest["Id"])))
        .await
        .expect(200);
    assert_eq!(one["Attempts"], json!([]));
    assert_eq!(one["NextAttemptUtc"], "2019-12-13T14:42:52.250Z");
    app.stop().await;
}

fn items(page: &Value) -> &Vec<Value> {
    page["Items"].as_array().unwrap()
}
