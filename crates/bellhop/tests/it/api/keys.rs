//! API keys: made, found, limited, ended.

use std::time::Duration;

use bellhop::{
    api::KeyRates,
    domain::{
        access_token::TokenHash,
        api_key::{ApiKey, Scope},
    },
    id::KeyId,
    store::{Commit, Write},
};
use http::Method;
use serde_json::json;

use crate::support::app::{TestApp, text};

async fn status(app: &TestApp, key: &str) -> u16 {
    let answer = app
        .ask(Method::GET, "/v1/applications")
        .key(key)
        .send()
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn a_key_works_from_its_making_to_its_deletion() {
    let app = TestApp::start();
    let made = app
        .post("/v1/keys", &json!({ "Scope": "operator", "Name": "CI" }))
        .await
        .expect(201);
    let key = text(&made["Key"]);
    assert!(key.starts_with("bhk_"));
    assert_eq!(status(&app, &key).await, 200);
    let listed = app.get("/v1/keys").await;
    assert!(!listed.text().contains(&key[4..]));
    assert_eq!(listed.expect(200)["Items"][0]["Name"], "CI");
    let path = format!("/v1/keys/{}", text(&made["Id"]));
    assert_eq!(app.operator(Method::DELETE, &path).send().await.status, 204);
    assert_eq!(status(&app, &key).await, 401);
    assert_eq!(app.operator(Method::DELETE, &path).send().await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn a_key_ends_when_it_was_said_to() {
    let app = TestApp::start();
    let key = app
        .key(&json!({ "Scope": "operator", "ExpiresUtc": "2019-12-13T15:00:00+00:00" }))
        .await;
    assert_eq!(status(&app, &key).await, 200);
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(status(&app, &key).await, 401);
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_another_process_made_is_found_within_a_second() {
    let app = TestApp::start();
    assert_eq!(status(&app, "bhk_elsewhere").await, 401);
    let key = ApiKey {
        id: KeyId(uuid::Uuid::from_u128(1)),
        name: String::new(),
        scope: Scope::Operator,
        hash: TokenHash::of("bhk_elsewhere"),
        created: app.api.lifecycle().now(),
        expires: None,
    };
    let commit = Commit {
        at: key.created,
        write: Write::CreateKey(Box::new(key)),
        remember: None,
    };
    app.store.commit(commit).await.unwrap();
    // Strangers who try keys do not make the store work: it is read once a second.
    assert_eq!(status(&app, "bhk_elsewhere").await, 401);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&app, "bhk_elsewhere").await, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_key_has_its_own_limit() {
    let app = TestApp::with_rates(KeyRates {
        application: Some(5),
        ..KeyRates::default()
    });
    let application = app.application("Acme Keys").await;
    let scope = json!({ "Scope": "application", "ApplicationId": application });
    let (eager, calm) = (app.key(&scope).await, app.key(&scope).await);
    let mut refused = None;
    for _ in 0..20 {
        let answer = app
            .ask(Method::GET, "/v1/webhooks")
            .key(&eager)
            .send()
            .await;
        if answer.status != 200 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("20 at once are more than 10");
    assert_eq!(refused.expect(429)["code"], "too_many_requests");
    assert_eq!(refused.header("retry-after"), "1");
    let other = app.ask(Method::GET, "/v1/webhooks").key(&calm).send().await;
    other.expect(200);
    app.get("/v1/webhooks").await.expect(200);
    app.stop().await;
}
