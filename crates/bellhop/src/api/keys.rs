//! API keys.

use bellhop_webhook::UtcSecond;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Checks, Reply,
    checks::MAX_NAME,
    code::Flaw,
    cursor::List,
    error::FieldError,
    overlap::overlap,
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::{
        api_key::{ApiKey, KeyRotation, Scope},
        retry::later,
        secret_text::SecretText,
    },
    id::{ApplicationId, KeyId},
    store::{Noun, Write, Written},
};

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateKey {
    /// For people.
    name: Option<String>,
    /// `operator`, `application` or `introspect`.
    #[schema(required, value_type = String)]
    scope: Option<String>,
    /// The application of a key of scope `application`.
    application_id: Option<Uuid>,
    /// When it stops working; never unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_utc: Option<String>,
}

/// Another key in the place of one. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RotateKey {
    /// For how long the former key works as well, 0 to 604800; a day unless given. 0 if it is in wrong hands.
    overlap_seconds: Option<u32>,
    /// When both stop working; as before unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_utc: Option<String>,
}

/// A key, without itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Key)]
pub struct KeyObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: KeyId,
    /// For people.
    name: String,
    /// `operator`, `application` or `introspect`.
    scope: &'static str,
    /// The application that it is bound to.
    #[schema(value_type = Option<Uuid>)]
    application_id: Option<ApplicationId>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_utc: Option<UtcSecond>,
    /// Until when the key works that it had before it was rotated; null if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    former_until_utc: Option<UtcSecond>,
    /// When it was last used, a minute late at most; null if it never was.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_utc: Option<UtcSecond>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedKey {
    #[serde(flatten)]
    about: KeyObject,
    /// The key itself: shown once.
    key: String,
}

/// Makes an API key, which is shown once.
#[utoipa::path(post, path = "/v1/keys", tag = "Keys", request_body = CreateKey,
    responses((status = 201, description = "It works from now on.", body = CreatedKey)))]
pub async fn create(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<CreateKey>()?;
    let name = body.name.unwrap_or_default();
    checks.text("/Name", &name, 0, MAX_NAME);
    let expires = expires(&call, &mut checks, body.expires_utc.as_deref());
    let scope = scope(&mut checks, body.scope, body.application_id);
    if let Some(id) = scope.application_id()
        && call.store().application(id).await?.is_none()
    {
        let detail = format!("There is no application {id}.");
        checks.push(FieldError::at("/ApplicationId", Flaw::NoSuchThing, detail));
    }
    checks.finish()?;
    let (key, text) = call.lifecycle().key(name, scope, expires);
    let created = key.created;
    let made = call
        .commit(Write::CreateKey(Box::new(key)), move |written| {
            shown_once(StatusCode::CREATED, written, &text, created)
        })
        .await?;
    reread(&call).await?;
    Ok(made)
}

/// Puts another key in the place of one, shown once. Id, name and scope stay; the former key works as well until the
/// overlap ends, the one before it no longer.
#[utoipa::path(post, path = "/v1/keys/{Id}/rotate", tag = "Keys",
    params(("Id" = Uuid, Path, description = "Of the key.")), request_body = inline(Option<RotateKey>),
    responses((status = 200, description = "The new key works from now on.", body = CreatedKey)))]
pub async fn rotate(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<RotateKey>()?;
    let overlap = overlap(&call, &mut checks, body.overlap_seconds);
    let expires = expires(&call, &mut checks, body.expires_utc.as_deref());
    let id: KeyId = call.id(Noun::Key)?;
    let found = call.store().key(id).await?;
    let key = found.ok_or_else(|| ApiError::not_found(Noun::Key, id))?;
    let now = call.lifecycle().now();
    if expires.is_none() && key.expires.is_some_and(|until| until <= now) {
        let detail = "This key has expired: say until when the new one works.";
        checks.push(FieldError::at("/ExpiresUtc", Flaw::Missing, detail));
    }
    checks.finish()?;
    let (hash, text) = call.lifecycle().key_text();
    let to = KeyRotation {
        hash,
        overlap_until: later(now, overlap),
        expires,
    };
    let rotated = call
        .commit(Write::RotateKey { id, to }, move |written| {
            shown_once(StatusCode::OK, written, &text, now)
        })
        .await?;
    reread(&call).await?;
    Ok(rotated)
}

