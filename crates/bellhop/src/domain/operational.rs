//! What the operator must learn of webhooks and deliveries, and the bytes that say it. An operational message is
//! written in the transaction of its cause, and sent like any other.

use std::{fmt, str::FromStr};

use bellhop_webhook::UtcSecond;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

mod failures;

pub use failures::{
    FailedDeliveries, FailedDelivery, FailureWindow, GATHERED_FOR, MAX_LISTED, Named,
};

use crate::{
    domain::{
        authentication::{CertificateEnd, ClientCertificate},
        cause::Cause,
        delivery::Outcome,
        health::HealthEvent,
        masked::masked_url,
        retry::RetrySchedule,
    },
    id::{ApplicationId, OperationalMessageId, WebhookId},
};

/// How the `webhook-id` of every operational message begins.
pub const OPERATIONAL_PREFIX: &str = "msg_operational_";

/// What an operational message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationalType {
    /// A webhook fails again and again; its deliveries are held.
    WebhookFailing,
    /// A webhook was disabled, and not by a person.
    WebhookDisabled,
    /// A webhook that was failing works again.
    WebhookRecovered,
    /// Deliveries have failed for good.
    DeliveryFailed,
    /// The client certificate of a webhook ends soon, or has ended.
    CertificateExpiring,
}

/// Where operational messages are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// The operator's webhook.
    Webhook,
    /// The operator's mailboxes.
    Email,
}

/// Where an operational message stands on its way to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendState {
    /// To be sent.
    Pending,
    /// It was taken.
    Delivered,
    /// The schedule is used up.
    Failed,
}

/// A message to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationalMessage {
    /// Its id; later messages have greater ones.
    pub id: OperationalMessageId,
    /// What it is about.
    pub about: OperationalType,
    /// The application of the webhook.
    pub application_id: ApplicationId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// When it was made.
    pub created: Timestamp,
    /// The exact bytes that are sent. They hold no secret.
    pub body: String,
    /// Its way to each destination that there was when it was made.
    pub sends: Vec<OperationalSend>,
}

/// The way of an operational message to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationalSend {
    /// Where to.
    pub destination: Destination,
    /// Where it stands.
    pub state: SendState,
    /// How many attempts were recorded.
    pub attempt_count: u32,
    /// When it is tried next, unless an earlier message is still to be sent. `None` when it has ended.
    pub next_attempt: Option<Timestamp>,
    /// Why the newest attempt failed, if it did.
    pub cause: Option<Cause>,
    /// More of that, for people. Holds no secret.
    pub detail: Option<String>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// What becomes of an operational message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationalNext {
    /// It was taken.
    Delivered,
    /// It is tried again.
    Retry {
        /// Not before this moment.
        at: Timestamp,
    },
    /// The schedule is used up.
    Failed,
}

/// The webhook that a message is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its application.
    pub application_id: ApplicationId,
    /// The application's name.
    pub application_name: &'a str,
    /// Its id.
    pub webhook_id: WebhookId,
    /// Its URL. The query is masked.
    pub url: &'a str,
    /// For people.
    pub description: &'a str,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationalEvent {
    /// A webhook's circuit has opened.
    WebhookFailing {
        /// Why the newest attempt failed.
        cause: Cause,
        /// How many attempts failed, one after another.
        failures: u32,
        /// When the first of them did.
        since: Timestamp,
    },
    /// A webhook was disabled.
    WebhookDisabled {
        /// Why the newest attempt failed.
        cause: Option<Cause>,
        /// Why, for people.
        reason: String,
    },
    /// A webhook's circuit has closed.
    WebhookRecovered {
        /// When it began to fail.
        since: Timestamp,
    },
    /// Deliveries have failed for good.
    DeliveryFailed(FailedDeliveries),
    /// The client certificate of a webhook ends soon, or has ended.
    CertificateExpiring(CertificateNotice),
}

