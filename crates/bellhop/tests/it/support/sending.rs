//! The whole way from command to receiver, step by step: the API, the store, the dispatcher, real requests to a
//! receiver on loopback, and time that is moved by hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bellhop::{
    delivery::{
        DeliveryObserver,
        attempt::Attempts,
        dispatcher::{Dispatcher, Parts},
        egress::{EgressPolicy, Roots, SystemResolver},
        prepared::Directory,
        replays::ReplayRunner,
        sender::{Sender, SenderOptions},
    },
    domain::cause::Cause,
    receiving::Play,
};
use serde_json::{Value, json};

use super::{app::TestApp, random::SeededRandom, receiver::Receiver};

/// Most requests at a time, and most to one host.
pub const MAX_IN_FLIGHT: usize = 64;
pub const MAX_PER_HOST: usize = 32;

/// The app with a dispatcher that is stepped by hand, and a receiver.
pub struct Sending {
    /// The API and the store.
    pub app: TestApp,
    /// The receiver.
    pub receiver: Receiver,
    /// The application that has the webhooks.
    pub application: String,
    dispatcher: Dispatcher,
    options: SenderOptions,
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
        Self::with(TestApp::start(), sender_options(&["127.0.0.0/8"])).await
    }

    /// Webhooks may reach these networks and the public internet. The API accepts every URL, as if it were in the store
    /// from before a rule was made.
    pub async fn guarded(allow: &[&str]) -> Self {
        Self::with(TestApp::accepting_every_url(), sender_options(allow)).await
    }

    /// A sender of one's own. The API accepts every URL.
    pub async fn anywhere(options: SenderOptions) -> Self {
        Self::with(TestApp::accepting_every_url(), options).await
    }

    /// With the built-in receiver, and nothing else on this machine.
    pub async fn playing(play: &Play) -> Self {
        let policy = EgressPolicy {
            inside: Some(Arc::new(play.clone())),
            ..EgressPolicy::default()
        };
        let options = SenderOptions::new(Arc::new(policy));
        Self::with(TestApp::accepting_every_url(), options).await
    }

    /// The same, and names are looked up with this name server.
    pub async fn resolving(allow: &[&str], name_server: SocketAddr) -> Self {
        let options = SenderOptions {
            resolver: Arc::new(SystemResolver::asking(vec![name_server])),
            ..sender_options(allow)
        };
        Self::with(TestApp::accepting_every_url(), options).await
    }

    /// Receivers on loopback whose certificates are of these authorities.
    pub async fn trusting(roots: Roots) -> Self {
        let options = SenderOptions {
            roots,
            ..sender_options(&["127.0.0.0/8"])
        };
        Self::with(TestApp::start(), options).await
    }

    async fn with(app: TestApp, options: SenderOptions) -> Self {
        app.enterprise().await;
        let application = app.application("Sample Key Cards").await;
        let dispatcher = dispatcher(&app, &options);
        Self {
            app,
            receiver: Receiver::start().await,
            application,
            dispatcher,
            options,
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

    /// Moves replays in bulk and backfills on, and sends what they make due, until nothing is left to do.
    pub async fn replay(&mut self) -> usize {
        let mut made = 0;
        loop {
            let got_on = self.runner().step().await.unwrap();
            // In a lane they are due a millisecond apart.
            self.app.clock.advance(Duration::from_millis(100));
            let sent = self.drain().await;
            made += sent;
            if !got_on && sent == 0 {
                return made;
            }
        }
    }

    /// What moves replays on.
    pub fn runner(&self) -> ReplayRunner {
        ReplayRunner {
            store: self.app.store.clone(),
            feed: self.app.feed.clone(),
            clock: self.app.clock.clone(),
        }
    }

    /// Stops and starts again, over the same database.
    pub async fn restart(self) -> Self {
        let Self {
            app,
            receiver,
            application,
            dispatcher: former,
            options,
        } = self;
        drop(former);
        let app = app.restart().await;
        let dispatcher = dispatcher(&app, &options);
        Self {
            app,
            receiver,
            application,
            dispatcher,
            options,
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

    /// Sends by itself from now on, until the task is aborted.
    pub fn send_in_background(&mut self) -> tokio::task::JoinHandle<()> {
        let fresh = dispatcher(&self.app, &self.options);
        let dispatcher = std::mem::replace(&mut self.dispatcher, fresh);
        tokio::spawn(dispatcher.run(std::future::pending(), Duration::ZERO))
    }

    /// A process that died and came back: what was only in memory is gone.
    pub fn forget_everything_in_memory(&mut self) {
        self.dispatcher = dispatcher(&self.app, &self.options);
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

fn sender_options(allow: &[&str]) -> SenderOptions {
    let allow = allow.iter().map(|network| network.parse().unwrap());
    SenderOptions::new(Arc::new(EgressPolicy::allowing(allow)))
}

fn dispatcher(app: &TestApp, options: &SenderOptions) -> Dispatcher {
    Dispatcher::new(Arc::new(Parts {
        store: app.store.clone(),
        feed: app.feed.clone(),
        attempts: Attempts {
            sender: Sender::new(options.clone()),
            clock: app.clock.clone(),
            random: Arc::new(SeededRandom::new(3)),
            retired: app.retired.clone(),
        },
        directory: Directory::new(app.store.clone(), options.policy.clone()),
        observer: Arc::new(NotCounting),
        max_in_flight: MAX_IN_FLIGHT,
        max_in_flight_per_host: MAX_PER_HOST,
    }))
}
