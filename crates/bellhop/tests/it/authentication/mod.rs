//! How Bellhop proves itself to receivers: what stands in `Authorization`, and what is shown in the TLS handshake.

pub mod mutual_tls;
mod oauth;
mod settings;

use serde_json::{Value, json};

use crate::support::{receiver::Scripted, sending::Sending};

/// The only attempt of the first delivery of an integration.
async fn attempt(sending: &Sending, integration: &str) -> Value {
    let delivery = sending.delivery(integration, 1).await;
    assert_eq!(delivery["AttemptCount"], 1, "{delivery}");
    delivery["Attempts"][0].clone()
}

#[tokio::test]
async fn a_fixed_header_goes_with_every_request_and_nowhere_else() {
    // The second is the sample of RFC 7617.
    for (authentication, header, secret) in [
        (
            json!({ "Type": "Bearer", "Token": "mF_9.B5f-4.1JqM" }),
            "Bearer mF_9.B5f-4.1JqM",
            "mF_9.B5f-4.1JqM",
        ),
        (
            json!({ "Type": "Basic", "Username": "Aladdin", "Password": "open sesame" }),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "open sesame",
        ),
    ] {
        let mut sending = Sending::start().await;
        let settings = json!({ "Authentication": authentication, "RetrySchedule": [0], "FollowRedirects": true });
        sending.webhook(settings).await;
        // A receiver that echoes what it got, after a redirect within its origin.
        let echo = Scripted::from(500).body(format!("you said {header} and {secret}"));
        let moved = Scripted::from(307).header("location", "/moved");
        sending.receiver.answers([moved, echo]);
        let id = sending.integration("one").await;
        assert_eq!(sending.drain().await, 1);
        let received = sending.receiver.received();
        assert_eq!(received.len(), 2);
        for request in &received {
            assert_eq!(request.header("authorization"), header);
        }
        let attempt = attempt(&sending, &id).await;
        assert_eq!(attempt["Request"]["Headers"]["authorization"], "…");
        let told = attempt.to_string();
        assert!(told.contains("[redacted]"), "{told}");
        for hidden in [secret, header.split_once(' ').unwrap().1] {
            assert!(!told.contains(hidden), "{told}");
        }
    }
}

#[tokio::test]
async fn it_can_be_changed_and_taken_away() {
    let mut sending = Sending::start().await;
    let bearer = |token: &str| json!({ "Authentication": { "Type": "Bearer", "Token": token } });
    let made = sending.webhook(bearer("first")).await;
    let path = format!("/v1/webhooks/{}", made["Id"].as_str().unwrap());
    for (change, header) in [
        (json!({}), "Bearer first"),
        (bearer("second"), "Bearer second"),
        (json!({ "Description": "x" }), "Bearer second"),
        (json!({ "Authentication": null }), ""),
    ] {
        let asking = sending.app.operator(http::Method::PATCH, &path);
        asking.json(&change).send().await.expect(200);
        sending.integration("one").await;
        assert_eq!(sending.drain().await, 1);
        let received = sending.receiver.received();
        assert_eq!(received.last().unwrap().header("authorization"), header);
    }
}
