//! The stream of events.

use std::time::Duration;

use bellhop::{
    clock::Clock as _,
    feed::Event,
    id::{ApplicationId, WebhookId},
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, text},
    events::Events,
};

async fn open(app: &TestApp, query: &str) -> Events {
    let path = format!("/v1/events{query}");
    app.operator(Method::GET, &path)
        .stream()
        .await
        .opened()
        .await
}

async fn again(app: &TestApp, last_id: &str, query: &str) -> Events {
    let asking = app.operator(Method::GET, &format!("/v1/events{query}"));
    asking.header("last-event-id", last_id).stream().await
}

async fn command(app: &TestApp, integration: &Value, command: &str) {
    let path = format!("/v1/integrations/{}/{command}", text(&integration["Id"]));
    app.post(&path, &json!({})).await.expect(200);
}

async fn discard(app: &TestApp, delivery: &Value) {
    let path = format!("/v1/deliveries/{}/discard", text(&delivery["Id"]));
    let reason = json!({ "Reason": "not wanted" });
    app.post(&path, &reason).await.expect(200);
}

#[tokio::test]
async fn what_happens_is_told_as_it_is_in_all_other_answers() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Booking engine").await;
    let mut events = open(&app, "").await;

    let webhook = app.webhook(&application, json!({})).await;
    let mut told = events.expect("webhook").await;
    assert_eq!(told["Url"], "https://hooks.example.com/in?…");
    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    assert_eq!(told, app.get(&path).await.expect(200));

    let integration = app.integration(&application, "Front desk").await;
    told = events.expect("integration").await;
    let path = format!("/v1/integrations/{}", text(&integration["Id"]));
    assert_eq!(told, app.get(&path).await.expect(200));
    assert!(
        !told
            .to_string()
            .contains(integration["AccessToken"].as_str().unwrap())
    );
    let delivery = events.expect("delivery").await;
    assert_eq!(delivery["Action"], "IntegrationCreated");
    let listed = app.get("/v1/deliveries").await.expect(200);
    assert_eq!(delivery, listed["Items"][0]);

    discard(&app, &delivery).await;
    assert_eq!(events.expect("delivery").await["State"], "Discarded");

    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    app.operator(Method::DELETE, &path).send().await.expect(204);
    let gone = json!({ "Id": webhook["Id"], "ApplicationId": application });
    assert_eq!(events.expect("webhook-deleted").await, gone);
    app.stop().await;
}

#[tokio::test]
async fn who_comes_again_is_told_what_it_missed_and_nothing_twice() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Booking engine").await;
    let mut events = open(&app, "").await;
    let before_anything = events.last_id.clone();
    app.webhook(&application, json!({})).await;
    events.expect("webhook").await;
    let integration = app.integration(&application, "Front desk").await;
    events.expect("integration").await;
    events.expect("delivery").await;
    let heard = events.last_id.clone();
    drop(events);

    command(&app, &integration, "disable").await;
    app.webhook(&application, json!({})).await;
    let mut events = again(&app, &heard, "").await;
    assert_eq!(events.expect("integration").await["State"], "Disabled");
    assert_eq!(
        events.expect("delivery").await["Action"],
        "IntegrationDisabled"
    );
    events.expect("webhook").await;
    // And it goes on.
    command(&app, &integration, "enable").await;
    assert_eq!(events.expect("integration").await["State"], "Enabled");

    // From before the first event: each thing once, as it is now.
    let events = again(&app, &before_anything, "?WaitSeconds=0&Kind=Integration").await;
    let all = events.rest().await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0].data["State"], "Enabled");
    assert_eq!(all[1].name, "end");
    assert_eq!(all[1].data["Reason"], "WaitIsOver");
    app.stop().await;
}