/// All API keys, in the order in which they were made; never the keys themselves.
#[utoipa::path(get, path = "/v1/keys", tag = "Keys",
    params(("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<KeyObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::Keys, &mut query)?;
    query.finish()?;
    let mut found = call.store().keys().await?;
    found.retain(|key| page.after().is_none_or(|after| key.id.0 > after));
    found.sort_unstable_by_key(|key| key.id);
    let now = call.lifecycle().now();
    let object = |mut key: ApiKey| {
        // What this process knows and has not noted yet.
        key.last_used = key.last_used.max(call.api.callers.last_used(key.id));
        KeyObject::at(key, now)
    };
    Ok(page.reply(found, |each| each.id.0, object))
}

/// Ends an API key at once.
#[utoipa::path(delete, path = "/v1/keys/{Id}", tag = "Keys",
    params(("Id" = Uuid, Path, description = "Of the key.")),
    responses((status = 204, description = "It works no more.")))]
pub async fn delete(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let id: KeyId = call.id(Noun::Key)?;
    let deleted = call
        .commit(Write::DeleteKey { id }, |_| Reply::no_content())
        .await?;
    reread(&call).await?;
    Ok(deleted)
}

fn scope(checks: &mut Checks, kind: Option<String>, application: Option<Uuid>) -> Scope {
    let is_given = kind.is_some();
    let kind = checks.required("/Scope", kind);
    let application = application.map(ApplicationId);
    match (&*kind, application) {
        ("application", None) => {
            let detail = "A key of scope application names its application.";
            checks.push(FieldError::at("/ApplicationId", Flaw::Missing, detail));
        }
        ("operator" | "introspect", Some(_)) => {
            let detail = "Only a key of scope application is bound to one.";
            checks.invalid("/ApplicationId", detail);
        }
        _ if is_given => {
            let known = [("operator", ()), ("application", ()), ("introspect", ())];
            checks.one_of("/Scope", &kind, &known);
        }
        _ => {}
    }
    // The least that there is, if anything was wrong: then the checks refuse the request.
    Scope::from_parts(&kind, application).unwrap_or(Scope::Introspect)
}

/// When a key is to stop working, which is not over yet.
fn expires(call: &Call, checks: &mut Checks, given: Option<&str>) -> Option<Timestamp> {
    let expires = checks.moment("/ExpiresUtc", given);
    if expires.is_some_and(|until| until <= call.lifecycle().now()) {
        checks.invalid("/ExpiresUtc", "This moment is over.");
    }
    expires
}

fn shown_once(status: StatusCode, written: &Written, text: &SecretText, now: Timestamp) -> Reply {
    match written {
        Written::Key(key) => Reply::json(
            status,
            &CreatedKey {
                about: KeyObject::at((**key).clone(), now),
                key: text.expose().to_owned(),
            },
        ),
        _ => Reply::unexpected(),
    }
}

/// A key works from the moment at which it is answered, and no longer than its deletion.
async fn reread(call: &Call) -> Result<(), ApiError> {
    let now = call.lifecycle().now();
    Ok(call.api.callers.read(call.store(), now).await?)
}

impl KeyObject {
    /// As it is at this moment.
    fn at(key: ApiKey, now: Timestamp) -> Self {
        let former_until = key.previous.map(|(_, until)| until);
        Self {
            id: key.id,
            name: key.name,
            scope: key.scope.as_str(),
            application_id: key.scope.application_id(),
            created_utc: second(key.created),
            expires_utc: key.expires.map(second),
            former_until_utc: former_until.filter(|until| now < *until).map(second),
            last_used_utc: key.last_used.map(second),
        }
    }
}
