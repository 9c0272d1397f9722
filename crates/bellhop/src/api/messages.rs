//! The history of an integration.

use bellhop_webhook::UtcSecond;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Reply,
    cursor::List,
    integrations::find,
    objects::RequestorObject,
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::masked::masked_body,
    store::{MessageBody, StoredMessage},
};

/// One message of a history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Message)]
pub struct MessageObject {
    /// The `webhook-id` with which it is sent.
    id: String,
    /// Its position in the history: 1, 2, 3 …
    sequence: u64,
    /// What happened.
    action: &'static str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// Who asked for it.
    requestor: Option<RequestorObject>,
    /// What is sent under the default profile, with the access token masked; null once it was erased.
    #[schema(value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
    /// When the body was erased: it carried an access token, and every delivery of it had ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    body_erased_utc: Option<UtcSecond>,
}

/// What happened to an integration, in order.
#[utoipa::path(get, path = "/v1/integrations/{Id}/messages", tag = "Integrations",
    params(("Id" = Uuid, Path, description = "Of the integration."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<MessageObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::Messages, &mut query)?;
    query.finish()?;
    let integration = find(&call).await?;
    let after = page.after().map_or(0, sequence_of);
    let limit = page.page().limit;
    let found = call.store().messages(integration.id, after, limit).await?;
    let position = |each: &StoredMessage| Uuid::from_u128(each.sequence.into());
    Ok(page.reply(found, position, MessageObject::from))
}

/// The sequence that a cursor stands for. A cursor that nobody was given may be beyond every sequence that a store can keep:
/// then nothing comes after it.
fn sequence_of(position: Uuid) -> u64 {
    const MOST: u64 = i64::MAX as u64;
    u64::try_from(position.as_u128()).map_or(MOST, |sequence| sequence.min(MOST))
}

impl From<StoredMessage> for MessageObject {
    fn from(message: StoredMessage) -> Self {
        let id = bellhop_webhook::MessageId::new(message.integration_id.0, message.sequence);
        let (body, erased) = match &message.body {
            MessageBody::Bytes(bytes) => {
                let masked = masked_body(message.action, bytes);
                (
                    masked.and_then(|text| RawValue::from_string(text).ok()),
                    None,
                )
            }
            MessageBody::Erased { at } => (None, Some(second(*at))),
        };
        Self {
            id: id.to_string(),
            sequence: message.sequence,
            action: message.action.as_str(),
            created_utc: second(message.created),
            requestor: message.requestor.map(RequestorObject::from),
            body,
            body_erased_utc: erased,
        }
    }
}