#[tokio::test]
async fn who_was_away_for_too_long_is_told_so_and_what_was_made_meanwhile() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Booking engine").await;
    app.webhook(&application, json!({})).await;
    app.integration(&application, "Before").await;
    app.clock.advance(Duration::from_hours(1));
    let away_since = app.clock.now().as_millisecond();
    app.clock.advance(Duration::from_secs(10));
    let integration = app.integration(&application, "Meanwhile").await;
    command(&app, &integration, "disable").await;

    // Of another process, from before this one.
    let place = format!("0badcafe-7-{:x}", away_since - 7_200_000);
    let mut events = again(&app, &place, "").await;
    assert_eq!(events.expect("gap").await["Reason"], "PositionForgotten");
    for _ in 0..3 {
        events.expect("delivery").await;
    }
    // It listens from here on.
    assert_ne!(events.last_id, "");
    command(&app, &integration, "enable").await;
    events.expect("integration").await;

    // Of another process, in the time of this one: by time, and nothing is missing.
    let place = format!("0badcafe-7-{away_since:x}");
    let events = again(&app, &place, "?WaitSeconds=0").await;
    let all = events.rest().await;
    let names: Vec<_> = all.iter().map(|event| &*event.name).collect();
    // Three messages, and the integration once, as it is now.
    let expected = ["delivery", "delivery", "integration", "delivery", "end"];
    assert_eq!(names, expected);
    app.stop().await;
}

#[tokio::test]
async fn an_application_hears_of_its_own_things_alone() {
    let app = TestApp::start();
    app.enterprise().await;
    let (own, foreign) = (
        app.application("Own").await,
        app.application("Foreign").await,
    );
    let key = app
        .key(&json!({ "Scope": "application", "ApplicationId": own }))
        .await;
    let asking = app.ask(Method::GET, "/v1/events").key(&key);
    let mut events = asking.stream().await.opened().await;
    let start = events.last_id.clone();
    let theirs = app.webhook(&foreign, json!({})).await;
    app.integration(&foreign, "Theirs").await;
    let path = format!("/v1/webhooks/{}", text(&theirs["Id"]));
    app.operator(Method::DELETE, &path).send().await.expect(204);
    let ours = app.webhook(&own, json!({})).await;
    assert_eq!(events.expect("webhook").await["Id"], ours["Id"]);

    // What was missed, and what a gap is filled with, is narrowed as well.
    for place in [start, "0badcafe-7-1".to_owned()] {
        let asking = app.ask(Method::GET, "/v1/events?WaitSeconds=0").key(&key);
        let events = asking.header("last-event-id", &place).stream().await;
        let told = format!("{:?}", events.rest().await);
        assert!(!told.contains(&foreign), "{told}");
    }
    let path = format!("/v1/events?ApplicationId={foreign}");
    app.ask(Method::GET, &path)
        .key(&key)
        .send()
        .await
        .expect(404);
    app.stop().await;
}

