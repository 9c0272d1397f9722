//! No page shows a secret, but the one that shows it once.

use http::Method;
use serde_json::json;

use super::{Desk, between};
use crate::support::{app::ENTERPRISE, receiver::Scripted, sending::Sending};

/// Every page that there is without a run.
fn pages(sending: &Sending, webhook: &str, integration: &str, delivery: &str) -> Vec<String> {
    let application = &sending.application;
    [
        "",
        "/deliveries",
        &format!("/deliveries/{delivery}"),
        "/deliveries?State=Delivered&Action=IntegrationCreated",
        "/integrations",
        "/integrations/new",
        &format!("/integrations/{integration}"),
        &format!("/integrations/{integration}/delete"),
        &format!("/integrations/{integration}/cancel"),
        &format!("/integrations/{integration}/regenerate-access-token"),
        "/applications",
        &format!("/applications/{application}"),
        &format!("/applications/{application}/webhooks/new"),
        "/webhooks",
        &format!("/webhooks/{webhook}"),
        &format!("/webhooks/{webhook}/settings"),
        &format!("/webhooks/{webhook}/rotate-secret"),
        &format!("/webhooks/{webhook}/signatures"),
        &format!("/webhooks/{webhook}/credentials"),
        &format!("/webhooks/{webhook}/backfill"),
        &format!("/webhooks/{webhook}/delete"),
        "/enterprises",
        &format!("/enterprises/{ENTERPRISE}"),
        "/replays",
        &format!("/replays/new?WebhookId={webhook}"),
        "/catalogue",
        "/catalogue/IntegrationCreated",
        "/catalogue/IntegrationApiKeyCreated",
        "/keys",
        "/audit",
        "/operational-messages",
        "/search",
        &format!("/search?Text={integration}"),
        "/search?Text=sample",
    ]
    .iter()
    .map(|path| format!("/dashboard{path}"))
    .collect()
}

#[tokio::test]
async fn a_canary_is_on_no_page() {
    let mut sending = Sending::start().await;
    let url = sending.receiver.url("/hook?secret=canary-query");
    let settings = json!({
        "Url": url,
        "Headers": { "x-api-key": "canary-header" },
        "Authentication": { "Type": "Basic", "Username": "ada", "Password": "canary-password" },
    });
    let webhook = sending.app.webhook(&sending.application, settings).await;
    let made = sending
        .app
        .integration(&sending.application, "North Wing")
        .await;
    let token = made["AccessToken"].as_str().unwrap();
    let secret = webhook["Secret"].as_str().unwrap();
    let key = sending
        .app
        .key(&json!({ "Name": "Reader", "Scope": "introspect" }))
        .await;
    // A receiver that gives back what it got.
    sending
        .receiver
        .answers([Scripted::from(500).body(format!("you sent {token}"))]);
    sending.drain().await;
    let deliveries = sending.app.get("/v1/deliveries").await.expect(200);
    let delivery = deliveries["Items"][0]["Id"].as_str().unwrap();

    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let id = |value: &serde_json::Value| value["Id"].as_str().unwrap().to_owned();
    for path in pages(&sending, &id(&webhook), &id(&made), delivery) {
        let page = browser.page(&path).await;
        // The beginning of a token is the integration's id.
        for canary in [
            &token[33..],
            secret,
            &secret[6..],
            "canary-query",
            "canary-header",
            "canary-password",
            &key,
            &key[4..],
        ] {
            assert!(!page.contains(canary), "{path} shows {canary}");
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
        for inline in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!page.contains(inline), "{path} has {inline}");
        }
    }
    let page = browser
        .page(&format!("/dashboard/deliveries/{delivery}"))
        .await;
    for part in [
        "server_error",
        "The receiver failed with a 5xx status.",
        "Attempt 1",
        "curl -X POST",
        "/hook?SECRET",
        "x-api-key: SECRET",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // What is shown as raw is what was sent, but for the token.
    let raw = between(&page, r#"aria-label="Body, raw"><code>"#, "</code>").replace("&quot;", "\"");
    let received = sending.receiver.received();
    let sent = String::from_utf8(received[0].body.to_vec()).unwrap();
    assert_eq!(raw, sent.replace(&token[33..], &"*".repeat(31)));
    sending.app.stop().await;
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_their_hash() {
    let sending = Sending::start().await;
    let desk = Desk::of(&sending.app);
    let page = desk
        .ask(&Method::GET, "/dashboard/sign-in")
        .send()
        .await
        .text();
    for begin in [
        r#"rel="stylesheet" href=""#,
        r#"<script src=""#,
        r#"<script type="module" src=""#,
        r#"image/svg+xml" href=""#,
    ] {
        let path = between(&page, begin, "\"");
        let file = desk.ask(&Method::GET, path).send().await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("cache-control").contains("immutable"));
        assert!(!file.bytes.is_empty());
    }
    for path in [
        "/dashboard/assets/x/none.css",
        "/dashboard/assets/x/../../Cargo.toml",
        "/dashboard/assets/x/..%2f..%2fmod.rs",
    ] {
        assert_eq!(
            desk.ask(&Method::GET, path).send().await.status,
            404,
            "{path}"
        );
    }
    sending.app.stop().await;
}
