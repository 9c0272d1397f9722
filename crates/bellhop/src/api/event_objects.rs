//! Events as text: a name, where the client is behind it, and a document on one line.

use bellhop_webhook::UtcSecond;
use serde::Serialize;

use super::{
    Call,
    deliveries::DeliveryObject,
    integrations::IntegrationObject,
    times::second,
    webhooks::{View, WebhookObject},
};
use crate::{
    clock::from_ms,
    feed::Place,
    id::{ApplicationId, WebhookId},
    live::{Gap, Told, What},
};

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server goes away.
    Stopping,
    /// The key opens nothing any more.
    Key,
    /// The client reads too slowly; so many events were dropped.
    Behind(u64),
    /// The time is over that the client has asked for.
    Waited,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeletedWebhook {
    id: WebhookId,
    application_id: ApplicationId,
}

/// That something is missing, or why the stream ends.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Word {
    reason: &'static str,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_utc: Option<UtcSecond>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

/// An event.
pub fn write(call: &Call, told: &Told) -> String {
    let place = told.place;
    match &told.what {
        What::Delivery { delivery, .. } => {
            let object = DeliveryObject::from((**delivery).clone());
            event("delivery", place, &object)
        }
        What::Webhook(webhook) => {
            let object = WebhookObject::at((**webhook).clone(), &View::of(call));
            event("webhook", place, &object)
        }
        What::WebhookDeleted { id, application_id } => {
            let gone = DeletedWebhook {
                id: *id,
                application_id: *application_id,
            };
            event("webhook-deleted", place, &gone)
        }
        What::Integration(integration) => {
            let object = IntegrationObject::from((**integration).clone());
            event("integration", place, &object)
        }
        What::Gap(gap) => event("gap", place, &missing(*gap)),
    }
}

/// The last event of a stream.
pub fn end(why: End) -> String {
    let (reason, detail, dropped) = match why {
        End::Stopping => (
            "ServerStopping",
            "This server goes away. Come again with Last-Event-ID.",
            None,
        ),
        End::Key => (
            "KeyEnded",
            "The API key was deleted or rotated, or has expired.",
            None,
        ),
        End::Behind(dropped) => (
            "TooSlow",
            "Events came faster than they were read. Come again with Last-Event-ID: what was dropped is told, as long as \
             it is remembered. A filter makes the stream smaller.",
            Some(dropped),
        ),
        End::Waited => ("WaitIsOver", "WaitSeconds are over.", None),
    };
    let word = Word {
        reason,
        detail,
        from_utc: None,
        dropped,
    };
    event("end", None, &word)
}

fn missing(gap: Gap) -> Word {
    let since_ms = match gap {
        Gap::Away { since_ms } => Some(since_ms),
        _ => None,
    };
    let (reason, detail) = match gap {
        Gap::Away { .. } => (
            "PositionForgotten",
            "Last-Event-ID is too old, or of before this server was started. Deliveries that were made since FromUtc follow, \
             if they are at most 1000; GET /v1/deliveries?FromUtc has all. What became of older ones is not repeated.",
        ),
        Gap::TooMuch => (
            "TooMuch",
            "So much happened at once that some of it was dropped. GET /v1/deliveries has how everything stands.",
        ),
        Gap::OtherReplicas => (
            "OtherReplicas",
            "Word of other replicas was lost for a while. GET /v1/deliveries has how everything stands.",
        ),
        Gap::Deaf => (
            "OtherReplicasUnheard",
            "The database is behind a pooler that passes no word between replicas: this stream has only what this replica does.",
        ),
        Gap::Database => (
            "Database",
            "The database did not answer. GET /v1/deliveries has how everything stands.",
        ),
    };
    Word {
        reason,
        detail,
        from_utc: since_ms.map(|ms| second(from_ms(ms))),
        dropped: None,
    }
}

fn event(name: &str, place: Option<Place>, document: &impl Serialize) -> String {
    let data = serde_json::to_string(document).expect("our documents have text keys only");
    match place {
        Some(place) => format!("event: {name}\nid: {place}\ndata: {data}\n\n"),
        None => format!("event: {name}\ndata: {data}\n\n"),
    }
}
