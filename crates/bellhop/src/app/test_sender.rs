//! Test messages: marked by their id, sent once, outside every lane. They change nothing and are recorded nowhere.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bellhop_webhook::{Integration, IntegrationChanged, Message, MessageId};
use bytes::Bytes;

use crate::{
    api::{TestResult, TestSender},
    delivery::{
        attempt::{Attempts, Outgoing},
        egress::EgressPolicy,
        prepared::Prepared,
    },
    domain::webhook::Webhook,
    random::{SharedRandom, bytes},
};

/// Sends test messages with what sends the others.
#[derive(Debug)]
pub struct WebhookTest {
    pub attempts: Attempts,
    pub policy: Arc<EgressPolicy>,
    pub random: SharedRandom,
}

#[async_trait]
impl TestSender for WebhookTest {
    async fn send_test(&self, webhook: &Webhook, wait: Duration) -> TestResult {
        let message_id = MessageId::test(bytes(&*self.random));
        let message = sample();
        let (action, body) = (message.action(), Bytes::from(message.to_bytes()));
        let outgoing = Outgoing {
            message_id: message_id.to_string(),
            action,
            sequence: 0,
            previous: 0,
            number: 1,
            is_replay: false,
            body: body.clone(),
        };
        let prepared = Prepared::new(webhook, &self.policy, self.attempts.clock.now());
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
            message_id,
            action,
            body,
            attempt,
        }
    }
}

/// A message as the contract has it, about an integration that does not exist. Carries no token.
fn sample() -> Message {
    let id = uuid::Uuid::nil();
    let name = "Test message".to_owned();
    Message::IntegrationEnabled(IntegrationChanged {
        integration: Integration { id, name },
    })
}
