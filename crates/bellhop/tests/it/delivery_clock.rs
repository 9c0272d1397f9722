//! A clock that is set forward and back: nothing is early, and nothing waits until the clock has come there again.

use std::time::Duration;

use serde_json::json;

use crate::support::{receiver::Scripted, sending::Sending};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_clock_that_is_set_back_stops_no_retry_and_makes_none_early() {
    let mut sending = Sending::start().await;
    sending
        .webhook(json!({ "RetrySchedule": [0, 60, 60] }))
        .await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500]);
    assert_eq!(sending.drain().await, 1);
    sending.app.clock.set_back(HOUR);
    assert_eq!(sending.drain().await, 0, "at once");
    assert_eq!(sending.after(59).await, 0, "early");
    // The wait begins anew, with its jitter of a fifth at most.
    assert_eq!(sending.after(14).await, 1, "stuck");
    assert_eq!(sending.delivery(&id, 1).await["State"], "Delivered");
}

#[tokio::test]
async fn what_was_committed_before_the_clock_was_set_back_goes_on_after_a_restart() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    let id = sending.integration("one").await;
    // Behind the first of its lane: it has no plan yet that could be moved.
    sending.command(&id, "disable").await;
    sending.app.clock.set_back(HOUR);
    sending.forget_everything_in_memory();
    sending.integration("two").await;
    assert_eq!(sending.drain().await, 3);
}

#[tokio::test]
async fn a_pause_that_the_receiver_asked_for_lasts_as_long_after_the_clock_was_set_back() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0, 5, 5] })).await;
    sending.integration("one").await;
    let busy = Scripted::from(429).header("retry-after", "120");
    sending.receiver.answers([busy]);
    assert_eq!(sending.drain().await, 1);
    sending.app.clock.set_back(HOUR);
    sending.integration("two").await;
    assert_eq!(sending.drain().await, 0, "at once");
    assert_eq!(sending.after(119).await, 0, "early");
    assert_eq!(sending.after(2).await, 2, "stuck");
}

#[tokio::test]
async fn a_pause_lasts_as_long_though_the_clock_was_set_back_before() {
    let mut sending = Sending::start().await;
    sending
        .webhook(json!({ "RetrySchedule": [0, 600, 600] }))
        .await;
    // Its last attempt stays in what is, by the clock, the future.
    sending.integration("one").await;
    sending.receiver.answers([500]);
    assert_eq!(sending.drain().await, 1);
    sending.app.clock.set_back(HOUR);
    assert_eq!(sending.drain().await, 0);
    sending.integration("two").await;
    let busy = Scripted::from(429).header("retry-after", "120");
    sending.receiver.answers([busy]);
    assert_eq!(sending.drain().await, 1);
    sending.app.clock.set_back(HOUR);
    sending.integration("three").await;
    assert_eq!(sending.drain().await, 0, "at once");
    assert_eq!(sending.after(119).await, 0, "early");
    assert_eq!(sending.after(2).await, 1, "stuck");
}

#[tokio::test]
async fn a_clock_that_is_set_forward_makes_due_what_it_says_is_due() {
    let mut sending = Sending::start().await;
    sending
        .webhook(json!({ "RetrySchedule": [0, 60, 60] }))
        .await;
    let id = sending.integration("one").await;
    sending.receiver.answers([500]);
    assert_eq!(sending.drain().await, 1);
    assert_eq!(sending.after(3600).await, 1);
    // And it comes back to where it was: what follows is not held up.
    sending.app.clock.set_back(HOUR);
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 1);
}

#[tokio::test]
async fn a_circuit_does_not_stay_open_until_the_clock_has_come_there_again() {
    let mut sending = Sending::start().await;
    sending.webhook(json!({ "RetrySchedule": [0, 1, 1] })).await;
    for number in 0..10 {
        sending.integration(&format!("number {number}")).await;
    }
    sending.receiver.answers([500; 10]);
    assert_eq!(sending.drain().await, 10);
    sending.app.clock.set_back(HOUR);
    assert_eq!(sending.drain().await, 0, "at once");
    assert!(sending.after(8).await > 0, "stuck");
}
