//! The policies of a webhook, each by what its receiver sees. Filter, schedule and rate are in `delivery`, redirects in
//! `redirects`, the time-out in `hostile::visit`.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::sending::Sending;

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap())
}

async fn patch(sending: &Sending, webhook: &Value, settings: Value) {
    let patch = sending.app.operator(Method::PATCH, &path(webhook));
    patch.json(&settings).send().await.expect(200);
}

async fn do_to(sending: &Sending, webhook: &Value, command: &str) -> Value {
    let path = format!("{}/{command}", path(webhook));
    sending.app.post(&path, &json!({})).await.expect(200)
}

/// Sequences of what came of one integration, in order of arrival.
fn arrived_of(sending: &Sending, integration: &str) -> Vec<u64> {
    let lane = format!("msg_{}_", integration.replace('-', ""));
    let received = sending.receiver.received();
    received
        .iter()
        .filter(|one| one.header("webhook-id").starts_with(&lane))
        .map(crate::support::receiver::Received::sequence)
        .collect()
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_the_webhook_allows() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "MaxInFlight": 3 })).await;
    for n in 0..30 {
        sending.integration(&format!("integration {n}")).await;
    }
    assert_eq!(sending.drain().await, 30);
    assert_eq!(sending.receiver.most_open(), 3);

    // Without it, all at once: so the receiver would have seen more.
    patch(&sending, &webhook, json!({ "MaxInFlight": 32 })).await;
    for n in 0..30 {
        sending.integration(&format!("integration {n}")).await;
    }
    assert_eq!(sending.drain().await, 30);
    assert!(sending.receiver.most_open() > 3);
}

#[tokio::test]
async fn further_headers_arrive_and_their_values_are_shown_to_nobody() {
    let mut sending = Sending::start().await;
    let headers = json!({ "Authorization": "Basic aHVzaA==", "X-Tenant": "hush-hush" });
    let webhook = sending.webhook(json!({ "Headers": headers })).await;
    let id = sending.integration("one").await;
    sending.drain().await;
    let one = &sending.receiver.received()[0];
    assert_eq!(one.header("authorization"), "Basic aHVzaA==");
    assert_eq!(one.header("x-tenant"), "hush-hush");
    let delivery = sending.delivery(&id, 1).await;
    let sent = &delivery["Attempts"][0]["Request"]["Headers"];
    assert_eq!(
        (&sent["X-Tenant"], &sent["Authorization"]),
        (&json!("…"), &json!("…"))
    );
    assert!(!delivery.to_string().contains("hush"), "{delivery}");

    patch(
        &sending,
        &webhook,
        json!({ "Headers": { "X-Tenant": "other" } }),
    )
    .await;
    sending.command(&id, "disable").await;
    sending.drain().await;
    let one = &sending.receiver.received()[1];
    assert_eq!(
        (one.header("x-tenant"), one.header("authorization")),
        ("other", "")
    );
}

#[tokio::test]
async fn each_webhook_gets_its_profile() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    let id = sending.integration("one").await;
    sending.command(&id, "regenerate-access-token").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 2, "a new token is not told");
    assert_eq!(sending.arrived(), [1, 3]);
    let previous: Vec<String> = sending
        .receiver
        .received()
        .iter()
        .map(|one| one.header("bellhop-previous").to_owned())
        .collect();
    assert_eq!(previous, ["0", "1"]);

    sending.webhook(json!({ "Profile": "2025" })).await;
    sending.command(&id, "regenerate-access-token").await;
    assert_eq!(sending.drain().await, 1);
    let last = sending.receiver.received().pop().unwrap();
    assert_eq!(last.header("bellhop-action"), "IntegrationApiKeyCreated");
}

#[tokio::test]
async fn a_changed_schedule_counts_from_the_next_failure() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "RetrySchedule": [0, 5, 5] })).await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500, 500, 500]);
    sending.drain().await;
    patch(
        &sending,
        &webhook,
        json!({ "RetrySchedule": [0, 5, 600, 600] }),
    )
    .await;
    assert_eq!(sending.after(6).await, 1, "planned by the former");
    assert_eq!(sending.after(599).await, 0, "by the new one");
    assert_eq!(sending.after(122).await, 1);
    assert_eq!(sending.delivery(&id, 1).await["State"], "Pending");
    patch(&sending, &webhook, json!({ "RetrySchedule": [0] })).await;
    sending.receiver.answers([500]);
    assert_eq!(sending.after(721).await, 1);
    assert_eq!(
        sending.delivery(&id, 1).await["State"],
        "Failed",
        "no try is left"
    );
}

/// Several lanes, one of which waits for a retry; commands meanwhile; a restart in the middle.
async fn hold(sending: Sending, webhook: &Value, ids: &[String]) -> Sending {
    for id in ids {
        sending.command(id, "disable").await;
    }
    let mut sending = sending.restart().await;
    for id in ids {
        sending.command(id, "enable").await;
    }
    assert_eq!(sending.after(3600).await, 0, "held");
    let held = sending.app.get(&path(webhook)).await.expect(200);
    assert_ne!(held["State"], "Enabled");
    sending
}

async fn three(sending: &Sending) -> Vec<String> {
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(sending.integration(name).await);
    }
    ids
}

#[tokio::test]
async fn what_a_paused_webhook_holds_uses_up_no_try_and_drains_in_order() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "RetrySchedule": [0, 60] })).await;
    let ids = three(&sending).await;
    sending.receiver.answers([500, 500, 500]);
    sending.drain().await;
    let paused = do_to(&sending, &webhook, "pause").await;
    assert_eq!(
        (&paused["State"], &paused["Changed"]),
        (&json!("Paused"), &json!(true))
    );
    let mut sending = hold(sending, &webhook, &ids).await;
    do_to(&sending, &webhook, "resume").await;
    assert_eq!(sending.drain().await, 9);
    for id in &ids {
        // The first failed before; it had one try left, and has arrived by it.
        assert_eq!(arrived_of(&sending, id), [1, 1, 2, 3]);
        let first = sending.delivery(id, 1).await;
        assert_eq!(
            (&first["State"], &first["AttemptCount"]),
            (&json!("Delivered"), &json!(2))
        );
    }
}

#[tokio::test]
async fn what_a_disabled_webhook_holds_drains_in_order() {
    let mut sending = Sending::start().await;
    // 410 on the only try: it is held all the same.
    let webhook = sending
        .webhook(json!({ "RetrySchedule": [0], "MaxInFlight": 1 }))
        .await;
    let ids = three(&sending).await;
    sending.receiver.answers([410]);
    sending.drain().await;
    let mut sending = hold(sending, &webhook, &ids).await;
    do_to(&sending, &webhook, "resume").await;
    assert_eq!(sending.drain().await, 9);
    let mut again = 0;
    for id in &ids {
        let mut arrived = arrived_of(&sending, id);
        if arrived.len() == 4 {
            arrived.remove(0);
            again += 1;
        }
        assert_eq!(arrived, [1, 2, 3]);
    }
    assert_eq!(again, 1, "what was answered with 410 is sent again");
}

#[tokio::test]
async fn a_retry_keeps_its_time_over_a_short_pause() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "RetrySchedule": [0, 600] })).await;
    sending.integration("one").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    do_to(&sending, &webhook, "pause").await;
    sending.app.clock.advance(Duration::from_mins(1));
    do_to(&sending, &webhook, "resume").await;
    assert_eq!(sending.after(539).await, 0);
    assert_eq!(sending.after(122).await, 1);
}
