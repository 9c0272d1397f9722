//! The whole way from command to receiver, step by step: the API, the store, the dispatcher, real requests to a
//! receiver on loopback, and time that is moved by hand.

use std::{sync::Arc, time::Duration};

use bellhop::{
    delivery::{
        DeliveryObserver,
        attempt::Attempts,
        dispatcher::{Dispatcher, Parts},
        egress::EgressPolicy,
        prepared::Directory,
        sender::{Sender, SenderOptions},
    },
    domain::cause::Cause,
};
use serde_json::{Value, json};

use super::{app::TestApp, random::SeededRandom, receiver::Receiver};

/// The app with a dispatcher that is stepped by hand, and a receiver.
pub struct Sending {
    /// The API and the store.
    pub app: TestApp,
    /// The receiver.
    pub receiver: Receiver,
    /// The application that has the webhooks.
    pub application: String,
    dispatcher: Dispatcher,
}

#[derive(Debug)]
struct NotCounting;

impl DeliveryObserver for NotCounting {
    fn attempted(&self, _: Option<Cause>, _: Duration) {}
    fn first_attempt(&self, _: Duration) {}
}

impl Sending {
    /// An enterprise, an application, a receiver; no webhook yet.
    pub async fn start() -> Self {
        let app = TestApp::start();
        app.enterprise().await;
        let application = app.application("Sample Key Cards").await;
        let dispatcher = dispatcher(&app);
        Self {
            app,
            receiver: Receiver::start().await,
            application,
            dispatcher,
        }
    }

    /// A webhook to the receiver, with these settings.
    pub async fn webhook(&self, mut settings: Value) -> Value {
        settings["Url"] = self.receiver.url("/hook").into();
        self.app.webhook(&self.application, settings).await
    }

    /// A webhook with the default settings.
    pub async fn plain_webhook(&self) -> Value {
        self.webhook(json!({})).await
    }

    /// An integration of the application; answers with its id.
    pub async fn integration(&self, name: &str) -> String {
        let made = self.app.integration(&self.application, name).await;
        made["Id"].as_str().unwrap().to_owned()
    }

    /// Runs a command on an integration.
    pub async fn command(&self, id: &str, command: &str) -> Value {
        self.app
            .post(&format!("/v1/integrations/{id}/{command}"), &json!({}))
            .await
            .expect(200)
    }

    /// Sends everything that is due now, until nothing is. Answers with the number of attempts.
    pub async fn drain(&mut self) -> usize {
        let mut made = 0;
        loop {
            match self.dispatcher.step().await.unwrap() {
                0 => return made,
                more => made += more,
            }
        }
    }

    /// Moves time on, then sends what has become due.
    pub async fn after(&mut self, seconds: u64) -> usize {
        self.app.clock.advance(Duration::from_secs(seconds));
        self.drain().await
    }

    /// The only delivery with this sequence, with its attempts.
    pub async fn delivery(&self, integration: &str, sequence: u64) -> Value {
        let list = self
            .app
            .get(&format!("/v1/deliveries?IntegrationId={integration}"))
            .await
            .expect(200);
        let items = list["Items"].as_array().unwrap();
        let found: Vec<&Value> = items
            .iter()
            .filter(|item| item["Sequence"] == sequence)
            .collect();
        assert_eq!(found.len(), 1, "{list}");
        let id = found[0]["Id"].as_str().unwrap();
        self.app
            .get(&format!("/v1/deliveries/{id}"))
            .await
            .expect(200)
    }

    /// A process that died and came back: what was only in memory is gone.
    pub fn forget_everything_in_memory(&mut self) {
        self.dispatcher = dispatcher(&self.app);
    }

    /// Sequences of what came, in order of arrival.
    pub fn arrived(&self) -> Vec<u64> {
        self.receiver
            .received()
            .iter()
            .map(super::receiver::Received::sequence)
            .collect()
    }
}

fn dispatcher(app: &TestApp) -> Dispatcher {
    let policy = Arc::new(EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]));
    Dispatcher::new(Arc::new(Parts {
        store: app.store.clone(),
        feed: app.feed.clone(),
        attempts: Attempts {
            sender: Sender::new(SenderOptions::new(policy.clone())),
            clock: app.clock.clone(),
            random: Arc::new(SeededRandom::new(3)),
        },
        directory: Directory::new(app.store.clone(), policy),
        observer: Arc::new(NotCounting),
        max_in_flight: 64,
    }))
}
