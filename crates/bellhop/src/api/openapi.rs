//! The OpenAPI 3.1 document: made of the handlers and their types, completed with what every operation shares.

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{
    ApiError, Reply, applications, audit, deliveries, delivery_commands, enterprises, error,
    events, integration_commands, integrations, introspect, keys, messages, openapi_limits,
    openapi_messages, operational_messages, probes, public_keys, replays, reveal, routes,
    state::ApiState, webhook_commands, webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bellhop",
        description = "The registry of integrations and the sender of their webhooks. \
                       Members are PascalCase, times are UTC, lists are pages with a NextCursor, \
                       problems are RFC 9457 documents.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    paths(
        enterprises::put,
        enterprises::get,
        enterprises::list,
        applications::create,
        applications::list,
        applications::get,
        applications::update,
        webhooks::create,
        webhooks::list_of_application,
        webhooks::list,
        webhooks::get,
        webhooks::update,
        webhooks::delete,
        webhook_commands::pause,
        webhook_commands::resume,
        webhook_commands::test,
        webhook_commands::rotate_secret,
        integrations::create,
        integrations::list,
        integrations::get,
        integration_commands::delete,
        integration_commands::enable,
        integration_commands::disable,
        integration_commands::cancel,
        integration_commands::reinstate,
        integration_commands::regenerate,
        messages::list,
        deliveries::list,
        deliveries::get,
        delivery_commands::replay,
        delivery_commands::discard,
        reveal::reveal,
        events::stream,
        replays::start,
        replays::list,
        replays::get,
        replays::pause,
        replays::resume,
        replays::cancel,
        replays::backfill,
        introspect::introspect,
        keys::create,
        keys::list,
        keys::rotate,
        keys::delete,
        operational_messages::list,
        audit::list,
        public_keys::read,
        probes::live,
        probes::ready,
        probes::metrics,
    ),
    components(schemas(error::Problem))
)]
struct Document;

static DOCUMENT: LazyLock<Value> = LazyLock::new(complete);
static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(openapi_json()));

/// The document as it is committed: indented, with a line feed at its end.
pub fn openapi_json() -> String {
    let mut text = serde_json::to_string_pretty(&*DOCUMENT).expect("a value always serialises");
    text.push('\n');
    text
}

/// The document.
pub fn value() -> &'static Value {
    &DOCUMENT
}

/// The document for programs.
pub async fn document(_: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    Ok(Reply::of(StatusCode::OK, "application/json", TEXT.clone()).with_version_of_body())
}

/// Adds to what utoipa makes: operation ids, keys and scopes, problems, `Idempotency-Key`, the messages.
fn complete() -> Value {
    let mut document =
        serde_json::to_value(Document::openapi()).expect("the document always serialises");
    for route in routes::list() {
        let method = route.method.as_str().to_lowercase();
        let operation = document["paths"]
            .get_mut(route.path)
            .and_then(|item| item.get_mut(method)?.as_object_mut());
        if let Some(operation) = operation {
            complete_operation(route, operation);
        }
    }
    document["components"]["securitySchemes"] = json!({
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, bhk_… . Its scope is operator, application or introspect."
        }
    });
    openapi_limits::tighten(&mut document);
    openapi_messages::add(&mut document);
    document
}

fn complete_operation(route: &routes::RouteInfo, operation: &mut Map<String, Value>) {
    let name = route.operation.as_str();
    let id = name[..1].to_lowercase() + &name[1..];
    operation.insert("operationId".into(), id.into());
    let scopes = route.operation.access().scopes();
    if scopes.is_empty() {
        return;
    }
    operation.insert("security".into(), json!([{ "key": [] }]));
    operation.insert("x-scopes".into(), json!(scopes));
    let problem = json!({
        "description": "A problem (RFC 9457).",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
    });
    operation["responses"]["default"] = problem;
    if route.method == http::Method::POST {
        let header = json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "1 to 255 visible ASCII characters. The same request with the same key is done once \
                            and gets the same answer for 24 hours.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": openapi_limits::VISIBLE }
        });
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(header);
        }
    }
}
