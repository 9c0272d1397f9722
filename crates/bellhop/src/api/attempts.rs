//! Attempts: what was sent and what came back, without any secret.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::{TestResult, objects::Headers, times::UtcMillisecond};
use crate::{
    domain::{
        delivery::{Attempt, Delivery, Response, Timings},
        masked::{masked_body, masked_url},
        sent::Sent,
        webhook::Webhook,
    },
    store::MessageBody,
};

/// What is the same in every attempt of a delivery.
#[derive(Debug)]
pub struct SentTo {
    /// Masked; `None` if the webhook is gone.
    url: Option<String>,
    sent: Sent,
    /// Masked.
    body: Option<String>,
}

/// One HTTP request for a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Attempt)]
pub struct AttemptObject {
    /// 1, 2, 3 …
    number: u32,
    /// Whether it was made because a person asked (a replay), and not by the schedule.
    is_replay: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_utc: UtcMillisecond,
    /// How long it took, in milliseconds.
    duration_ms: f64,
    /// `Succeeded` or `Failed`.
    outcome: &'static str,
    /// Why it failed.
    cause: Option<&'static str>,
    /// The status that came back.
    status_code: Option<u16>,
    /// More about the failure, and which redirects were followed, for people.
    detail: Option<String>,
    /// What was sent.
    request: RequestObject,
    /// What came back.
    response: Option<ResponseObject>,
    /// Where the time went.
    timings: TimingsObject,
    /// The address that was connected to.
    remote_address: Option<String>,
}

/// What was sent, with secrets masked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RequestObject {
    /// Always `POST`.
    method: &'static str,
    /// Where to; null if the webhook is gone.
    url: Option<String>,
    /// By name.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Headers,
    /// The bytes, with the access token masked; null if they were erased.
    body: Option<String>,
}

/// What came back, scrubbed of secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseObject {
    /// The status.
    status_code: u16,
    /// By name; values of one name are joined with a comma.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Headers,
    /// The beginning of the body; what is not UTF-8 in it is replaced.
    body: String,
    /// Whether there was more.
    is_truncated: bool,
}

/// Where the time of an attempt went, in milliseconds. Name, connect and TLS on a new connection only.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TimingsObject {
    /// Resolving the name.
    dns_ms: Option<f64>,
    /// Connecting.
    connect_ms: Option<f64>,
    /// The TLS handshake.
    tls_ms: Option<f64>,
    /// From the request to the head of the response.
    wait_ms: Option<f64>,
    /// The body of the response.
    receive_ms: Option<f64>,
}

impl SentTo {
    /// Of a delivery.
    pub fn delivery(
        delivery: &Delivery,
        webhook: Option<&Webhook>,
        body: Option<&MessageBody>,
    ) -> Self {
        let body = match body {
            Some(MessageBody::Bytes(bytes)) => masked_body(delivery.action, bytes),
            Some(MessageBody::Erased { .. }) | None => None,
        };
        Self {
            url: webhook.map(|webhook| masked_url(webhook.url.expose())),
            sent: Sent::of(delivery, webhook),
            body,
        }
    }

    /// Of a test message.
    pub fn test(webhook: &Webhook, tested: &TestResult) -> Self {
        Self {
            url: Some(masked_url(webhook.url.expose())),
            sent: Sent::test(webhook, tested.message_id, tested.action),
            body: masked_body(tested.action, &tested.body),
        }
    }
}

impl AttemptObject {
    /// As answers show it.
    pub fn new(attempt: Attempt, sent: &SentTo) -> Self {
        let request = RequestObject {
            method: "POST",
            url: sent.url.clone(),
            headers: Headers(sent.sent.headers(&attempt)),
            body: sent.body.clone(),
        };
        Self {
            number: attempt.number,
            is_replay: attempt.is_replay,
            started_utc: UtcMillisecond(attempt.started),
            duration_ms: milliseconds(attempt.duration.as_micros() as u64),
            outcome: if attempt.cause.is_none() {
                "Succeeded"
            } else {
                "Failed"
            },
            cause: attempt.cause.map(crate::domain::cause::Cause::as_str),
            status_code: attempt.response.as_ref().map(|response| response.status),
            detail: attempt.detail,
            request,
            response: attempt
                .response
                .map(Arc::unwrap_or_clone)
                .map(ResponseObject::from),
            timings: attempt.timings.into(),
            remote_address: attempt.remote.map(|address| address.to_string()),
        }
    }
}

impl From<Response> for ResponseObject {
    fn from(response: Response) -> Self {
        let mut headers: Vec<(String, String)> = Vec::with_capacity(response.headers.len());
        for (name, value) in response.headers {
            match headers.iter_mut().find(|(other, _)| *other == name) {
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(&value);
                }
                None => headers.push((name, value)),
            }
        }
        Self {
            status_code: response.status,
            headers: Headers(headers),
            body: String::from_utf8_lossy(&response.body).into_owned(),
            is_truncated: response.is_truncated,
        }
    }
}

impl From<Timings> for TimingsObject {
    fn from(timings: Timings) -> Self {
        let ms = |us: Option<u32>| us.map(|us| milliseconds(us.into()));
        Self {
            dns_ms: ms(timings.dns_us),
            connect_ms: ms(timings.connect_us),
            tls_ms: ms(timings.tls_us),
            wait_ms: ms(timings.wait_us),
            receive_ms: ms(timings.receive_us),
        }
    }
}

fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}
