//! RFC 7662: a token is active exactly while its integration is enabled.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{ENTERPRISE, TestApp, text};

async fn introspect(app: &TestApp, key: &str, token: &str) -> Value {
    app.ask(Method::POST, "/v1/access-tokens/introspect")
        .key(key)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&token_type_hint=access_token"))
        .send()
        .await
        .expect(200)
}

#[tokio::test]
async fn a_token_follows_its_integration() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let key = app.key(&json!({ "Scope": "introspect" })).await;
    let made = app.integration(&application, "x").await;
    let (id, token) = (text(&made["Id"]), text(&made["AccessToken"]));
    let active = json!({
        "active": true, "integration_id": id, "application_id": application,
        "enterprise_id": ENTERPRISE, "client_id": application, "token_type": "Bearer",
        "iat": 1_576_248_172
    });
    assert_eq!(introspect(&app, &key, &token).await, active);
    for (command, works) in [
        ("disable", false),
        ("enable", true),
        ("cancel", false),
        ("reinstate", true),
    ] {
        app.post(&format!("/v1/integrations/{id}/{command}"), &json!({}))
            .await
            .expect(200);
        let expected = if works {
            active.clone()
        } else {
            json!({ "active": false })
        };
        assert_eq!(introspect(&app, &key, &token).await, expected, "{command}");
    }
    let path = format!("/v1/integrations/{id}");
    app.operator(Method::DELETE, &path).send().await.expect(200);
    assert_eq!(
        introspect(&app, &key, &token).await,
        json!({ "active": false })
    );
    app.stop().await;
}

#[tokio::test]
async fn a_former_token_works_until_its_overlap_ends() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let key = app.key(&json!({ "Scope": "introspect" })).await;
    let made = app.integration(&application, "x").await;
    let path = format!(
        "/v1/integrations/{}/regenerate-access-token",
        text(&made["Id"])
    );
    let again = app.post(&path, &json!({})).await.expect(200);
    assert_eq!(again["Changed"], true);
    let (former, present) = (text(&made["AccessToken"]), text(&again["AccessToken"]));
    assert_ne!(former, present);
    assert_eq!(
        introspect(&app, &key, &former).await["exp"],
        1_576_248_172 + 86_400
    );
    assert_eq!(introspect(&app, &key, &present).await["exp"], Value::Null);
    app.clock.advance(Duration::from_hours(24));
    assert_eq!(
        introspect(&app, &key, &former).await,
        json!({ "active": false })
    );
    assert_eq!(introspect(&app, &key, &present).await["active"], true);
    app.stop().await;
}

#[tokio::test]
async fn of_what_is_no_token_nothing_is_said() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let made = app.integration(&application, "x").await;
    let token = text(&made["AccessToken"]);
    let last = if token.ends_with('0') { "1" } else { "0" };
    for wrong in [
        "x".to_owned(),
        token.to_lowercase(),
        format!("{}{last}", &token[..63]),
        format!("{token}0"),
    ] {
        let said = introspect(&app, crate::support::app::OPERATOR, &wrong).await;
        assert_eq!(said, json!({ "active": false }), "{wrong}");
    }
    app.stop().await;
}
