//! Header names and values that no webhook may have.

use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn names_and_values_that_do_harm_are_refused() {
    let app = TestApp::start();
    let application = app.application("Sample Key Cards").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let names = [
        "",
        "a b",
        "a:b",
        "a\r\nb",
        "a\nb",
        "a\0b",
        "é",
        "(a)",
        "a/b",
        "\"a\"",
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Via",
        "Content-Type",
        "Content-Length",
        "Content-Encoding",
        "Accept-Encoding",
        "User-Agent",
        "Webhook-Id",
        "Webhook-Signature",
        "webhook-timestamp",
        "Bellhop-Sequence",
        "traceparent",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-HTTP-Method-Override",
        "Metadata",
        "Metadata-Flavor",
        "X-aws-ec2-metadata-token",
        "X-Google-Metadata-Request",
    ];
    let values = ["a\r\nb", "a\nb", "a\rb", "a\0b", " a", "a ", "\x7f", "é"];
    let pairs = names
        .iter()
        .map(|name| (*name, "fine"))
        .chain(values.iter().map(|value| ("X-Tenant", *value)));
    for (name, value) in pairs {
        let settings = json!({ "Url": "https://hooks.example.com/", "Headers": { name: value } });
        let problem = app.post(&path, &settings).await.expect(422);
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            pointer.starts_with("/Headers/"),
            "{name:?}: {value:?}: {problem}"
        );
    }
    let settings = json!({ "Url": "https://hooks.example.com/", "Headers": {
        "Authorization": "Basic dXNlcjpwYXNz", "X-Api-Key": "k", "X-Tenant": "a\tb"
    } });
    app.post(&path, &settings).await.expect(201);
}
