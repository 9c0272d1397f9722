//! Who may do what: every route, with every kind of key, on own and on foreign things.

use std::fmt::Write as _;

use bellhop::api::{self, KeyRates, Operation};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{ENTERPRISE, OPERATOR, TestApp, text},
};

/// What a request of each kind needs.
struct Things {
    application: String,
    webhook: String,
    integration: String,
    delivery: String,
    replay: String,
    key_id: String,
}

#[tokio::test]
async fn every_route_answers_each_scope_as_the_table_says() {
    let app = TestApp::with_rates(KeyRates {
        operator: None,
        application: None,
        introspect: None,
    });
    app.enterprise().await;
    let introspect = app.key(&json!({ "Scope": "introspect" })).await;
    let mut matrix = String::from(
        "operation: no key, operator, own application, foreign application, introspect\n",
    );
    for route in api::list() {
        let mut statuses = Vec::new();
        for caller in ["none", "operator", "own", "foreign", "introspect"] {
            let own = things(&app).await;
            let foreign = app.application("Foreign").await;
            let key_of = |application: String| json!({ "Scope": "application", "ApplicationId": application });
            let key = match caller {
                "none" => None,
                "operator" => Some(OPERATOR.to_owned()),
                "own" => Some(app.key(&key_of(own.application.clone())).await),
                "foreign" => Some(app.key(&key_of(foreign)).await),
                _ => Some(introspect.clone()),
            };
            let answer = ask(&app, route.operation, &route.method, route.path, &own, key).await;
            if caller == "foreign" {
                leaks_nothing(route.operation, &own, &answer);
            }
            statuses.push(answer.status.as_u16().to_string());
        }
        writeln!(
            matrix,
            "{}: {}",
            route.operation.as_str(),
            statuses.join(" ")
        )
        .unwrap();
    }
    insta::assert_snapshot!("who_may_do_what", matrix);
    app.stop().await;
}

#[tokio::test]
async fn lists_are_narrowed_to_the_own_application() {
    let app = TestApp::start();
    app.enterprise().await;
    let own = things(&app).await;
    let foreign = things(&app).await;
    let key = app
        .key(&json!({ "Scope": "application", "ApplicationId": own.application }))
        .await;
    for (list, member, expected) in [
        ("applications", "Id", &own.application),
        ("webhooks", "ApplicationId", &own.application),
        ("integrations", "ApplicationId", &own.application),
        ("deliveries", "ApplicationId", &own.application),
        ("replays", "ApplicationId", &own.application),
    ] {
        let page = app
            .ask(Method::GET, &format!("/v1/{list}"))
            .key(&key)
            .send()
            .await
            .expect(200);
        let items = page["Items"].as_array().unwrap();
        assert!(!items.is_empty(), "{list}");
        assert!(
            items.iter().all(|item| item[member] == **expected),
            "{list}"
        );
    }
    // What is filtered by another's webhook is empty; another application itself is not found.
    for (query, status) in [
        (format!("deliveries?WebhookId={}", foreign.webhook), 200),
        (
            format!("deliveries?ApplicationId={}", foreign.application),
            404,
        ),
        (
            format!("integrations?ApplicationId={}", foreign.application),
            404,
        ),
        (
            format!("webhooks?ApplicationId={}", foreign.application),
            404,
        ),
    ] {
        let page = app
            .ask(Method::GET, &format!("/v1/{query}"))
            .key(&key)
            .send()
            .await;
        let page = page.expect(status);
        if status == 200 {
            assert_eq!(page["Items"], json!([]), "{query}");
        }
    }
    app.stop().await;
}

async fn things(app: &TestApp) -> Things {
    let application = app.application("Own").await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    let integration = text(&app.integration(&application, "x").await["Id"]);
    let path = format!("/v1/deliveries?WebhookId={webhook}");
    let delivery = text(&app.get(&path).await.expect(200)["Items"][0]["Id"]);
    let backfill = format!("/v1/webhooks/{webhook}/backfill");
    let replay = text(&app.post(&backfill, &json!({})).await.expect(202)["Id"]);
    let key = app
        .post("/v1/keys", &json!({ "Scope": "introspect" }))
        .await
        .expect(201);
    Things {
        application,
        webhook,
        integration,
        delivery,
        replay,
        key_id: text(&key["Id"]),
    }
}

async fn ask(
    app: &TestApp,
    operation: Operation,
    method: &Method,
    path: &str,
    things: &Things,
    key: Option<String>,
) -> Answer {
    let id = match path.split('/').nth(2).unwrap_or_default() {
        "enterprises" => ENTERPRISE,
        "applications" => &things.application,
        "webhooks" => &things.webhook,
        "integrations" => &things.integration,
        "deliveries" => &things.delivery,
        "replays" => &things.replay,
        "keys" => &things.key_id,
        _ => "",
    };
    let path = path.replace("{Id}", id).replace("{Code}", "not_found");
    let mut asking = app.ask(method.clone(), &path);
    if let Some(key) = &key {
        asking = asking.key(key);
    }
    match operation {
        Operation::IntrospectAccessToken => asking.body("token=x"),
        _ => asking.json(&body(operation, things)),
    }
    .send()
    .await
}

fn body(operation: Operation, things: &Things) -> Value {
    match operation {
        Operation::PutEnterprise | Operation::CreateApplication => json!({ "Name": "x" }),
        Operation::CreateWebhook => json!({ "Url": "https://hooks.example.com/" }),
        Operation::CreateIntegration => json!({
            "ApplicationId": things.application, "EnterpriseId": ENTERPRISE, "Name": "x"
        }),
        Operation::CreateKey => json!({ "Scope": "introspect" }),
        Operation::StartReplay => json!({ "DryRun": true, "WebhookId": things.webhook }),
        Operation::DiscardDelivery => json!({ "Reason": "x" }),
        _ => json!({}),
    }
}

/// A foreign application's answer names nothing that it did not know before.
fn leaks_nothing(operation: Operation, own: &Things, answer: &Answer) {
    let text = answer.text();
    match answer.status.as_u16() {
        404 | 403 => assert!(!text.contains("Own"), "{operation:?}: {text}"),
        _ => {
            for id in [
                &own.application,
                &own.webhook,
                &own.integration,
                &own.delivery,
                &own.replay,
            ] {
                assert!(!text.contains(id.as_str()), "{operation:?}: {text}");
            }
        }
    }
}
