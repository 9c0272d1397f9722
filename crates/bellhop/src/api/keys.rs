//! API keys.

use bellhop_webhook::UtcSecond;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Checks, Reply,
    checks::MAX_NAME,
    code::Flaw,
    cursor::List,
    error::FieldError,
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::{
        api_key::{ApiKey, Scope},
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
    let expires = checks.moment("/ExpiresUtc", body.expires_utc.as_deref());
    if expires.is_some_and(|until| until <= call.lifecycle().now()) {
        checks.invalid("/ExpiresUtc", "This moment is over.");
    }
    let scope = scope(&mut checks, body.scope, body.application_id);
    if let Some(id) = scope.application_id()
        && call.store().application(id).await?.is_none()
    {
        let detail = format!("There is no application {id}.");
        checks.push(FieldError::at("/ApplicationId", Flaw::NoSuchThing, detail));
    }
    checks.finish()?;
    let (key, text) = call.lifecycle().key(name, scope, expires);
    let made = call
        .commit(Write::CreateKey(Box::new(key)), move |written| {
            shown_once(written, &text)
        })
        .await?;
    reread(&call).await?;
    Ok(made)
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
    Ok(page.reply(found, |each| each.id.0, KeyObject::from))
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

fn shown_once(written: &Written, text: &SecretText) -> Reply {
    match written {
        Written::Key(key) => Reply::json(
            StatusCode::CREATED,
            &CreatedKey {
                about: (**key).clone().into(),
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

impl From<ApiKey> for KeyObject {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scope: key.scope.as_str(),
            application_id: key.scope.application_id(),
            created_utc: second(key.created),
            expires_utc: key.expires.map(second),
        }
    }
}
