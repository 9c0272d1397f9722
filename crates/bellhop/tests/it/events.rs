//! The stream of events of the real server: what attempts come to, and what other replicas do.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::{
    replicas::replica,
    store::postgres::{TestDatabase, cluster},
    support::{events::Events, receiver::Receiver, server::Server},
};

async fn webhook(server: &Server, application: &str, url: &str) -> Value {
    let path = format!("/v1/applications/{application}/webhooks");
    let settings = json!({ "Url": url, "RetrySchedule": [0, 3600] });
    server.make(&path, &settings).await
}

/// Waits until so many replicas listen to each other: one that has just started says that it may have missed something.
async fn listening(database: &TestDatabase, replicas: i64) {
    let connected = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    let _running = tokio::spawn(connection);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %' \
        AND state = 'idle'";
    while client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) < replicas {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Reads until a delivery is so.
async fn until_delivery(events: &mut Events, state: &str) -> Value {
    loop {
        let event = events.next().await.expect("the stream ended");
        assert_ne!(event.name, "gap", "{}", event.data);
        if event.name == "delivery" && event.data["State"] == state {
            return event.data;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_attempts_come_to_is_told_and_a_stop_ends_the_streams() {
    let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
    let receiver = Receiver::start().await;
    receiver.answers([204, 410]);
    let application = server.application("Booking engine").await;
    webhook(&server, &application, &receiver.url("/hook")).await;
    let mut events = server.events("", "").await;
    let integration = server.integration(&application, "Front desk").await;
    assert_eq!(events.expect("integration").await["Id"], integration["Id"]);
    let delivered = until_delivery(&mut events, "Delivered").await;
    assert_eq!(delivered["AttemptCount"], 1);

    // 410 disables the webhook, and nobody asked for that.
    let path = format!("/v1/integrations/{}/disable", id_of(&integration));
    server.ask(Method::POST, &path, Some(&json!({}))).await;
    let mut of_webhook = server.events("?Kind=Webhook", &events.last_id).await;
    assert_eq!(of_webhook.expect("webhook").await["State"], "Disabled");

    let began = Instant::now();
    assert!(server.end().await);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "a stream held the server up"
    );
    assert_eq!(of_webhook.expect("end").await["Reason"], "ServerStopping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_that_opens_and_closes_is_told() {
    let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
    let receiver = Receiver::start().await;
    receiver.answers([500; 10]);
    let application = server.application("Booking engine").await;
    webhook(&server, &application, &receiver.url("/hook")).await;
    let mut events = server.events("?Kind=Webhook", "").await;
    // Each lane fails once.
    for number in 0..10 {
        server
            .integration(&application, &format!("Desk {number}"))
            .await;
    }
    let opened = events.expect("webhook").await;
    assert_eq!(opened["Health"]["Circuit"], "Open");
    let listed = server.get("/v1/deliveries?Limit=1").await;
    let path = format!("/v1/deliveries/{}/replay", id_of(&listed["Items"][0]));
    server.ask(Method::POST, &path, Some(&json!({}))).await;
    let closed = events.expect("webhook").await;
    assert_eq!(closed["Health"]["Circuit"], "Closed");
    assert!(server.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_replica_does_is_told_and_a_place_of_one_is_good_for_the_other() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    listening(&database, 2).await;
    let began = tokio::time::Instant::now();
    let receiver = Receiver::start().await;
    let application = one.application("Booking engine").await;
    let mut events = other.events("", "").await;
    let made = webhook(&one, &application, &receiver.url("/hook")).await;
    assert_eq!(events.expect("webhook").await["Id"], made["Id"]);
    let integration = one.integration(&application, "Front desk").await;
    assert_eq!(events.expect("integration").await["Id"], integration["Id"]);
    until_delivery(&mut events, "Delivered").await;
    drop(events);

    // Processes whose clocks are not ours: a replica knows what another one tells of the time since it was there, and clocks
    // may be apart by two seconds.
    tokio::time::sleep_until(began + Duration::from_millis(2100)).await;
    let events = other.events("", "").await;
    let path = format!("/v1/integrations/{}/disable", id_of(&integration));
    one.ask(Method::POST, &path, Some(&json!({}))).await;
    let mut events = one.events("", &events.last_id).await;
    // What happened up to two seconds before may come again.
    while until_delivery(&mut events, "Delivered").await["Sequence"] != 2 {}
    let path = format!("/v1/webhooks/{}/pause", id_of(&made));
    other.ask(Method::POST, &path, Some(&json!({}))).await;
    loop {
        let event = events.next().await.unwrap();
        assert_ne!(event.name, "gap", "{}", event.data);
        if event.name == "webhook" {
            assert_eq!(event.data["State"], "Paused");
            break;
        }
    }
    assert!(one.end().await && other.end().await);
}

fn id_of(document: &Value) -> &str {
    document["Id"].as_str().unwrap()
}
