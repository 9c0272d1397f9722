//! Integrations: creating and reading them. Their commands are in `integration_commands`.

use bellhop_webhook::UtcSecond;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, Call, Reply,
    body::Object,
    cursor::List,
    objects::{self, RequestorInput, ServiceInput, ServiceObject},
    page::{Items, PageRequest},
    times::second,
};
use crate::{
    domain::{
        integration::{Integration, State},
        secret_text::SecretText,
    },
    id::{ApplicationId, EnterpriseId, IntegrationId},
    lifecycle::IntegrationRequest,
    store::{IntegrationFilter, Noun, Write, Written},
};

/// An integration to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateIntegration {
    /// The application to connect.
    #[schema(required, value_type = Uuid)]
    application_id: Option<Uuid>,
    /// The enterprise to connect it to.
    #[schema(required, value_type = Uuid)]
    enterprise_id: Option<Uuid>,
    /// Its name, as messages carry it.
    #[schema(required, value_type = String, max_length = 255)]
    name: Option<String>,
    /// Its id, if the operator has one.
    id: Option<Uuid>,
    /// Whether it starts enabled; true unless given.
    is_enabled: Option<bool>,
    /// Who asks for it.
    #[schema(value_type = Option<RequestorInput>)]
    requestor: Option<Object<RequestorInput>>,
    /// The service of the enterprise; messages of profile `2025` carry it.
    #[schema(value_type = Option<ServiceInput>)]
    service: Option<Object<ServiceInput>>,
}

/// An integration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Integration)]
pub struct IntegrationObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: IntegrationId,
    /// Its name.
    name: String,
    /// The enterprise that is connected.
    #[schema(value_type = Uuid)]
    enterprise_id: EnterpriseId,
    /// The application that it is connected to.
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    /// `Enabled`, `Disabled`, `Canceled` or `Deleted`.
    state: &'static str,
    /// The operational flag; kept while it is canceled.
    is_enabled: bool,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// When its subscription was canceled, unless it was reinstated.
    #[schema(value_type = Option<String>, format = DateTime)]
    canceled_utc: Option<UtcSecond>,
    /// When it was deleted, for good.
    #[schema(value_type = Option<String>, format = DateTime)]
    deleted_utc: Option<UtcSecond>,
    /// The sequence of its newest message.
    sequence: u64,
    /// The service that is connected.
    service: Option<ServiceObject>,
}

/// What a command came to. `AccessToken` is there when one was made, and only then.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CommandedIntegration {
    #[serde(flatten)]
    integration: IntegrationObject,
    /// Whether anything changed. Absent from the answer to create.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    /// The new access token: shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
}

/// Creates an integration with its access token, which is shown once, and sends `IntegrationCreated`.
#[utoipa::path(post, path = "/v1/integrations", tag = "Integrations", request_body = CreateIntegration,
    responses((status = 201, description = "It is new, and durable.", body = CommandedIntegration)))]
pub async fn create(call: Call) -> Result<Reply, ApiError> {
    let (body, mut checks) = call.read::<CreateIntegration>()?;
    let request = IntegrationRequest {
        application_id: checks.id("/ApplicationId", body.application_id),
        enterprise_id: checks.id("/EnterpriseId", body.enterprise_id),
        name: checks.name("/Name", body.name),
        id: body.id.map(IntegrationId),
        is_enabled: body.is_enabled.unwrap_or(true),
        service: objects::service(&mut checks, body.service),
    };
    let requestor = objects::requestor(&mut checks, body.requestor);
    checks.finish()?;
    let new = Box::new(call.lifecycle().integration(request));
    let token = new.access_token.clone();
    let id = new.id;
    call.commit(
        Write::CreateIntegration { new, requestor },
        move |written| {
            let Written::Integration { integration, .. } = written else {
                return Reply::unexpected();
            };
            commanded(StatusCode::CREATED, integration, None, Some(&token))
                .with_location(&format!("/v1/integrations/{id}"))
        },
    )
    .await
    .map_err(|error| error.blame(Noun::Application, "/ApplicationId"))
    .map_err(|error| error.blame(Noun::Enterprise, "/EnterpriseId"))
}

/// One integration; a tombstone too.
#[utoipa::path(get, path = "/v1/integrations/{Id}", tag = "Integrations",
    params(("Id" = Uuid, Path, description = "Of the integration.")),
    responses((status = 200, description = "The integration.", body = IntegrationObject)))]
pub async fn get(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    let integration = find(&call).await?;
    let version = integration.sequence;
    Ok(Reply::ok(&IntegrationObject::from(integration)).with_version(version))
}

/// Integrations in the order of their ids: the state and the sequence of each. This is how a partner
/// reconciles after an outage; tombstones are there on request.
#[utoipa::path(get, path = "/v1/integrations", tag = "Integrations",
    params(("ApplicationId" = Option<Uuid>, Query, description = "Of this application."),
        ("EnterpriseId" = Option<Uuid>, Query, description = "Of this enterprise."),
        ("State" = Option<String>, Query, description = "`Enabled`, `Disabled`, `Canceled` or `Deleted`."),
        ("WithDeleted" = Option<bool>, Query, description = "Tombstones too; false unless given."),
        ("Limit" = Option<u32>, Query, description = "1 to 1000; 100 unless given."),
        ("Cursor" = Option<String>, Query, description = "NextCursor of the page before.")),
    responses((status = 200, description = "A page.", body = Items<IntegrationObject>)))]
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    let mut query = call.query(&[
        "ApplicationId",
        "EnterpriseId",
        "State",
        "WithDeleted",
        "Limit",
        "Cursor",
    ]);
    let application_id = query.id("ApplicationId");
    let states = State::ALL.into_iter().map(|state| (state.as_str(), state));
    let filter = IntegrationFilter {
        application_id,
        enterprise_id: query.id("EnterpriseId"),
        state: query.one_of("State", states),
        with_deleted: query.flag("WithDeleted"),
    };
    let page = PageRequest::read(List::Integrations, &mut query)?;
    query.finish()?;
    let filter = IntegrationFilter {
        application_id: call.caller.narrow(application_id)?,
        ..filter
    };
    let found = call.store().integrations(filter, page.page()).await?;
    Ok(page.reply(found, |each| each.id.0, IntegrationObject::from))
}

/// The integration in the path, if the caller may see it.
pub async fn find(call: &Call) -> Result<Integration, ApiError> {
    let id: IntegrationId = call.id(Noun::Integration)?;
    let found = call.store().integration(id).await?;
    let integration = found.ok_or_else(|| ApiError::not_found(Noun::Integration, id))?;
    call.caller
        .sees(integration.application_id, Noun::Integration, id)?;
    Ok(integration)
}

/// The answer to create and to a command.
pub fn commanded(
    status: StatusCode,
    integration: &Integration,
    changed: Option<bool>,
    token: Option<&SecretText>,
) -> Reply {
    let version = integration.sequence;
    let document = CommandedIntegration {
        integration: integration.clone().into(),
        changed,
        access_token: token.map(|token| token.expose().to_owned()),
    };
    Reply::json(status, &document).with_version(version)
}

impl From<Integration> for IntegrationObject {
    fn from(integration: Integration) -> Self {
        Self {
            id: integration.id,
            state: integration.state().as_str(),
            name: integration.name,
            enterprise_id: integration.enterprise_id,
            application_id: integration.application_id,
            is_enabled: integration.is_enabled,
            created_utc: second(integration.created),
            canceled_utc: integration.canceled.map(second),
            deleted_utc: integration.deleted.map(second),
            sequence: integration.sequence,
            service: integration.service.map(ServiceObject::from),
        }
    }
}
