//! Applications: the partners' products.

use bellhop_webhook::UtcSecond;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Reply,
    cursor::List,
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::enterprise::Application,
    id::ApplicationId,
    store::{Noun, Write, Written},
};

/// An application to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateApplication {
    /// Its name.
    #[schema(required, value_type = String, max_length = 255)]
    name: Option<String>,
    /// Its id, if the operator has one.
    id: Option<Uuid>,
}

/// What may change.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct UpdateApplication {
    /// Its new name.
    #[schema(value_type = Option<String>, max_length = 255)]
    name: Option<String>,
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Application)]
pub struct ApplicationObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: ApplicationId,
    /// Its name.
    name: String,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
}

/// Creates an application.
#[utoipa::path(post, path = "/v1/applications", tag = "Applications", request_body = CreateApplication,
    responses((status = 201, description = "It is new.", body = ApplicationObject)))]
pub async fn create(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<CreateApplication>()?;
    let name = checks.name("/Name", body.name);
    checks.finish()?;
    let id = body.id.map_or_else(|| call.lifecycle().id(), ApplicationId);
    call.commit(Write::CreateApplication { id, name }, move |written| {
        answer(StatusCode::CREATED, written).with_location(&format!("/v1/applications/{id}"))
    })
    .await
}

/// All applications that the key may see, in the order of their ids.
#[utoipa::path(get, path = "/v1/applications", tag = "Applications",
    params(("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<ApplicationObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::Applications, &mut query)?;
    query.finish()?;
    let found = match call.caller.scope.application_id() {
        Some(own) => {
            let found = call.store().application(own).await?;
            found
                .into_iter()
                .filter(|each| page.after().is_none_or(|after| each.id.0 > after))
                .collect()
        }
        None => call.store().applications(page.page()).await?,
    };
    Ok(page.reply(found, |each| each.id.0, ApplicationObject::from))
}

/// One application.
#[utoipa::path(get, path = "/v1/applications/{Id}", tag = "Applications",
    params(("Id" = Uuid, Path, description = "Of the application.")),
    responses((status = 200, description = "The application.", body = ApplicationObject)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    Ok(one(StatusCode::OK, find(&call).await?))
}

/// Renames an application.
#[utoipa::path(patch, path = "/v1/applications/{Id}", tag = "Applications",
    params(("Id" = Uuid, Path, description = "Of the application.")), request_body = UpdateApplication,
    responses((status = 200, description = "As it is now.", body = ApplicationObject)))]
pub async fn update(call: Call) -> Result<Reply, ApiError> {
    let present = find(&call).await?;
    let (body, mut checks) = call.read::<UpdateApplication>()?;
    let name = body.name.map(|name| checks.name("/Name", Some(name)));
    checks.finish()?;
    call.if_match(version(&present))?;
    match name {
        None => Ok(one(StatusCode::OK, present)),
        Some(name) => {
            let id = present.id;
            call.commit(Write::RenameApplication { id, name }, |written| {
                answer(StatusCode::OK, written)
            })
            .await
        }
    }
}

/// The application in the path, if the caller may see it.
pub async fn find(call: &Call) -> Result<Application, ApiError> {
    let id: ApplicationId = call.id(Noun::Application)?;
    call.caller.sees(id, Noun::Application, id)?;
    let found = call.store().application(id).await?;
    found.ok_or_else(|| ApiError::not_found(Noun::Application, id))
}

fn answer(status: StatusCode, written: &Written) -> Reply {
    match written {
        Written::Application(application) => one(status, application.clone()),
        _ => Reply::unexpected(),
    }
}

fn one(status: StatusCode, application: Application) -> Reply {
    let version = version(&application);
    Reply::json(status, &ApplicationObject::from(application)).with_version(version)
}

/// Its name is all that can change.
fn version(application: &Application) -> String {
    super::reply::version_of(application.name.as_bytes())
}

impl From<Application> for ApplicationObject {
    fn from(application: Application) -> Self {
        Self {
            id: application.id,
            name: application.name,
            created_utc: second(application.created),
        }
    }
}
