//! The commands of an integration, as POST below it, and its deletion.

use std::time::Duration;

use bellhop_webhook::Requestor;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, Call, Reply,
    body::Object,
    error::Problem,
    integrations::{CommandedIntegration, commanded, find},
    objects::{self, RequestorInput},
};
use crate::{
    domain::integration::{Command, CommandName},
    id::IntegrationId,
    store::{Noun, Write, Written},
};

/// The longest overlap of two access tokens: 30 days.
const MAX_OVERLAP_SECONDS: u32 = 30 * 86_400;

/// What a command takes. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CommandInput {
    /// Who asks for it.
    #[schema(value_type = Option<RequestorInput>)]
    requestor: Option<Object<RequestorInput>>,
}

/// What a regeneration takes. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RegenerateAccessToken {
    /// Who asks for it.
    #[schema(value_type = Option<RequestorInput>)]
    requestor: Option<Object<RequestorInput>>,
    /// For how long the former token works as well, 0 to 2592000; the server's setting (a day) unless given. 0 if it is
    /// in wrong hands: then it is inactive before this is answered.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

/// Makes the handler of each command: they differ in name and words only.
macro_rules! commands {
    ($($handler:ident $method:ident $path:literal $command:ident $doc:literal;)+) => {$(
        #[doc = $doc]
        #[utoipa::path($method, path = $path, tag = "Integrations",
            params(("Id" = Uuid, Path, description = "Of the integration.")),
            request_body = inline(Option<CommandInput>),
            responses((status = 200, description = "As it is now; `Changed` says whether anything changed.",
                    body = CommandedIntegration),
                (status = 409, description = "Its state does not allow this; AllowedCommands says what it does.",
                    body = Problem, content_type = "application/problem+json")))]
        pub async fn $handler(call: Call) -> Result<Reply, ApiError> {
            simple(call, CommandName::$command).await
        }
    )+};
}

commands! {
    enable post "/v1/integrations/{Id}/enable" Enable
        "Switches an integration on, and sends `IntegrationEnabled`.";
    disable post "/v1/integrations/{Id}/disable" Disable
        "Switches an integration off, and sends `IntegrationDisabled`.";
    cancel post "/v1/integrations/{Id}/cancel" Cancel
        "Ends the subscription of an integration, and sends `IntegrationCanceled`.";
    reinstate post "/v1/integrations/{Id}/reinstate" Reinstate
        "Takes the subscription up again, and sends `IntegrationReinstated`.";
    delete delete "/v1/integrations/{Id}" Delete
        "Ends an integration for good, revokes its access token, and sends `IntegrationDeleted`.";
}

/// Gives an integration another access token, shown once; the former one works for an overlap.
#[utoipa::path(post, path = "/v1/integrations/{Id}/regenerate-access-token", tag = "Integrations",
    params(("Id" = Uuid, Path, description = "Of the integration.")),
    request_body = inline(Option<RegenerateAccessToken>),
    responses((status = 200, description = "As it is now, with its new access token.", body = CommandedIntegration),
        (status = 409, description = "Its state does not allow this; AllowedCommands says what it does.",
            body = Problem, content_type = "application/problem+json")))]
pub async fn regenerate(call: Call) -> Result<Reply, ApiError> {
    let id: IntegrationId = call.id(Noun::Integration)?;
    let (body, mut checks) = call.read::<RegenerateAccessToken>()?;
    let requestor = objects::requestor(&mut checks, body.requestor);
    let pointer = "/OverlapSeconds";
    checks.number(pointer, body.overlap_seconds, 0, MAX_OVERLAP_SECONDS);
    checks.finish()?;
    let overlap = body
        .overlap_seconds
        .map(|seconds| Duration::from_secs(seconds.into()));
    let command = call.lifecycle().regenerate(id, overlap);
    run(call, id, command, requestor).await
}

async fn simple(call: Call, name: CommandName) -> Result<Reply, ApiError> {
    let id: IntegrationId = call.id(Noun::Integration)?;
    let (body, mut checks) = call.read::<CommandInput>()?;
    let requestor = objects::requestor(&mut checks, body.requestor);
    checks.finish()?;
    let command = call.lifecycle().command(name, id);
    run(call, id, command, requestor).await
}

async fn run(
    call: Call,
    id: IntegrationId,
    command: Command,
    requestor: Option<Requestor>,
) -> Result<Reply, ApiError> {
    if call.has_if_match() {
        call.if_match(find(&call).await?.sequence)?;
    }
    let token = match &command {
        Command::RegenerateAccessToken { token, .. } => Some(token.clone()),
        _ => None,
    };
    let write = Write::Command {
        id,
        command,
        requestor,
    };
    call.commit(write, move |written| match written {
        Written::Integration {
            integration,
            changed,
        } => {
            let token = token.as_ref().filter(|_| *changed);
            commanded(StatusCode::OK, integration, Some(*changed), token)
        }
        _ => Reply::unexpected(),
    })
    .await
}
