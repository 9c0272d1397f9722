//! API keys: made, found, limited, ended.

use std::time::Duration;

use bellhop::{
    api::Rates,
    domain::{
        access_token::TokenHash,
        api_key::{ApiKey, Scope},
    },
    id::KeyId,
    store::{Commit, Write},
};
use http::Method;
use serde_json::json;

use crate::support::{
    app::{FORMER_OPERATOR, OPERATOR, TestApp, text},
    server::Server,
};

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
        previous: None,
        first: None,
        last_used: None,
    };
    let commit = Commit {
        at: key.created,
        write: Write::CreateKey(Box::new(key)),
        by: bellhop::domain::audit::By::system(),
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
    let app = TestApp::with_rates(Rates {
        application: Some(5),
        ..Rates::default()
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
    assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=10;w=2");
    assert!(refused.header("ratelimit").starts_with("\"key\";r=0;t="));
    let other = app.ask(Method::GET, "/v1/webhooks").key(&calm).send().await;
    other.expect(200);
    assert_eq!(other.header("ratelimit"), "\"key\";r=9;t=1");
    // The operator's key has no limit, and is told of none.
    let unlimited = app.get("/v1/webhooks").await;
    unlimited.expect(200);
    assert_eq!(unlimited.header("ratelimit"), "");
    app.stop().await;
}

#[tokio::test]
async fn a_rotated_key_overlaps_and_stays_who_it_was() {
    let app = TestApp::start();
    let made = app
        .post("/v1/keys", &json!({ "Scope": "operator", "Name": "CI" }))
        .await
        .expect(201);
    let first = text(&made["Key"]);
    let path = format!("/v1/keys/{}/rotate", text(&made["Id"]));
    let create = async |key: &str| {
        let asking = app.ask(Method::POST, "/v1/applications").key(key);
        let asking = asking.header("idempotency-key", "one");
        asking.json(&json!({ "Name": "Acme Keys" })).send().await
    };
    let application = create(&first).await.expect(201);

    let rotated = app
        .post(&path, &json!({ "OverlapSeconds": 60 }))
        .await
        .expect(200);
    let second = text(&rotated["Key"]);
    for member in ["Id", "Name", "Scope", "CreatedUtc", "ExpiresUtc"] {
        assert_eq!(rotated[member], made[member], "{member}");
    }
    assert_eq!(rotated["FormerUntilUtc"], "2019-12-13T14:43:52Z");
    assert_ne!(second, first);
    let (first_status, second_status) = (status(&app, &first).await, status(&app, &second).await);
    assert_eq!((first_status, second_status), (200, 200));
    // The new key asks for what the former one did: that was done already.
    let again = create(&second).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201), application);

    app.clock.advance(Duration::from_mins(1));
    assert_eq!(status(&app, &first).await, 401);
    assert_eq!(status(&app, &second).await, 200);
    let listed = app.get("/v1/keys").await.expect(200);
    assert!(listed["Items"][0]["FormerUntilUtc"].is_null());

    // It is in wrong hands: no overlap.
    let rotated = app
        .post(&path, &json!({ "OverlapSeconds": 0 }))
        .await
        .expect(200);
    assert!(rotated["FormerUntilUtc"].is_null());
    assert_eq!(status(&app, &second).await, 401);
    assert_eq!(status(&app, &text(&rotated["Key"])).await, 200);
    // Nor does it work again when the clock is set back.
    app.clock.set_back(Duration::from_secs(30));
    assert_eq!(status(&app, &second).await, 401);
    let missing = "/v1/keys/00000000-0000-0000-0000-000000000000/rotate";
    app.post(missing, &json!({})).await.expect(404);
    app.stop().await;
}

#[tokio::test]
async fn an_expiry_is_ahead_and_a_rotation_can_move_it() {
    let app = TestApp::start();
    let over = json!({ "Scope": "operator", "ExpiresUtc": "2019-12-13T14:42:52Z" });
    let refused = app.post("/v1/keys", &over).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/ExpiresUtc");
    let ahead = json!({ "Scope": "operator", "ExpiresUtc": "2019-12-13T15:00:00Z" });
    let made = app.post("/v1/keys", &ahead).await.expect(201);
    assert_eq!(made["ExpiresUtc"], "2019-12-13T15:00:00Z");
    let path = format!("/v1/keys/{}/rotate", text(&made["Id"]));
    let rotated = app.post(&path, &json!({})).await.expect(200);
    // A day of overlap, but no longer than the key itself.
    assert_eq!(rotated["ExpiresUtc"], "2019-12-13T15:00:00Z");
    app.clock.advance(Duration::from_hours(1));
    for key in [&made["Key"], &rotated["Key"]] {
        assert_eq!(status(&app, &text(key)).await, 401);
    }
    app.post(&path, &json!({})).await.expect(422);
    app.post(&path, &over).await.expect(422);
    let later = json!({ "ExpiresUtc": "2019-12-14T15:00:00Z", "OverlapSeconds": 0 });
    let rotated = app.post(&path, &later).await.expect(200);
    assert_eq!(rotated["ExpiresUtc"], "2019-12-14T15:00:00Z");
    assert_eq!(status(&app, &text(&rotated["Key"])).await, 200);
    app.stop().await;
}

