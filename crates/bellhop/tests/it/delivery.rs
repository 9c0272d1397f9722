//! Delivery, from the command to what the receiver got. Time is moved by hand.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    receiver::{Received, Scripted},
    sending::Sending,
};

const LIFE: [&str; 5] = [
    "disable",
    "enable",
    "cancel",
    "reinstate",
    "regenerate-access-token",
];

/// Whether the judge, who would sign the same, finds its signature among those sent. It has no way to
/// verify at another time than the machine's.
fn is_signed_by(judge: &standardwebhooks::Webhook, one: &Received) -> bool {
    let timestamp = one.header("webhook-timestamp").parse().unwrap();
    let signature = judge
        .sign(one.header("webhook-id"), timestamp, &one.body)
        .unwrap();
    one.header("webhook-signature")
        .split(' ')
        .any(|sent| sent == signature)
}

/// Everything of a whole life, to a webhook of profile 2025.
async fn live(sending: &Sending) -> String {
    let id = sending.integration("WebhookTEST").await;
    for command in LIFE {
        sending.command(&id, command).await;
    }
    sending
        .app
        .operator(Method::DELETE, &format!("/v1/integrations/{id}"))
        .send()
        .await
        .expect(200);
    id
}

#[tokio::test]
async fn a_whole_life_arrives_in_order_signed_and_with_the_bytes_of_the_history() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "Profile": "2025" })).await;
    let id = live(&sending).await;
    assert_eq!(sending.drain().await, 7);

    let received = sending.receiver.received();
    let actions: Vec<&str> = received
        .iter()
        .map(|one| one.header("bellhop-action"))
        .collect();
    assert_eq!(
        actions,
        [
            "IntegrationCreated",
            "IntegrationDisabled",
            "IntegrationEnabled",
            "IntegrationCanceled",
            "IntegrationReinstated",
            "IntegrationApiKeyCreated",
            "IntegrationDeleted"
        ]
    );
    // The judge is the library of Standard Webhooks itself.
    let judge = standardwebhooks::Webhook::new(webhook["Secret"].as_str().unwrap()).unwrap();
    for (position, one) in received.iter().enumerate() {
        let sequence = position + 1;
        let message_id = format!("msg_{}_{sequence}", id.replace('-', ""));
        assert_eq!(one.header("webhook-id"), message_id);
        assert_eq!(one.header("bellhop-previous"), position.to_string());
        assert_eq!(one.header("bellhop-attempt"), "1");
        assert_eq!(one.header("content-type"), "application/json");
        assert!(one.header("user-agent").starts_with("bellhop/"));
        assert_eq!(one.header("traceparent").len(), 55);
        assert!(is_signed_by(&judge, one));
        let action = serde_json::from_slice::<Value>(&one.body).unwrap()["Action"].clone();
        assert_eq!(action, actions[position]);
    }
}

#[tokio::test]
async fn a_failing_message_holds_its_lane_and_no_other() {
    let mut sending = Sending::start().await;
    sending
        .webhook(json!({ "RetrySchedule": [0, 5, 300] }))
        .await;
    let sick = sending.integration("sick").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    sending.command(&sick, "disable").await;
    let well = sending.integration("well").await;
    sending.command(&well, "disable").await;
    sending.drain().await;
    // 1 of the sick one failed; 1 and 2 of the well one came; 2 of the sick one waits behind its 1.
    assert_eq!(sending.arrived(), [1, 1, 2]);
    let waiting = sending.delivery(&sick, 2).await;
    assert_eq!(
        (&waiting["State"], &waiting["NextAttemptUtc"]),
        (&json!("Pending"), &Value::Null)
    );

    assert_eq!(
        sending.after(4).await,
        0,
        "never earlier than the schedule says"
    );
    assert_eq!(sending.after(2).await, 2);
    assert_eq!(sending.arrived(), [1, 1, 2, 1, 2]);
    let received = sending.receiver.received();
    assert_eq!(received[0].body, received[3].body);
    assert_eq!(
        received[0].header("webhook-id"),
        received[3].header("webhook-id")
    );
    assert_ne!(
        received[0].header("webhook-signature"),
        received[3].header("webhook-signature")
    );
    assert_eq!(received[3].header("bellhop-attempt"), "2");
}

