//! Bad input: each kind has its problem document, and changes nothing.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{ENTERPRISE, TestApp, text},
};

/// A bad request: its name, what is asked, and the body.
type Bad = (&'static str, Method, String, Vec<u8>);

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

struct Things {
    application: String,
    webhook: String,
    integration: String,
    canceled: String,
    deleted: String,
    delivery: String,
}

#[tokio::test]
async fn each_has_its_problem_document_and_changes_nothing() {
    let app = TestApp::start();
    let things = things(&app).await;
    let before = app.everything().await;
    let all = [
        bodies(&things),
        values(&things),
        ids(&things),
        states(&things),
        queries(&things),
    ];
    for (name, method, path, body) in all.concat() {
        let answer = app
            .operator(method, &path)
            .header("x-request-id", "req_test")
            .body(body)
            .send()
            .await;
        check(name, &answer);
        assert_eq!(app.everything().await, before, "{name}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_key_has_its_problem_document_and_changes_nothing() {
    let app = TestApp::start();
    let before = app.everything().await;
    for (name, header) in [
        ("no_key", None),
        ("unknown_key", Some("Bearer bhk_unknown")),
        ("basic_instead_of_bearer", Some("Basic dXNlcjpwYXNz")),
        ("no_scheme", Some("bhk_operator")),
    ] {
        let mut asking = app
            .ask(Method::POST, "/v1/applications")
            .header("x-request-id", "req_test")
            .json(&json!({ "Name": "Stranger" }));
        if let Some(header) = header {
            asking = asking.header("authorization", header);
        }
        check(name, &asking.send().await);
        assert_eq!(app.everything().await, before, "{name}");
    }
    app.stop().await;
}

/// The whole answer as a snapshot; what every problem has in common is checked.
fn check(name: &str, answer: &Answer) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{name}"
    );
    assert_eq!(answer.header("x-request-id"), "req_test", "{name}");
    let problem: Value = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!(problem["status"], answer.status.as_u16(), "{name}");
    assert_eq!(
        problem["type"],
        format!("/problems/{}", text(&problem["code"])),
        "{name}"
    );
    assert_eq!(problem["request_id"], "req_test", "{name}");
    let mut shown = format!("{}\n", answer.status);
    for header in ["www-authenticate", "allow", "retry-after"] {
        if !answer.header(header).is_empty() {
            writeln!(shown, "{header}: {}", answer.header(header)).unwrap();
        }
    }
    shown += &serde_json::to_string_pretty(&problem).unwrap();
    insta::assert_snapshot!(name, shown);
}

async fn things(app: &TestApp) -> Things {
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    let [integration, canceled, deleted] = [
        app.integration(&application, "one").await,
        app.integration(&application, "two").await,
        app.integration(&application, "three").await,
    ]
    .map(|made| text(&made["Id"]));
    app.post(&format!("/v1/integrations/{canceled}/cancel"), &json!({}))
        .await
        .expect(200);
    let path = format!("/v1/integrations/{deleted}");
    app.operator(Method::DELETE, &path).send().await.expect(200);
    let page = app.get("/v1/deliveries?Limit=1").await.expect(200);
    let delivery = text(&page["Items"][0]["Id"]);
    let path = format!("/v1/deliveries/{delivery}/discard");
    app.post(&path, &json!({ "Reason": "Not needed" }))
        .await
        .expect(200);
    Things {
        application,
        webhook,
        integration,
        canceled,
        deleted,
        delivery,
    }
}

fn bodies(things: &Things) -> Vec<Bad> {
    let create = |name, body: &[u8]| (name, Method::POST, "/v1/integrations".into(), body.to_vec());
    let long = [b"{\"Name\":\"".as_slice(), &vec![b'x'; 1 << 20], b"\"}"].concat();
    vec![
        create("malformed_json", b"{\"Name\": \"x\",\n  nope}"),
        create("cut_off_json", b"{\"Name\": \"x"),
        create("not_utf8", b"{\"Name\": \"\xe9\"}"),
        create("too_deep", "[".repeat(200).as_bytes()),
        create("two_documents", b"{} {}"),
        create("an_array", b"[]"),
        create("empty_where_members_are_required", b""),
        create("too_large", &long),
        create("given_twice", b"{\"Name\": \"a\", \"Name\": \"b\"}"),
        (
            "form_without_token",
            Method::POST,
            "/v1/access-tokens/introspect".into(),
            b"toke=1".to_vec(),
        ),
        (
            "unknown_member_of_a_command",
            Method::POST,
            format!("/v1/integrations/{}/enable", things.integration),
            b"{\"Requester\": null}".to_vec(),
        ),
    ]
}

fn values(things: &Things) -> Vec<Bad> {
    let post = |name, path: &str, body: Value| {
        let body = body.to_string().into_bytes();
        (name, Method::POST, path.to_owned(), body)
    };
    let webhooks = format!("/v1/applications/{}/webhooks", things.application);
    vec![
        post(
            "many_faults_at_once",
            "/v1/integrations",
            json!({
                "ApplicationId": 1, "EntrepriseId": ENTERPRISE, "Name": "a\nb",
                "IsEnabled": "yes", "Requestor": { "Name": "", "Mail": "x" }, "Service": []
            }),
        ),
        post(
            "ids_in_a_body_that_name_nothing",
            "/v1/integrations",
            json!({ "ApplicationId": NOBODY, "EnterpriseId": ENTERPRISE, "Name": "x" }),
        ),
        post(
            "an_enterprise_that_does_not_exist",
            "/v1/integrations",
            json!({ "ApplicationId": things.application, "EnterpriseId": NOBODY, "Name": "x" }),
        ),
        post(
            "an_id_that_is_none",
            "/v1/integrations",
            json!({ "ApplicationId": "42", "EnterpriseId": ENTERPRISE, "Name": "x" }),
        ),
        post(
            "an_id_that_is_taken",
            "/v1/integrations",
            json!({
                "Id": things.integration, "ApplicationId": things.application,
                "EnterpriseId": ENTERPRISE, "Name": "x"
            }),
        ),
        post(
            "a_webhook_with_nothing_right",
            &webhooks,
            json!({
                "Url": "http://127.0.0.1/", "Actions": ["IntegrationCreate", "IntegrationApiKeyCreated"],
                "Profile": "2024", "Secret": "whsec_hush", "TimeoutSeconds": 0,
                "RetrySchedule": [], "MaxInFlight": 1000, "RateLimit": 0,
                "Headers": { "Host": "x", "X-A": "a\r\nb", "x-a": "1" }
            }),
        ),
        post(
            "a_key_without_its_application",
            "/v1/keys",
            json!({ "Scope": "application", "ExpiresUtc": "2019-01-01T00:00:00Z" }),
        ),
        post(
            "a_scope_that_is_none",
            "/v1/keys",
            json!({ "Scope": "operators" }),
        ),
        post(
            "a_discard_without_reason",
            &format!("/v1/deliveries/{}/discard", things.delivery),
            json!({}),
        ),
        post(
            "a_test_with_members",
            &format!("/v1/webhooks/{}/test", things.webhook),
            json!({ "Actions": ["IntegrationCreated"] }),
        ),
    ]
}

fn ids(things: &Things) -> Vec<Bad> {
    let nothing = |name, method: Method, path: String| (name, method, path, Vec::new());
    vec![
        nothing(
            "no_such_integration",
            Method::GET,
            format!("/v1/integrations/{NOBODY}"),
        ),
        nothing(
            "no_such_integration_to_enable",
            Method::POST,
            format!("/v1/integrations/{NOBODY}/enable"),
        ),
        nothing("not_an_id", Method::GET, "/v1/webhooks/42".into()),
        nothing("not_even_utf8", Method::GET, "/v1/webhooks/%ff".into()),
        nothing(
            "no_such_webhook",
            Method::DELETE,
            format!("/v1/webhooks/{NOBODY}"),
        ),
        nothing(
            "no_such_delivery",
            Method::POST,
            format!("/v1/deliveries/{NOBODY}/replay"),
        ),
        nothing("no_such_path", Method::GET, "/v1/integration".into()),
        nothing("no_such_problem", Method::GET, "/problems/none".into()),
        nothing("wrong_method", Method::DELETE, "/v1/integrations".into()),
        (
            "no_such_application",
            Method::POST,
            format!("/v1/applications/{NOBODY}/webhooks"),
            json!({ "Url": "https://h.example/" })
                .to_string()
                .into_bytes(),
        ),
        nothing(
            "a_webhook_is_no_integration",
            Method::GET,
            format!("/v1/integrations/{}", things.webhook),
        ),
    ]
}

fn states(things: &Things) -> Vec<Bad> {
    let command = |name, id: &str, command: &str| {
        let path = format!("/v1/integrations/{id}/{command}");
        (name, Method::POST, path, Vec::new())
    };
    vec![
        command("enable_a_canceled_one", &things.canceled, "enable"),
        command("disable_a_canceled_one", &things.canceled, "disable"),
        command("enable_a_deleted_one", &things.deleted, "enable"),
        command("reinstate_a_deleted_one", &things.deleted, "reinstate"),
        command(
            "regenerate_for_a_deleted_one",
            &things.deleted,
            "regenerate-access-token",
        ),
        (
            "discard_a_discarded_delivery",
            Method::POST,
            format!("/v1/deliveries/{}/discard", things.delivery),
            b"{\"Reason\": \"Again\"}".to_vec(),
        ),
    ]
}

fn queries(things: &Things) -> Vec<Bad> {
    let get = |name, path: String| (name, Method::GET, path, Vec::new());
    vec![
        get(
            "unknown_parameter",
            "/v1/deliveries?webhookid=1&State=Pending".into(),
        ),
        get(
            "faulty_parameters",
            "/v1/deliveries?WebhookId=1&State=pending&Cause=timeot&FromUtc=today&Limit=0".into(),
        ),
        get("parameter_twice", "/v1/integrations?Limit=1&Limit=2".into()),
        get("bad_cursor", "/v1/integrations?Cursor=abc".into()),
        get(
            "parameter_where_none_is_taken",
            format!("/v1/webhooks/{}?x=1", things.webhook),
        ),
    ]
}

/// A body that does not come is waited for, and not for ever.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_given_up() {
    let app = TestApp::start();
    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("{\"Name\"")]);
    let endless = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
    let began = tokio::time::Instant::now();
    let asking = app.operator(Method::POST, "/v1/applications");
    let refused = asking
        .body(axum::body::Body::from_stream(endless))
        .send()
        .await;
    assert_eq!(refused.expect(408)["code"], "request_timeout");
    assert_eq!(began.elapsed(), std::time::Duration::from_secs(30));
    tokio::time::resume();
    app.stop().await;
}

