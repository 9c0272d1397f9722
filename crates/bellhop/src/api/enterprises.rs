//! Enterprises: the operator's customers, under the operator's own ids.

use bellhop_webhook::UtcSecond;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    cursor::List,
    error::Problem,
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::enterprise::Enterprise,
    id::EnterpriseId,
    store::{Noun, Write, Written},
};

/// An enterprise to create or rename.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct PutEnterprise {
    /// Its name, as messages carry it.
    #[schema(required, value_type = String, max_length = 255)]
    name: Option<String>,
}

/// An enterprise.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Enterprise)]
pub struct EnterpriseObject {
    /// The operator's own id.
    #[schema(value_type = uuid::Uuid)]
    id: EnterpriseId,
    /// Its name.
    name: String,
    /// When it was first put here.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
}

/// Creates an enterprise, or renames it.
#[utoipa::path(put, path = "/v1/enterprises/{Id}", tag = "Enterprises",
    params(("Id" = uuid::Uuid, Path, description = "The operator's own id.")),
    request_body = PutEnterprise,
    responses((status = 200, description = "It was there; this is its name now.", body = EnterpriseObject),
        (status = 201, description = "It is new.", body = EnterpriseObject),
        (status = "default", description = "A problem.", body = Problem, content_type = "application/problem+json")))]
pub async fn put(call: Call) -> Result<Reply, ApiError> {
    let id: EnterpriseId = call.id(Noun::Enterprise)?;
    let (body, mut checks) = call.read::<PutEnterprise>()?;
    let name = checks.name("/Name", body.name);
    checks.finish()?;
    if call.has_if_match() {
        let present = find(&call, id).await?;
        call.if_match(version(&present))?;
    }
    call.commit(Write::PutEnterprise { id, name }, |written| match written {
        Written::Enterprise { enterprise, is_new } => {
            let status = if *is_new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            one(status, enterprise.clone())
        }
        _ => Reply::unexpected(),
    })
    .await
}

/// One enterprise.
#[utoipa::path(get, path = "/v1/enterprises/{Id}", tag = "Enterprises",
    params(("Id" = uuid::Uuid, Path, description = "The operator's own id.")),
    responses((status = 200, description = "The enterprise.", body = EnterpriseObject)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let id = call.id(Noun::Enterprise)?;
    Ok(one(StatusCode::OK, find(&call, id).await?))
}

/// All enterprises, in the order of their ids.
#[utoipa::path(get, path = "/v1/enterprises", tag = "Enterprises",
    params(("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<EnterpriseObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&["Limit", "Cursor"]);
    let page = PageRequest::read(List::Enterprises, &mut query)?;
    query.finish()?;
    let found = call.store().enterprises(page.page()).await?;
    Ok(page.reply(found, |each| each.id.0, EnterpriseObject::from))
}

async fn find(call: &Call, id: EnterpriseId) -> Result<Enterprise, ApiError> {
    let found = call.store().enterprise(id).await?;
    found.ok_or_else(|| ApiError::not_found(Noun::Enterprise, id))
}

fn one(status: StatusCode, enterprise: Enterprise) -> Reply {
    let version = version(&enterprise);
    Reply::json(status, &EnterpriseObject::from(enterprise)).with_version(version)
}

/// Its name is all that can change.
fn version(enterprise: &Enterprise) -> String {
    super::reply::version_of(enterprise.name.as_bytes())
}

impl From<Enterprise> for EnterpriseObject {
    fn from(enterprise: Enterprise) -> Self {
        Self {
            id: enterprise.id,
            name: enterprise.name,
            created_utc: second(enterprise.created),
        }
    }
}