#[tokio::test]
async fn a_used_up_schedule_fails_the_delivery_and_the_lane_goes_on() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0, 5] })).await;
    let id = sending.integration("one").await;
    sending.command(&id, "disable").await;
    sending.receiver.answers([500, 503]);
    sending.drain().await;
    sending.after(6).await;
    assert_eq!(sending.arrived(), [1, 1, 2]);
    let failed = sending.delivery(&id, 1).await;
    assert_eq!(
        (&failed["State"], &failed["Cause"]),
        (&json!("Failed"), &json!("unavailable"))
    );
    assert_eq!(failed["AttemptCount"], 2);
    assert_eq!(failed["Attempts"][0]["StatusCode"], 500);
}

#[tokio::test]
async fn retry_after_slows_the_whole_webhook_and_is_never_early() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    sending.integration("one").await;
    sending
        .receiver
        .answers([Scripted::from(429).header("retry-after", "120")]);
    sending.drain().await;
    sending.integration("two").await;
    assert_eq!(sending.drain().await, 0, "the other lane waits too");
    assert_eq!(sending.after(119).await, 0);
    assert_eq!(sending.after(2).await, 2);
}

#[tokio::test]
async fn gone_disables_the_webhook_and_resume_drains_what_was_held_in_order() {
    let mut sending = Sending::start().await;
    let webhook = sending.plain_webhook().await;
    let path = format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap());
    let id = sending.integration("one").await;
    sending.receiver.answers([410]);
    sending.drain().await;
    let shown = sending.app.get(&path).await.expect(200);
    assert_eq!(shown["State"], "Disabled");
    assert!(shown["StateReason"].as_str().unwrap().contains("410"));
    for command in ["disable", "enable", "cancel"] {
        sending.command(&id, command).await;
    }
    assert_eq!(
        sending.after(90_000).await,
        0,
        "nothing is sent to a disabled webhook"
    );
    sending
        .app
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(sending.drain().await, 4);
    assert_eq!(sending.arrived(), [1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_paused_webhook_holds_and_then_drains_in_order() {
    let mut sending = Sending::start().await;
    let webhook = sending.plain_webhook().await;
    let path = format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap());
    sending
        .app
        .post(&format!("{path}/pause"), &json!({}))
        .await
        .expect(200);
    let id = sending.integration("one").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 0);
    sending
        .app
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(sending.drain().await, 2);
    assert_eq!(sending.arrived(), [1, 2]);
}

#[tokio::test]
async fn a_filter_shows_as_a_jump_of_previous_and_not_as_a_gap() {
    let mut sending = Sending::start().await;
    sending
        .webhook(json!({ "Actions": ["IntegrationCreated", "IntegrationDeleted"] }))
        .await;
    let id = live(&sending).await;
    sending.drain().await;
    let received = sending.receiver.received();
    let seen: Vec<_> = received
        .iter()
        .map(|one| {
            (
                one.header("bellhop-previous"),
                one.header("bellhop-sequence"),
            )
        })
        .collect();
    assert_eq!(seen, [("0", "1"), ("1", "7")]);
    assert_eq!(
        received[1].header("webhook-id"),
        format!("msg_{}_7", id.replace('-', ""))
    );
}

#[tokio::test]
async fn a_replay_sends_once_more_and_disturbs_nothing() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0] })).await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    sending.command(&id, "disable").await;
    sending.drain().await;
    let failed = sending.delivery(&id, 1).await;
    assert_eq!(failed["State"], "Failed");
    let path = format!("/v1/deliveries/{}/replay", failed["Id"].as_str().unwrap());

    sending.receiver.answers([500]);
    sending.app.post(&path, &json!({})).await;
    assert_eq!(sending.drain().await, 1);
    assert_eq!(
        sending.delivery(&id, 1).await["State"],
        "Failed",
        "a failed replay changes nothing"
    );

    sending.app.post(&path, &json!({})).await;
    assert_eq!(sending.drain().await, 1);
    let delivered = sending.delivery(&id, 1).await;
    assert_eq!(
        (&delivered["State"], &delivered["AttemptCount"]),
        (&json!("Delivered"), &json!(3))
    );
    assert_eq!(sending.arrived(), [1, 2, 1, 1]);
}

