//! Introspection of access tokens (RFC 7662): on the path of every request to the operator's own API.

use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::{ApiError, Call, Reply, code::Code};
use crate::{
    domain::{access::Access, access_token::TokenHash},
    id::{ApplicationId, EnterpriseId, IntegrationId},
    lifecycle::Introspection,
};

/// The form.
#[derive(Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "it describes the form in the OpenAPI document; the form is read by hand"
)]
pub struct IntrospectForm {
    /// The access token.
    token: String,
    /// Ignored (RFC 7662 section 2.1 allows that).
    token_type_hint: Option<String>,
}

/// What a token is worth. Of an inactive one, nothing but that is said.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntrospectionObject {
    /// Whether it opens an integration.
    active: bool,
    /// The integration that it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    integration_id: Option<IntegrationId>,
    /// The application that calls with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    application_id: Option<ApplicationId>,
    /// The enterprise whose things it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    enterprise_id: Option<EnterpriseId>,
    /// The application again, under its name in RFC 7662.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    client_id: Option<ApplicationId>,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// When it was issued, in seconds since 1970; absent if the token was regenerated since.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// When it ends, in seconds since 1970; only of a former token in its overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

/// Says whether an access token is active now, and what it opens (RFC 7662).
#[utoipa::path(post, path = "/v1/access-tokens/introspect", tag = "Access tokens",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it is worth.", body = IntrospectionObject)))]
pub async fn introspect(call: Call) -> Result<Reply, ApiError> {
    call.no_query()?;
    // Not `parse` into a map: a token given twice is refused (RFC 6749 section 3.2).
    let mut tokens = form_urlencoded::parse(&call.body).filter(|(name, _)| name == "token");
    let token = match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => token,
        _ => {
            return Err(ApiError::new(
                Code::MalformedBody,
                "The body is a form (application/x-www-form-urlencoded) with one token: token=….",
            ));
        }
    };
    let worth = match call.lifecycle().introspect(&token).await? {
        Introspection::Active(access) => active(&access, &token),
        Introspection::Inactive => IntrospectionObject::INACTIVE,
    };
    Ok(Reply::ok(&worth))
}

fn active(access: &Access, token: &str) -> IntrospectionObject {
    let previous = access.tokens.as_ref().and_then(|tokens| tokens.previous);
    let exp = previous.and_then(|(former, until)| {
        former
            .matches(&TokenHash::of(token))
            .then(|| until.as_second())
    });
    IntrospectionObject {
        active: true,
        integration_id: Some(access.integration_id),
        application_id: Some(access.application_id),
        enterprise_id: Some(access.enterprise_id),
        client_id: Some(access.application_id),
        token_type: Some("Bearer"),
        iat: previous.is_none().then(|| access.created.as_second()),
        exp,
    }
}

impl IntrospectionObject {
    const INACTIVE: Self = Self {
        active: false,
        integration_id: None,
        application_id: None,
        enterprise_id: None,
        client_id: None,
        token_type: None,
        iat: None,
        exp: None,
    };
}
