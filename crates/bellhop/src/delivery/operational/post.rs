//! An operational message to the operator's webhook: signed, judged and sent like any other.

use std::time::Duration;

use bellhop_webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::Outcome;
use crate::{
    clock::SharedClock,
    delivery::{
        attempt::{Attempts, traceparent},
        egress::{EgressPolicy, TargetUrl, UrlRefused},
        prepared::Prepared,
        sender::{PostRequest, Sender},
    },
    domain::{
        health::Health,
        retry::RetrySchedule,
        secret_text::SecretText,
        signatures::SecretKind,
        webhook::{ActionFilter, Webhook, WebhookSecret, WebhookState},
    },
    id::{ApplicationId, WebhookId},
    random::SharedRandom,
    store::OperationalClaim,
};

/// One deadline for the whole exchange with the operator's webhook.
const TIMEOUT: Duration = Duration::from_secs(15);

const TYPE: HeaderName = HeaderName::from_static("bellhop-type");
const NUMBER: HeaderName = HeaderName::from_static("bellhop-attempt");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The operator's webhook, and what sends to it.
#[derive(Debug)]
pub struct OperatorWebhook {
    target: TargetUrl,
    /// What signs, and the headers that are always the same.
    webhook: Prepared,
    sender: Sender,
    clock: SharedClock,
    random: SharedRandom,
}

impl OperatorWebhook {
    /// With this URL, unless nothing may be sent there.
    pub fn new(
        url: SecretText,
        secret: SecretText,
        policy: &EgressPolicy,
        attempts: &Attempts,
    ) -> Result<Self, UrlRefused> {
        let now = attempts.clock.now();
        let webhook = Prepared::new(&as_webhook(url, secret, now), policy, now);
        Ok(Self {
            target: webhook.target.clone()?,
            webhook,
            sender: attempts.sender.clone(),
            clock: attempts.clock.clone(),
            random: attempts.random.clone(),
        })
    }

    /// Sends once.
    pub async fn send(&self, claim: &OperationalClaim) -> Outcome {
        let timestamp = self.clock.now().as_second();
        let message_id = claim.id.message_id();
        let signature = self
            .webhook
            .signer
            .sign(&message_id, timestamp, &claim.body);
        let text =
            |value: &str| HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
        let mut headers = self.webhook.headers.clone();
        headers.insert(HeaderName::from_static(HEADER_ID), text(&message_id));
        headers.insert(
            HeaderName::from_static(HEADER_TIMESTAMP),
            HeaderValue::from(timestamp),
        );
        headers.insert(HeaderName::from_static(HEADER_SIGNATURE), text(&signature));
        headers.insert(TYPE, HeaderValue::from_static(claim.about.as_str()));
        headers.insert(NUMBER, HeaderValue::from(claim.number));
        headers.insert(TRACEPARENT, text(&traceparent(&*self.random)));

        let request = PostRequest {
            timeout: self.webhook.timeout,
            ..PostRequest::new(&self.target, headers, claim.body.clone())
        };
        let exchange = self.sender.post(request).await;
        let retry_after = exchange
            .retry_after
            .as_ref()
            .and_then(|asked| asked.wait(self.clock.now()));
        match exchange.outcome {
            Ok(_) => Outcome::Taken,
            Err(failure) => Outcome::Failed {
                cause: failure.cause,
                detail: failure.detail,
                retry_after,
            },
        }
    }
}

/// The operator's webhook in the form of all others: it belongs to no application.
fn as_webhook(url: SecretText, secret: SecretText, now: Timestamp) -> Webhook {
    let nobody = uuid::Uuid::nil();
    Webhook {
        id: WebhookId(nobody),
        application_id: ApplicationId(nobody),
        url,
        description: String::new(),
        actions: ActionFilter::ALL,
        profile: bellhop_webhook::Profile::Default,
        state: WebhookState::Enabled,
        state_reason: None,
        timeout: TIMEOUT,
        retry_schedule: RetrySchedule::default(),
        max_in_flight: 1,
        rate_limit: None,
        follow_redirects: false,
        headers: Vec::new(),
        authentication: None,
        client_certificate: None,
        signatures: SecretKind::of(secret.expose()).usual(),
        secrets: vec![WebhookSecret {
            text: secret,
            created: now,
            expires: None,
        }],
        created: now,
        not_before: None,
        health: Health::default(),
        revision: 0,
    }
}
