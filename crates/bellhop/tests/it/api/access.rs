//! Who may do what: every operation of the OpenAPI document, with every kind of caller, on own ids, on another
//! application's and on ids that name nothing. The list of operations is the document's: one that is added without an
//! example here fails the test.

use std::fmt::Write as _;

use bellhop::api;
use http::Method;
use serde_json::{Value, json};

use super::examples::{Described, NOTHING, Things, body_of, operations};
use crate::support::{
    answer::Answer,
    app::{OPERATOR, TestApp, text},
};

/// Keys that open nothing, each for another reason.
struct Useless {
    expired: String,
    revoked: String,
    rotated: String,
}

#[tokio::test]
async fn every_operation_answers_every_caller_as_the_table_says() {
    let app = TestApp::with_rates(api::Rates {
        operator: None,
        application: None,
        introspect: None,
        keyless: None,
    });
    let introspect = app.key(&json!({ "Scope": "introspect" })).await;
    let useless = useless(&app).await;
    let foreign = Things::make(&app, "Foreign").await;
    let foreign_before = foreign.shown(&app).await;

    let mut table = String::from(
        "operation: no key, garbage, expired, revoked, rotated, introspect | application: own, foreign, nothing | \
         operator: own, nothing\n",
    );
    for operation in operations() {
        let strangers = strangers(&app, &operation, &foreign, &useless, &introspect).await;
        let application = application(&app, &operation, &foreign).await;
        let operator = operator(&app, &operation).await;
        let columns = [strangers, application, operator].map(|column| {
            let statuses: Vec<String> = column.iter().map(u16::to_string).collect();
            statuses.join(" ")
        });
        writeln!(table, "{}: {}", operation.id, columns.join(" | ")).unwrap();
    }
    // Nobody who was refused has changed anything.
    assert_eq!(foreign.shown(&app).await, foreign_before);
    insta::assert_snapshot!("who_may_do_what", table);
    app.stop().await;
}

/// Who has no key that may.
async fn strangers(
    app: &TestApp,
    operation: &Described,
    foreign: &Things,
    useless: &Useless,
    introspect: &str,
) -> Vec<u16> {
    let mut statuses = Vec::new();
    for key in [
        None,
        Some("bhk_garbage"),
        Some(&*useless.expired),
        Some(&*useless.revoked),
        Some(&*useless.rotated),
        Some(introspect),
    ] {
        let answer = ask(app, operation, foreign, key).await;
        let status = answer.status.as_u16();
        let is_known = key == Some(introspect);
        let may = operation.is_public() || (is_known && operation.allows("introspect"));
        let expected = if is_known { 403 } else { 401 };
        let shown = answer.text();
        assert!(may || status == expected, "{operation:?} {key:?}: {shown}");
        leaks_nothing(operation, foreign, &answer);
        statuses.push(status);
    }
    statuses
}

/// An application's key, on its own things, on another's, and on what does not exist.
async fn application(app: &TestApp, operation: &Described, foreign: &Things) -> Vec<u16> {
    let (own, nothing) = (Things::make(app, "Own").await, Things::nothing());
    let key = of_application(app, &own.application).await;
    let on_foreign = ask(app, operation, foreign, Some(&key)).await;
    let on_nothing = ask(app, operation, &nothing, Some(&key)).await;
    // What everybody may read is there for everybody.
    if !operation.is_public() {
        tells_the_same(operation, (foreign, &on_foreign), (&nothing, &on_nothing));
    }
    leaks_nothing(operation, foreign, &on_foreign);
    let on_own = ask(app, operation, &own, Some(&key)).await;
    let statuses = [&on_own, &on_foreign, &on_nothing].map(|answer| answer.status.as_u16());
    if operation.allows("application") {
        assert!(statuses[0] < 300, "{operation:?}: {}", on_own.text());
        if operation.names_an_id() {
            assert_eq!(statuses[1], 404, "{operation:?}: {}", on_foreign.text());
        }
    } else if !operation.is_public() {
        assert_eq!(statuses, [403; 3], "{operation:?}");
    }
    statuses.to_vec()
}

/// The operator, on what exists and on what does not.
async fn operator(app: &TestApp, operation: &Described) -> Vec<u16> {
    let own = Things::make(app, "Own").await;
    let on_own = ask(app, operation, &own, Some(OPERATOR)).await;
    let status = on_own.status.as_u16();
    assert!(status < 300, "{operation:?}: {}", on_own.text());
    let on_nothing = ask(app, operation, &Things::nothing(), Some(OPERATOR)).await;
    vec![status, on_nothing.status.as_u16()]
}