/// A client certificate that ends, as messages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CertificateNotice {
    subject: String,
    not_after_utc: UtcSecond,
    fingerprint_sha256: String,
    /// 30 or 7; 0 once it has ended.
    expires_within_days: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    r#type: &'static str,
    timestamp_utc: UtcSecond,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    application: NamedRef<'a>,
    webhook: WebhookRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    reason: String,
    hint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since_utc: Option<UtcSecond>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<&'a [FailedDelivery]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'a CertificateNotice>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NamedRef<'a> {
    id: Uuid,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebhookRef<'a> {
    id: WebhookId,
    url: String,
    description: &'a str,
}

impl OperationalEvent {
    /// What is told of an event of a webhook's health, after an attempt that failed for this cause. `None` for a
    /// delivery that failed for good: those are gathered.
    pub fn of(event: &HealthEvent, cause: Option<Cause>) -> Option<Self> {
        match event {
            HealthEvent::Failing {
                since,
                failures,
                cause,
                ..
            } => Some(Self::WebhookFailing {
                cause: *cause,
                failures: *failures,
                since: *since,
            }),
            HealthEvent::Recovered { failing_since } => Some(Self::WebhookRecovered {
                since: *failing_since,
            }),
            HealthEvent::Disabled { reason } => Some(Self::WebhookDisabled {
                cause,
                reason: reason.clone(),
            }),
            HealthEvent::DeliveryFailed { .. } => None,
        }
    }

    /// What is told of a certificate now; `None` while it is valid for longer.
    pub fn of_certificate(certificate: &ClientCertificate, now: Timestamp) -> Option<Self> {
        let end = certificate.end(now)?;
        Some(Self::CertificateExpiring(CertificateNotice {
            subject: certificate.subject.clone(),
            not_after_utc: UtcSecond::new(certificate.not_after),
            fingerprint_sha256: certificate.fingerprint.clone(),
            expires_within_days: match end {
                CertificateEnd::Month => 30,
                CertificateEnd::Week => 7,
                CertificateEnd::Past => 0,
            },
        }))
    }

    /// Whether a message with this body has told it already. Only what is looked at again and again can be told twice.
    pub fn is_told_by(&self, body: &str) -> bool {
        matches!(self, Self::CertificateExpiring(notice) if notice.is_told_by(body))
    }

    /// What it is about.
    pub fn about(&self) -> OperationalType {
        match self {
            Self::WebhookFailing { .. } => OperationalType::WebhookFailing,
            Self::WebhookDisabled { .. } => OperationalType::WebhookDisabled,
            Self::WebhookRecovered { .. } => OperationalType::WebhookRecovered,
            Self::DeliveryFailed(_) => OperationalType::DeliveryFailed,
            Self::CertificateExpiring(_) => OperationalType::CertificateExpiring,
        }
    }

    /// The bytes that tell it. Made once; nothing makes them again.
    pub fn to_body(&self, subject: Subject<'_>, at: Timestamp) -> String {
        let mut data = Data {
            application: NamedRef {
                id: subject.application_id.0,
                name: subject.application_name,
            },
            webhook: WebhookRef {
                id: subject.webhook_id,
                url: masked_url(subject.url),
                description: subject.description,
            },
            cause: None,
            reason: String::new(),
            hint: String::new(),
            failing_since_utc: None,
            consecutive_failures: None,
            count: None,
            deliveries: None,
            client_certificate: None,
        };
        self.tell(subject.webhook_id, &mut data);
        let body = Body {
            r#type: self.about().as_str(),
            timestamp_utc: UtcSecond::new(at),
            data,
        };
        serde_json::to_string(&body).expect("texts and numbers always serialise")
    }

