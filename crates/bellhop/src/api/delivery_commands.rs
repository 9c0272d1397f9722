//! What a person can do with a delivery: send it again, or give it up.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    deliveries::{DeliveryObject, DeliveryWithAttempts, find, with_attempts},
    webhook_commands::Nothing,
};
use crate::{
    domain::delivery::Delivery,
    feed::Event,
    store::{Noun, Write, Written},
};

/// The longest reason in characters.
pub const MAX_REASON: usize = 500;
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Why a delivery is given up.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DiscardDelivery {
    /// Why, for people.
    #[schema(required, value_type = String, max_length = 500)]
    reason: Option<String>,
}

/// Sends a delivery again, now, with the same id and the same bytes. With `Prefer: wait=10` (and without
/// `Idempotency-Key`) the answer waits for the attempt.
#[utoipa::path(post, path = "/v1/deliveries/{Id}/replay", tag = "Deliveries",
    params(("Id" = Uuid, Path, description = "Of the delivery."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: up to N seconds, at most 60.")),
    responses((status = 200, description = "The attempt was made.", body = DeliveryWithAttempts),
        (status = 202, description = "It will be made now.", body = DeliveryObject)))]
pub async fn replay(call: Call) -> Result<Reply, ApiError> {
    call.read::<Nothing>()?.1.finish()?;
    let present = find(&call).await?;
    // An answer that is remembered is the one of the commit, so there is nothing to wait for.
    let wait = call.wait().filter(|_| !call.is_idempotent());
    // Listens before the commit, so that the attempt cannot end unheard.
    let events = call.api.options.feed.listen();
    let id = present.id;
    let replayed = call
        .commit(Write::Replay { id }, |written| {
            answer(StatusCode::ACCEPTED, written)
        })
        .await?;
    let Some(wait) = wait else {
        return Ok(replayed);
    };
    match attempted(&call, &present, events, wait).await? {
        None => Ok(replayed),
        Some(delivery) => {
            let document = with_attempts(&call, delivery).await?;
            let applied = HeaderValue::from_static("wait");
            Ok(Reply::ok(&document).with_header(PREFERENCE_APPLIED, applied))
        }
    }
}

/// Ends a delivery that is pending; its lane goes on.
#[utoipa::path(post, path = "/v1/deliveries/{Id}/discard", tag = "Deliveries",
    params(("Id" = Uuid, Path, description = "Of the delivery.")), request_body = DiscardDelivery,
    responses((status = 200, description = "It is discarded.", body = DeliveryObject)))]
pub async fn discard(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<DiscardDelivery>()?;
    let is_given = body.reason.is_some();
    let reason = checks.required("/Reason", body.reason);
    if is_given {
        checks.text("/Reason", &reason, 1, MAX_REASON);
    }
    checks.finish()?;
    let id = find(&call).await?.id;
    call.commit(Write::Discard { id, reason }, |written| {
        answer(StatusCode::OK, written)
    })
    .await
}

/// Waits until one more attempt of the delivery is recorded. `None` if that took too long.
async fn attempted(
    call: &Call,
    before: &Delivery,
    mut events: Receiver<Event>,
    wait: Duration,
) -> Result<Option<Delivery>, ApiError> {
    let deadline = Instant::now() + wait;
    loop {
        let delivery = call.store().delivery(before.id).await?;
        let delivery = delivery.ok_or_else(|| ApiError::not_found(Noun::Delivery, before.id))?;
        if delivery.attempt_count > before.attempt_count {
            return Ok(Some(delivery));
        }
        if timeout_at(deadline, told_of(before, &mut events))
            .await
            .is_err()
        {
            return Ok(None);
        }
    }
}

/// Waits until the feed names the delivery, or may have.
async fn told_of(delivery: &Delivery, events: &mut Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::Delivery(id)) if id == delivery.id => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            // Nothing more is announced: only the deadline is left.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn answer(status: StatusCode, written: &Written) -> Reply {
    match written {
        Written::Delivery(delivery) => {
            Reply::json(status, &DeliveryObject::from((**delivery).clone()))
        }
        _ => Reply::unexpected(),
    }
}
