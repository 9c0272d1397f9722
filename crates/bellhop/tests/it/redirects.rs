//! Webhooks that follow redirects, and those that do not.

use serde_json::{Value, json};
use zoo::Trap;

use crate::support::{
    receiver::{Received, Scripted},
    sending::Sending,
};

fn redirect(status: u16, to: impl Into<String>) -> Scripted {
    Scripted::from(status).header("location", to)
}

/// One that follows redirects, and gives up after one try.
async fn follower(sending: &Sending) -> Value {
    let settings = json!({ "FollowRedirects": true, "RetrySchedule": [0] });
    sending.webhook(settings).await
}

fn paths(sending: &Sending) -> Vec<String> {
    let received = sending.receiver.received();
    received.into_iter().map(|one| one.path).collect()
}

/// The only attempt of the first delivery of an integration.
async fn attempt(sending: &Sending, integration: &str) -> Value {
    let delivery = sending.delivery(integration, 1).await;
    assert_eq!(delivery["AttemptCount"], 1, "{delivery}");
    delivery["Attempts"][0].clone()
}

#[tokio::test]
async fn the_same_request_goes_where_a_redirect_leads() {
    let mut sending = Sending::start().await;
    follower(&sending).await;
    let id = sending.integration("one").await;
    let moved = sending.receiver.url("/moved?key=hush-hush");
    sending
        .receiver
        .answers([redirect(307, moved), redirect(308, "in/turn"), 200.into()]);
    assert_eq!(sending.drain().await, 1, "one attempt");

    assert_eq!(
        paths(&sending),
        ["/hook", "/moved?key=hush-hush", "/in/turn"]
    );
    let received = sending.receiver.received();
    let same = |one: &Received| (one.headers.clone(), one.body.clone());
    for one in &received {
        assert_eq!(same(one), same(&received[0]));
        assert_eq!(one.header("bellhop-attempt"), "1");
    }
    assert_eq!(sending.delivery(&id, 1).await["State"], "Delivered");
    let attempt = attempt(&sending, &id).await;
    assert_eq!(
        (&attempt["Outcome"], &attempt["StatusCode"]),
        (&json!("Succeeded"), &json!(200))
    );
    let told = format!(
        "followed 307 to {}?…, 308 to {}",
        sending.receiver.url("/moved"),
        sending.receiver.url("/in/turn")
    );
    assert_eq!(attempt["Detail"], told);
}

#[tokio::test]
async fn without_the_setting_none_is_followed() {
    let mut sending = Sending::start().await;
    let webhook = sending.webhook(json!({ "RetrySchedule": [0] })).await;
    assert_eq!(webhook["FollowRedirects"], false);
    let id = sending.integration("one").await;
    sending.receiver.answers([redirect(307, "/moved")]);
    sending.drain().await;
    assert_eq!(paths(&sending), ["/hook"]);
    let attempt = attempt(&sending, &id).await;
    assert_eq!(attempt["Cause"], "redirect_refused");
    assert_eq!(
        attempt["Detail"],
        "the receiver answered 307 Temporary Redirect"
    );
}

#[tokio::test]
async fn at_most_three_are_followed() {
    let mut sending = Sending::start().await;
    follower(&sending).await;
    let id = sending.integration("one").await;
    sending
        .receiver
        .answers(std::iter::repeat_with(|| redirect(308, "/hook")).take(9));
    sending.drain().await;
    assert_eq!(paths(&sending), ["/hook"; 4]);
    let attempt = attempt(&sending, &id).await;
    assert_eq!(attempt["Cause"], "redirect_refused");
    let detail = attempt["Detail"].as_str().unwrap();
    assert!(detail.contains("at most 3 redirects"), "{detail}");
    sending.receiver.forget_answers();

    // Exactly three are.
    let id = sending.integration("two").await;
    sending
        .receiver
        .answers(std::iter::repeat_with(|| redirect(308, "/hook")).take(3));
    sending.drain().await;
    assert_eq!(sending.delivery(&id, 1).await["State"], "Delivered");
}

#[tokio::test]
async fn what_leads_elsewhere_is_refused_and_nothing_is_connected_to() {
    let trap = Trap::set().await.unwrap();
    let port = trap.address().port();
    let refused = [
        (307, format!("http://127.0.0.1:{port}/"), "another origin"),
        (308, format!("//127.0.0.1:{port}/"), "another origin"),
        (307, format!("https://127.0.0.1:{port}/"), "another origin"),
        (307, "http://169.254.169.254/latest/".into(), "metadata"),
        (
            307,
            format!("http://user:pass@127.0.0.1:{port}/"),
            "user name",
        ),
        (
            307,
            format!("http://2130706433:{port}/"),
            "another notation",
        ),
        (307, format!("\\\\127.0.0.1:{port}/"), "backslash"),
        (301, "/moved".into(), "only 307 and 308"),
        (302, "/moved".into(), "only 307 and 308"),
        (303, "/moved".into(), "only 307 and 308"),
    ];
    for (status, to, why) in refused {
        // A webhook of its own: several that fail would open its circuit.
        let mut sending = Sending::start().await;
        follower(&sending).await;
        let id = sending.integration("one").await;
        sending.receiver.answers([redirect(status, to.clone())]);
        sending.drain().await;
        assert_eq!(sending.receiver.received().len(), 1, "{status} {to}");
        let attempt = attempt(&sending, &id).await;
        assert_eq!(attempt["Cause"], "redirect_refused", "{status} {to}");
        assert_eq!(attempt["StatusCode"], status);
        let detail = attempt["Detail"].as_str().unwrap();
        assert!(detail.contains(why), "{status} {to}: {detail}");
    }
    assert_eq!(trap.caught(), 0);
}

#[tokio::test]
async fn what_the_last_receiver_says_counts() {
    let mut sending = Sending::start().await;
    let webhook = follower(&sending).await;
    let path = format!("/v1/webhooks/{}", webhook["Id"].as_str().unwrap());
    let id = sending.integration("one").await;
    sending
        .receiver
        .answers([redirect(307, "/moved"), 500.into()]);
    sending.drain().await;
    let failed = attempt(&sending, &id).await;
    assert_eq!(
        (&failed["Cause"], &failed["StatusCode"]),
        (&json!("server_error"), &json!(500))
    );
    let detail = failed["Detail"].as_str().unwrap();
    assert!(detail.contains("; followed 307 to "), "{detail}");

    sending
        .receiver
        .answers([redirect(307, "/moved"), 410.into()]);
    sending.integration("two").await;
    sending.drain().await;
    let shown = sending.app.get(&path).await.expect(200);
    assert_eq!(shown["State"], "Disabled");
}

#[tokio::test]
async fn a_location_that_repeats_the_token_leaves_none_with_us() {
    for place in ["/back/{token}", "http://other.example.com/{token}"] {
        let mut sending = Sending::start().await;
        follower(&sending).await;
        let made = sending.app.integration(&sending.application, "one").await;
        let token = made["AccessToken"].as_str().unwrap();
        sending
            .receiver
            .answers([redirect(307, place.replace("{token}", token)), 500.into()]);
        sending.drain().await;
        let delivery = sending.delivery(made["Id"].as_str().unwrap(), 1).await;
        assert_eq!(delivery["State"], "Failed");
        let told = delivery.to_string();
        assert!(!told.contains(token), "{told}");
    }
}
