//! Replays in bulk: the dry run, its token, and who may do what.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

/// An application with a webhook and two pending deliveries of two integrations.
async fn application(app: &TestApp, name: &str) -> (String, String) {
    let application = app.application(name).await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    app.integration(&application, "one").await;
    app.integration(&application, "two").await;
    (application, webhook)
}

async fn preview(app: &TestApp, filter: Value) -> Value {
    let mut filter = filter;
    filter["DryRun"] = true.into();
    app.post("/v1/replays", &filter).await.expect(200)
}

#[tokio::test]
async fn a_run_needs_the_token_of_a_dry_run() {
    let app = TestApp::start();
    app.enterprise().await;
    let (_, webhook) = application(&app, "Acme Keys").await;
    let refused = app
        .post("/v1/replays", &json!({ "WebhookId": webhook }))
        .await;
    let refused = refused.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/Token");
    let detail = text(&refused["errors"][0]["detail"]);
    assert!(detail.starts_with("Make a dry run first"), "{detail}");
    let refused = app.post("/v1/replays", &json!({ "DryRun": true })).await;
    let detail = text(&refused.expect(422)["errors"][0]["detail"]);
    assert!(detail.contains("at least one of WebhookId"), "{detail}");
    for (body, pointer) in [
        (json!({ "Token": "AAAA" }), "/Token"),
        (
            json!({ "DryRun": true, "Token": "AAAA", "State": "Failed" }),
            "/Token",
        ),
        (json!({ "DryRun": true, "State": "Fialed" }), "/State"),
        (
            json!({ "DryRun": true, "FromUtc": "yesterday" }),
            "/FromUtc",
        ),
        (json!({ "DryRun": true, "Webhook": webhook }), "/Webhook"),
    ] {
        let refused = app.post("/v1/replays", &body).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(app.get("/v1/replays").await.expect(200)["Items"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn what_ran_is_what_was_previewed() {
    let app = TestApp::start();
    app.enterprise().await;
    let (application, webhook) = application(&app, "Acme Keys").await;
    let filter = json!({ "WebhookId": webhook, "FromUtc": "2019-12-13T14:42:52Z" });
    let seen = preview(&app, filter.clone()).await;
    assert_eq!(
        (&seen["Total"], &seen["ByState"]["Pending"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(seen["ExpiresUtc"], "2019-12-13T15:42:52Z");
    // The filter may be given again; another may not.
    let mut other = filter.clone();
    other["Token"] = seen["Token"].clone();
    other["State"] = "Failed".into();
    let refused = app.post("/v1/replays", &other).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/Token");
    // What came since is not part of it, and changes nothing.
    app.clock.advance(Duration::from_secs(1));
    app.integration(&application, "three").await;
    let mut same = filter.clone();
    same["Token"] = seen["Token"].clone();
    let post = || {
        app.operator(Method::POST, "/v1/replays")
            .header("idempotency-key", "once")
            .json(&same)
            .send()
    };
    let started = post().await.expect(201);
    assert_eq!(started["Total"], 2);
    assert_eq!(
        started["Filter"],
        json!({ "WebhookId": webhook, "FromUtc": "2019-12-13T14:42:52.000Z" })
    );
    assert_eq!(started["ApplicationId"], *application);

    // One that was settled since is a change,
    let page = app.get("/v1/deliveries").await.expect(200);
    let oldest = text(&page["Items"][2]["Id"]);
    let discard = format!("/v1/deliveries/{oldest}/discard");
    app.post(&discard, &json!({ "Reason": "x" }))
        .await
        .expect(200);
    let outdated = app.post("/v1/replays", &same).await.expect(409);
    assert_eq!(outdated["code"], "preview_outdated");
    assert_eq!(outdated["Counts"]["Total"], 1);
    // and the same request has its first answer all the same.
    assert_eq!(post().await.expect(201), started);

    let seen = preview(&app, filter).await;
    app.clock.advance(Duration::from_hours(1));
    let token = json!({ "Token": seen["Token"] });
    let expired = app.post("/v1/replays", &token).await.expect(409);
    assert_eq!(expired["code"], "preview_outdated");
    let listed = app.get("/v1/replays").await.expect(200);
    assert_eq!(listed["Items"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn an_application_replays_its_own() {
    let app = TestApp::start();
    app.enterprise().await;
    let (own, webhook) = application(&app, "Own").await;
    let (foreign, foreign_webhook) = application(&app, "Foreign").await;
    let key = app
        .key(&json!({ "Scope": "application", "ApplicationId": own }))
        .await;
    let post = async |path: &str, body: Value| {
        app.ask(Method::POST, path)
            .key(&key)
            .json(&body)
            .send()
            .await
    };
    let dry = json!({ "DryRun": true, "State": "Pending" });
    let seen = post("/v1/replays", dry).await.expect(200);
    assert_eq!(
        seen["ByWebhook"],
        json!([{ "WebhookId": webhook, "Total": 2 }])
    );
    let dry = json!({ "DryRun": true, "WebhookId": foreign_webhook });
    assert_eq!(post("/v1/replays", dry).await.expect(200)["Total"], 0);
    let dry = json!({ "DryRun": true, "ApplicationId": foreign });
    post("/v1/replays", dry).await.expect(404);
    post(
        &format!("/v1/webhooks/{foreign_webhook}/backfill"),
        json!({}),
    )
    .await
    .expect(404);

    // The token of another is of no use, nor is a run of another.
    let theirs = preview(&app, json!({ "ApplicationId": foreign })).await;
    let token = json!({ "Token": theirs["Token"] });
    post("/v1/replays", token.clone()).await.expect(404);
    let everything = preview(&app, json!({ "State": "Pending" })).await;
    assert_eq!(everything["Total"], 4);
    let all = json!({ "Token": everything["Token"] });
    post("/v1/replays", all.clone()).await.expect(422);
    for body in [token, all] {
        let theirs = app.post("/v1/replays", &body).await.expect(201);
        let path = format!("/v1/replays/{}", text(&theirs["Id"]));
        app.ask(Method::GET, &path)
            .key(&key)
            .send()
            .await
            .expect(404);
        post(&format!("{path}/cancel"), json!({})).await.expect(404);
    }
    let mine = post("/v1/replays", json!({ "Token": seen["Token"] }))
        .await
        .expect(201);
    let listed = app.ask(Method::GET, "/v1/replays").key(&key).send().await;
    assert_eq!(listed.expect(200)["Items"], json!([mine]));
    let page = app.get("/v1/replays?Limit=2").await.expect(200);
    assert_eq!(page["Items"][0]["Id"], mine["Id"]);
    let next = format!("/v1/replays?Cursor={}", text(&page["NextCursor"]));
    let rest = app.get(&next).await.expect(200);
    assert_eq!(rest["Items"].as_array().unwrap().len(), 1);
    app.stop().await;
}
