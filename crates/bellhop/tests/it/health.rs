//! Receivers that fail for long: left alone, asked by one attempt at a time, given their backlog slowly, disabled after
//! days. Time is moved by hand.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{receiver::Scripted, sending::Sending};

/// A webhook whose circuit was opened by twelve lanes at once, in a world of its own.
struct Sick {
    sending: Sending,
    path: String,
    integrations: Vec<String>,
}

/// Lets the webhook take so much that twelve lanes may be under way at once.
async fn widen(sending: &mut Sending) {
    for n in 0..8 {
        sending.integration(&format!("earlier {n}")).await;
    }
    sending.drain().await;
}

impl Sick {
    async fn new(settings: Value) -> Self {
        let mut sending = Sending::start().await;
        let webhook = sending.webhook(settings).await;
        let path = format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap());
        widen(&mut sending).await;
        let mut integrations = Vec::new();
        for n in 0..12 {
            integrations.push(sending.integration(&format!("integration {n}")).await);
        }
        sending.receiver.answers([500; 12]);
        assert_eq!(
            sending.drain().await,
            12,
            "what was under way when it opened ends"
        );
        Self {
            sending,
            path,
            integrations,
        }
    }

    async fn health(&self) -> Value {
        self.sending.app.get(&self.path).await.expect(200)["Health"].clone()
    }
}

#[tokio::test]
async fn a_receiver_that_fails_is_left_alone_then_asked_by_one_then_gets_its_backlog() {
    let mut sick = Sick::new(json!({})).await;
    let health = sick.health().await;
    assert_eq!(health["Circuit"], "Open");
    assert_eq!(health["ConsecutiveFailures"], 12);
    assert_eq!(health["InFlightLimit"], 0);
    let since = health["FailingSinceUtc"].as_str().unwrap();
    assert!(since.starts_with("2019-12-13T14:42:52."), "{since}");
    let late = sick.sending.integration("late").await;
    let shown = sick.sending.delivery(&late, 1).await;
    assert_eq!(
        shown["NextAttemptUtc"].as_str().unwrap().get(..19),
        health["OpenUntilUtc"].as_str().unwrap().get(..19),
        "it says when it is tried, not when it might have been"
    );

    assert_eq!(sick.sending.after(4).await, 0, "nothing while it is open");
    sick.sending.app.clock.advance(Duration::from_secs(2));
    assert_eq!(sick.health().await["Circuit"], "HalfOpen");
    assert_eq!(sick.health().await["InFlightLimit"], 1);
    sick.sending.receiver.answers([503]);
    assert_eq!(sick.sending.drain().await, 1, "one attempt finds out");
    let health = sick.health().await;
    assert_eq!(
        (&health["Circuit"], &health["ConsecutiveFailures"]),
        (&json!("Open"), &json!(13))
    );

    assert_eq!(sick.sending.after(9).await, 0, "twice as long");
    // The probe, and then all that is due.
    assert!(sick.sending.after(4).await >= 12);
    sick.sending.after(10).await;
    let health = sick.health().await;
    assert_eq!(
        (
            &health["Circuit"],
            &health["ConsecutiveFailures"],
            &health["InFlightLimit"]
        ),
        (&json!("Closed"), &json!(0), &Value::Null)
    );
    for id in &sick.integrations {
        assert_eq!(sick.sending.delivery(id, 1).await["State"], "Delivered");
    }
}

#[tokio::test]
async fn a_restart_does_not_forget_that_a_circuit_is_open() {
    let mut sick = Sick::new(json!({})).await;
    sick.sending.forget_everything_in_memory();
    assert_eq!(sick.sending.after(4).await, 0);
    sick.sending.receiver.answers([500]);
    assert_eq!(sick.sending.after(2).await, 1);
    sick.sending.forget_everything_in_memory();
    assert_eq!(sick.sending.after(9).await, 0);
    // One lane waits for its third try.
    assert_eq!(sick.sending.after(5).await, 11);
}

#[tokio::test]
async fn a_probe_is_never_earlier_than_retry_after_says() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0, 1, 1] })).await;
    widen(&mut sending).await;
    for n in 0..12 {
        sending.integration(&format!("integration {n}")).await;
    }
    let slow_down = || Scripted::from(429).header("retry-after", "120");
    sending
        .receiver
        .answers(std::iter::repeat_with(slow_down).take(12));
    sending.drain().await;
    assert_eq!(sending.after(119).await, 0);
    assert_eq!(sending.after(2).await, 12);
}

#[tokio::test]
async fn resuming_closes_the_circuit_and_says_so() {
    let mut sick = Sick::new(json!({})).await;
    let resume = format!("{}/resume", sick.path);
    let resumed = sick.sending.app.post(&resume, &json!({})).await.expect(200);
    assert_eq!(resumed["Changed"], true);
    assert_eq!(resumed["Health"]["Circuit"], "Closed");
    let again = sick.sending.app.post(&resume, &json!({})).await.expect(200);
    assert_eq!(again["Changed"], false);
    assert_eq!(sick.sending.drain().await, 0, "each still has its schedule");
    assert_eq!(sick.sending.after(6).await, 12);
}

#[tokio::test]
async fn another_url_closes_the_circuit() {
    let mut sick = Sick::new(json!({})).await;
    let changed = sick
        .sending
        .app
        .operator(Method::PATCH, &sick.path)
        .json(&json!({ "Url": sick.sending.receiver.url("/elsewhere") }))
        .send()
        .await
        .expect(200);
    assert_eq!(changed["Health"]["ConsecutiveFailures"], 0);
    assert_eq!(sick.sending.after(6).await, 12);
}

#[tokio::test]
async fn five_days_of_failures_disable_a_webhook_and_resume_drains_it_in_order() {
    let mut sick = Sick::new(json!({})).await;
    let first = sick.integrations[0].clone();
    sick.sending.command(&first, "disable").await;
    sick.sending.receiver.answers([500; 2000]);
    let mut hours = 0;
    loop {
        let shown = sick.sending.app.get(&sick.path).await.expect(200);
        if shown["State"] == "Disabled" {
            let reason = shown["StateReason"].as_str().unwrap();
            assert!(reason.contains("2019-12-13T14:42:52Z"), "{reason}");
            break;
        }
        assert!(hours <= 5 * 24, "after five days");
        // A lane whose schedule is used up would leave nothing to find out with.
        sick.sending.integration("one more").await;
        hours += 1;
        sick.sending.after(3600).await;
    }
    assert_eq!(hours, 5 * 24, "not before five days");
    assert_eq!(sick.sending.after(90_000).await, 0, "held");

    sick.sending.receiver.forget_answers();
    let resume = format!("{}/resume", sick.path);
    sick.sending.app.post(&resume, &json!({})).await.expect(200);
    sick.sending.drain().await;
    // All that could be sent has been, in the order of each lane.
    let list = sick.sending.app.get("/v1/deliveries?State=Pending").await;
    assert_eq!(list.expect(200)["Items"], json!([]));
    let second = sick.sending.delivery(&first, 2).await;
    assert_eq!(second["State"], "Delivered");
}
