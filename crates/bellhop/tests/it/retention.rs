//! Retention, from the settings to what the API answers. Time is moved by hand.

use std::{sync::Arc, time::Duration};

use bellhop::{
    clock::Clock as _,
    config::Config,
    delivery::retention::{Retention, RetentionObserver},
    store::{AuditFilter, Purged},
};
use serde_json::json;

use crate::support::{app::text, sending::Sending};

const DAY: Duration = Duration::from_hours(24);
const ALMOST_A_DAY: Duration = Duration::from_secs(86_399);

#[derive(Debug)]
struct NotCounting;

impl RetentionObserver for NotCounting {
    fn purged(&self, _: &Purged) {}
}

/// With the default settings.
fn retention(sending: &Sending) -> Retention {
    let keep = Config::of_flags(vec![]).unwrap().keep;
    Retention::new(
        sending.app.store.clone(),
        sending.app.clock.clone(),
        keep,
        Arc::new(NotCounting),
    )
}

/// Until nothing is left to purge.
async fn purge(retention: &mut Retention) -> Purged {
    let mut all = Purged::default();
    loop {
        let purged = retention.step().await.unwrap();
        all.deliveries += purged.deliveries;
        all.tombstones += purged.tombstones;
        all.replays += purged.replays;
        all.others += purged.others;
        if !purged.has_more {
            return all;
        }
    }
}

#[tokio::test]
async fn what_was_delivered_is_kept_for_30_days_and_then_not_found() {
    let mut sending = Sending::start().await;
    let mut retention = retention(&sending);
    sending.plain_webhook().await;
    let id = sending.integration("Front desk").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 2);
    let listed = sending.app.get("/v1/deliveries").await.expect(200);
    let delivery = text(&listed["Items"][0]["Id"]);
    let path = format!("/v1/deliveries/{delivery}");

    sending.app.clock.advance(29 * DAY + ALMOST_A_DAY);
    assert_eq!(purge(&mut retention).await.total(), 0);
    sending.app.get(&path).await.expect(200);

    sending.app.clock.advance(Duration::from_secs(1));
    assert_eq!(purge(&mut retention).await.deliveries, 2);
    let problem = sending.app.get(&path).await.expect(404);
    assert!(text(&problem["detail"]).contains("delivery_retention_seconds"));
    let replay = format!("{path}/replay");
    sending.app.post(&replay, &json!({})).await.expect(404);
    let listed = sending.app.get("/v1/deliveries").await.expect(200);
    assert_eq!(listed, json!({ "Items": [], "NextCursor": null }));

    // The history is whole, and the receiver can still tell that it missed nothing.
    let history = format!("/v1/integrations/{id}/messages");
    let history = sending.app.get(&history).await.expect(200);
    assert_eq!(history["Items"].as_array().unwrap().len(), 2);
    sending.command(&id, "enable").await;
    assert_eq!(sending.drain().await, 1);
    let last = sending.receiver.received().pop().unwrap();
    assert_eq!(last.header("bellhop-sequence"), "3");
    assert_eq!(last.header("bellhop-previous"), "2");
    sending.app.stop().await;
}

/// Entries go once they are linked: on PostgreSQL that is done soon after.
async fn link_all(sending: &Sending) {
    let (store, now) = (&sending.app.store, sending.app.clock.now());
    let all = store.audited(AuditFilter::default(), None, 1000).await;
    let all = all.unwrap().entries.len() as u64;
    while store.link_audit(now).await.unwrap().chain.position < all {
        tokio::task::yield_now().await;
    }
}

/// By default the audit log is kept for ever; with a time of its own what is older goes, and the log says so.
#[tokio::test]
async fn the_audit_log_is_kept_as_long_as_it_is_set() {
    let sending = Sending::start().await;
    let mut for_ever = retention(&sending);
    let week = vec![("audit_retention_seconds", (7 * 86_400).to_string())];
    let mut for_a_week = Retention::new(
        sending.app.store.clone(),
        sending.app.clock.clone(),
        Config::of_flags(week).unwrap().keep,
        Arc::new(NotCounting),
    );
    sending.plain_webhook().await;
    let id = sending.integration("Front desk").await;
    sending.command(&id, "disable").await;
    link_all(&sending).await;
    let path = format!("/v1/audit?SubjectId={id}");
    let count = async |sending: &Sending| {
        let listed = sending.app.get(&path).await.expect(200);
        listed["Items"].as_array().unwrap().len()
    };
    sending.app.clock.advance(7 * DAY + ALMOST_A_DAY);
    purge(&mut for_ever).await;
    assert_eq!(count(&sending).await, 2);
    sending.command(&id, "enable").await;
    purge(&mut for_a_week).await;
    assert_eq!(count(&sending).await, 1, "what was done just now");
    let said = sending.app.get("/v1/audit?Action=AuditLogPurged").await;
    let said = said.expect(200);
    assert_eq!(said["Items"][0]["Actor"]["Kind"], "System");
    sending.app.stop().await;
}

/// Bodies are not erased here: what says that they are to be goes with them.
#[tokio::test]
async fn nothing_is_left_of_an_integration_that_is_purged() {
    let mut sending = Sending::start().await;
    let mut retention = retention(&sending);
    sending.plain_webhook().await;
    let id = sending.integration("Front desk").await;
    sending.command(&id, "disable").await;
    let path = format!("/v1/integrations/{id}");
    let delete = sending.app.operator(http::Method::DELETE, &path);
    delete.send().await.expect(200);
    assert_eq!(sending.drain().await, 3);
    assert_ne!(sending.app.place.rows_of_integrations(), []);
    sending.app.clock.advance(400 * DAY);
    assert_eq!(purge(&mut retention).await.tombstones, 1);
    assert_eq!(sending.app.place.rows_of_integrations(), []);
    sending.app.stop().await;
}

#[tokio::test]
async fn what_is_held_outlives_every_time() {
    let mut sending = Sending::start().await;
    let mut retention = retention(&sending);
    let webhook = text(&sending.plain_webhook().await["Id"]);
    let pause = format!("/v1/webhooks/{webhook}/pause");
    sending.app.post(&pause, &json!({})).await.expect(200);
    let id = sending.integration("Front desk").await;
    let path = format!("/v1/integrations/{id}");
    let delete = sending.app.operator(http::Method::DELETE, &path);
    delete.send().await.expect(200);
    sending.app.clock.advance(1000 * DAY);
    assert_eq!(purge(&mut retention).await.tombstones, 0);
    let resume = format!("/v1/webhooks/{webhook}/resume");
    sending.app.post(&resume, &json!({})).await.expect(200);
    assert_eq!(sending.drain().await, 2);
    // What ended late goes late, and the tombstone with it.
    sending.app.clock.advance(30 * DAY);
    let purged = purge(&mut retention).await;
    assert_eq!((purged.deliveries, purged.tombstones), (2, 1));
    sending.app.get(&path).await.expect(404);
    let now = bellhop::clock::Clock::now(&*sending.app.clock);
    let figures = sending.app.store.stats(now).await.unwrap();
    assert_eq!(figures.deliveries, [0; 4]);
    sending.app.stop().await;
}
