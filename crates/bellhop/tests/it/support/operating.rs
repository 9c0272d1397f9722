//! An operator who is told: by webhook, by mail, by both, or not at all.

use std::{sync::Arc, time::Duration};

use bellhop::{
    delivery::{
        attempt::Attempts,
        egress::EgressPolicy,
        operational::{Encryption, Mail, MailOptions, Operational, OperatorWebhook, Parts},
        sender::{Sender, SenderOptions},
    },
    domain::secret_text::SecretText,
};
use serde_json::Value;

use super::{mail_server::MailServer, random::SeededRandom, receiver::Receiver, sending::Sending};

/// What signs for the operator's webhook.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A platform, its operator's receiver, and the worker that tells, stepped by hand.
pub struct Operating {
    /// The platform.
    pub sending: Sending,
    /// The operator's receiver.
    pub operator: Receiver,
    mail: Option<MailOptions>,
    worker: Operational,
}

impl Operating {
    /// Told by webhook.
    pub async fn start() -> Self {
        Self::with_mail(None).await
    }

    /// Told by mail as well.
    pub async fn with_mail(mail: Option<MailOptions>) -> Self {
        let sending = Sending::start().await;
        let operator = Receiver::start().await;
        let worker = worker(&sending, &operator, mail.clone());
        Self {
            sending,
            operator,
            mail,
            worker,
        }
    }

    /// A process that died and came back: what was only in memory is gone.
    pub fn forget_everything_in_memory(&mut self) {
        self.sending.forget_everything_in_memory();
        self.worker = worker(&self.sending, &self.operator, self.mail.clone());
    }

    /// Sends every delivery and then every operational message that is due. Says how many attempts the latter took.
    pub async fn drain(&mut self) -> usize {
        self.sending.drain().await;
        self.worker.step().await.unwrap()
    }

    /// The same, some time later.
    pub async fn after(&mut self, seconds: u64) -> usize {
        self.sending.app.clock.advance(Duration::from_secs(seconds));
        self.drain().await
    }

    /// Makes an integration whose message is answered with that.
    pub async fn answered_with(&mut self, name: &str, status: u16) -> usize {
        self.sending.receiver.answers([status]);
        self.sending.integration(name).await;
        self.drain().await
    }

    /// What the API lists, oldest first.
    pub async fn listed(&self) -> Vec<Value> {
        let list = self.sending.app.get("/v1/operational-messages").await;
        let mut items = list.expect(200)["Items"].as_array().unwrap().clone();
        items.reverse();
        items
    }

    /// The way of the only message to one destination.
    pub async fn send_to(&self, destination: &str) -> Value {
        let listed = self.listed().await;
        assert_eq!(listed.len(), 1, "{listed:?}");
        let sends = listed[0]["Sends"].as_array().unwrap();
        let found = sends.iter().find(|send| send["Destination"] == destination);
        found.unwrap().clone()
    }
}

fn worker(sending: &Sending, operator: &Receiver, mail: Option<MailOptions>) -> Operational {
    let app = &sending.app;
    let policy = Arc::new(EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]));
    let attempts = Attempts {
        sender: Sender::new(SenderOptions::new(policy.clone())),
        clock: app.clock.clone(),
        random: Arc::new(SeededRandom::new(4)),
        retired: Arc::default(),
    };
    let url = SecretText::new(operator.url("/ops?key=hush"));
    let webhook = OperatorWebhook::new(url, SecretText::new(SECRET), &policy, &attempts);
    Operational::new(Arc::new(Parts {
        store: app.store.clone(),
        feed: app.feed.clone(),
        clock: app.clock.clone(),
        random: attempts.random,
        webhook: Some(webhook.unwrap()),
        mail: mail.map(|options| Mail::new(options).unwrap()),
    }))
}

/// To two mailboxes, over this server.
pub fn mail_over(server: &MailServer, encryption: Encryption) -> MailOptions {
    MailOptions {
        server: bellhop::delivery::operational::MailServer {
            host: "localhost".into(),
            port: server.port(),
            encryption,
            credentials: None,
        },
        from: "Bellhop <bellhop@platform.example>".parse().unwrap(),
        to: vec![
            "ops@platform.example".parse().unwrap(),
            "Night shift <night@platform.example>".parse().unwrap(),
        ],
        authorities: None,
    }
}
