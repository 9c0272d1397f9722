//! Webhooks: their settings, and what can be done with them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

#[tokio::test]
async fn settings_are_kept_and_shown() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let made = app
        .webhook(
            &application,
            json!({
                "Url": "https://hooks.example.com/in?secret=hush",
                "Actions": ["IntegrationCreated", "IntegrationDeleted"],
                "Profile": "2025", "Description": "Front desk", "TimeoutSeconds": 5,
                "RetrySchedule": [0, 5, 300], "MaxInFlight": 4, "RateLimit": 10, "FollowRedirects": true,
                "Headers": { "X-Tenant": "hush" },
                "Secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            }),
        )
        .await;
    assert_eq!(made["Secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let id = text(&made["Id"]);
    // printf %s whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw | sha256sum | head -c 12
    let secret = json!({
        "Fingerprint": "96ad2ccd8146", "Kind": "whsec", "CreatedUtc": "2019-12-13T14:42:52Z", "ExpiresUtc": null
    });
    let mut expected = json!({
        "Id": id, "ApplicationId": application, "Url": "https://hooks.example.com/in?…",
        "Description": "Front desk", "Actions": ["IntegrationCreated", "IntegrationDeleted"],
        "Profile": "2025", "State": "Enabled", "StateReason": null, "TimeoutSeconds": 5,
        "RetrySchedule": [0, 5, 300], "MaxInFlight": 4, "RateLimit": 10, "FollowRedirects": true,
        "Headers": { "X-Tenant": "…" }, "Authentication": null, "ClientCertificate": null,
        "Signatures": ["v1"], "PublicKey": null, "PublicKeysUrl": null,
        "CreatedUtc": "2019-12-13T14:42:52Z", "Secrets": [secret],
        "Health": {
            "Circuit": "Closed", "ConsecutiveFailures": 0, "FailingSinceUtc": null, "OpenUntilUtc": null,
            "InFlightLimit": null
        }
    });
    let path = format!("/v1/webhooks/{id}");
    assert_eq!(app.get(&path).await.expect(200), expected);

    let change = json!({ "RateLimit": null, "Actions": [], "Headers": {}, "Url": "https://other.example/", "FollowRedirects": false });
    let changed = app
        .operator(Method::PATCH, &path)
        .json(&change)
        .send()
        .await
        .expect(200);
    for (member, value) in [
        ("RateLimit", Value::Null),
        ("Actions", json!([])),
        ("Headers", json!({})),
        ("FollowRedirects", json!(false)),
        ("Url", json!("https://other.example/")),
    ] {
        expected[member] = value;
    }
    assert_eq!(changed, expected);
    assert_eq!(app.get(&path).await.expect(200), expected);
    assert_eq!(app.operator(Method::DELETE, &path).send().await.status, 204);
    app.get(&path).await.expect(404);
    app.stop().await;
}

#[tokio::test]
async fn a_paused_webhook_resumes() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let id = text(&app.webhook(&application, json!({})).await["Id"]);
    for (command, body, state, reason, changed) in [
        ("resume", json!({}), "Enabled", Value::Null, false),
        (
            "pause",
            json!({ "Reason": "Moving" }),
            "Paused",
            json!("Moving"),
            true,
        ),
        (
            "pause",
            json!({ "Reason": "Moving" }),
            "Paused",
            json!("Moving"),
            false,
        ),
        ("resume", json!({}), "Enabled", Value::Null, true),
    ] {
        let after = app
            .post(&format!("/v1/webhooks/{id}/{command}"), &body)
            .await
            .expect(200);
        assert_eq!(after["State"], state, "{command}");
        assert_eq!(after["StateReason"], reason, "{command}");
        assert_eq!(after["Changed"], changed, "{command}");
        assert!(after["Secret"].is_null());
    }
    app.stop().await;
}

#[tokio::test]
async fn a_rotated_secret_overlaps() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let made = app.webhook(&application, json!({})).await;
    let id = text(&made["Id"]);
    let path = format!("/v1/webhooks/{id}/rotate-secret");
    let rotated = app
        .post(&path, &json!({ "OverlapSeconds": 60 }))
        .await
        .expect(200);
    assert_ne!(rotated["Secret"], made["Secret"]);
    // The sender of test messages gets the webhook with all its secrets: the newest first.
    let tested = app
        .post(&format!("/v1/webhooks/{id}/test"), &json!({}))
        .await
        .expect(202);
    assert_eq!(tested["MessageId"], format!("msg_test_{}", "05".repeat(16)));
    let (webhook, wait) = app.tested.0.lock().unwrap().remove(0);
    assert_eq!(wait.as_secs(), 10);
    let now = app.api.lifecycle().now();
    let active = |at| {
        webhook
            .active_secrets(at)
            .map(|s| s.text.expose().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        active(now),
        [text(&rotated["Secret"]), text(&made["Secret"])]
    );
    assert_eq!(
        active(now + Duration::from_mins(1)),
        [text(&rotated["Secret"])]
    );
    app.stop().await;
}

#[tokio::test]
async fn a_test_waits_as_long_as_the_caller_prefers() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let id = text(&app.webhook(&application, json!({})).await["Id"]);
    for (preference, seconds) in [
        ("wait=5", 5),
        ("respond-async, wait=7", 7),
        ("wait=9999", 60),
        ("wait=x", 10),
    ] {
        app.operator(Method::POST, &format!("/v1/webhooks/{id}/test"))
            .header("prefer", preference)
            .send()
            .await
            .expect(202);
        let (_, wait) = app.tested.0.lock().unwrap().remove(0);
        assert_eq!(wait.as_secs(), seconds, "{preference}");
    }
    app.stop().await;
}
