//! Jobs around a webhook and a key, by forms: signatures, credentials, rotation, backfill.

use serde_json::json;

use super::{Browser, Desk, between};
use crate::support::{
    app::{TestApp, text},
    sending::Sending,
};

async fn webhook(sending: &Sending) -> String {
    text(&sending.plain_webhook().await["Id"])
}

async fn state(app: &TestApp, id: &str) -> serde_json::Value {
    app.get(&format!("/v1/webhooks/{id}")).await.expect(200)
}

/// Sends a form and follows where it leads.
async fn sent(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = browser.post(path, fields).await;
    assert_eq!(answer.status, 303, "{path}: {}", answer.text());
    browser.page(answer.header("location")).await
}

#[tokio::test]
async fn signatures_are_chosen_and_what_they_need_is_made() {
    let sending = Sending::start().await;
    let id = webhook(&sending).await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}/signatures");
    let before = browser.page(&path).await;
    assert!(before.contains(r#"value="v1" checked"#) && !before.contains("Public key"));
    let page = sent(
        &browser,
        &path,
        &[("Signatures", "v1"), ("Signatures", "rfc9421-ed25519")],
    )
    .await;
    let now = state(&sending.app, &id).await;
    assert_eq!(now["Signatures"], json!(["v1", "rfc9421-ed25519"]));
    let key = text(&now["PublicKey"]);
    assert!(page.contains(&key), "{page}");
    for secret in now["Secrets"].as_array().unwrap() {
        assert!(page.contains(secret["Fingerprint"].as_str().unwrap()));
    }
    // None at all is refused, and nothing changes.
    let refused = browser.post(&path, &[]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("at least one signature"));
    assert_eq!(
        state(&sending.app, &id).await["Signatures"],
        now["Signatures"]
    );
    // One that has a key pair alone gets a secret, shown once.
    let made = json!({ "Url": "https://h.example/", "Signatures": ["v1a"] });
    let other = sending.app.webhook(&sending.application, made).await;
    let path = format!("/dashboard/webhooks/{}/signatures", text(&other["Id"]));
    let answer = browser.post(&path, &[("Signatures", "v1")]).await;
    assert_eq!(answer.status, 200);
    assert!(between(&answer.text(), "<code>", "</code>").starts_with("whsec_"));
    sending.app.stop().await;
}

#[tokio::test]
async fn credentials_are_set_sent_and_never_shown_again() {
    let mut sending = Sending::start().await;
    let id = webhook(&sending).await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}/credentials");
    let page = sent(
        &browser,
        &path,
        &[("Set", "Bearer"), ("Authentication/Token", "canary-token")],
    )
    .await;
    assert!(page.contains("bearer token") && !page.contains("canary-token"));
    sending.integration("North Wing").await;
    sending.drain().await;
    let received = sending.receiver.received();
    assert_eq!(received[0].headers["authorization"], "Bearer canary-token");

    let fields = [
        ("Set", "Basic"),
        ("Authentication/Username", "ada"),
        ("Authentication/Password", "canary-password"),
    ];
    let page = sent(&browser, &path, &fields).await;
    assert!(page.contains("<code>ada</code>") && !page.contains("canary-password"));
    let fields = [
        ("Set", "OAuth2ClientCredentials"),
        (
            "Authentication/TokenUrl",
            "https://login.example.com/token?k=canary-query",
        ),
        ("Authentication/ClientId", "bellhop-at-work"),
        ("Authentication/ClientSecret", "canary-secret"),
        ("Authentication/AuthStyle", "Body"),
    ];
    let page = sent(&browser, &path, &fields).await;
    assert!(page.contains("https://login.example.com/token?…") && page.contains("bellhop-at-work"));
    assert!(!page.contains("canary-"));
    assert_eq!(
        state(&sending.app, &id).await["Authentication"]["AuthStyle"],
        "Body"
    );

    // What is refused comes back with what may be shown of it.
    let fields = [
        ("Set", "Basic"),
        ("Authentication/Username", "a:b"),
        ("Authentication/Password", "canary-of-a-refusal"),
    ];
    let refused = browser.post(&path, &fields).await;
    assert_eq!(refused.status, 422);
    let refused = refused.text();
    assert!(refused.contains(r#"value="a:b""#) && refused.contains("a user has no colon"));
    assert!(!refused.contains("canary-of-a-refusal"));

    let page = sent(&browser, &path, &[("Set", "None")]).await;
    assert!(page.contains("Nothing beside the signatures."));
    assert_eq!(
        state(&sending.app, &id).await["Authentication"],
        json!(null)
    );
    sending.app.stop().await;
}

#[tokio::test]
async fn a_client_certificate_is_set_and_removed() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let id = text(&app.webhook(&application, json!({})).await["Id"]);
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}/credentials");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 6, 1);
    params.not_before = rcgen::date_time_ymd(2019, 6, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let fields = [
        ("Set", "Certificate"),
        ("ClientCertificate/CertificatePem", &*certificate),
        ("ClientCertificate/PrivateKeyPem", &key.serialize_pem()),
    ];
    let page = sent(&browser, &path, &fields).await;
    assert!(page.contains("2020-06-01 00:00:00 UTC"), "{page}");
    assert!(!page.contains("PRIVATE KEY"));
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let fields = [fields[0], fields[1], (fields[2].0, &*other)];
    let refused = browser.post(&path, &fields).await;
    assert_eq!(refused.status, 422);
    let refused = refused.text();
    assert!(refused.contains("The key is not that of the first certificate"));
    assert!(!refused.contains("PRIVATE KEY"), "a key is shown again");
    sent(&browser, &path, &[("Set", "NoCertificate")]).await;
    assert_eq!(state(&app, &id).await["ClientCertificate"], json!(null));
    app.stop().await;
}

#[tokio::test]
async fn a_secret_is_rotated_and_tried_alone() {
    let sending = Sending::start().await;
    let id = webhook(&sending).await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}");
    let refused = browser
        .post(
            &format!("{path}/rotate-secret"),
            &[("Secret", "whsec_short"), ("OverlapSeconds", "0")],
        )
        .await;
    assert_eq!(refused.status, 422);
    assert!(!refused.text().contains("whsec_short"));
    let rotated = browser
        .post(
            &format!("{path}/rotate-secret"),
            &[("OverlapSeconds", "3600")],
        )
        .await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert!(rotated.text().contains("Send a test with it alone"));
    let tested = browser
        .post(&format!("{path}/test"), &[("NewestSecretOnly", "true")])
        .await;
    assert_eq!(tested.status, 200, "{}", tested.text());
    let count = |place: usize| {
        let tests = sending.app.tested.0.lock().unwrap();
        tests[place].0.secrets.len()
    };
    assert_eq!(count(0), 1);
    browser.post(&format!("{path}/test"), &[]).await;
    assert_eq!(count(1), 2);
    sending.app.stop().await;
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let app = TestApp::start();
    let former = app
        .key(&json!({ "Name": "Gateway", "Scope": "introspect" }))
        .await;
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let list = app.get("/v1/keys").await.expect(200);
    let id = text(&list["Items"][0]["Id"]);
    let path = format!("/dashboard/keys/{id}/rotate");
    assert!(browser.page(&path).await.contains("Rotate: Gateway"));
    let introspected = async |key: &str| {
        let asking = app.ask(http::Method::POST, "/v1/access-tokens/introspect");
        let asking = asking.key(key).body("token=x");
        let form = "application/x-www-form-urlencoded";
        asking.header("content-type", form).send().await.status
    };
    let rotated = browser.post(&path, &[("OverlapSeconds", "3600")]).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let key = between(&rotated.text(), "<code>", "</code>").to_owned();
    assert!(key.starts_with("bhk_") && key != former);
    assert_eq!(introspected(&key).await, 200);
    assert_eq!(introspected(&former).await, 200);
    assert!(
        browser
            .page("/dashboard/keys")
            .await
            .contains("the former key until")
    );
    let rotated = browser.post(&path, &[("OverlapSeconds", "0")]).await;
    assert!(rotated.text().contains("the former one no longer"));
    assert_eq!(introspected(&key).await, 401);
    let refused = browser
        .post(&path, &[("ExpiresUtc", "2001-01-01T00:00:00Z")])
        .await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("This moment is over"));
    app.stop().await;
}

#[tokio::test]
async fn a_backfill_is_counted_and_then_run() {
    let mut sending = Sending::start().await;
    let first = sending.integration("North Wing").await;
    sending.integration("South Wing").await;
    sending.command(&first, "disable").await;
    let id = webhook(&sending).await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}/backfill");
    assert!(browser.page(&path).await.contains("Send 3 messages"));
    let of_one = format!("{path}?IntegrationIds={first}");
    assert!(browser.page(&of_one).await.contains("Send 2 messages"));
    let odd = browser.get(&format!("{path}?IntegrationIds=x")).await;
    assert_eq!(odd.status, 422, "{}", odd.text());

    let started = browser.post(&path, &[("IntegrationIds", &first)]).await;
    assert_eq!(started.status, 303, "{}", started.text());
    sending.replay().await;
    sending.drain().await;
    let page = browser.page(started.header("location")).await;
    assert!(page.contains("2 of 2 are settled"), "{page}");
    assert_eq!(sending.receiver.received().len(), 2);
    let page = browser.page(&path).await;
    assert!(page.contains("Send 1 message"), "{page}");
    browser.post(&path, &[]).await;
    sending.replay().await;
    assert!(browser.page(&path).await.contains("Nothing is missing"));
    sending.app.stop().await;
}
