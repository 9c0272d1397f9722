//! What is sent: each action with when it fires, its bytes, and its schema.

use bellhop_webhook::{
    AccessTokenText, Action, Enterprise, Integration, IntegrationApiKeyCreated, IntegrationChanged,
    IntegrationCreated, IntegrationDeleted, Message, Profile, UtcSecond,
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use crate::dashboard::{
    Page, Visit, Wrong,
    components::body::{block, body},
};

/// The contract's own sample.
const SAMPLE_INTEGRATION: Uuid = Uuid::from_u128(0x9e5e_84e9_974d_4f16_9662_ab22_00f2_7cb1);
const SAMPLE_ENTERPRISE: Uuid = Uuid::from_u128(0x8865_aa96_f62d_4f9b_a912_ab21_00f6_0f42);
const SAMPLE_TOKEN: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";
/// 2019-12-13T14:42:52Z.
const SAMPLE_SECOND: i64 = 1_576_248_172;

/// The page.
pub async fn list(_: Visit) -> Result<Page, Wrong> {
    let body = html! {
        p { "Every message is a POST with a JSON body, signed (Standard Webhooks), in order within each integration, at least once. \
            Answer 2xx to accept it, and ignore members that you do not know." }
        ul.catalogue {
            @for action in Action::ALL {
                li {
                    h2 { a href=(format!("/dashboard/catalogue/{action}")) { (action) } }
                    p { (when(action)) }
                    @if !action.in_profile(Profile::Default) { p { span.tag { "Profile 2025" } } }
                    @if action.carries_secret() { p { span.tag { "Carries an access token" } } }
                }
            }
        }
        (handlers())
        section aria-labelledby="headers" {
            h2 #headers { "Headers" }
            dl.facts {
                @for (name, text) in HEADERS { div { dt { code { (name) } } dd { (text) } } }
            }
        }
    };
    Ok(Page::new("Catalogue", "Catalogue", body))
}

/// One action.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let action: Action = visit
        .part("Action")
        .parse()
        .map_err(|_| Wrong::NotFound("There is no such action.".to_owned()))?;
    let text = String::from_utf8(sample(action).to_bytes()).unwrap_or_default();
    let described = visit.ask(http::Method::GET, "/openapi.json").send().await?;
    let schema = resolved(&described, &format!("{action}Message"));
    let body = html! {
        p.state { (when(action)) }
        @if !action.in_profile(Profile::Default) {
            p { "It is sent only to webhooks of profile 2025." }
        }
        section aria-labelledby="sample" { h2 #sample { "Sample" } (body("Sample", &text)) }
        section aria-labelledby="schema" {
            h2 #schema { "JSON Schema" }
            (block("The schema", &serde_json::to_string_pretty(&schema).unwrap_or_default()))
            p.quiet { "All of them are in " a href="/openapi.json" { "openapi.json" } ", under webhooks." }
        }
        section aria-labelledby="order" { h2 #order { "What to do with it" } (advice(action)) }
        (handlers())
        p { a.button href=(format!("/dashboard/deliveries?Action={action}")) { "Its deliveries" } }
    };
    Ok(Page::new("Catalogue", action.as_str(), body).below("Catalogue", "/dashboard/catalogue"))
}

const HEADERS: &[(&str, &str)] = &[
    (
        "webhook-id",
        "The message’s id, the same on every attempt: msg_<integration id>_<sequence>.",
    ),
    ("webhook-timestamp", "Unix seconds of this attempt."),
    (
        "webhook-signature",
        "v1,<base64> of HMAC-SHA256 over id.timestamp.body; during a rotation several, with spaces.",
    ),
    ("bellhop-action", "The action."),
    (
        "bellhop-sequence",
        "Position in the integration’s history: 1, 2, 3 …",
    ),
    (
        "bellhop-previous",
        "The sequence of the message before it to this webhook; 0 for the first.",
    ),
    ("bellhop-attempt", "1, 2, 3 …"),
    ("bellhop-replay", "true if a person asked for this attempt."),
];

/// Whole receivers, which a test runs as they are shown.
const HANDLERS: [(&str, &str); 4] = [
    ("Python", include_str!("../snippets/handler.py")),
    ("Node.js", include_str!("../snippets/handler.mjs")),
    ("Go", include_str!("../snippets/handler.go")),
    ("Rust", include_str!("../snippets/handler.rs")),
];

/// How a receiver verifies, in several languages.
fn handlers() -> Markup {
    html! {
        section aria-labelledby="handlers" {
            h2 #handlers { "A receiver" }
            p { "Each is whole: it takes the bytes, verifies the signature and the time, drops what it had before, and answers at once. \
                Give it the webhook’s secret in " code { "WEBHOOK_SECRET" } "." }
            @for (name, text) in HANDLERS {
                details.panel {
                    summary { (name) }
                    (block(&format!("A receiver in {name}"), text))
                }
            }
            p.quiet { "Any library of Standard Webhooks verifies " code { "v1" } " as well." }
        }
    }
}

fn when(action: Action) -> &'static str {
    match action {
        Action::IntegrationCreated => "When an enterprise is connected to the application.",
        Action::IntegrationEnabled => "When an integration that was disabled is enabled.",
        Action::IntegrationDisabled => {
            "When an integration is disabled: its access token opens nothing meanwhile."
        }
        Action::IntegrationCanceled => "When the subscription of an integration is canceled.",
        Action::IntegrationReinstated => "When a canceled integration is taken up again.",
        Action::IntegrationDeleted => "When an integration is deleted, for good.",
        Action::IntegrationApiKeyCreated => {
            "When the access token of an integration is regenerated."
        }
    }
}

fn advice(action: Action) -> Markup {
    html! {
        @match action {
            Action::IntegrationCreated => p { "Keep the access token with the integration’s id. It is told once; if it is lost, ask \
                for another one." },
            Action::IntegrationApiKeyCreated => p { "Use the new token from now on. The former one works for a while." },
            Action::IntegrationEnabled => p { "Go on with what the integration does. After IntegrationCreated with IsEnabled true \
                there is none." },
            Action::IntegrationDisabled | Action::IntegrationCanceled => p { "Stop what the integration does, and keep what you know: \
                it may come back." },
            Action::IntegrationReinstated => p { "Take it up where it was, enabled or disabled as before." },
            Action::IntegrationDeleted => p { "Forget the access token and what belongs to the integration. It does not come back." },
        }
        p.quiet { "Messages come at least once. Remember the greatest " code { "bellhop-sequence" } " of each integration, and drop what \
            is not above it." }
    }
}

fn sample(action: Action) -> Message {
    let integration = Integration {
        id: SAMPLE_INTEGRATION,
        name: "WebhookTEST".to_owned(),
    };
    let at =
        UtcSecond::from(Timestamp::from_second(SAMPLE_SECOND).unwrap_or(Timestamp::UNIX_EPOCH));
    let changed = |integration| IntegrationChanged { integration };
    match action {
        Action::IntegrationCreated => Message::IntegrationCreated(IntegrationCreated {
            enterprise: Enterprise {
                id: SAMPLE_ENTERPRISE,
                name: "Sample Chain Hotel 1".to_owned(),
            },
            service: None,
            requestor: None,
            access_token: AccessTokenText::new(SAMPLE_TOKEN),
            created_utc: at,
            is_enabled: true,
            integration,
        }),
        Action::IntegrationEnabled => Message::IntegrationEnabled(changed(integration)),
        Action::IntegrationDisabled => Message::IntegrationDisabled(changed(integration)),
        Action::IntegrationCanceled => Message::IntegrationCanceled(changed(integration)),
        Action::IntegrationReinstated => Message::IntegrationReinstated(changed(integration)),
        Action::IntegrationDeleted => Message::IntegrationDeleted(IntegrationDeleted {
            deleted_utc: at,
            integration,
        }),
        Action::IntegrationApiKeyCreated => {
            Message::IntegrationApiKeyCreated(IntegrationApiKeyCreated {
                integration,
                api_key: AccessTokenText::new(SAMPLE_TOKEN),
            })
        }
    }
}

/// A schema of the API's description with what it refers to in it.
fn resolved(described: &Value, name: &str) -> Value {
    inlined(described, &described["components"]["schemas"][name], 0)
}

fn inlined(described: &Value, schema: &Value, depth: usize) -> Value {
    // No schema refers to itself; this ends all the same.
    const DEEPEST: usize = 16;
    match schema {
        Value::Object(members) if depth < DEEPEST => {
            let named = members.get("$ref").and_then(Value::as_str);
            let named = named.and_then(|path| path.strip_prefix("#/components/schemas/"));
            match named {
                Some(name) => inlined(
                    described,
                    &described["components"]["schemas"][name],
                    depth + 1,
                ),
                None => members
                    .iter()
                    .map(|(name, value)| (name.clone(), inlined(described, value, depth + 1)))
                    .collect(),
            }
        }
        Value::Array(items) => items
            .iter()
            .map(|item| inlined(described, item, depth + 1))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_the_contracts() {
        let text = String::from_utf8(sample(Action::IntegrationCreated).to_bytes()).unwrap();
        assert!(
            text.contains(r#""CreatedUtc":"2019-12-13T14:42:52Z","IsEnabled":true"#),
            "{text}"
        );
        for action in Action::ALL {
            assert_eq!(sample(action).action(), action);
        }
    }
}
