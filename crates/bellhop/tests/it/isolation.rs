//! Receivers that hang, beside one that answers. Nothing ends by itself here: a request that hangs is under way until
//! the test is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::sending::{MAX_IN_FLIGHT, Sending};

/// Accepts, and never says a word.
struct Hanging {
    url: String,
    held: Arc<AtomicUsize>,
}

impl Hanging {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let held = Arc::new(AtomicUsize::new(0));
        let count = held.clone();
        tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                all.push(stream);
                count.store(all.len(), SeqCst);
            }
        });
        Self { url, held }
    }

    fn held(&self) -> usize {
        self.held.load(SeqCst)
    }
}

/// Looks again and again; the test's own time-out is the limit.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// So many applications with a webhook to this URL and a message for it.
async fn webhooks_with_work(sending: &Sending, count: usize, url: &str) -> Vec<String> {
    let mut integrations = Vec::new();
    for n in 0..count {
        let application = sending.app.application(&format!("application {n}")).await;
        let settings = json!({ "Url": url, "TimeoutSeconds": 60 });
        sending.app.webhook(&application, settings).await;
        let made = sending.app.integration(&application, "sick").await;
        integrations.push(made["Id"].as_str().unwrap().to_owned());
    }
    integrations
}

#[tokio::test]
async fn more_hanging_receivers_than_there_is_room_do_not_hold_up_one_that_answers() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    sending.integration("before").await;
    sending.drain().await;

    let hanging = Hanging::start().await;
    let sick = webhooks_with_work(&sending, MAX_IN_FLIGHT + 16, &hanging.url).await;
    let sender = sending.send_in_background();
    until(|| hanging.held() >= MAX_IN_FLIGHT / 2).await;
    for n in 0..20 {
        sending.integration(&format!("beside {n}")).await;
    }
    until(|| sending.receiver.received().len() == 21).await;

    for integration in sick {
        let path = format!("/v1/deliveries?IntegrationId={integration}");
        let list = sending.app.get(&path).await.expect(200);
        let attempts = &list["Items"][0]["AttemptCount"];
        assert_eq!(attempts, &json!(0), "none of them ended meanwhile");
    }
    assert_eq!(hanging.held(), MAX_IN_FLIGHT / 2, "half of the room");
    sender.abort();
}

#[tokio::test]
async fn one_hanging_receiver_with_many_lanes_gets_few_requests_until_it_answers() {
    let mut sending = Sending::start().await;
    let hanging = Hanging::start().await;
    let settings = json!({ "Url": hanging.url, "TimeoutSeconds": 60, "MaxInFlight": 32 });
    let application = sending.application.clone();
    let webhook: Value = sending.app.webhook(&application, settings).await;
    for n in 0..12 {
        sending.integration(&format!("lane {n}")).await;
    }
    let sender = sending.send_in_background();
    until(|| hanging.held() >= 4).await;
    // What the other sends is claimed after it, so the one that hangs has had its turn.
    let other = sending.plain_webhook().await;
    assert_ne!(other["Id"], webhook["Id"]);
    sending.integration("beside").await;
    until(|| sending.receiver.received().len() == 1).await;
    assert_eq!(hanging.held(), 4);
    sender.abort();
}
