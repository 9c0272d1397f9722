//! The commands of an integration, as POST below it, and its deletion.

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

/// What a command takes. The body may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CommandInput {
    /// Who asks for it.
    #[schema(value_type = Option<RequestorInput>)]
    requestor: Option<Object<RequestorInput>>,
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
            run(call, CommandName::$command).await
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
    regenerate post "/v1/integrations/{Id}/regenerate-access-token" RegenerateAccessToken
        "Gives an integration another access token, shown once; the former one works for an overlap.";
    delete delete "/v1/integrations/{Id}" Delete
        "Ends an integration for good, revokes its access token, and sends `IntegrationDeleted`.";
}

async fn run(call: Call, name: CommandName) -> Result<Reply, ApiError> {
    let id: IntegrationId = call.id(Noun::Integration)?;
    let (body, mut checks) = call.read::<CommandInput>()?;
    let requestor = objects::requestor(&mut checks, body.requestor);
    checks.finish()?;
    if call.has_if_match() {
        call.if_match(find(&call).await?.sequence)?;
    }
    let command = call.lifecycle().command(name, id);
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