/// Ids that stand in a query or in a body: another application's answers like one that names nothing.
#[tokio::test]
async fn an_id_in_a_query_or_a_body_tells_nothing_about_what_is_anothers() {
    let app = TestApp::start();
    let foreign = Things::make(&app, "Foreign").await;
    let before = foreign.shown(&app).await;
    let mut compared = Vec::new();
    for operation in operations() {
        for place in operation.places_of_ids() {
            let nothing = Things::nothing();
            let mut answers = Vec::new();
            for things in [&foreign, &nothing] {
                let own = Things::make(&app, "Own").await;
                let key = of_application(&app, &own.application).await;
                let id = things.named(&place.member);
                let answer = place.ask(&app, &operation, &own, id, &key).await;
                leaks_nothing(&operation, &foreign, &answer);
                answers.push((things, answer));
            }
            tells_the_same(
                &operation,
                (answers[0].0, &answers[0].1),
                (answers[1].0, &answers[1].1),
            );
            compared.push(format!(
                "{} {}: {}",
                operation.id,
                place.member,
                answers[0].1.status.as_u16()
            ));
        }
    }
    assert_eq!(foreign.shown(&app).await, before);
    insta::assert_snapshot!("ids_in_queries_and_bodies", compared.join("\n"));
    app.stop().await;
}

#[tokio::test]
async fn lists_are_narrowed_to_the_own_application() {
    let app = TestApp::start();
    let own = Things::make(&app, "Own").await;
    Things::make(&app, "Foreign").await;
    let key = of_application(&app, &own.application).await;
    for (list, member) in [
        ("applications", "Id"),
        ("webhooks", "ApplicationId"),
        ("integrations", "ApplicationId"),
        ("deliveries", "ApplicationId"),
        ("replays", "ApplicationId"),
    ] {
        let asking = app.ask(Method::GET, &format!("/v1/{list}")).key(&key);
        let page = asking.send().await.expect(200);
        let items = page["Items"].as_array().unwrap();
        assert!(!items.is_empty(), "{list}");
        assert!(
            items.iter().all(|item| item[member] == *own.application),
            "{list}"
        );
    }
    app.stop().await;
}

async fn of_application(app: &TestApp, application: &str) -> String {
    app.key(&json!({ "Scope": "application", "ApplicationId": application }))
        .await
}

async fn useless(app: &TestApp) -> Useless {
    let make = async || {
        let document = json!({ "Scope": "operator", "ExpiresUtc": "2019-12-13T15:00:00Z" });
        let made = app.post("/v1/keys", &document).await.expect(201);
        let path = format!("/v1/keys/{}", text(&made["Id"]));
        (path, text(&made["Key"]))
    };
    let (_, expired) = make().await;
    app.clock.advance(std::time::Duration::from_hours(1));
    let make = async || {
        let document = json!({ "Scope": "operator" });
        let made = app.post("/v1/keys", &document).await.expect(201);
        let path = format!("/v1/keys/{}", text(&made["Id"]));
        (path, text(&made["Key"]))
    };
    let (path, revoked) = make().await;
    app.operator(Method::DELETE, &path).send().await.expect(204);
    let (path, rotated) = make().await;
    let no_overlap = json!({ "OverlapSeconds": 0 });
    app.post(&format!("{path}/rotate"), &no_overlap)
        .await
        .expect(200);
    Useless {
        expired,
        revoked,
        rotated,
    }
}

async fn ask(app: &TestApp, operation: &Described, things: &Things, key: Option<&str>) -> Answer {
    let path = operation
        .path
        .replace("{Id}", things.in_path(&operation.path));
    let mut asking = app.ask(operation.method.clone(), &path);
    if let Some(key) = key {
        asking = asking.key(key);
    }
    asking.body(body_of(operation, things)).send().await
}

/// Status, headers and body are the same, apart from the ids themselves and what differs from request to request.
fn tells_the_same(
    operation: &Described,
    (these, one): (&Things, &Answer),
    (those, other): (&Things, &Answer),
) {
    let told = |things: &Things, answer: &Answer| {
        let mut headers: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["x-request-id", "etag", "location"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let mut body: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        if let Some(body) = body.as_object_mut() {
            // The token of a dry run carries the filter that was asked for.
            for member in ["request_id", "Token"] {
                body.remove(member);
            }
        }
        let body = things.without_ids(&body.to_string());
        (answer.status, headers, body)
    };
    if operation.is_public() {
        return;
    }
    if operation.makes_something() && one.status.is_success() {
        // It is the caller's own that was made, and each has an id of its own.
        assert_eq!(one.status, other.status, "{operation:?}");
        return;
    }
    assert_eq!(told(these, one), told(those, other), "{operation:?}");
}

/// The answer names nothing of these that was not in the request.
fn leaks_nothing(operation: &Described, foreign: &Things, answer: &Answer) {
    let text = answer.text();
    assert!(!text.contains("Foreign"), "{operation:?}: {text}");
    if answer.status.is_success() {
        for id in foreign.ids() {
            assert!(id == NOTHING || !text.contains(id), "{operation:?}: {text}");
        }
    }
}
