//! What is shown on purpose that is masked everywhere else.

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

async fn delivery(app: &TestApp, application: &str) -> (Value, Value) {
    app.webhook(application, json!({})).await;
    let integration = app.integration(application, "Front desk").await;
    let path = format!("/v1/deliveries?ApplicationId={application}");
    let listed = app.get(&path).await.expect(200);
    (integration, listed["Items"][0].clone())
}

#[tokio::test]
async fn a_delivery_is_revealed_byte_for_byte_signed_and_in_the_audit_log() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Booking engine").await;
    let (integration, delivery) = delivery(&app, &application).await;
    let scope = json!({ "Scope": "application", "ApplicationId": application });
    let key = app.key(&scope).await;
    let path = format!("/v1/deliveries/{}/reveal", text(&delivery["Id"]));
    let revealed = app
        .ask(Method::POST, &path)
        .key(&key)
        .send()
        .await
        .expect(200);
    let id = delivery["Id"].as_str().unwrap().parse().unwrap();
    let bellhop::store::MessageBody::Bytes(stored) = app.store.body(id).await.unwrap().unwrap()
    else {
        panic!("it is there");
    };
    assert_eq!(revealed["Body"].as_str().unwrap().as_bytes(), stored);
    let body: Value = serde_json::from_str(revealed["Body"].as_str().unwrap()).unwrap();
    let data = &body["Data"];
    let shown = if data.is_null() { &body } else { data };
    assert!(
        shown
            .to_string()
            .contains(integration["AccessToken"].as_str().unwrap())
    );
    assert_eq!(revealed["Headers"]["webhook-id"], delivery["MessageId"]);

    let log = app
        .get("/v1/audit?Action=DeliveryRevealed")
        .await
        .expect(200);
    let entry = &log["Items"][0];
    assert_eq!(entry["Subject"]["Id"], delivery["Id"]);
    assert_eq!(entry["ApplicationId"], application);
    assert_eq!(entry["Actor"]["Kind"], "Key");
    app.stop().await;
}

#[tokio::test]
async fn anothers_delivery_is_not_revealed_and_nothing_is_logged() {
    let app = TestApp::start();
    app.enterprise().await;
    let (own, foreign) = (
        app.application("Own").await,
        app.application("Foreign").await,
    );
    let (_, delivery) = delivery(&app, &foreign).await;
    let key = app
        .key(&json!({ "Scope": "application", "ApplicationId": own }))
        .await;
    let path = format!("/v1/deliveries/{}/reveal", text(&delivery["Id"]));
    app.ask(Method::POST, &path)
        .key(&key)
        .send()
        .await
        .expect(404);
    let log = app
        .get("/v1/audit?Action=DeliveryRevealed")
        .await
        .expect(200);
    assert_eq!(log["Items"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_test_is_of_the_action_that_was_asked_for_and_a_dry_run_sends_nothing() {
    let app = TestApp::start();
    let application = app.application("Booking engine").await;
    let webhook = app.webhook(&application, json!({})).await;
    let path = format!("/v1/webhooks/{}/test", text(&webhook["Id"]));
    let dry = json!({ "Action": "IntegrationDeleted", "DryRun": true });
    let made = app.post(&path, &dry).await.expect(200);
    assert_eq!(made["Signed"]["Body"], "{}");
    assert!(
        made["Signed"]["Headers"]["webhook-id"]
            .as_str()
            .unwrap()
            .starts_with("msg_test_")
    );
    assert!(app.tested.0.lock().unwrap().is_empty(), "nothing is sent");
    // Not of its profile.
    for action in ["IntegrationApiKeyCreated", "IntegrationLost"] {
        app.post(&path, &json!({ "Action": action }))
            .await
            .expect(422);
    }
    app.post(&path, &json!({ "Action": "IntegrationCreated" }))
        .await
        .expect(202);
    assert_eq!(app.tested.0.lock().unwrap().len(), 1);
    app.stop().await;
}
