//! Credentials as callers write them and see them.

use http::Method;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

fn oauth() -> Value {
    json!({
        "Type": "OAuth2ClientCredentials", "TokenUrl": "https://auth.example.com/token?tenant=hush", "ClientId": "bellhop",
        "ClientSecret": "hush-hush", "Scope": "hooks.write hooks.read", "AuthStyle": "Body"
    })
}

/// A certificate of this name that ends on that day of December 2019, and its key.
fn certificate(name: &str, day: u8) -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(2019, 12, day);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn pair(chain: &str, key: &str) -> Value {
    json!({ "ClientCertificate": { "CertificatePem": chain, "PrivateKeyPem": key } })
}

/// Changes that are refused, and where.
fn wrong_ones() -> Vec<(Value, &'static str)> {
    let changed = |member: &str, value: Value| {
        let mut oauth = oauth();
        oauth[member] = value;
        json!({ "Authentication": oauth })
    };
    let basic = |username: &str, password: &str| {
        let basic = json!({ "Type": "Basic", "Username": username, "Password": password });
        json!({ "Authentication": basic })
    };
    let bearer = |token: &str| json!({ "Authentication": { "Type": "Bearer", "Token": token } });
    let of_type = |name: &str| json!({ "Authentication": { "Type": name } });
    let both = json!({ "Authentication": { "Type": "Bearer", "Token": "x", "Password": "hush" } });
    vec![
        (json!({ "Authentication": {} }), "/Authentication/Type"),
        (of_type("Digest"), "/Authentication/Type"),
        (of_type("Bearer"), "/Authentication/Token"),
        (bearer("hush hush"), "/Authentication/Token"),
        (bearer("hush\r\nx: y"), "/Authentication/Token"),
        (bearer("…"), "/Authentication/Token"),
        (both, "/Authentication/Password"),
        (basic("a:b", "hush"), "/Authentication/Username"),
        (basic("a", ""), "/Authentication/Password"),
        (
            changed("TokenUrl", "http://10.0.0.1/hush".into()),
            "/Authentication/TokenUrl",
        ),
        (changed("TokenUrl", Value::Null), "/Authentication/TokenUrl"),
        (changed("ClientId", "".into()), "/Authentication/ClientId"),
        (changed("Scope", "a\"hush".into()), "/Authentication/Scope"),
        (
            changed("AuthStyle", "hush".into()),
            "/Authentication/AuthStyle",
        ),
        (changed("Nonsense", 1.into()), "/Authentication/Nonsense"),
        (json!({ "Authentication": [] }), "/Authentication"),
        (
            json!({ "Headers": { "Authorization": "hush" } }),
            "/Headers/Authorization",
        ),
    ]
}

fn wrong_certificates() -> Vec<(Value, &'static str)> {
    let (chain, key) = certificate("a", 31);
    let (_, other_key) = certificate("b", 31);
    let (old, old_key) = certificate("c", 1);
    let (certificate, private_key) = (
        "/ClientCertificate/CertificatePem",
        "/ClientCertificate/PrivateKeyPem",
    );
    let alone = json!({ "ClientCertificate": { "CertificatePem": chain } });
    vec![
        (pair("hush", &key), certificate),
        (pair(&chain, "hush"), private_key),
        (pair(&chain, &other_key), private_key),
        (pair(&old, &old_key), certificate),
        (alone, private_key),
    ]
}

#[tokio::test]
async fn they_are_shown_masked_and_kept_over_a_restart() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let (chain, key) = certificate("hooks of acme", 31);
    let settings = json!({
        "Authentication": oauth(), "ClientCertificate": { "CertificatePem": chain, "PrivateKeyPem": key }
    });
    let made = app.webhook(&application, settings).await;
    assert_eq!(
        made["Authentication"],
        json!({
            "Type": "OAuth2ClientCredentials", "TokenUrl": "https://auth.example.com/token?…", "ClientId": "bellhop",
            "ClientSecret": "…", "Scope": "hooks.write hooks.read", "AuthStyle": "Body"
        })
    );
    let certificate = &made["ClientCertificate"];
    assert!(
        text(&certificate["Subject"]).contains("CN=hooks of acme"),
        "{certificate}"
    );
    assert_eq!(certificate["NotAfterUtc"], "2019-12-31T00:00:00Z");
    assert_eq!(certificate["State"], "Expiring");
    assert_eq!(text(&certificate["FingerprintSha256"]).len(), 64);
    let path = format!("/v1/webhooks/{}", text(&made["Id"]));
    let app = app.restart().await;
    let read = app.get(&path).await;
    let shown = read.text();
    let read = read.expect(200);
    assert_eq!(read["Authentication"], made["Authentication"]);
    assert_eq!(read["ClientCertificate"], made["ClientCertificate"]);
    for hidden in ["hush", "PRIVATE", "BEGIN"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    // Null takes each away.
    for member in ["Authentication", "ClientCertificate"] {
        let change = json!({ member: null });
        let asking = app.operator(Method::PATCH, &path).json(&change);
        assert_eq!(asking.send().await.expect(200)[member], Value::Null);
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_never_repeated_and_changes_nothing() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let made = app
        .webhook(&application, json!({ "Authentication": oauth() }))
        .await;
    let path = format!("/v1/webhooks/{}", text(&made["Id"]));
    let before = app.get(&path).await.expect(200);
    for (change, pointer) in wrong_ones().into_iter().chain(wrong_certificates()) {
        let asking = app.operator(Method::PATCH, &path).json(&change);
        let answer = asking.send().await;
        let told = answer.text();
        let refused = answer.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        assert!(!told.contains("hush"), "{told}");
    }
    assert_eq!(app.get(&path).await.expect(200), before);

    // A certificate goes with https alone.
    let (chain, key) = certificate("a", 31);
    let mut plain = pair(&chain, &key);
    plain["Url"] = "http://127.0.0.1:9/".into();
    let create = format!("/v1/applications/{application}/webhooks");
    let refused = app.post(&create, &plain).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/ClientCertificate");
    app.stop().await;
}
