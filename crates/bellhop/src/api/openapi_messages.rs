//! The messages of the contract, for the document's `webhooks` member (OpenAPI 3.1).

use bellhop_webhook::Action;
use serde_json::{Map, Value, json};

/// Adds the messages and what they are made of.
pub fn add(document: &mut Value) {
    document["webhooks"] = webhooks();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in parts() {
            schemas.insert(name.to_owned(), schema);
        }
        for action in Action::ALL {
            schemas.insert(format!("{action}Message"), message(action));
        }
    }
}

fn webhooks() -> Value {
    let all = Action::ALL.map(|action| {
        let schema = json!({ "$ref": format!("#/components/schemas/{action}Message") });
        let operation = json!({
            "operationId": format!("on{action}"),
            "tags": ["Messages"],
            "summary": summary(action),
            "parameters": headers(),
            "requestBody": {
                "required": true,
                "content": { "application/json": { "schema": schema } }
            },
            "responses": {
                "2XX": { "description": "Received. Anything else is a failure and is tried again." },
                "410": { "description": "The receiver is gone: the webhook is disabled at once." }
            }
        });
        (action.to_string(), json!({ "post": operation }))
    });
    Value::Object(all.into_iter().collect())
}

fn summary(action: Action) -> &'static str {
    match action {
        Action::IntegrationCreated => "A new integration was created.",
        Action::IntegrationEnabled => "An integration was enabled.",
        Action::IntegrationDisabled => "An integration was disabled.",
        Action::IntegrationCanceled => "The subscription of an integration was canceled.",
        Action::IntegrationReinstated => "A canceled integration was reinstated.",
        Action::IntegrationDeleted => "An integration was deleted, for good.",
        Action::IntegrationApiKeyCreated => {
            "The access token of an integration was regenerated (profile 2025 only)."
        }
    }
}

/// The headers of a message (Standard Webhooks 1.0.0, and Bellhop's own).
fn headers() -> Value {
    let header = |name: &str, kind: &str, description: &str| {
        json!({
            "name": name, "in": "header", "required": true,
            "description": description, "schema": { "type": kind }
        })
    };
    json!([
        header(
            "webhook-id",
            "string",
            "msg_<integration id>_<sequence>: the same on every attempt."
        ),
        header(
            "webhook-timestamp",
            "integer",
            "Unix seconds of this attempt."
        ),
        header(
            "webhook-signature",
            "string",
            "v1,<base64> items, then v1a,<base64> items, one space between."
        ),
        header("bellhop-action", "string", "The action."),
        header(
            "bellhop-sequence",
            "integer",
            "Position in the integration's history: 1, 2, 3 …"
        ),
        header(
            "bellhop-previous",
            "integer",
            "The sequence of the message before it to this webhook; 0 for the first."
        ),
        header("bellhop-attempt", "integer", "1, 2, 3 …"),
    ])
}

fn message(action: Action) -> Value {
    object(&[
        ("Action", json!({ "const": action.as_str() }), true),
        ("Data", data(action), true),
    ])
}

fn data(action: Action) -> Value {
    let integration = ("Integration", part("MessageIntegration"), true);
    let moment = json!({ "type": "string", "format": "date-time" });
    let text = json!({ "type": "string" });
    match action {
        Action::IntegrationCreated => object(&[
            ("Enterprise", part("MessageEnterprise"), true),
            ("Service", part("MessageService"), false),
            (
                "Requestor",
                json!({ "oneOf": [part("MessageRequestor"), { "type": "null" }] }),
                true,
            ),
            ("AccessToken", text, true),
            ("CreatedUtc", moment, true),
            ("IsEnabled", json!({ "type": "boolean" }), true),
            integration,
        ]),
        Action::IntegrationDeleted => object(&[("DeletedUtc", moment, true), integration]),
        Action::IntegrationApiKeyCreated => object(&[integration, ("ApiKey", text, true)]),
        Action::IntegrationEnabled
        | Action::IntegrationDisabled
        | Action::IntegrationCanceled
        | Action::IntegrationReinstated => object(&[integration]),
    }
}

fn parts() -> [(&'static str, Value); 4] {
    let named = || {
        object(&[
            ("Id", json!({ "type": "string", "format": "uuid" }), true),
            ("Name", json!({ "type": "string" }), true),
        ])
    };
    let requestor = object(&[
        ("Name", json!({ "type": "string" }), true),
        ("Email", json!({ "type": "string" }), true),
    ]);
    [
        ("MessageEnterprise", named()),
        ("MessageService", named()),
        ("MessageIntegration", named()),
        ("MessageRequestor", requestor),
    ]
}

fn part(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object of these members; the flag says which must be there.
fn object(members: &[(&str, Value, bool)]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema, _)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<_> = members
        .iter()
        .filter(|(_, _, required)| *required)
        .map(|(name, _, _)| *name)
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
