//! What is masked everywhere else, shown on purpose: a delivery as it is sent. Each time is in the audit log.

use bellhop_webhook::UtcSecond;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply, Unsent, code::Code, deliveries::find, objects::Headers, times::second,
    webhook_commands::Nothing,
};
use crate::{
    domain::audit::{AuditAction, AuditSubject, Fact},
    store::{CommitError, MessageBody, Noun},
};

/// A delivery as it is sent: signed now, with nothing masked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RevealedDelivery {
    /// The `webhook-id`.
    message_id: String,
    /// What happened.
    action: &'static str,
    /// Position of the message in the integration's history.
    sequence: u64,
    /// The headers with which it would be sent now: signatures (`v1`, `v1a`) are of this moment. What the webhook proves itself
    /// with is not among them, nor an RFC 9421 signature, which is of the webhook's URL.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Headers,
    /// The exact bytes. May carry a live access token.
    body: String,
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    signed_utc: UtcSecond,
}

/// Shows a delivery as it is sent, with nothing masked: for those who forward it to where they develop (`bellhop listen`).
/// Whoever may ask could have it sent anywhere, by another webhook and a backfill; here each time is in the audit log.
#[utoipa::path(post, path = "/v1/deliveries/{Id}/reveal", tag = "Deliveries",
    params(("Id" = Uuid, Path, description = "Of the delivery.")),
    responses((status = 200, description = "As it is sent.", body = RevealedDelivery)))]
pub async fn reveal(call: Call) -> Result<Reply, ApiError> {
    call.read::<Nothing>()?.1.finish()?;
    let delivery = find(&call).await?;
    let body = match call.store().body(delivery.id).await? {
        Some(MessageBody::Bytes(bytes)) => bytes,
        Some(MessageBody::Erased { at }) => {
            let integration_id = delivery.integration_id;
            return Err(CommitError::Erased { integration_id, at }.into());
        }
        None => return Err(ApiError::not_found(Noun::Delivery, delivery.id)),
    };
    let webhook = call.store().webhook(delivery.webhook_id).await?;
    let webhook = webhook.ok_or_else(|| ApiError::not_found(Noun::Webhook, delivery.webhook_id))?;
    let message = Unsent {
        message_id: delivery.message_id(),
        action: delivery.action,
        sequence: delivery.sequence,
        previous: delivery.previous,
        number: delivery.attempt_count + 1,
        body,
    };
    let headers = call.api.options.test_sender.sign(&webhook, &message);
    let headers = headers.ok_or_else(|| {
        let detail = "The webhook's secret was rotated this moment. Ask again.";
        ApiError::new(Code::Unavailable, detail).with_retry_after(1)
    })?;
    // In the log before anybody sees it.
    let fact = Fact::new(
        AuditAction::DeliveryRevealed,
        AuditSubject::Delivery,
        delivery.id.0,
    )
    .of(Some(delivery.application_id))
    .saying(json!({ "IntegrationId": delivery.integration_id, "Sequence": delivery.sequence }));
    call.lifecycle().note(fact, call.by()).await?;
    Ok(Reply::ok(&RevealedDelivery {
        message_id: message.message_id.to_string(),
        action: message.action.as_str(),
        sequence: message.sequence,
        headers: Headers(headers),
        body: String::from_utf8_lossy(&message.body).into_owned(),
        signed_utc: second(call.lifecycle().now()),
    }))
}
