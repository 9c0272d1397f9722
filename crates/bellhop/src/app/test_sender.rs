//! Test messages: marked by their id, sent once, outside every lane. They change nothing and are recorded nowhere.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bellhop_webhook::{
    AccessTokenText, Action, Enterprise, Integration, IntegrationApiKeyCreated, IntegrationChanged,
    IntegrationCreated, IntegrationDeleted, Message, MessageId, UtcSecond,
};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    api::{TestResult, TestSender, Unsent},
    delivery::{
        attempt::{Attempts, Outgoing},
        egress::EgressPolicy,
        prepared::Prepared,
    },
    domain::webhook::Webhook,
    random::{SharedRandom, bytes},
};

/// Has the form of an access token and opens nothing: no integration has this id.
const NO_TOKEN: &str = "00000000000000000000000000000000-0000000000000000000000000000000";

/// Sends test messages with what sends the others.
#[derive(Debug)]
pub struct WebhookTest {
    attempts: Attempts,
    policy: Arc<EgressPolicy>,
    random: SharedRandom,
}

impl WebhookTest {
    /// With what sends, and what may be reached.
    pub fn shared(
        attempts: Attempts,
        policy: Arc<EgressPolicy>,
        random: &SharedRandom,
    ) -> Arc<Self> {
        Arc::new(Self {
            attempts,
            policy,
            random: random.clone(),
        })
    }

    fn outgoing(message: &Unsent) -> Outgoing {
        let mut outgoing = Outgoing {
            message_id: message.message_id.to_string(),
            action: message.action,
            sequence: message.sequence,
            previous: message.previous,
            number: 1,
            is_replay: false,
            body: message.body.clone(),
        };
        outgoing.number = message.number;
        outgoing
    }

    fn prepared(&self, webhook: &Webhook) -> Prepared {
        Prepared::new(webhook, &self.policy, self.attempts.clock.now())
    }
}

#[async_trait]
impl TestSender for WebhookTest {
    async fn send_test(&self, webhook: &Webhook, action: Action, wait: Duration) -> TestResult {
        let message = self.make_test(webhook, action);
        let outgoing = Self::outgoing(&message);
        let prepared = self.prepared(webhook);
        let attempts = self.attempts.clone();
        // Sent to its end even if nobody waits so long: a receiver does not see a request cut off.
        let sent = tokio::spawn(async move {
            let sent = attempts.send(&outgoing, &prepared).await;
            sent.map(|(attempt, _)| attempt)
        });
        let attempt = tokio::time::timeout(wait, sent)
            .await
            .ok()
            .and_then(Result::ok)
            .flatten();
        TestResult {
            message_id: message.message_id,
            action,
            body: message.body,
            attempt,
        }
    }

    fn make_test(&self, _webhook: &Webhook, action: Action) -> Unsent {
        let now = UtcSecond::from(self.attempts.clock.now());
        Unsent {
            message_id: MessageId::test(bytes(&*self.random)),
            action,
            sequence: 0,
            previous: 0,
            number: 1,
            body: Bytes::from(sample(action, now).to_bytes()),
        }
    }

    fn sign(&self, webhook: &Webhook, message: &Unsent) -> Option<Vec<(String, String)>> {
        let outgoing = Self::outgoing(message);
        let headers = self
            .attempts
            .headers_of(&outgoing, &self.prepared(webhook))?;
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        Some(headers.collect())
    }
}

/// A message as the contract has it, about an integration that does not exist. Its token opens nothing.
fn sample(action: Action, now: UtcSecond) -> Message {
    let id = Uuid::nil();
    let name = "Test message".to_owned();
    let integration = Integration { id, name };
    let changed = IntegrationChanged {
        integration: integration.clone(),
    };
    match action {
        Action::IntegrationCreated => Message::IntegrationCreated(IntegrationCreated {
            enterprise: Enterprise {
                id,
                name: "Test enterprise".to_owned(),
            },
            service: None,
            requestor: None,
            access_token: AccessTokenText::new(NO_TOKEN),
            created_utc: now,
            is_enabled: true,
            integration,
        }),
        Action::IntegrationEnabled => Message::IntegrationEnabled(changed),
        Action::IntegrationDisabled => Message::IntegrationDisabled(changed),
        Action::IntegrationCanceled => Message::IntegrationCanceled(changed),
        Action::IntegrationReinstated => Message::IntegrationReinstated(changed),
        Action::IntegrationDeleted => Message::IntegrationDeleted(IntegrationDeleted {
            deleted_utc: now,
            integration,
        }),
        Action::IntegrationApiKeyCreated => {
            Message::IntegrationApiKeyCreated(IntegrationApiKeyCreated {
                integration,
                api_key: AccessTokenText::new(NO_TOKEN),
            })
        }
    }
}
