//! How a webhook signs, as callers choose it, and the public keys that receivers verify with.

use std::time::Duration;

use bellhop_webhook::{SigningKey, VerifyingKey};
use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn app() -> (TestApp, String) {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    (app, application)
}

async fn patch(app: &TestApp, webhook: &Value, change: &Value, status: u16) -> Value {
    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    let asking = app.operator(Method::PATCH, &path).json(change);
    asking.send().await.expect(status)
}

/// The keys at the well-known place, read without a key.
async fn public_keys(app: &TestApp, webhook: &Value) -> Vec<Value> {
    let url = format!(
        "/.well-known/bellhop/webhooks/{}/keys",
        text(&webhook["Id"])
    );
    let answer = app.ask(Method::GET, &url).send().await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let etag = answer.header("etag").to_owned();
    let again = app.ask(Method::GET, &url).header("if-none-match", &etag);
    assert_eq!(again.send().await.status, 304);
    answer.expect(200)["keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_choice_gets_the_secrets_that_it_needs() {
    let (app, application) = app().await;
    for (settings, signatures, has_secret, has_key) in [
        (json!({}), json!(["v1"]), true, false),
        (json!({ "Signatures": ["v1"] }), json!(["v1"]), true, false),
        (
            json!({ "Signatures": ["v1a"] }),
            json!(["v1a"]),
            false,
            true,
        ),
        (
            json!({ "Signatures": ["v1a", "v1"] }),
            json!(["v1", "v1a"]),
            true,
            true,
        ),
        (json!({ "Secret": PAIR }), json!(["v1a"]), false, true),
        (
            json!({ "Secret": PAIR, "Signatures": ["rfc9421-ed25519"] }),
            json!(["rfc9421-ed25519"]),
            false,
            true,
        ),
        (
            json!({ "Secret": PAIR, "Signatures": ["v1a", "rfc9421-hmac-sha256"] }),
            json!(["v1a", "rfc9421-hmac-sha256"]),
            true,
            true,
        ),
        (
            json!({ "Secret": SECRET, "Signatures": ["v1", "rfc9421-ed25519"] }),
            json!(["v1", "rfc9421-ed25519"]),
            true,
            true,
        ),
    ] {
        let made = app.webhook(&application, settings.clone()).await;
        assert_eq!(made["Signatures"], signatures, "{settings}");
        assert_eq!(made["Secret"].is_string(), has_secret, "{made}");
        assert_eq!(made["PublicKey"].is_string(), has_key, "{made}");
        assert!(!made.to_string().contains("whsk_"), "{made}");
        if settings["Secret"] == PAIR {
            assert_eq!(made["PublicKey"], PUBLIC);
        }
        if settings["Secret"] == SECRET {
            assert_eq!(made["Secret"], SECRET);
        }
        let url = format!(
            "https://bellhop.example/.well-known/bellhop/webhooks/{}/keys",
            text(&made["Id"])
        );
        let shown = if has_key { json!(url) } else { Value::Null };
        assert_eq!(made["PublicKeysUrl"], shown);
        // Nothing of it is shown again.
        let read = app
            .get(&format!("/v1/webhooks/{}", text(&made["Id"])))
            .await;
        let read = read.expect(200);
        assert_eq!(read["Secret"], Value::Null);
        assert_eq!(read["PublicKey"], made["PublicKey"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_change_makes_what_is_missing_and_keeps_what_is_there() {
    let (app, application) = app().await;
    let made = app.webhook(&application, json!({})).await;
    // A key pair is made; the secret stays and is not shown again.
    let both = patch(&app, &made, &json!({ "Signatures": ["v1", "v1a"] }), 200).await;
    assert_eq!(both["Secret"], Value::Null);
    let key = both["PublicKey"].clone();
    assert!(key.is_string());
    // What is no longer chosen is kept.
    let alone = patch(&app, &made, &json!({ "Signatures": ["v1"] }), 200).await;
    assert_eq!(alone["PublicKey"], key);
    let again = patch(&app, &made, &json!({ "Signatures": ["v1a"] }), 200).await;
    assert_eq!(again["PublicKey"], key);
    // Absent, it stays.
    let other = patch(&app, &made, &json!({ "Description": "x" }), 200).await;
    assert_eq!(other["Signatures"], json!(["v1a"]));

    // A webhook with a key pair alone gets a secret, which is shown this once.
    let asymmetric = app.webhook(&application, json!({ "Secret": PAIR })).await;
    let change = json!({ "Signatures": ["v1", "v1a"] });
    let changed = patch(&app, &asymmetric, &change, 200).await;
    assert!(text(&changed["Secret"]).starts_with("whsec_"));
    let changed = patch(&app, &asymmetric, &change, 200).await;
    assert_eq!(changed["Secret"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_choice_is_named_and_changes_nothing() {
    let (app, application) = app().await;
    let made = app.webhook(&application, json!({})).await;
    let path = format!("/v1/webhooks/{}", text(&made["Id"]));
    let before = app.get(&path).await.expect(200);
    for (change, pointer) in [
        (json!({ "Signatures": [] }), "/Signatures"),
        (json!({ "Signatures": ["v2"] }), "/Signatures/0"),
        (json!({ "Signatures": ["v1", "V1a"] }), "/Signatures/1"),
        (json!({ "Signatures": ["v1", "v1"] }), "/Signatures/1"),
    ] {
        let refused = patch(&app, &made, &change, 422).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    for (settings, pointer) in [
        (json!({ "Secret": PAIR, "Signatures": ["v1"] }), "/Secret"),
        (
            json!({ "Secret": SECRET, "Signatures": ["v1a"] }),
            "/Secret",
        ),
    ] {
        let mut settings = settings;
        settings["Url"] = "https://hooks.example.com/".into();
        let path = format!("/v1/applications/{application}/webhooks");
        let refused = app.post(&path, &settings).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    for (rotation, pointer) in [
        (json!({ "Secret": PAIR }), "/Secret"),
        (json!({ "Kind": "KeyPair" }), "/Kind"),
        (json!({ "Kind": "whsk" }), "/Kind"),
        (json!({ "Kind": "Secret", "Secret": SECRET }), "/Kind"),
    ] {
        let refused = app.post(&format!("{path}/rotate-secret"), &rotation).await;
        let refused = refused.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    assert_eq!(app.get(&path).await.expect(200), before);
    app.stop().await;
}

#[tokio::test]
async fn public_keys_are_there_for_everybody_and_the_former_with_its_end() {
    let (app, application) = app().await;
    let settings = json!({ "Secret": PAIR, "Signatures": ["v1", "v1a"] });
    let made = app.webhook(&application, settings).await;
    let keys = public_keys(&app, &made).await;
    let now = app.api.lifecycle().now().as_second();
    let expected: VerifyingKey = PUBLIC.parse().unwrap();
    assert_eq!(
        keys,
        [json!({
            "kty": "OKP", "crv": "Ed25519", "x": expected.to_base64url(), "kid": expected.key_id(),
            "alg": "EdDSA", "use": "sig", "iat": now, "whpk": PUBLIC
        })]
    );

    // The secret is rotated: no key changes. Then the key pair.
    let path = format!("/v1/webhooks/{}/rotate-secret", text(&made["Id"]));
    let rotated = app.post(&path, &json!({})).await.expect(200);
    assert!(rotated["Secret"].is_string());
    assert_eq!(public_keys(&app, &made).await, keys);
    let rotation = json!({ "Kind": "KeyPair", "OverlapSeconds": 60 });
    let rotated = app.post(&path, &rotation).await.expect(200);
    assert_eq!(rotated["Secret"], Value::Null);
    let both = public_keys(&app, &made).await;
    assert_eq!(both.len(), 2);
    assert_eq!(both[0]["whpk"], rotated["PublicKey"]);
    assert_eq!(both[0]["exp"], Value::Null);
    assert_eq!(
        (&both[1]["whpk"], &both[1]["exp"]),
        (&json!(PUBLIC), &json!(now + 60))
    );
    // An own key pair can be brought.
    let own = SigningKey::from_seed([7; 32]);
    let rotation = json!({ "Secret": own.expose(), "OverlapSeconds": 0 });
    let rotated = app.post(&path, &rotation).await.expect(200);
    assert_eq!(rotated["PublicKey"], own.verifying_key().to_string());
    assert_eq!(rotated["Secret"], Value::Null);
    app.clock.advance(Duration::from_mins(1));
    let newest = public_keys(&app, &made).await;
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0]["whpk"], rotated["PublicKey"]);

    for id in [
        text(&app.webhook(&application, json!({})).await["Id"]),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "x".to_owned(),
    ] {
        let url = format!("/.well-known/bellhop/webhooks/{id}/keys");
        app.ask(Method::GET, &url).send().await.expect(404);
    }
    app.stop().await;
}
