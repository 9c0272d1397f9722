//! OAuth 2 client credentials: tokens are fetched from a scripted authorization server, on loopback like the receiver.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zoo::Behaviour;

use super::attempt;
use crate::support::{
    app::text,
    receiver::{Receiver, Scripted},
    sending::Sending,
};

const SECRET: &str = "hush-hush/secret";

fn issues(token: &str, expires_in: u32) -> Scripted {
    let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
    Scripted::from(200).body(answer.to_string())
}

fn settings(token_url: &str) -> Value {
    json!({
        "Authentication": {
            "Type": "OAuth2ClientCredentials", "TokenUrl": token_url, "ClientId": "bellhop hooks",
            "ClientSecret": SECRET, "Scope": "hooks.write"
        },
        "RetrySchedule": [0, 60], "TimeoutSeconds": 2
    })
}

/// What the receiver got in `Authorization`, in order.
fn used(sending: &Sending) -> Vec<String> {
    let received = sending.receiver.received();
    received
        .iter()
        .map(|each| each.header("authorization").to_owned())
        .collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_until_shortly_before_its_end() {
    let (mut sending, server) = (Sending::start().await, Receiver::start().await);
    server.answers([issues("token-one", 600), issues("token-two", 600)]);
    let made = sending
        .webhook(settings(&server.url("/token?tenant=acme")))
        .await;
    // Many at a time: one fetch for all.
    for name in ["a", "b", "c", "d", "e", "f"] {
        sending.integration(name).await;
    }
    assert_eq!(sending.drain().await, 6);
    assert_eq!(used(&sending), ["Bearer token-one"; 6]);
    let asked = server.received();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?tenant=acme");
    assert_eq!(
        asked[0].header("content-type"),
        "application/x-www-form-urlencoded"
    );
    // RFC 6749 section 2.3.1: both are form-encoded first. `bellhop+hooks:hush-hush%2Fsecret`.
    assert_eq!(
        asked[0].header("authorization"),
        "Basic YmVsbGhvcCtob29rczpodXNoLWh1c2glMkZzZWNyZXQ="
    );
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&scope=hooks.write"
    );

    // Other settings change: the token stays. Its last minute is not used.
    let path = format!("/v1/webhooks/{}", text(&made["Id"]));
    let change = json!({ "Description": "x" });
    let asking = sending.app.operator(Method::PATCH, &path).json(&change);
    asking.send().await.expect(200);
    sending.app.clock.advance(Duration::from_secs(539));
    sending.integration("g").await;
    sending.drain().await;
    assert_eq!(server.received().len(), 1);
    sending.app.clock.advance(Duration::from_secs(1));
    sending.integration("h").await;
    sending.drain().await;
    assert_eq!(used(&sending).last().unwrap(), "Bearer token-two");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn id_and_secret_can_stand_in_the_body() {
    let (mut sending, server) = (Sending::start().await, Receiver::start().await);
    server.answers([issues("t", 600)]);
    let mut settings = settings(&server.url("/token"));
    settings["Authentication"]["AuthStyle"] = "Body".into();
    sending.webhook(settings).await;
    sending.integration("a").await;
    assert_eq!(sending.drain().await, 1);
    let asked = server.received();
    assert_eq!(asked[0].header("authorization"), "");
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&scope=hooks.write&client_id=bellhop+hooks&client_secret=hush-hush%2Fsecret"
    );
}

#[tokio::test]
async fn a_token_that_the_receiver_refuses_is_replaced_for_the_next_attempt() {
    let (mut sending, server) = (Sending::start().await, Receiver::start().await);
    server.answers([
        issues("token-one", 3600),
        issues("token-two", 3600),
        issues("token-three", 3600),
    ]);
    sending.webhook(settings(&server.url("/token"))).await;
    sending.integration("a").await;
    sending.drain().await;
    sending.app.clock.advance(Duration::from_mins(2));

    // It is refused: the next attempt has another, which is good.
    sending.receiver.answers([Scripted::from(401), 204.into()]);
    let id = sending.integration("b").await;
    assert_eq!(sending.drain().await, 1);
    assert_eq!(
        sending.delivery(&id, 1).await["Attempts"][0]["Cause"],
        "client_error"
    );
    assert_eq!(server.received().len(), 1);
    assert_eq!(sending.after(75).await, 1);
    assert_eq!(sending.delivery(&id, 1).await["State"], "Delivered");
    let all = used(&sending);
    assert_eq!(all[1..], ["Bearer token-one", "Bearer token-two"]);

    // A receiver that refuses whatever it gets does not make us fetch for every attempt.
    let refusals = std::iter::repeat_with(|| Scripted::from(401)).take(3);
    sending.receiver.answers(refusals);
    for name in ["c", "d", "e"] {
        sending.integration(name).await;
    }
    assert_eq!(sending.drain().await, 3);
    assert_eq!(
        server.received().len(),
        2,
        "the token is younger than a minute"
    );
}