#[tokio::test]
async fn the_last_use_is_shown_and_noted_now_and_then() {
    let app = TestApp::start();
    let key = app.key(&json!({ "Scope": "operator" })).await;
    let unused = app.key(&json!({ "Scope": "introspect" })).await;
    let shown = async |app: &TestApp| {
        let listed = app.get("/v1/keys").await.expect(200);
        [0, 1].map(|n| listed["Items"][n]["LastUsedUtc"].clone())
    };
    let noted = async |app: &TestApp| app.store.keys().await.unwrap()[0].last_used;
    assert_eq!(shown(&app).await, [json!(null), json!(null)]);
    assert_eq!(status(&app, &key).await, 200);
    assert_eq!(shown(&app).await[0], "2019-12-13T14:42:52Z");
    // No request waits for that to be written.
    assert_eq!(noted(&app).await, None);
    app.api.note_key_uses().await.unwrap();
    let first = noted(&app).await;
    assert_eq!(first, Some(app.api.lifecycle().now()));
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(status(&app, &key).await, 200);
    assert_eq!(shown(&app).await[0], "2019-12-13T14:43:02Z");
    assert_eq!(noted(&app).await, first);
    app.api.note_key_uses().await.unwrap();
    let app = app.restart().await;
    assert_eq!(
        shown(&app).await,
        [json!("2019-12-13T14:43:02Z"), json!(null)]
    );
    assert_eq!(status(&app, &unused).await, 403);
    app.stop().await;
}

#[tokio::test]
async fn what_another_replica_ends_opens_nothing_a_second_later() {
    let app = TestApp::as_replica();
    let key = app.key(&json!({ "Scope": "operator" })).await;
    assert_eq!(status(&app, &key).await, 200);
    let id = app.store.keys().await.unwrap()[0].id;
    let commit = Commit {
        at: app.api.lifecycle().now(),
        write: Write::DeleteKey { id },
        by: bellhop::domain::audit::By::system(),
        remember: None,
    };
    app.store.commit(commit).await.unwrap();
    app.clock.advance(Duration::from_millis(999));
    assert_eq!(status(&app, &key).await, 200);
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(status(&app, &key).await, 401);
    app.stop().await;
}

#[tokio::test]
async fn a_replica_that_cannot_read_the_keys_believes_none() {
    let app = TestApp::as_replica();
    let key = app.key(&json!({ "Scope": "introspect" })).await;
    let ask = async || {
        let asking = app.ask(Method::POST, "/v1/access-tokens/introspect");
        asking.key(&key).body("token=x").send().await.status
    };
    assert_eq!(ask().await, 200);
    app.store.close().await.unwrap();
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(ask().await, 503);
    assert_eq!(ask().await, 503);
}

#[tokio::test]
async fn a_former_operator_key_works_and_is_the_same_caller() {
    let app = TestApp::start();
    let create = async |key: &str| {
        let asking = app.ask(Method::POST, "/v1/applications").key(key);
        let asking = asking.header("idempotency-key", "one");
        asking.json(&json!({ "Name": "Acme Keys" })).send().await
    };
    let made = create(FORMER_OPERATOR).await.expect(201);
    let again = create(OPERATOR).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201), made);
    assert_eq!(create("bhk_operato").await.status, 401);
    app.stop().await;
}

/// The file, its log and what the server prints hold the hash of a key and not the key.
#[tokio::test]
async fn a_key_is_kept_as_its_hash_alone() {
    let server = Server::start(&[]).await;
    let made = server
        .make("/v1/keys", &json!({ "Scope": "operator" }))
        .await;
    let path = format!("/v1/keys/{}/rotate", text(&made["Id"]));
    let (status, rotated) = server.ask(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, 200, "{rotated}");
    let left = server.left_behind();
    let holds = |bytes: &[u8]| left.windows(bytes.len()).any(|window| window == bytes);
    for key in [text(&made["Key"]), text(&rotated["Key"])] {
        assert!(holds(&TokenHash::of(&key).0));
        assert!(!holds(key.as_bytes()));
        assert!(!holds(&key.as_bytes()[4..]));
    }
    assert!(server.end().await);
}
