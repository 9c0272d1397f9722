//! Deliveries: where each message stands on its way to each webhook.

use bellhop_webhook::{Action, UtcSecond};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    attempts::{AttemptObject, SentTo},
    cursor::List,
    page::{Items, PageRequest},
    query::Query,
    times::{UtcMillisecond, second},
};
use crate::{
    domain::{
        cause::Cause,
        delivery::{Delivery, DeliveryState},
    },
    id::{ApplicationId, DeliveryId, IntegrationId, WebhookId},
    store::{DeliveryFilter, MessageBody, Noun},
};

const PARAMETERS: &[&str] = &[
    "WebhookId",
    "ApplicationId",
    "IntegrationId",
    "EnterpriseId",
    "Action",
    "State",
    "Cause",
    "FromUtc",
    "ToUtc",
    "Limit",
    "Cursor",
];

/// One message on its way to one webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Delivery)]
pub struct DeliveryObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: DeliveryId,
    /// Where to.
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    /// Whose webhook that is.
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    /// Of which integration.
    #[schema(value_type = Uuid)]
    integration_id: IntegrationId,
    /// The `webhook-id` with which it is sent.
    message_id: String,
    /// What happened.
    action: &'static str,
    /// Position of the message in the integration's history.
    sequence: u64,
    /// The sequence of the message before it on its way to this webhook; 0 for the first.
    previous: u64,
    /// `Pending`, `Delivered`, `Failed` or `Discarded`.
    state: &'static str,
    /// Why the newest attempt failed.
    cause: Option<&'static str>,
    /// Why a person discarded it.
    reason: Option<String>,
    /// Whether its integration has a later message: what this one says may no longer hold, and a replay of it comes
    /// late.
    is_stale: bool,
    /// How many attempts were made.
    attempt_count: u32,
    /// When it is tried next; null behind an earlier one of its lane, and when it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_utc: Option<UtcMillisecond>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_utc: Option<UtcSecond>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeliveryWithAttempts {
    #[serde(flatten)]
    delivery: DeliveryObject,
    /// When the body of its message was erased: it carried an access token, and every delivery of it had ended. It cannot be
    /// sent again.
    #[schema(value_type = Option<String>, format = DateTime)]
    body_erased_utc: Option<UtcSecond>,
    /// What was sent and what came back, in order.
    attempts: Vec<AttemptObject>,
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/v1/deliveries", tag = "Deliveries",
    params(("WebhookId" = Option<Uuid>, Query, description = "To this webhook."),
        ("ApplicationId" = Option<Uuid>, Query, description = "Of this application."),
        ("IntegrationId" = Option<Uuid>, Query, description = "Of this integration."),
        ("EnterpriseId" = Option<Uuid>, Query, description = "Of this enterprise."),
        ("Action" = Option<String>, Query, description = "Of this action."),
        ("State" = Option<String>, Query, description = "`Pending`, `Delivered`, `Failed` or `Discarded`."),
        ("Cause" = Option<String>, Query, description = "Whose newest attempt failed so."),
        ("FromUtc" = Option<String>, Query, description = "Made at this moment or later."),
        ("ToUtc" = Option<String>, Query, description = "Made before this moment."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<DeliveryObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(PARAMETERS);
    let of = filter(&mut query);
    let filter = DeliveryFilter {
        from: query.moment("FromUtc"),
        to: query.moment("ToUtc"),
        ..of
    };
    let page = PageRequest::read(List::Deliveries, &mut query)?;
    query.finish()?;
    let filter = DeliveryFilter {
        application_id: call.caller.narrow(filter.application_id)?,
        ..filter
    };
    let found = call.store().deliveries(filter, page.page()).await?;
    Ok(page.reply(found, |each| each.id.0, DeliveryObject::from))
}

/// Parameters by which deliveries are chosen, but for times.
pub const FILTER_PARAMETERS: &[&str] = &[
    "WebhookId",
    "ApplicationId",
    "IntegrationId",
    "EnterpriseId",
    "Action",
    "State",
    "Cause",
];

/// Which deliveries, by these parameters.
pub fn filter(query: &mut Query<'_>) -> DeliveryFilter {
    let actions = Action::ALL
        .into_iter()
        .map(|action| (action.as_str(), action));
    let states = DeliveryState::ALL
        .into_iter()
        .map(|state| (state.as_str(), state));
    let causes = Cause::ALL.iter().map(|cause| (cause.as_str(), *cause));
    DeliveryFilter {
        webhook_id: query.id("WebhookId"),
        application_id: query.id("ApplicationId"),
        integration_id: query.id("IntegrationId"),
        enterprise_id: query.id("EnterpriseId"),
        action: query.one_of("Action", actions),
        state: query.one_of("State", states),
        cause: query.one_of("Cause", causes),
        from: None,
        to: None,
    }
}

/// One delivery with its attempts: what was sent, what came back, how long it took, why it failed.
#[utoipa::path(get, path = "/v1/deliveries/{Id}", tag = "Deliveries",
    params(("Id" = Uuid, Path, description = "Of the delivery.")),
    responses((status = 200, description = "The delivery.", body = DeliveryWithAttempts)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let delivery = find(&call).await?;
    let document = with_attempts(&call, delivery).await?;
    Ok(Reply::ok(&document).with_version_of_body())
}

/// The delivery in the path, if the caller may see it.
pub async fn find(call: &Call) -> Result<Delivery, ApiError> {
    let id: DeliveryId = call.id(Noun::Delivery)?;
    let found = call.store().delivery(id).await?;
    let delivery = found.ok_or_else(|| ApiError::not_found(Noun::Delivery, id))?;
    call.caller
        .sees(delivery.application_id, Noun::Delivery, id)?;
    Ok(delivery)
}

/// A delivery and what is known of its attempts.
pub async fn with_attempts(
    call: &Call,
    delivery: Delivery,
) -> Result<DeliveryWithAttempts, ApiError> {
    let store = call.store();
    let attempts = store.attempts(delivery.id).await?;
    let webhook = store.webhook(delivery.webhook_id).await?;
    let body = store.body(delivery.id).await?;
    let sent = SentTo::delivery(&delivery, webhook.as_ref(), body.as_ref());
    let body_erased_utc = match body {
        Some(MessageBody::Erased { at }) => Some(second(at)),
        Some(MessageBody::Bytes(_)) | None => None,
    };
    Ok(DeliveryWithAttempts {
        delivery: delivery.into(),
        body_erased_utc,
        attempts: attempts
            .into_iter()
            .map(|attempt| AttemptObject::new(attempt, &sent))
            .collect(),
    })
}

impl From<Delivery> for DeliveryObject {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.webhook_id,
            application_id: delivery.application_id,
            integration_id: delivery.integration_id,
            message_id: delivery.message_id().to_string(),
            action: delivery.action.as_str(),
            sequence: delivery.sequence,
            previous: delivery.previous,
            state: delivery.state.as_str(),
            cause: delivery.cause.map(Cause::as_str),
            reason: delivery.reason,
            is_stale: delivery.is_stale,
            attempt_count: delivery.attempt_count,
            next_attempt_utc: delivery.next_attempt.map(UtcMillisecond),
            created_utc: second(delivery.created),
            ended_utc: delivery.ended.map(second),
        }
    }
}