/// Answers without a token that can be used, and what is told of each.
fn no_tokens() -> Vec<(Scripted, &'static str, &'static str)> {
    let refused = "oauth_token_refused";
    let json_error = |status, error: &str| {
        Scripted::from(status)
            .body(json!({ "error": error, "error_description": SECRET }).to_string())
    };
    vec![
        (
            json_error(401, "invalid_client"),
            refused,
            "the token endpoint answered 401 (invalid_client)",
        ),
        (
            json_error(400, "invalid_scope"),
            refused,
            "the token endpoint answered 400 (invalid_scope)",
        ),
        (
            json_error(400, SECRET),
            refused,
            "the token endpoint answered 400",
        ),
        (
            Scripted::from(404),
            refused,
            "the token endpoint answered 404",
        ),
        (
            Scripted::from(200).body("<html>"),
            refused,
            "RFC 6749 section 5.1",
        ),
        (Scripted::from(200).body("{}"), refused, "no access_token"),
        (
            Scripted::from(200).body(format!(r#"{{"access_token":"{}"}}"#, "a".repeat(70_000))),
            refused,
            "larger than is read",
        ),
        (
            Scripted::from(307).header("location", "/elsewhere"),
            refused,
            "a redirect, which is not followed",
        ),
        (
            Scripted::from(503),
            "oauth_token_unavailable",
            "unavailable: the receiver answered 503",
        ),
        (
            Scripted::from(429),
            "oauth_token_unavailable",
            "rate_limited",
        ),
    ]
}

#[tokio::test]
async fn what_keeps_a_token_from_coming_has_its_cause() {
    for (answer, cause, detail) in no_tokens() {
        let (mut sending, server) = (Sending::start().await, Receiver::start().await);
        server.answers([answer]);
        sending.webhook(settings(&server.url("/token"))).await;
        let id = sending.integration("a").await;
        assert_eq!(sending.drain().await, 1);
        assert_eq!(
            sending.receiver.received().len(),
            0,
            "nothing is sent without a token"
        );
        let attempt = attempt(&sending, &id).await;
        assert_eq!(attempt["Cause"], cause, "{attempt}");
        let told = attempt["Detail"].as_str().unwrap();
        assert!(told.contains(detail), "{told}");
        assert!(!attempt.to_string().contains(SECRET), "{attempt}");
        // It is tried again like anything else, with a fresh fetch.
        server.forget_answers();
        server.answers([issues("t", 600)]);
        assert_eq!(sending.after(75).await, 1);
        assert_eq!(sending.delivery(&id, 1).await["State"], "Delivered");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_or_never_ends_is_unavailable() {
    let closed = zoo::ClosedPort::take().unwrap();
    let down = format!("http://{}/token", closed.address().unwrap());
    let hanging = zoo::Receiver::start(Behaviour::Hang).await.unwrap();
    let closing = zoo::Receiver::start(Behaviour::Close).await.unwrap();
    let dripping = zoo::Receiver::start(Behaviour::Drip {
        head: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        piece: b" ".to_vec(),
    });
    let dripping = dripping.await.unwrap();
    for (url, detail) in [
        (down, "connect_refused"),
        (hanging.url("/token"), "timeout"),
        (closing.url("/token"), "the token endpoint: "),
        (dripping.url("/token"), "timeout"),
    ] {
        let mut sending = Sending::start().await;
        let mut settings = settings(&url);
        settings["TimeoutSeconds"] = 1.into();
        sending.webhook(settings).await;
        let ids = [
            sending.integration("a").await,
            sending.integration("b").await,
        ];
        assert_eq!(sending.drain().await, 2);
        for id in ids {
            let attempt = attempt(&sending, &id).await;
            assert_eq!(attempt["Cause"], "oauth_token_unavailable", "{attempt}");
            let told = attempt["Detail"].as_str().unwrap();
            assert!(
                told.contains(detail) || told.contains("took all the time"),
                "{told}"
            );
        }
        assert_eq!(sending.receiver.received().len(), 0);
    }
}

#[tokio::test]
async fn the_guard_judges_the_token_endpoint_as_it_judges_receivers() {
    // The configuration let them pass, as if from before a rule was made.
    for (url, detail) in [
        ("http://169.254.169.254/latest/api/token", "metadata"),
        ("https://10.0.0.1/token", "10.0.0.1"),
        ("https://localhost/token", "localhost"),
        ("http://192.0.2.1/token", "192.0.2.1"),
    ] {
        let mut sending = Sending::guarded(&["127.0.0.0/8"]).await;
        sending.webhook(settings(url)).await;
        let id = sending.integration("a").await;
        assert_eq!(sending.drain().await, 1);
        let attempt = attempt(&sending, &id).await;
        assert_eq!(attempt["Cause"], "oauth_token_unavailable", "{attempt}");
        let told = attempt["Detail"].as_str().unwrap();
        assert!(told.contains(detail), "{told}");
        assert_eq!(sending.receiver.received().len(), 0);
    }
}

#[tokio::test]
async fn a_receiver_that_echoes_the_token_is_scrubbed() {
    let (mut sending, server) = (Sending::start().await, Receiver::start().await);
    server.answers([issues("canary-token-4711", 600)]);
    sending
        .receiver
        .answers([Scripted::from(500).body("got canary-token-4711")]);
    sending.webhook(settings(&server.url("/token"))).await;
    let id = sending.integration("a").await;
    sending.drain().await;
    let attempt = attempt(&sending, &id).await;
    assert_eq!(attempt["Response"]["Body"], "got [redacted]");
    assert_eq!(attempt["Request"]["Headers"]["authorization"], "…");
    assert!(!attempt.to_string().contains("canary-token"), "{attempt}");
}
