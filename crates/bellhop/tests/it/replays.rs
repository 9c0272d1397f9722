//! Replays in bulk and backfills, from the request to what the receiver got. Time is moved by hand.

use http::Method;
use serde_json::{Value, json};

use crate::support::{app::text, sending::Sending};

/// So many integrations with two messages each, all failed for good.
async fn outage(sending: &mut Sending, integrations: usize) -> (String, Vec<String>) {
    let webhook = sending.webhook(json!({ "RetrySchedule": [0] })).await;
    let mut ids = Vec::new();
    for n in 0..integrations {
        let id = sending.integration(&format!("Hotel {n}")).await;
        sending.command(&id, "disable").await;
        ids.push(id);
    }
    sending.receiver.answers(vec![500; integrations * 2]);
    // Whoever resumes it closes its circuit, and it fails again.
    let resume = format!("/v1/webhooks/{}/resume", text(&webhook["Id"]));
    let mut failed = 0;
    while failed < integrations * 2 {
        failed += sending.drain().await;
        sending.app.post(&resume, &json!({})).await.expect(200);
    }
    assert_eq!(failed, integrations * 2);
    (text(&webhook["Id"]), ids)
}

async fn preview(sending: &Sending, filter: Value) -> Value {
    let mut filter = filter;
    filter["DryRun"] = true.into();
    sending.app.post("/v1/replays", &filter).await.expect(200)
}

async fn start(sending: &Sending, preview: &Value) -> Value {
    let token = json!({ "Token": preview["Token"] });
    sending.app.post("/v1/replays", &token).await.expect(201)
}

async fn progress(sending: &Sending, replay: &Value) -> Value {
    let path = format!("/v1/replays/{}", text(&replay["Id"]));
    sending.app.get(&path).await.expect(200)
}

fn figures(replay: &Value) -> [u64; 5] {
    ["Done", "Waiting", "Succeeded", "Failed", "Skipped"].map(|name| replay[name].as_u64().unwrap())
}

#[tokio::test]
async fn what_was_previewed_is_sent_again_in_order_and_marked() {
    let mut sending = Sending::start().await;
    let (webhook, ids) = outage(&mut sending, 3).await;
    let before = sending.receiver.received();
    sending.app.clock.advance(std::time::Duration::from_mins(1));
    let preview = preview(
        &sending,
        json!({ "State": "Failed", "Cause": "server_error" }),
    )
    .await;
    assert_eq!(preview["Total"], 6);
    assert_eq!(preview["ByState"]["Failed"], 6);
    assert_eq!(
        preview["ByWebhook"],
        json!([{ "WebhookId": webhook, "Total": 6 }])
    );
    // Of each integration the first message has a later one.
    assert_eq!(preview["Stale"], 3);
    assert_eq!(sending.replay().await, 0, "a dry run sends nothing");

    let started = start(&sending, &preview).await;
    assert_eq!(
        (&started["State"], &started["Kind"]),
        (&json!("Running"), &json!("Replay"))
    );
    assert_eq!(sending.replay().await, 6);
    let after = progress(&sending, &started).await;
    assert_eq!(after["State"], "Completed");
    assert_eq!(figures(&after), [6, 0, 6, 0, 0]);

    let received = &sending.receiver.received()[before.len()..];
    assert!(
        received
            .iter()
            .all(|one| one.header("bellhop-replay") == "true")
    );
    assert!(
        before
            .iter()
            .all(|one| one.header("bellhop-replay").is_empty())
    );
    for id in &ids {
        let hex = id.replace('-', "");
        let of_lane: Vec<_> = received
            .iter()
            .filter(|one| one.header("webhook-id").contains(&hex))
            .map(crate::support::receiver::Received::sequence)
            .collect();
        assert_eq!(of_lane, [1, 2]);
        // The same bytes under the same id.
        let first = |all: &[crate::support::receiver::Received]| {
            let id = format!("msg_{hex}_1");
            let found = all.iter().find(|one| one.header("webhook-id") == id);
            found.unwrap().body.clone()
        };
        assert_eq!(first(&before), first(received));
        let delivery = sending.delivery(id, 1).await;
        assert_eq!(delivery["IsStale"], true);
        let marks: Vec<_> = delivery["Attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| attempt["IsReplay"].clone())
            .collect();
        assert_eq!(marks, [false, true]);
        assert_eq!(
            delivery["Attempts"][1]["Request"]["Headers"]["bellhop-replay"],
            "true"
        );
        assert_eq!(sending.delivery(id, 2).await["IsStale"], false);
    }
}

#[tokio::test]
async fn a_run_goes_on_after_a_restart_and_sends_nothing_twice() {
    const LANES: usize = 40;
    let mut sending = Sending::start().await;
    let (_, ids) = outage(&mut sending, LANES).await;
    let before = sending.receiver.received().len();
    let preview = preview(&sending, json!({ "State": "Failed" })).await;
    let started = start(&sending, &preview).await;
    // One step, and a part of what it makes due.
    assert!(sending.runner().step().await.unwrap());
    sending.drain().await;
    let half = progress(&sending, &started).await;
    assert_eq!(half["State"], "Running");
    let done = half["Done"].as_u64().unwrap();
    assert!(done > 0 && done < 2 * LANES as u64, "{half}");

    let mut sending = sending.restart().await;
    assert_eq!(progress(&sending, &started).await, half);
    sending.replay().await;
    let after = progress(&sending, &started).await;
    assert_eq!(after["State"], "Completed");
    assert_eq!(figures(&after), [80, 0, 80, 0, 0]);
    let mut arrived: Vec<_> = sending.receiver.received()[before..]
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    assert_eq!(arrived.len(), 2 * LANES);
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 2 * LANES);
    for id in ids {
        assert_eq!(sending.delivery(&id, 2).await["State"], "Delivered");
    }
}