    fn tell<'a>(&'a self, webhook: WebhookId, data: &mut Data<'a>) {
        let resume = format!("POST /v1/webhooks/{webhook}/resume");
        match self {
            Self::WebhookFailing {
                cause,
                failures,
                since,
            } => {
                data.cause = Some(*cause);
                data.reason = format!("The last {failures} attempts failed. {}", cause.title());
                data.hint = format!(
                    "{} Its deliveries are held, in order; nothing is lost. Bellhop goes on trying with single \
                     attempts and tells when one succeeds.",
                    cause.next_step()
                );
                data.failing_since_utc = Some(UtcSecond::new(*since));
                data.consecutive_failures = Some(*failures);
            }
            Self::WebhookDisabled { cause, reason } => {
                data.cause = *cause;
                data.reason.clone_from(reason);
                data.hint = format!(
                    "Its deliveries are held, and nothing is sent any more. When its receiver is back, {resume} \
                     sends everything that is held, in order. If it is gone for good, delete the webhook."
                );
            }
            Self::WebhookRecovered { since } => {
                data.reason = "An attempt has succeeded.".into();
                data.hint = "Nothing is to be done: what was held is being sent, in order.".into();
                data.failing_since_utc = Some(UtcSecond::new(*since));
            }
            Self::DeliveryFailed(failed) => {
                let newest = failed.listed.last().map(|delivery| delivery.cause);
                data.cause = newest;
                data.reason = format!(
                    "The retry schedule is used up. {}",
                    newest.map_or("", Cause::title)
                );
                data.hint = format!(
                    "{} Then replay: POST /v1/deliveries/{{Id}}/replay. GET /v1/deliveries?WebhookId={webhook}\
                     &State=Failed lists all that failed. Later messages of the same integrations went on.",
                    newest.map_or("", Cause::next_step)
                );
                data.count = Some(failed.count);
                data.deliveries = Some(&failed.listed);
            }
            Self::CertificateExpiring(notice) => {
                data.reason = notice.reason();
                data.hint = format!(
                    "Get a new one from its authority: PATCH /v1/webhooks/{webhook} with ClientCertificate. \
                     The next attempt shows it. A receiver that asks for a certificate refuses one that has expired."
                );
                data.client_certificate = Some(notice);
            }
        }
    }
}

impl CertificateNotice {
    fn reason(&self) -> String {
        let Self { not_after_utc, .. } = self;
        match self.expires_within_days {
            0 => format!("Its client certificate has expired, at {not_after_utc}."),
            days => {
                format!("Its client certificate expires within {days} days, at {not_after_utc}.")
            }
        }
    }

    fn is_told_by(&self, body: &str) -> bool {
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        serde_json::to_value(self).is_ok_and(|own| own == body["Data"]["ClientCertificate"])
    }
}

impl OperationalMessageId {
    /// The `webhook-id`, the same on every attempt.
    pub fn message_id(self) -> String {
        format!("{OPERATIONAL_PREFIX}{}", self.0.simple())
    }
}

impl OperationalSend {
    /// One that begins at this moment.
    pub fn new(destination: Destination, at: Timestamp) -> Self {
        Self {
            destination,
            state: SendState::Pending,
            attempt_count: 0,
            next_attempt: Some(at),
            cause: None,
            detail: None,
            ended: None,
        }
    }
}

/// Decides what becomes of an operational message after its attempt `number`. `unit` is random, in `0..1`.
pub fn after_attempt(
    number: u32,
    outcome: Outcome,
    ended: Timestamp,
    unit: f64,
) -> OperationalNext {
    match outcome {
        Outcome::Succeeded => OperationalNext::Delivered,
        // A receiver that is gone is tried on: nobody else would tell the operator.
        Outcome::Failed { retry_after, .. } => RetrySchedule::default()
            .after(number, ended, retry_after, unit)
            .map_or(OperationalNext::Failed, |at| OperationalNext::Retry { at }),
    }
}

/// Makes texts of the variants of an enum.
macro_rules! words {
    ($($name:ident { $($variant:ident $word:literal)+ })+) => {$(
        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|each| each.as_str() == text);
                found.copied().ok_or_else(|| format!("{text} is not known here"))
            }
        }
    )+};
}

words! {
    OperationalType {
        WebhookFailing "webhook.failing"
        WebhookDisabled "webhook.disabled"
        WebhookRecovered "webhook.recovered"
        DeliveryFailed "delivery.failed"
        CertificateExpiring "webhook.certificate_expiring"
    }
    Destination {
        Webhook "Webhook"
        Email "Email"
    }
    SendState {
        Pending "Pending"
        Delivered "Delivered"
        Failed "Failed"
    }
}

#[cfg(test)]
#[path = "operational_tests.rs"]
mod tests;
