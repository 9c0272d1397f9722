//! Whatever somebody writes is text, wherever it is shown.

use serde_json::json;

use super::Desk;
use crate::support::{receiver::Scripted, sending::Sending};

/// Each would do something if it were taken for markup. `would` names them in a page. The browser tests use the same.
fn payloads() -> Vec<String> {
    let payloads: Vec<String> =
        serde_json::from_str(include_str!("../../../../../e2e/payloads.json")).unwrap();
    assert!(payloads.len() >= 40);
    payloads
}

/// A quarter of them, so that four tests take as long as one.
async fn a_quarter(which: usize) {
    for payload in payloads().iter().skip(which).step_by(4) {
        are_text(payload).await;
    }
}

#[tokio::test]
async fn what_people_and_receivers_write_is_text() {
    a_quarter(0).await;
}

#[tokio::test]
async fn what_people_and_receivers_write_is_text_2() {
    a_quarter(1).await;
}

#[tokio::test]
async fn what_people_and_receivers_write_is_text_3() {
    a_quarter(2).await;
}

#[tokio::test]
async fn what_people_and_receivers_write_is_text_4() {
    a_quarter(3).await;
}

async fn are_text(payload: &str) {
    let mut sending = Sending::start().await;
    let written = write(&mut sending, payload).await;
    let app = &sending.app;
    let [application, _, webhook, _, _] = &written;
    let desk = Desk::of(app);
    let browser = desk.operator().await;
    let query = url::form_urlencoded::byte_serialize(payload.as_bytes()).collect::<String>();
    let paths = pages(&written, &query);
    for path in &paths {
        let page = browser.get(&format!("/dashboard{path}")).await.text();
        judge(&page, path, payload);
    }
    for (path, fields) in [
        (
            format!("applications/{application}/webhooks/new"),
            &[
                "Url",
                "Description",
                "RetrySchedule",
                "Headers",
                "Signatures",
            ][..],
        ),
        (
            format!("webhooks/{webhook}/settings"),
            &["Url", "RetrySchedule"],
        ),
        (
            format!("webhooks/{webhook}/debug-signature"),
            &["Headers", "Body", "ReceivedUtc"],
        ),
        (
            format!("webhooks/{webhook}/rotate-secret"),
            &["Secret", "Kind"],
        ),
        (
            format!("webhooks/{webhook}/credentials"),
            &["Set", "Authentication/Username"],
        ),
        ("keys".to_owned(), &["Name", "Scope", "ExpiresUtc"]),
    ] {
        let fields: Vec<_> = fields.iter().map(|name| (*name, payload)).collect();
        let refused = browser.post(&format!("/dashboard/{path}"), &fields).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.text());
        judge(&refused.text(), &path, payload);
    }
    sending.app.stop().await;
}

/// Pages that show what was written, and pages that are asked for with it.
fn pages(written: &[String; 5], query: &str) -> Vec<String> {
    let [application, enterprise, webhook, integration, delivery] = written;
    [
        "",
        "/deliveries",
        &format!("/deliveries/{delivery}"),
        &format!("/deliveries?State={query}&Cause={query}&FromUtc={query}&Odd={query}"),
        "/integrations",
        &format!("/integrations/new?Name={query}"),
        &format!("/integrations/{integration}"),
        &format!("/integrations/{integration}/delete"),
        "/applications",
        &format!("/applications/{application}"),
        &format!("/applications/{application}/webhooks/new?Url={query}&Description={query}"),
        "/webhooks",
        &format!("/webhooks/{webhook}"),
        &format!("/webhooks/{webhook}?Window={query}"),
        &format!("/webhooks/{webhook}/settings"),
        &format!("/webhooks/{webhook}/signatures"),
        &format!("/webhooks/{webhook}/credentials"),
        &format!("/webhooks/{webhook}/debug-signature"),
        &format!("/webhooks/{webhook}/backfill?IntegrationIds={query}"),
        "/enterprises",
        &format!("/enterprises/{enterprise}"),
        &format!("/replays/new?WebhookId={webhook}"),
        "/keys",
        "/audit",
        &format!("/audit?Action={query}&ActorId={query}&FromUtc={query}&Cursor={query}"),
        &format!("/search?Text={query}"),
        &format!("/deliveries/{query}"),
        &format!("/{query}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Writes it wherever something can be written: the ids of an application, an enterprise, a webhook, an integration and a
/// delivery that have it.
async fn write(sending: &mut Sending, payload: &str) -> [String; 5] {
    let app = &sending.app;
    let application = app.application(payload).await;
    let webhook = app
        .webhook(&application, json!({ "Url": sending.receiver.url("/hook"), "Description": payload, "RetrySchedule": [0, 5] }))
        .await;
    let id = |value: &serde_json::Value| value["Id"].as_str().unwrap().to_owned();
    let person = json!({ "Name": payload, "Email": "a@h.example" });
    let enterprise = "11111111-1111-4111-8111-111111111111";
    app.operator(http::Method::PUT, &format!("/v1/enterprises/{enterprise}"))
        .json(&json!({ "Name": payload }))
        .send()
        .await
        .expect(201);
    let document = json!({
        "ApplicationId": application, "EnterpriseId": enterprise, "Name": payload, "Requestor": person
    });
    let integration = app.post("/v1/integrations", &document).await.expect(201);
    app.key(&json!({ "Name": payload, "Scope": "application", "ApplicationId": application }))
        .await;
    sending.receiver.answers([Scripted::from(500)
        .header("x-odd", payload.replace('\u{202e}', ""))
        .body(payload)]);
    sending.drain().await;
    let app = &sending.app;
    app.post(
        &format!("/v1/webhooks/{}/pause", id(&webhook)),
        &json!({ "Reason": payload }),
    )
    .await
    .expect(200);
    let found = app
        .get(&format!("/v1/deliveries?WebhookId={}", id(&webhook)))
        .await
        .expect(200);
    let delivery = id(&found["Items"][0]);
    [
        application,
        enterprise.to_owned(),
        id(&webhook),
        id(&integration),
        delivery,
    ]
}

/// Reads the page as HTML is read, as far as it matters: what a tag is, and what its attributes are.
#[track_caller]
fn judge(page: &str, path: &str, payload: &str) {
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = tag(after);
        rest = after;
        let name = tag.split([' ', '>', '/']).next().unwrap_or_default();
        let outside_of_values = outside_of_values(tag);
        let is_ours =
            !outside_of_values.contains("would") && !outside_of_values.contains("onerror");
        assert!(is_ours, "{path} takes {payload} for markup: <{tag}");
        if name == "script" {
            assert!(tag.contains("src=\"/dashboard/assets/"), "{path}: <{tag}");
        }
        assert!(
            !matches!(name, "img" | "b" | "style" | "iframe"),
            "{path}: <{tag}"
        );
    }
}

/// A tag up to its end, which is no `>` inside quotes.
fn tag(text: &str) -> (&str, &str) {
    let mut in_value = false;
    for (place, letter) in text.char_indices() {
        match letter {
            '"' => in_value = !in_value,
            '>' if !in_value => return text.split_at(place),
            _ => {}
        }
    }
    (text, "")
}

fn outside_of_values(tag: &str) -> String {
    tag.split('"').step_by(2).collect()
}