#[tokio::test]
async fn a_discarded_head_frees_its_lane() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    sending.command(&id, "disable").await;
    let head = sending.delivery(&id, 1).await;
    let path = format!("/v1/deliveries/{}/discard", head["Id"].as_str().unwrap());
    sending
        .app
        .post(
            &path,
            &json!({ "Reason": "The partner has it by other means." }),
        )
        .await
        .expect(200);
    assert_eq!(sending.drain().await, 1);
    assert_eq!(sending.arrived(), [1, 2]);
    assert_eq!(sending.delivery(&id, 1).await["State"], "Discarded");
}

#[tokio::test]
async fn what_was_only_in_memory_may_be_forgotten() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500]);
    sending.drain().await;
    sending.command(&id, "disable").await;
    sending.forget_everything_in_memory();
    assert_eq!(sending.after(7).await, 2);
    assert_eq!(sending.arrived(), [1, 1, 2]);
}

#[tokio::test]
async fn a_receiver_that_echoes_the_body_leaves_no_token_with_us() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0] })).await;
    let made = sending.app.integration(&sending.application, "one").await;
    let token = made["AccessToken"].as_str().unwrap().to_owned();
    sending.receiver.answers([Scripted::from(500)
        .header("x-echo", token.clone())
        .body("you sent {echo}")]);
    sending.drain().await;
    let id = made["Id"].as_str().unwrap();
    let shown = sending.delivery(id, 1).await.to_string();
    assert!(shown.contains("you sent"), "{shown}");
    assert!(!shown.contains(&token), "{shown}");
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_former_until_the_overlap_ends() {
    let mut sending = Sending::start().await;
    let webhook = sending.plain_webhook().await;
    let path = format!(
        "/v1/webhooks/{}/rotate-secret",
        webhook["Id"].as_str().unwrap()
    );
    let rotated = sending.app.post(&path, &json!({})).await.expect(200);
    let judge = |webhook: &Value| {
        standardwebhooks::Webhook::new(webhook["Secret"].as_str().unwrap()).unwrap()
    };
    let (former, newest) = (judge(&webhook), judge(&rotated));
    sending.integration("one").await;
    sending.drain().await;
    sending
        .app
        .clock
        .advance(std::time::Duration::from_hours(25));
    sending.integration("two").await;
    sending.drain().await;
    let received = sending.receiver.received();
    let verdicts: Vec<_> = received
        .iter()
        .map(|one| (is_signed_by(&newest, one), is_signed_by(&former, one)))
        .collect();
    assert_eq!(verdicts, [(true, true), (true, false)]);
}

#[tokio::test]
async fn many_lanes_share_a_webhook_and_none_is_forgotten() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "MaxInFlight": 3 })).await;
    let mut ids = HashSet::new();
    for n in 0..40 {
        ids.insert(sending.integration(&format!("integration {n}")).await);
    }
    for id in &ids {
        sending.command(id, "disable").await;
    }
    assert_eq!(sending.drain().await, 80);
    let mut last: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
    for one in sending.receiver.received() {
        let lane = one
            .header("webhook-id")
            .rsplit_once('_')
            .unwrap()
            .0
            .to_owned();
        let before = last.insert(lane, one.sequence()).unwrap_or(0);
        assert_eq!(one.sequence(), before + 1);
    }
    assert_eq!(last.len(), 40);
}

#[tokio::test]
async fn the_first_try_waits_as_the_schedule_says() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [60, 5] })).await;
    let id = sending.integration("one").await;
    sending
        .app
        .clock
        .advance(std::time::Duration::from_secs(30));
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 0);
    assert_eq!(sending.after(29).await, 0);
    assert_eq!(
        sending.after(1).await,
        1,
        "a minute after the first message"
    );
    assert_eq!(sending.after(29).await, 0);
    assert_eq!(sending.after(1).await, 1, "a minute after the second");
}

#[tokio::test]
async fn a_rate_limit_holds_for_every_second() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RateLimit": 2 })).await;
    for n in 0..5 {
        sending.integration(&format!("integration {n}")).await;
    }
    let mut by_half_second = vec![sending.drain().await];
    for _ in 0..5 {
        sending
            .app
            .clock
            .advance(std::time::Duration::from_millis(500));
        by_half_second.push(sending.drain().await);
    }
    assert_eq!(by_half_second, [1, 1, 1, 1, 1, 0]);
}
