//! The OpenAPI document says what the router does.

use std::{fs, path::Path};

use bellhop::api;
use http::Method;
use serde_json::Value;

use crate::support::app::TestApp;

#[test]
fn the_committed_document_is_what_the_server_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let said = api::openapi_json();
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == said,
        "openapi.json is not what the server says; write it with: cargo xtask openapi"
    );
}

#[test]
fn every_route_with_a_key_is_described_and_nothing_else() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            described.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let mut routes: Vec<String> = api::list()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        // Pages for people, and the document itself.
        .filter(|route| {
            !["/docs", "/problems", "/openapi"]
                .iter()
                .any(|part| route.contains(part))
        })
        .collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[test]
fn every_reference_leads_somewhere_and_every_message_is_there() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for action in bellhop_webhook::Action::ALL {
        assert!(document["webhooks"][action.as_str()]["post"].is_object());
    }
}

#[tokio::test]
async fn the_document_and_the_pages_are_served_without_a_key() {
    let app = TestApp::start();
    let served = app.ask(Method::GET, "/openapi.json").send().await;
    assert_eq!(served.text(), api::openapi_json());
    let etag = served.header("etag").to_owned();
    let again = app
        .ask(Method::GET, "/openapi.json")
        .header("if-none-match", &etag)
        .send()
        .await;
    again.expect(304);

    let docs = app.ask(Method::GET, "/docs").send().await;
    assert_eq!(docs.status, 200);
    assert!(docs.text().contains("POST /v1/integrations"));
    assert!(
        docs.header("content-security-policy")
            .contains("default-src 'none'")
    );
    for word in docs
        .text()
        .split(['"', ' '])
        .filter(|word| word.starts_with("/problems/"))
    {
        let page = app.ask(Method::GET, word).send().await;
        assert_eq!(page.status, 200, "{word}");
    }
    app.stop().await;
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.push(reference.clone());
            }
            members.values().for_each(|each| collect(each, references));
        }
        Value::Array(items) => items.iter().for_each(|each| collect(each, references)),
        _ => {}
    }
}
