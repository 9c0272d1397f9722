//! Deliveries with their attempts, and what a person can do with them.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{Attempt, Next, Response, Timings},
    },
    feed::Event,
    store::{Attempted, Claim, ClaimRequest, Want},
};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

struct Sent {
    webhook: String,
    delivery: String,
    token: String,
}

async fn send(app: &TestApp) -> Sent {
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let settings = json!({ "Headers": { "Authorization": "Basic hush" } });
    let webhook = text(&app.webhook(&application, settings).await["Id"]);
    let made = app.integration(&application, "x").await;
    let page = app.get("/v1/deliveries").await.expect(200);
    Sent {
        webhook,
        delivery: text(&page["Items"][0]["Id"]),
        token: text(&made["AccessToken"]),
    }
}

async fn claim(app: &TestApp, webhook: &str) -> Claim {
    let request = ClaimRequest {
        now: app.api.lifecycle().now(),
        wants: vec![Want {
            webhook_id: webhook.parse().unwrap(),
            limit: 1,
        }],
    };
    let mut claimed = app.store.claim(request).await.unwrap();
    claimed.remove(0).claims.remove(0)
}

/// What a dispatcher records of an attempt that got this status.
async fn record(app: &TestApp, claim: &Claim, status: u16) {
    let now = app.api.lifecycle().now();
    let failed = status != 200;
    let attempted = Attempted {
        delivery_id: claim.delivery_id,
        fence: claim.fence,
        at: now,
        attempt: Attempt {
            number: claim.number,
            is_replay: claim.is_replay(),
            started: now,
            duration: Duration::from_micros(12_345),
            cause: failed.then_some(Cause::ServerError),
            detail: failed.then(|| "The receiver answered 500.".to_owned()),
            signature: "v1,c2lnbmF0dXJl".into(),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            response: Some(Arc::new(Response {
                status,
                headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "2".into())],
                body: Bytes::from_static(b"oops \xff"),
                is_truncated: false,
            })),
            timings: Timings {
                wait_us: Some(12_000),
                ..Timings::default()
            },
            remote: Some("192.0.2.1".parse().unwrap()),
        },
        next: if failed {
            Next::Retry {
                at: now + Duration::from_secs(5),
            }
        } else {
            Next::Delivered
        },
        effect: None,
        unit: 0.0,
    };
    app.store.record(attempted).await.unwrap();
    app.feed.tell(Event::Delivery(claim.delivery_id));
}

#[tokio::test]
async fn an_attempt_shows_what_was_sent_and_what_came_back() {
    let app = TestApp::start();
    let sent = send(&app).await;
    let claim = claim(&app, &sent.webhook).await;
    record(&app, &claim, 500).await;
    let answer = app.get(&format!("/v1/deliveries/{}", sent.delivery)).await;
    let shown = answer.expect(200);
    // Which ids a store draws is its own affair.
    let printed = serde_json::to_string_pretty(&shown).unwrap();
    let printed = printed.replace(&sent.delivery, "the delivery's id");
    insta::assert_snapshot!("delivery_with_attempt", printed);
    assert_eq!(shown["NextAttemptUtc"], "2019-12-13T14:42:57.250Z");
    // The bytes that were sent, but for the random part of the token.
    let body = text(&shown["Attempts"][0]["Request"]["Body"]);
    let masked = format!("{}{}", &sent.token[..33], "*".repeat(31));
    assert_eq!(
        body.replace(&masked, &sent.token).as_bytes(),
        &claim.body.clone().unwrap()[..]
    );
    assert!(!answer.text().contains("hush"));

    for (query, found) in [
        ("State=Pending&Cause=server_error", 1),
        ("Cause=timeout", 0),
        ("Action=IntegrationCreated&FromUtc=2019-12-13T14:42:52Z", 1),
        ("ToUtc=2019-12-13T14:42:52Z", 0),
    ] {
        let page = app
            .get(&format!("/v1/deliveries?{query}"))
            .await
            .expect(200);
        assert_eq!(page["Items"].as_array().unwrap().len(), found, "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_replay_is_due_at_once_and_can_be_waited_for() {
    let app = TestApp::start();
    let sent = send(&app).await;
    let first = claim(&app, &sent.webhook).await;
    record(&app, &first, 200).await;
    let path = format!("/v1/deliveries/{}/replay", sent.delivery);
    let accepted = app.post(&path, &json!({})).await.expect(202);
    assert_eq!(accepted["Id"], *sent.delivery);
    assert_eq!(accepted["Attempts"], Value::Null);
    let again = claim(&app, &sent.webhook).await;
    assert_eq!(again.number, 2);
    record(&app, &again, 200).await;

    let waiting = app
        .operator(Method::POST, &path)
        .header("prefer", "respond-async, wait=20")
        .send();
    let answering = async {
        // The replay commits before it waits; the claim is there as soon as that is done.
        let third = loop {
            let now = app.api.lifecycle().now();
            let wants = vec![Want {
                webhook_id: sent.webhook.parse().unwrap(),
                limit: 1,
            }];
            let claimed = app.store.claim(ClaimRequest { now, wants }).await.unwrap();
            if let Some(claim) = claimed.into_iter().flat_map(|each| each.claims).next() {
                break claim;
            }
        };
        record(&app, &third, 200).await;
    };
    let (waited, ()) = tokio::join!(waiting, answering);
    assert_eq!(waited.header("preference-applied"), "wait");
    let shown = waited.expect(200);
    assert_eq!(shown["AttemptCount"], 3);
    assert_eq!(shown["Attempts"].as_array().unwrap().len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn nobody_waits_longer_than_preferred() {
    let app = TestApp::start();
    let sent = send(&app).await;
    let path = format!("/v1/deliveries/{}/replay", sent.delivery);
    let answer = app
        .operator(Method::POST, &path)
        .header("prefer", "wait=0")
        .send()
        .await;
    assert_eq!(answer.expect(202)["State"], "Pending");
    app.stop().await;
}

#[tokio::test]
async fn a_discarded_delivery_keeps_its_reason() {
    let app = TestApp::start();
    let sent = send(&app).await;
    let path = format!("/v1/deliveries/{}/discard", sent.delivery);
    let gone = app
        .post(&path, &json!({ "Reason": "Sent by hand" }))
        .await
        .expect(200);
    assert_eq!(gone["State"], "Discarded");
    assert_eq!(gone["Reason"], "Sent by hand");
    assert_eq!(gone["EndedUtc"], "2019-12-13T14:42:52Z");
    assert_eq!(gone["NextAttemptUtc"], Value::Null);
    app.stop().await;
}