#[tokio::test]
async fn a_held_webhook_holds_the_run_and_the_progress_says_so() {
    let mut sending = Sending::start().await;
    let (webhook, _) = outage(&mut sending, 1).await;
    let pause = format!("/v1/webhooks/{webhook}/pause");
    sending.app.post(&pause, &json!({})).await.expect(200);
    let preview = preview(&sending, json!({ "WebhookId": webhook })).await;
    let started = start(&sending, &preview).await;
    assert_eq!(sending.replay().await, 0);
    let held = progress(&sending, &started).await;
    assert_eq!(
        held["HeldBy"],
        json!({ "WebhookId": webhook, "State": "Paused" })
    );
    assert_eq!(held["State"], "Running");
    let resume = format!("/v1/webhooks/{webhook}/resume");
    sending.app.post(&resume, &json!({})).await.expect(200);
    assert_eq!(sending.replay().await, 2);
    let after = progress(&sending, &started).await;
    assert_eq!(
        (&after["HeldBy"], &after["State"]),
        (&Value::Null, &json!("Completed"))
    );
}

#[tokio::test]
async fn a_run_is_paused_resumed_and_canceled() {
    let mut sending = Sending::start().await;
    let (webhook, _) = outage(&mut sending, 1).await;
    let preview = preview(&sending, json!({ "WebhookId": webhook })).await;
    let started = start(&sending, &preview).await;
    let path = format!("/v1/replays/{}", text(&started["Id"]));
    let post = async |sending: &Sending, command: &str| {
        let path = format!("{path}/{command}");
        sending.app.post(&path, &json!({})).await
    };
    sending.runner().step().await.unwrap();
    let paused = post(&sending, "pause").await.expect(200);
    assert_eq!(
        (&paused["State"], &paused["Changed"]),
        (&json!("Paused"), &json!(true))
    );
    assert_eq!(sending.replay().await, 0);
    assert_eq!(post(&sending, "pause").await.expect(200)["Changed"], false);
    assert_eq!(
        post(&sending, "resume").await.expect(200)["State"],
        "Running"
    );
    sending
        .app
        .clock
        .advance(std::time::Duration::from_millis(1));
    assert_eq!(sending.drain().await, 2);
    let canceled = post(&sending, "cancel").await.expect(200);
    assert_eq!(canceled["State"], "Canceled");
    assert_eq!(figures(&canceled), [2, 0, 2, 0, 0]);
    let refused = post(&sending, "resume").await.expect(409);
    assert_eq!(refused["code"], "not_allowed_in_state");
}

#[tokio::test]
async fn a_new_webhook_gets_the_history_and_then_what_comes() {
    let mut sending = Sending::start().await;
    let one = sending.integration("one").await;
    sending.command(&one, "disable").await;
    sending.command(&one, "enable").await;
    let gone = sending.integration("gone").await;
    sending
        .app
        .operator(Method::DELETE, &format!("/v1/integrations/{gone}"))
        .send()
        .await
        .expect(200);
    let webhook = sending.plain_webhook().await;
    let path = format!("/v1/webhooks/{}/backfill", text(&webhook["Id"]));
    // A message that comes while the receiver is down, before the backfill.
    sending.command(&one, "disable").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    let dry = json!({ "DryRun": true });
    let counted = sending.app.post(&path, &dry).await.expect(200);
    assert_eq!(counted, json!({ "Total": 3, "BodyErased": 0 }));
    let started = sending.app.post(&path, &json!({})).await.expect(202);
    assert_eq!(
        (&started["Kind"], &started["Total"]),
        (&json!("Backfill"), &json!(3))
    );
    sending.command(&one, "enable").await;
    // The three, and not the one that waits for its retry.
    assert_eq!(sending.replay().await, 3);
    assert_eq!(sending.arrived(), [4, 1, 2, 3]);
    assert_eq!(sending.after(10).await, 2);
    assert_eq!(sending.arrived(), [4, 1, 2, 3, 4, 5]);
    let received = sending.receiver.received();
    let previous: Vec<_> = received
        .iter()
        .map(|one| one.header("bellhop-previous"))
        .collect();
    assert_eq!(previous, ["0", "0", "1", "2", "0", "4"]);
    assert!(
        received
            .iter()
            .all(|one| one.header("bellhop-replay").is_empty())
    );
    sending.replay().await;
    let after = progress(&sending, &started).await;
    assert_eq!(after["State"], "Completed");
    assert_eq!(figures(&after), [3, 0, 3, 0, 0]);

    let wrong = json!({ "IntegrationIds": [one, "8865aa96-f62d-4f9b-a912-ab2100f60f42"] });
    let refused = sending.app.post(&path, &wrong).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/IntegrationIds/1");
}
