//! Operational messages: what the operator was told, and whether it arrived.

use bellhop_webhook::UtcSecond;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    cursor::List,
    page::{Items, PageRequest},
    times::{UtcMillisecond, second},
};
use crate::{
    domain::{
        cause::Cause,
        operational::{OperationalMessage, OperationalSend, SendState},
    },
    id::{ApplicationId, OperationalMessageId, WebhookId},
};

/// One message to the operator.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = OperationalMessage)]
pub struct OperationalMessageObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: OperationalMessageId,
    /// The `webhook-id` with which it is sent.
    message_id: String,
    /// `webhook.failing`, `webhook.disabled`, `webhook.recovered` or `delivery.failed`.
    r#type: &'static str,
    /// The application of the webhook.
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    /// The webhook that it is about.
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    /// `Unsent` if nothing was configured to send it to when it was made; `Pending` while it is to be sent
    /// somewhere; `Failed` if a destination did not take it; `Delivered` if all did.
    state: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// What is sent.
    #[schema(value_type = Object)]
    body: Option<Box<RawValue>>,
    /// Its way to each destination.
    sends: Vec<OperationalSendObject>,
}

/// The way of one message to one destination.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = OperationalSend)]
pub struct OperationalSendObject {
    /// `Webhook` or `Email`.
    destination: &'static str,
    /// `Pending`, `Delivered` or `Failed`.
    state: &'static str,
    /// How many attempts were made.
    attempt_count: u32,
    /// Why the newest attempt failed; null if it did not.
    cause: Option<&'static str>,
    /// More of that, for people.
    detail: Option<String>,
    /// When it is tried next, unless an earlier message is still to be sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_utc: Option<UtcMillisecond>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_utc: Option<UtcSecond>,
}

/// Messages to the operator, newest first, with what came of sending them.
#[utoipa::path(get, path = "/v1/operational-messages", tag = "Operational messages",
    params(("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<OperationalMessageObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::OperationalMessages, &mut query)?;
    query.finish()?;
    let found = call.store().operational_messages(page.page()).await?;
    Ok(page.reply(found, |each| each.id.0, OperationalMessageObject::from))
}

impl From<OperationalMessage> for OperationalMessageObject {
    fn from(message: OperationalMessage) -> Self {
        Self {
            id: message.id,
            message_id: message.id.message_id(),
            r#type: message.about.as_str(),
            application_id: message.application_id,
            webhook_id: message.webhook_id,
            state: state(&message.sends),
            created_utc: second(message.created),
            body: RawValue::from_string(message.body).ok(),
            sends: message
                .sends
                .into_iter()
                .map(OperationalSendObject::from)
                .collect(),
        }
    }
}

fn state(sends: &[OperationalSend]) -> &'static str {
    let any = |state| sends.iter().any(|send| send.state == state);
    if sends.is_empty() {
        "Unsent"
    } else if any(SendState::Pending) {
        SendState::Pending.as_str()
    } else if any(SendState::Failed) {
        SendState::Failed.as_str()
    } else {
        SendState::Delivered.as_str()
    }
}

impl From<OperationalSend> for OperationalSendObject {
    fn from(send: OperationalSend) -> Self {
        Self {
            destination: send.destination.as_str(),
            state: send.state.as_str(),
            attempt_count: send.attempt_count,
            cause: send.cause.map(Cause::as_str),
            detail: send.detail,
            next_attempt_utc: send.next_attempt.map(UtcMillisecond),
            ended_utc: send.ended.map(second),
        }
    }
}
