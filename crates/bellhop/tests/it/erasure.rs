//! Erasure, from the settings to what the API answers. Time is moved by hand.

use std::{sync::Arc, time::Duration};

use bellhop::{
    clock::Clock as _,
    config::Config,
    delivery::erasure::{Erasure, ErasureObserver},
    store::Erased,
};
use serde_json::{Value, json};

use crate::support::{app::text, sending::Sending};

const ALMOST_A_DAY: Duration = Duration::from_secs(86_399);

#[derive(Debug)]
struct NotCounting;

impl ErasureObserver for NotCounting {
    fn erased(&self, _: &Erased) {}
}

/// With these settings.
fn erasure(sending: &Sending, grace: &str) -> Erasure {
    let flags = vec![("erasure_grace_seconds", grace.to_owned())];
    Erasure::new(
        sending.app.store.clone(),
        sending.app.clock.clone(),
        Config::of_flags(flags).unwrap().erasure_grace,
        Arc::new(NotCounting),
    )
}

/// Until nothing is left to erase.
async fn erase(erasure: &mut Erasure) -> u64 {
    let mut bodies = 0;
    loop {
        let erased = erasure.step().await.unwrap();
        bodies += erased.bodies;
        if !erased.has_more {
            return bodies;
        }
    }
}

/// The paths of the deliveries, oldest first.
async fn deliveries(sending: &Sending) -> Vec<String> {
    let listed = sending.app.get("/v1/deliveries").await.expect(200);
    let items = listed["Items"].as_array().unwrap();
    let path = |item: &Value| format!("/v1/deliveries/{}", text(&item["Id"]));
    items.iter().rev().map(path).collect()
}

#[tokio::test]
async fn a_day_after_its_deliveries_a_body_is_gone_and_everybody_is_told() {
    let mut sending = Sending::start().await;
    let default = Config::of_flags(vec![]).unwrap().erasure_grace;
    assert_eq!(default, Some(Duration::from_hours(24)));
    let mut erasure = erasure(&sending, "86400");
    sending.plain_webhook().await;
    let id = sending.integration("Front desk").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 2);
    let paths = deliveries(&sending).await;

    sending.app.clock.advance(ALMOST_A_DAY);
    assert_eq!(erase(&mut erasure).await, 0);
    let before = sending.app.get(&paths[0]).await.expect(200);
    assert_eq!(before["BodyErasedUtc"], Value::Null);
    assert!(before["Attempts"][0]["Request"]["Body"].is_string());

    sending.app.clock.advance(Duration::from_secs(1));
    assert_eq!(erase(&mut erasure).await, 1);
    let at = bellhop_webhook::UtcSecond::new(sending.app.clock.now()).to_string();

    let history = format!("/v1/integrations/{id}/messages");
    let history = sending.app.get(&history).await.expect(200);
    let items = history["Items"].as_array().unwrap();
    assert_eq!(items[0]["Body"], Value::Null);
    assert_eq!(items[0]["BodyErasedUtc"], *at);
    assert_eq!(items[1]["Body"]["Action"], "IntegrationDisabled");
    assert_eq!(items[1]["BodyErasedUtc"], Value::Null);

    let shown = sending.app.get(&paths[0]).await.expect(200);
    assert_eq!(shown["BodyErasedUtc"], *at);
    assert_eq!(shown["State"], "Delivered");
    assert_eq!(shown["Attempts"][0]["Outcome"], "Succeeded");
    assert_eq!(shown["Attempts"][0]["Request"]["Body"], Value::Null);

    let replay = format!("{}/replay", paths[0]);
    let problem = sending.app.post(&replay, &json!({})).await.expect(409);
    assert_eq!(problem["code"], "body_erased");
    let detail = text(&problem["detail"]);
    assert!(detail.contains(&*at), "{detail}");
    let next = format!("POST /v1/integrations/{id}/regenerate-access-token");
    assert!(detail.contains(&next), "{detail}");
    let page = sending.app.get(&text(&problem["type"])).await;
    assert_eq!(page.status, 200);
    assert_eq!(sending.drain().await, 0);
    // The other one carries no token.
    let replay = format!("{}/replay", paths[1]);
    sending.app.post(&replay, &json!({})).await.expect(202);
    assert_eq!(sending.drain().await, 1);

    // The way that the problem names.
    let made = format!("/v1/integrations/{id}/regenerate-access-token");
    let made = sending.app.post(&made, &json!({})).await.expect(200);
    assert!(made["AccessToken"].is_string());
    sending.app.stop().await;
}

#[tokio::test]
async fn a_replay_in_bulk_and_a_backfill_say_what_they_cannot_send() {
    let mut sending = Sending::start().await;
    let mut erasure = erasure(&sending, "0");
    let webhook = text(&sending.plain_webhook().await["Id"]);
    let id = sending.integration("Front desk").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 2);
    assert_eq!(erase(&mut erasure).await, 1, "0 is at once");
    sending.app.clock.advance(Duration::from_mins(1));

    let filter = json!({ "WebhookId": webhook, "State": "Delivered", "DryRun": true });
    let preview = sending.app.post("/v1/replays", &filter).await.expect(200);
    assert_eq!(
        (&preview["Total"], &preview["NotReplayable"]["BodyErased"]),
        (&json!(2), &json!(1))
    );
    let token = json!({ "Token": preview["Token"] });
    let run = sending.app.post("/v1/replays", &token).await.expect(201);
    sending.replay().await;
    let path = |run: &Value| format!("/v1/replays/{}", text(&run["Id"]));
    let ended = sending.app.get(&path(&run)).await.expect(200);
    let figures = |run: &Value| {
        ["Total", "Succeeded", "Skipped", "BodyErased"].map(|name| run[name].as_u64().unwrap())
    };
    assert_eq!(ended["State"], "Completed");
    assert_eq!(figures(&ended), [2, 1, 1, 1]);

    let late = text(&sending.plain_webhook().await["Id"]);
    sending.app.clock.advance(Duration::from_mins(1));
    let backfill = format!("/v1/webhooks/{late}/backfill");
    let asked = json!({ "DryRun": true });
    let preview = sending.app.post(&backfill, &asked).await.expect(200);
    assert_eq!(preview, json!({ "Total": 2, "BodyErased": 1 }));
    let run = sending.app.post(&backfill, &json!({})).await.expect(202);
    sending.replay().await;
    let ended = sending.app.get(&path(&run)).await.expect(200);
    assert_eq!(figures(&ended), [2, 1, 1, 1]);
    let last = sending.receiver.received().pop().unwrap();
    assert_eq!(last.header("bellhop-sequence"), "2");
    assert_eq!(last.header("bellhop-previous"), "0");
    sending.app.stop().await;
}

#[tokio::test]
async fn never_is_a_choice() {
    let mut sending = Sending::start().await;
    let mut erasure = erasure(&sending, "never");
    sending.plain_webhook().await;
    sending.integration("Front desk").await;
    assert_eq!(sending.drain().await, 1);
    sending.app.clock.advance(1000 * ALMOST_A_DAY);
    assert_eq!(erase(&mut erasure).await, 0);
    let path = format!("{}/replay", deliveries(&sending).await[0]);
    sending.app.post(&path, &json!({})).await.expect(202);
    assert_eq!(sending.drain().await, 1);
    let refused = Config::of_flags(vec![("erasure_grace_seconds", "soon".into())]);
    assert!(refused.unwrap_err().to_string().contains("or never"));
    sending.app.stop().await;
}