#[tokio::test]
async fn filters_choose_what_is_told() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Booking engine").await;
    let one = app
        .webhook(&application, json!({ "Actions": ["IntegrationCreated"] }))
        .await;
    let other = app.webhook(&application, json!({})).await;
    let mut of_webhook = open(&app, &format!("?WebhookId={}", text(&other["Id"]))).await;
    let mut of_action = open(&app, "?Action=IntegrationDisabled").await;
    let mut of_state = open(&app, "?State=Discarded").await;
    let mut of_kind = open(&app, "?Kind=Webhook").await;
    let mut of_enterprise = open(
        &app,
        &format!(
            "?EnterpriseId={}&Kind=Delivery",
            crate::support::app::ENTERPRISE
        ),
    )
    .await;
    let integration = app.integration(&application, "Front desk").await;
    let delivery = of_webhook.expect("delivery").await;
    assert_eq!(delivery["WebhookId"], other["Id"]);
    command(&app, &integration, "disable").await;
    assert_eq!(of_action.expect("delivery").await["Sequence"], 2);
    discard(&app, &delivery).await;
    assert_eq!(of_state.expect("delivery").await["Id"], delivery["Id"]);
    let path = format!("/v1/webhooks/{}/pause", text(&one["Id"]));
    app.post(&path, &json!({})).await.expect(200);
    assert_eq!(of_kind.expect("webhook").await["State"], "Paused");
    of_enterprise.expect("delivery").await;
    app.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_so_let_go_and_misses_nothing() {
    let app = TestApp::start();
    let mut events = open(&app, "").await;
    for number in 0..5000_u128 {
        app.feed.tell(Event::WebhookDeleted {
            id: WebhookId(uuid::Uuid::from_u128(number)),
            application_id: ApplicationId(uuid::Uuid::from_u128(1)),
        });
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    // One that keeps up has heard all of it; then the slow one has been dropped from.
    let all = again(&app, &events.last_id, "?WaitSeconds=1")
        .await
        .rest()
        .await;
    assert_eq!(all.len(), 5001);
    let last = events.next().await.unwrap();
    assert_eq!(
        (&*last.name, &last.data["Reason"]),
        ("end", &json!("TooSlow"))
    );
    assert!(last.data["Dropped"].as_u64().unwrap() > 1000);
    let last_id = events.last_id.clone();
    assert!(events.next().await.is_none(), "it is closed");
    let all = again(&app, &last_id, "?WaitSeconds=0").await.rest().await;
    assert_eq!(all.len(), 5001);
    app.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let app = TestApp::start();
    let made = app
        .post("/v1/keys", &json!({ "Scope": "operator" }))
        .await
        .expect(201);
    let asking = app
        .ask(Method::GET, "/v1/events")
        .key(made["Key"].as_str().unwrap());
    let mut events = asking.stream().await.opened().await;
    let path = format!("/v1/keys/{}", text(&made["Id"]));
    app.operator(Method::DELETE, &path).send().await.expect(204);
    assert_eq!(events.expect("end").await["Reason"], "KeyEnded");
    assert!(events.next().await.is_none());
    app.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let app = TestApp::start();
    let mut events = open(&app, "").await;
    app.api.drain();
    assert_eq!(events.expect("end").await["Reason"], "ServerStopping");
    assert!(events.next().await.is_none());
    app.stop().await;
}

#[tokio::test]
async fn a_key_has_so_many_streams_and_no_more() {
    let app = TestApp::start();
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(open(&app, "").await);
    }
    let refused = app.get("/v1/events").await;
    assert_eq!(refused.expect(429)["code"], "too_many_requests");
    assert_eq!(refused.header("retry-after"), "10");
    // Another key has its own.
    let key = app.key(&json!({ "Scope": "operator" })).await;
    app.ask(Method::GET, "/v1/events").key(&key).stream().await;
    all.pop();
    open(&app, "").await;
    app.stop().await;
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_there_and_where() {
    let app = TestApp::start();
    let mut events = open(&app, "?Kind=Delivery").await;
    let before = events.last_id.clone();
    let mut all = open(&app, "").await;
    let application = app.application("Booking engine").await;
    app.webhook(&application, json!({})).await;
    all.expect("webhook").await;
    drop(all);
    // Nobody moves the time but the time-outs of an idle runtime. What was read is read.
    tokio::time::pause();
    assert_eq!(events.block().await.unwrap(), ": still here");
    events.block().await.unwrap();
    // What it did not want to hear of is behind it.
    assert_ne!(events.last_id, before);
    // A database that takes its time is no idle runtime.
    tokio::time::resume();
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_place_of_a_stream_is_refused() {
    let app = TestApp::start();
    for id in ["x", "1-2", "1-2-3-4"] {
        let asking = app
            .operator(Method::GET, "/v1/events")
            .header("last-event-id", id);
        assert_eq!(asking.send().await.expect(400)["code"], "bad_header");
    }
    for query in [
        "WaitSeconds=3601",
        "Kind=Key",
        "State=Open",
        "FromUtc=2026-01-01T00:00:00Z",
    ] {
        app.get(&format!("/v1/events?{query}")).await.expect(422);
    }
    app.stop().await;
}