/// To JSON Schema, which the document is written in, 60.0 is an integer. Found by schemathesis.
#[tokio::test]
async fn a_whole_number_may_have_a_point() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let webhook = app
        .webhook(
            &application,
            json!({ "RetrySchedule": [0, 5.0], "MaxInFlight": 4.0 }),
        )
        .await;
    assert_eq!(
        (&webhook["RetrySchedule"], &webhook["MaxInFlight"]),
        (&json!([0, 5]), &json!(4))
    );
    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    for wrong in [
        json!({ "MaxInFlight": 4.5 }),
        json!({ "MaxInFlight": 1e300 }),
        json!({ "MaxInFlight": -4.0 }),
    ] {
        let patch = app.operator(Method::PATCH, &path).json(&wrong);
        patch.send().await.expect(422);
    }
    app.stop().await;
}

/// Also where it does nothing: what a header means does not depend on who looks at it.
#[tokio::test]
async fn an_idempotency_key_has_its_form_everywhere() {
    let app = TestApp::start();
    let asking = app.operator(Method::POST, "/v1/access-tokens/introspect");
    let refused = asking
        .header("idempotency-key", "a b")
        .body("token=x")
        .send()
        .await;
    assert_eq!(refused.expect(400)["code"], "bad_header");
    app.stop().await;
}
