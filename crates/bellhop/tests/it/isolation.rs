//! Receivers that hang, beside one that answers. Nothing ends by itself here: a request that hangs is under way until
//! the test is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::sending::{MAX_IN_FLIGHT, MAX_PER_HOST, Sending};

/// How many hosts the hanging receivers are on.
const HOSTS: usize = 8;

/// Accept, and never say a word.
struct Hanging {
    urls: Vec<String>,
    held: Arc<AtomicUsize>,
}

impl Hanging {
    async fn start() -> Self {
        let held = Arc::new(AtomicUsize::new(0));
        let mut urls = Vec::new();
        for _ in 0..HOSTS {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            urls.push(format!("http://{}/hook", listener.local_addr().unwrap()));
            tokio::spawn(hold(listener, held.clone()));
        }
        Self { urls, held }
    }

    /// They take turns.
    fn url(&self, n: usize) -> &str {
        &self.urls[n % HOSTS]
    }

    fn held(&self) -> usize {
        self.held.load(SeqCst)
    }
}

async fn hold(listener: TcpListener, held: Arc<AtomicUsize>) {
    let mut all = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        all.push(stream);
        held.fetch_add(1, SeqCst);
    }
}

/// A webhook of an application of its own.
struct Member {
    application: String,
    webhook: Value,
}

impl Member {
    async fn join(sending: &Sending, n: usize, url: &str) -> Self {
        let application = sending.app.application(&format!("application {n}")).await;
        let settings = json!({ "Url": url, "TimeoutSeconds": 60 });
        let webhook = sending.app.webhook(&application, settings).await;
        Self {
            application,
            webhook,
        }
    }

    /// Makes a message for it; answers with the integration.
    async fn message(&self, sending: &Sending) -> String {
        let made = sending.app.integration(&self.application, "lane").await;
        made["Id"].as_str().unwrap().to_owned()
    }

    async fn move_to(&self, sending: &Sending, url: &str) {
        let path = format!("/v1/webhooks/{}", self.webhook["Id"].as_str().unwrap());
        let change = sending.app.operator(Method::PATCH, &path);
        change.json(&json!({ "Url": url })).send().await.expect(200);
    }
}

/// Looks again and again; the test's own time-out is the limit.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn none_has_ended(sending: &Sending, integrations: &[String]) {
    for integration in integrations {
        let path = format!("/v1/deliveries?IntegrationId={integration}");
        let list = sending.app.get(&path).await.expect(200);
        let attempts = &list["Items"][0]["AttemptCount"];
        assert_eq!(attempts, &json!(0), "it ended meanwhile");
    }
}

#[tokio::test]
async fn more_hanging_receivers_than_there_is_room_do_not_hold_up_one_that_answers() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    sending.integration("before").await;
    sending.drain().await;

    let hanging = Hanging::start().await;
    let mut sick = Vec::new();
    for n in 0..MAX_IN_FLIGHT + HOSTS {
        let member = Member::join(&sending, n, hanging.url(n)).await;
        sick.push(member.message(&sending).await);
    }
    let sender = sending.send_in_background();
    until(|| hanging.held() >= MAX_IN_FLIGHT / 2).await;
    for n in 0..20 {
        sending.integration(&format!("beside {n}")).await;
    }
    until(|| sending.receiver.received().len() == 21).await;
    none_has_ended(&sending, &sick).await;
    assert_eq!(hanging.held(), MAX_IN_FLIGHT / 2, "half of the room");
    sender.abort();
}

#[tokio::test]
async fn webhooks_that_went_to_another_host_and_hang_there_take_no_room_of_the_former_one() {
    let mut sending = Sending::start().await;
    sending.plain_webhook().await;
    let mut members = Vec::new();
    for n in 0..MAX_PER_HOST + 4 {
        members.push(Member::join(&sending, n, &sending.receiver.url("/hook")).await);
    }
    let sender = sending.send_in_background();
    let before = members.len() + 1;
    sending.integration("before").await;
    for member in &members {
        member.message(&sending).await;
    }
    until(|| sending.receiver.received().len() == before).await;

    let hanging = Hanging::start().await;
    let mut sick = Vec::new();
    for (n, member) in members.iter().enumerate() {
        member.move_to(&sending, hanging.url(n)).await;
        sick.push(member.message(&sending).await);
    }
    until(|| hanging.held() == members.len()).await;
    sending.integration("beside").await;
    until(|| sending.receiver.received().len() == before + 1).await;
    none_has_ended(&sending, &sick).await;
    sender.abort();
}

#[tokio::test]
async fn one_hanging_receiver_with_many_lanes_gets_few_requests_until_it_answers() {
    let mut sending = Sending::start().await;
    let hanging = Hanging::start().await;
    let settings = json!({ "Url": hanging.url(0), "TimeoutSeconds": 60, "MaxInFlight": 32 });
    let application = sending.application.clone();
    sending.app.webhook(&application, settings).await;
    for n in 0..12 {
        sending.integration(&format!("lane {n}")).await;
    }
    let sender = sending.send_in_background();
    until(|| hanging.held() >= 4).await;
    // What the other sends is claimed after it, so the one that hangs has had its turn.
    sending.plain_webhook().await;
    sending.integration("beside").await;
    until(|| sending.receiver.received().len() == 1).await;
    assert_eq!(hanging.held(), 4);
    sender.abort();
}
