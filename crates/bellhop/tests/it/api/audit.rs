//! The audit log through the API: each operation leaves what it must, and the log says who did it.

use std::time::Duration;

use bellhop::api::{self, Operation};
use http::Method;
use serde_json::{Value, json};

use super::examples::{Described, Things, body_of, operations};
use crate::support::app::{ENTERPRISE, TestApp, text};

/// What an operation leaves in the log.
enum Leaves {
    /// Nothing: it changes nothing, and shows no secret.
    Nothing,
    /// One entry of this action, after these operations.
    One(&'static str, &'static [Operation]),
}

/// A new operation has to say it here.
fn leaves(operation: Operation) -> Leaves {
    use Leaves::{Nothing, One};
    use Operation as O;
    match operation {
        O::Live
        | O::Ready
        | O::ReadMetrics
        | O::ReadOpenApi
        | O::ReadDocs
        | O::ReadDocsStyle
        | O::ReadProblem
        | O::ReadPublicKeys
        | O::GetEnterprise
        | O::ListEnterprises
        | O::GetApplication
        | O::ListApplications
        | O::ListApplicationWebhooks
        | O::ListWebhooks
        | O::GetWebhook
        | O::GetIntegration
        | O::ListIntegrations
        | O::ListMessages
        | O::ListDeliveries
        | O::StreamEvents
        | O::GetDelivery
        | O::ListReplays
        | O::GetReplay
        | O::ListKeys
        | O::ListOperationalMessages
        | O::ListAudit
        | O::IntrospectAccessToken
        // A test message changes nothing and is recorded nowhere.
        | O::TestWebhook => Nothing,
        O::PutEnterprise => One("EnterpriseRenamed", &[]),
        O::CreateApplication => One("ApplicationCreated", &[]),
        O::UpdateApplication => One("ApplicationRenamed", &[]),
        O::CreateWebhook => One("WebhookCreated", &[]),
        O::UpdateWebhook => One("WebhookUpdated", &[]),
        O::DeleteWebhook => One("WebhookDeleted", &[]),
        O::PauseWebhook => One("WebhookPaused", &[]),
        O::ResumeWebhook => One("WebhookResumed", &[O::PauseWebhook]),
        O::RotateSecret => One("WebhookSecretRotated", &[]),
        O::BackfillWebhook => One("BackfillStarted", &[]),
        O::CreateIntegration => One("IntegrationCreated", &[]),
        O::EnableIntegration => One("IntegrationEnabled", &[O::DisableIntegration]),
        O::DisableIntegration => One("IntegrationDisabled", &[]),
        O::CancelIntegration => One("IntegrationCanceled", &[]),
        O::ReinstateIntegration => One("IntegrationReinstated", &[O::CancelIntegration]),
        O::DeleteIntegration => One("IntegrationDeleted", &[]),
        O::RegenerateAccessToken => One("AccessTokenRegenerated", &[]),
        O::ReplayDelivery => One("DeliveryReplayed", &[]),
        O::DiscardDelivery => One("DeliveryDiscarded", &[]),
        O::RevealDelivery => One("DeliveryRevealed", &[]),
        O::StartReplay => One("ReplayStarted", &[]),
        O::PauseReplay => One("ReplayPaused", &[]),
        O::ResumeReplay => One("ReplayResumed", &[O::PauseReplay]),
        O::CancelReplay => One("ReplayCanceled", &[]),
        O::CreateKey => One("KeyCreated", &[]),
        O::RotateKey => One("KeyRotated", &[]),
        O::DeleteKey => One("KeyDeleted", &[]),
    }
}

/// The log, newest first.
async fn log(app: &TestApp) -> Vec<Value> {
    let page = app.get("/v1/audit?Limit=1000").await.expect(200);
    page["Items"].as_array().unwrap().clone()
}

