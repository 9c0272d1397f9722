//! What requests must be, in the words of JSON Schema: so that what the document allows is accepted as far as a schema can
//! say it, and what it does not allow is refused. A test asks both (schemathesis, `cargo xtask test`).

use bellhop_webhook::{Action, Profile};
use serde_json::{Map, Value, json};

use super::{
    checks::MAX_NAME,
    cursor::{self, List},
    delivery_commands::MAX_REASON,
    objects::MAX_EMAIL,
    page::MAX_LIMIT,
    webhook_settings::{MAX_DESCRIPTION, MAX_RATE, MAX_TIMEOUT_SECONDS},
};
use crate::domain::{
    audit::AuditAction,
    cause::Cause,
    delivery::DeliveryState,
    header,
    integration::State,
    retry::{MAX_TRIES, MAX_WAIT_SECONDS},
    webhook::MAX_IN_FLIGHT,
};

/// One line, as `Checks::text` wants it.
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// The same, and not blank.
const NOT_BLANK: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// What an `Idempotency-Key` has.
pub const VISIBLE: &str = "^[!-~]+$";

/// Says in the document what parameters and bodies must be.
pub fn tighten(document: &mut Value) {
    for operation in values(document.get_mut("paths")).flat_map(|item| values(Some(item))) {
        let list = list_of(operation["operationId"].as_str().unwrap_or_default());
        for parameter in elements(operation.get_mut("parameters")) {
            tighten_parameter(parameter, list);
        }
        for content in values(operation.pointer_mut("/requestBody/content")) {
            without_null(&mut content["schema"]);
            tighten_members(&mut content["schema"]);
        }
        // Where every member is optional, the body is.
        if is_of_optional_members(operation)
            && let Some(body) = operation.get_mut("requestBody")
        {
            body["required"] = false.into();
        }
    }
    for name in [
        "CreateApplication",
        "CreateIntegration",
        "CreateKey",
        "CreateWebhook",
        "DiscardDelivery",
        "IntrospectForm",
        "PutEnterprise",
        "RequestorInput",
        "ServiceInput",
        "StartReplay",
        "UpdateApplication",
        "UpdateWebhook",
    ] {
        tighten_members(&mut document["components"]["schemas"][name]);
    }
}

fn is_of_optional_members(operation: &Value) -> bool {
    ["updateApplication", "updateWebhook"]
        .contains(&operation["operationId"].as_str().unwrap_or_default())
}

/// The list that an operation gives in pages.
fn list_of(operation: &str) -> Option<List> {
    Some(match operation {
        "listEnterprises" => List::Enterprises,
        "listApplications" => List::Applications,
        "listApplicationWebhooks" | "listWebhooks" => List::Webhooks,
        "listIntegrations" => List::Integrations,
        "listMessages" => List::Messages,
        "listDeliveries" => List::Deliveries,
        "listKeys" => List::Keys,
        "listOperationalMessages" => List::OperationalMessages,
        "listReplays" => List::Replays,
        "listAudit" => List::Audit,
        _ => return None,
    })
}

fn tighten_parameter(parameter: &mut Value, list: Option<List>) {
    let name = parameter["name"].as_str().unwrap_or_default();
    let limits = match (name, list) {
        ("Limit", _) => json!({ "minimum": 1, "maximum": MAX_LIMIT }),
        ("Cursor", Some(list)) => json!({ "pattern": cursor::pattern(list) }),
        ("State", Some(List::Integrations)) => json!({ "enum": State::ALL.map(State::as_str) }),
        ("State", _) => json!({ "enum": DeliveryState::ALL.map(DeliveryState::as_str) }),
        ("Action", Some(List::Audit)) => {
            json!({ "enum": AuditAction::ALL.iter().map(|each| each.as_str()).collect::<Vec<_>>() })
        }
        ("Action", _) => json!({ "enum": Action::ALL.map(Action::as_str) }),
        ("Cause", _) => json!({ "enum": causes() }),
        ("FromUtc" | "ToUtc", _) => json!({ "format": "date-time" }),
        ("Prefer", _) => json!({ "type": "string" }),
        _ => return,
    };
    add(&mut parameter["schema"], limits);
}

fn tighten_members(schema: &mut Value) {
    let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let is_key = members.contains_key("Scope");
    for (name, member) in members {
        let limits = match &**name {
            // A key's may be empty.
            "Name" if is_key => json!({ "maxLength": MAX_NAME, "pattern": ONE_LINE }),
            "Name" => json!({ "minLength": 1, "maxLength": MAX_NAME, "pattern": NOT_BLANK }),
            "Email" => json!({ "minLength": 1, "maxLength": MAX_EMAIL, "pattern": NOT_BLANK }),
            "Reason" => json!({ "minLength": 1, "maxLength": MAX_REASON, "pattern": NOT_BLANK }),
            "Description" => json!({ "maxLength": MAX_DESCRIPTION, "pattern": ONE_LINE }),
            "Scope" => json!({ "enum": ["operator", "application", "introspect"] }),
            "TimeoutSeconds" => json!({ "minimum": 1, "maximum": MAX_TIMEOUT_SECONDS }),
            "MaxInFlight" => json!({ "minimum": 1, "maximum": MAX_IN_FLIGHT }),
            "RateLimit" => json!({ "minimum": 1, "maximum": MAX_RATE }),
            "RetrySchedule" => json!({
                "minItems": 1,
                "maxItems": MAX_TRIES,
                "items": { "type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS }
            }),
            "Headers" => json!({ "maxProperties": header::MAX_HEADERS }),
            "Profile" => words(member, Profile::ALL.map(Profile::as_str)),
            "State" => words(member, DeliveryState::ALL.map(DeliveryState::as_str)),
            "Action" => words(member, Action::ALL.map(Action::as_str)),
            "Cause" => words(member, causes()),
            "Actions" => json!({
                "items": { "type": "string", "enum": Action::ALL.map(Action::as_str) },
                "uniqueItems": true
            }),
            "token" => json!({ "minLength": 1 }),
            // Whatever it is: it is ignored.
            "token_type_hint" => {
                if let Some(member) = member.as_object_mut() {
                    member.remove("type");
                }
                continue;
            }
            _ => continue,
        };
        add(member, limits);
    }
}

/// One of these, and null where null is as good as nothing.
fn words(member: &Value, words: impl IntoIterator<Item = &'static str>) -> Value {
    let mut allowed: Vec<Value> = words.into_iter().map(Value::from).collect();
    if member["type"].is_array() {
        allowed.push(Value::Null);
    }
    json!({ "enum": allowed })
}

fn causes() -> Vec<&'static str> {
    Cause::ALL.iter().map(|cause| cause.as_str()).collect()
}

/// A body may be absent, but `null` is none.
fn without_null(schema: &mut Value) {
    let given = elements(schema.get_mut("oneOf"))
        .find(|each| each["type"] != "null")
        .map(Value::take);
    if let Some(given) = given {
        *schema = given;
    }
}

fn add(schema: &mut Value, limits: Value) {
    if let (Some(schema), Value::Object(limits)) = (schema.as_object_mut(), limits) {
        schema.extend(limits);
    }
}

fn values(of: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    of.and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
}

fn elements(of: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    of.and_then(Value::as_array_mut).into_iter().flatten()
}
