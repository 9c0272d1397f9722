//! The audit log: what was done, by whom, from where.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Reply, cursor,
    page::{Items, limit},
    times::UtcMillisecond,
};
use crate::{
    clock::from_ms,
    domain::audit::{AuditAction, AuditEntry},
    id::ApplicationId,
    store::AuditFilter,
};

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = AuditEntry)]
pub struct AuditObject {
    /// Its id.
    id: Uuid,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at_utc: UtcMillisecond,
    /// What was done. New names may come.
    action: String,
    /// Who did it.
    actor: AuditActorObject,
    /// The address that the request came from; null for what the server did by itself.
    from_address: Option<String>,
    /// The id of the request, as its answer had it.
    request_id: Option<String>,
    /// What it was done to.
    subject: AuditSubjectObject,
    /// The application that it belongs to.
    #[schema(value_type = Option<Uuid>)]
    application_id: Option<ApplicationId>,
    /// More of it. Of secrets only that they changed or were shown.
    #[schema(value_type = Option<Object>)]
    details: Option<Box<RawValue>>,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = AuditActor)]
pub struct AuditActorObject {
    /// `OperatorKey`, `Key`, `Session`, `CommandLine`, `System` or `Stranger`.
    kind: String,
    /// The id of the key or the session.
    id: Option<Uuid>,
    /// Its name then.
    name: Option<String>,
}

/// What something was done to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = AuditSubject)]
pub struct AuditSubjectObject {
    /// `Enterprise`, `Application`, `Webhook`, `Integration`, `Delivery`, `Replay`, `Key`, `Session` or `Server`.
    kind: String,
    /// Its id.
    id: Option<Uuid>,
}

/// The audit log, newest first. A page may hold fewer entries than `Limit`, or none, and have a `NextCursor` all the
/// same: one request looks at 8,192 entries at most.
#[utoipa::path(get, path = "/v1/audit", tag = "Audit",
    params(("Action" = Option<String>, Query, description = "What was done."),
        ("ActorId" = Option<Uuid>, Query, description = "By this key or session."),
        ("SubjectId" = Option<Uuid>, Query, description = "To what has this id."),
        ("ApplicationId" = Option<Uuid>, Query, description = "Of this application."),
        ("FromUtc" = Option<String>, Query, description = "At this moment or later."),
        ("ToUtc" = Option<String>, Query, description = "Before this moment."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<AuditObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&[
        "Action",
        "ActorId",
        "SubjectId",
        "ApplicationId",
        "FromUtc",
        "ToUtc",
        "Limit",
        "Cursor",
    ]);
    let actions = AuditAction::ALL.iter().map(|each| (each.as_str(), *each));
    let filter = AuditFilter {
        action: query.one_of("Action", actions),
        actor_id: query.id("ActorId"),
        subject_id: query.id("SubjectId"),
        application_id: query.id("ApplicationId"),
        from: query.moment("FromUtc"),
        to: query.moment("ToUtc"),
    };
    let limit = limit(&mut query);
    let before = query.text("Cursor").map(cursor::read_audit).transpose()?;
    query.finish()?;
    let found = call.store().audited(filter, before, limit).await?;
    let items = found.entries.into_iter().map(AuditObject::from).collect();
    Ok(Items::reply(items, found.next.map(cursor::write_audit)))
}

impl From<AuditEntry> for AuditObject {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at_utc: UtcMillisecond(from_ms(entry.at_ms)),
            action: entry.action.into_owned(),
            actor: AuditActorObject {
                kind: entry.actor.into_owned(),
                id: entry.actor_id,
                name: entry.actor_name.map(|name| name.to_string()),
            },
            from_address: entry.from_address,
            request_id: entry.request_id.map(|id| id.to_string()),
            subject: AuditSubjectObject {
                kind: entry.subject.into_owned(),
                id: entry.subject_id,
            },
            application_id: entry.application_id,
            details: entry
                .details
                .and_then(|details| RawValue::from_string(details).ok()),
        }
    }
}