/// The operation as the document describes it; `None` if it does not.
fn described(operation: Operation) -> Option<Described> {
    let name = operation.as_str();
    let id = name[..1].to_lowercase() + &name[1..];
    operations().into_iter().find(|each| each.id == id)
}

async fn run(app: &TestApp, operation: Operation, things: &Things) -> u16 {
    let Some(described) = described(operation) else {
        let public = api::list().iter().find(|each| each.operation == operation);
        let path = public.unwrap().path.replace("{Code}", "not_found");
        return app.ask(Method::GET, &path).send().await.status.as_u16();
    };
    let path = described
        .path
        .replace("{Id}", things.in_path(&described.path));
    let body = match operation {
        // What must be named, or looked at first, to change anything.
        Operation::UpdateApplication => json!({ "Name": "y" }).to_string(),
        Operation::StartReplay => {
            let preview = app
                .operator(Method::POST, &path)
                .body(body_of(&described, things));
            let token = text(&preview.send().await.expect(200)["Token"]);
            json!({ "Token": token }).to_string()
        }
        _ => body_of(&described, things),
    };
    let asked = app.operator(described.method, &path).body(body);
    asked.send().await.status.as_u16()
}

#[tokio::test]
async fn every_operation_leaves_what_its_rule_says() {
    let app = TestApp::start();
    for route in api::list() {
        let operation = route.operation;
        let things = Things::make(&app, operation.as_str()).await;
        let expected = leaves(operation);
        if let Leaves::One(_, before) = expected {
            for earlier in before {
                run(&app, *earlier, &things).await;
            }
        }
        let before = log(&app).await.len();
        let status = run(&app, operation, &things).await;
        assert!((200..300).contains(&status), "{operation:?}: {status}");
        let mut after = log(&app).await;
        after.truncate(after.len() - before);
        match expected {
            Leaves::Nothing => assert_eq!(after, [] as [Value; 0], "{operation:?}"),
            Leaves::One(action, _) => {
                assert_eq!(after.len(), 1, "{operation:?}: {after:#?}");
                assert_eq!(after[0]["Action"], action);
                assert_eq!(after[0]["Actor"]["Kind"], "OperatorKey");
                assert!(after[0]["RequestId"].is_string());
            }
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn an_entry_names_the_key_the_request_and_what_changed() {
    let app = TestApp::start();
    let application = app.application("Keys").await;
    let webhook = app.webhook(&application, json!({})).await;
    let made = app
        .post(
            "/v1/keys",
            &json!({ "Scope": "application", "ApplicationId": application, "Name": "partner" }),
        )
        .await
        .expect(201);
    let path = format!("/v1/webhooks/{}", text(&webhook["Id"]));
    let updated = app
        .ask(Method::PATCH, &path)
        .key(&text(&made["Key"]))
        .header("x-request-id", "mine-1")
        .json(&json!({ "Url": "https://hooks.example.com/in?secret=other", "MaxInFlight": 7 }))
        .send()
        .await;
    updated.expect(200);
    let page = app.get("/v1/audit?Action=WebhookUpdated").await.expect(200);
    let mut entry = page["Items"][0].clone();
    entry["Id"] = "…".into();
    assert_eq!(
        entry,
        json!({
            "Id": "…",
            "AtUtc": "2019-12-13T14:42:52.250Z",
            "Action": "WebhookUpdated",
            "Actor": { "Kind": "Key", "Id": made["Id"], "Name": "partner" },
            "FromAddress": null,
            "RequestId": "mine-1",
            "Subject": { "Kind": "Webhook", "Id": webhook["Id"] },
            "ApplicationId": application,
            "Details": { "MaxInFlight": { "Old": 32, "New": 7 }, "Url": "Changed" },
        })
    );
    let by_key = format!("/v1/audit?ActorId={}", text(&made["Id"]));
    assert_eq!(
        app.get(&by_key).await.expect(200)["Items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // It is the operator's: it has other people's addresses.
    let refused = app.ask(Method::GET, "/v1/audit").key(&text(&made["Key"]));
    refused.send().await.expect(403);
    app.stop().await;
}

#[tokio::test]
async fn pages_and_filters_are_read_strictly() {
    let app = TestApp::start();
    for name in ["One", "Two", "Three"] {
        app.application(name).await;
    }
    let first = app.get("/v1/audit?Limit=2").await.expect(200);
    let cursor = text(&first["NextCursor"]);
    let second = app
        .get(&format!("/v1/audit?Limit=2&Cursor={cursor}"))
        .await
        .expect(200);
    let name = |page: &Value, place: usize| page["Items"][place]["Details"]["Name"].clone();
    assert_eq!([name(&first, 0), name(&first, 1)], ["Three", "Two"]);
    assert_eq!(
        (name(&second, 0), &second["NextCursor"]),
        ("One".into(), &Value::Null)
    );
    for (query, status) in [
        ("Action=ApplicationCreate", 422),
        ("Cursor=x", 400),
        ("ActorId=x", 422),
        ("FromUtc=yesterday", 422),
        ("Actor=x", 422),
        ("Limit=0", 422),
    ] {
        app.get(&format!("/v1/audit?{query}")).await.expect(status);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_shown_again_is_noted() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Keys").await;
    let integration =
        json!({ "ApplicationId": application, "EnterpriseId": ENTERPRISE, "Name": "x" });
    let webhooks = format!("/v1/applications/{application}/webhooks");
    for (path, document, secret) in [
        ("/v1/integrations", integration, "AccessToken"),
        (
            &webhooks,
            json!({ "Url": "https://hooks.example.com/" }),
            "Secret",
        ),
        ("/v1/keys", json!({ "Scope": "introspect" }), "Key"),
    ] {
        // Each of them under a key of its own: another request with the same key is refused.
        let once_more = async |key: &str| {
            let asked = app.operator(Method::POST, path).json(&document);
            asked
                .header("idempotency-key", key)
                .send()
                .await
                .expect(201)
        };
        let made = once_more(secret).await;
        let before = log(&app).await.len();
        assert_eq!(once_more(secret).await, made);
        let after = log(&app).await;
        assert_eq!(after.len(), before + 1);
        let entry = &after[0];
        assert_eq!(entry["Action"], "SecretShownAgain");
        assert_eq!(entry["Subject"]["Id"], made["Id"]);
        assert_eq!(entry["ApplicationId"], made["ApplicationId"]);
        assert_eq!(entry["Details"], json!({ "Shown": secret }));
        assert!(!format!("{after:?}").contains(made[secret].as_str().unwrap()));
    }
    // What shows no secret may be answered again as often as anybody likes.
    let rename = |name: &str| json!({ "Name": name });
    let before = log(&app).await.len();
    for _ in 0..2 {
        let asked = app
            .operator(Method::POST, "/v1/applications")
            .json(&rename("x"));
        asked
            .header("idempotency-key", "again")
            .send()
            .await
            .expect(201);
    }
    assert_eq!(log(&app).await.len(), before + 1);
    app.stop().await;
}

#[tokio::test]
async fn refused_keys_are_noted_once_a_minute() {
    let app = TestApp::start();
    let refused = async || {
        let asked = app.ask(Method::GET, "/v1/applications").key("bhk_no");
        asked.send().await.expect(401)
    };
    let noted = async || {
        let page = app.get("/v1/audit?Action=KeysRefused").await.expect(200);
        let items = page["Items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|entry| entry["Details"]["Count"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    for _ in 0..5 {
        refused().await;
    }
    // Without any key, somebody only looks.
    app.ask(Method::GET, "/v1/applications")
        .send()
        .await
        .expect(401);
    assert_eq!(noted().await, [1]);
    app.clock.advance(Duration::from_mins(1));
    refused().await;
    assert_eq!(noted().await, [5, 1]);
    app.stop().await;
}
