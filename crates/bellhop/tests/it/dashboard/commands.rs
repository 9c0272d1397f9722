//! Commands by forms, as without JavaScript, and what is said when they are refused.

use http::Method;
use serde_json::json;

use super::{Desk, between};
use crate::support::{
    app::{ENTERPRISE, TestApp, text},
    receiver::Scripted,
    sending::Sending,
};

#[tokio::test]
async fn an_integration_is_made_once_and_its_token_shown_once() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let form = browser.page("/dashboard/integrations/new").await;
    let once = between(&form, r#"name="Once" value=""#, "\"");
    let fields = [
        ("Name", "North Wing"),
        ("ApplicationId", &application),
        ("EnterpriseId", ENTERPRISE),
        ("IsEnabled", "true"),
        ("Requestor/Name", "Ada"),
        ("Requestor/Email", "ada@h.example"),
        ("Once", once),
    ];
    let made = browser.post("/dashboard/integrations/new", &fields).await;
    assert_eq!(made.status, 200);
    let token = between(&made.text(), "<code>", "</code>").to_owned();
    assert_eq!(token.len(), 64);
    // Sent twice, it is made once, and the same is shown.
    let again = browser.post("/dashboard/integrations/new", &fields).await;
    assert!(again.text().contains(&token));
    let all = app.get("/v1/integrations").await.expect(200);
    assert_eq!(all["Items"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn an_integration_goes_through_its_life() {
    let app = TestApp::start();
    app.enterprise().await;
    let application = app.application("Acme Keys").await;
    let id = text(&app.integration(&application, "North Wing").await["Id"]);
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    for (command, state) in [
        ("disable", "Disabled"),
        ("enable", "Enabled"),
        ("cancel", "Canceled"),
        ("reinstate", "Enabled"),
    ] {
        let done = browser
            .post(&format!("/dashboard/integrations/{id}/{command}"), &[])
            .await;
        assert_eq!(done.status, 303, "{command}: {}", done.text());
        let page = browser.page(done.header("location")).await;
        assert!(
            page.contains("Done. The message is on its way."),
            "{command}"
        );
        assert_eq!(
            app.get(&format!("/v1/integrations/{id}")).await.expect(200)["State"],
            state
        );
    }
    let unchanged = browser
        .post(&format!("/dashboard/integrations/{id}/enable"), &[])
        .await;
    assert!(unchanged.header("location").ends_with("Done=unchanged"));
    let page = browser
        .page(&format!("/dashboard/integrations/{id}/delete"))
        .await;
    assert!(page.contains("Nothing undoes this"));
    browser
        .post(
            &format!("/dashboard/integrations/{id}/delete"),
            &[
                ("Requestor/Name", "Ada"),
                ("Requestor/Email", "ada@h.example"),
            ],
        )
        .await;
    let page = browser.page(&format!("/dashboard/integrations/{id}")).await;
    assert!(page.contains("IntegrationDeleted") && page.contains("Asked for by Ada"));

    let refused = browser
        .post(&format!("/dashboard/integrations/{id}/enable"), &[])
        .await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("gone for good"),
        "{}",
        refused.text()
    );
    app.stop().await;
}

#[tokio::test]
async fn what_is_not_acceptable_comes_back_in_its_form() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let application = app.application("Acme Keys").await;
    let path = format!("/dashboard/applications/{application}/webhooks/new");
    let before = app.everything().await;
    let refused = browser
        .post(
            &path,
            &[
                ("Url", "ftp://h.example"),
                ("TimeoutSeconds", "99"),
                ("RetrySchedule", "0, soon"),
            ],
        )
        .await;
    assert_eq!(refused.status, 422);
    let page = refused.text();
    for part in [
        "ftp://h.example",
        r#"value="99""#,
        r#"value="0, soon""#,
        "aria-invalid",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(app.everything().await, before);

    app.enterprise().await;
    let id = text(&app.integration(&application, "North Wing").await["Id"]);
    let before = app.everything().await;
    let path = format!("/dashboard/integrations/{id}/disable");
    let half = [("Requestor/Name", "Ada")];
    let refused = browser.post(&path, &half).await;
    assert_eq!(refused.status, 422);
    let page = refused.text();
    for part in [r#"value="Ada""#, "Requestor/Email", "aria-invalid"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(app.everything().await, before);

    app.stop().await;
}

#[tokio::test]
async fn the_settings_of_a_webhook_are_those_of_its_form() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let application = app.application("Acme Keys").await;
    let path = format!("/dashboard/applications/{application}/webhooks/new");
    let made = browser
        .post(
            &path,
            &[
                ("Url", "https://h.example/in"),
                ("Actions", "IntegrationCreated"),
                ("Actions", "IntegrationDeleted"),
                ("RetrySchedule", "0, 5"),
                ("RateLimit", "7"),
                ("Headers", "X-Api-Key: hush"),
                ("FollowRedirects", "true"),
            ],
        )
        .await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert!(between(&made.text(), "<code>", "</code>").starts_with("whsec_"));
    let webhooks = app.get("/v1/webhooks").await.expect(200);
    let webhook = &webhooks["Items"][0];
    assert_eq!(
        webhook["Actions"],
        json!(["IntegrationCreated", "IntegrationDeleted"])
    );
    assert_eq!(webhook["RetrySchedule"], json!([0, 5]));
    assert_eq!(
        (&webhook["RateLimit"], &webhook["FollowRedirects"]),
        (&json!(7), &json!(true))
    );
    assert_eq!(webhook["Headers"], json!({ "X-Api-Key": "…" }));

    let id = text(&webhook["Id"]);
    let saved = browser
        .post(
            &format!("/dashboard/webhooks/{id}/settings"),
            &[
                ("Description", "Late"),
                ("TimeoutSeconds", "20"),
                ("RetrySchedule", "0"),
                ("MaxInFlight", "4"),
            ],
        )
        .await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    let webhook = app.get(&format!("/v1/webhooks/{id}")).await.expect(200);
    assert_eq!(webhook["Url"], "https://h.example/in");
    assert_eq!(
        (
            &webhook["TimeoutSeconds"],
            &webhook["RateLimit"],
            &webhook["Actions"]
        ),
        (&json!(20), &json!(null), &json!([]))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_failed_delivery_is_understood_and_replayed() {
    let mut sending = Sending::start().await;
    let webhook = sending
        .webhook(json!({ "Description": "Production", "RetrySchedule": [0] }))
        .await;
    let id = text(&webhook["Id"]);
    sending
        .receiver
        .answers([Scripted::from(404), Scripted::from(404)]);
    sending.integration("North Wing").await;
    sending.integration("South Wing").await;
    sending.drain().await;
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let overview = browser.page("/dashboard").await;
    for part in [
        "client_error",
        "Production",
        "Look at the response",
        "Replay the failed",
    ] {
        assert!(overview.contains(part), "{part}");
    }
    let list = browser
        .page(&format!(
            "/dashboard/deliveries?WebhookId={id}&State=Failed"
        ))
        .await;
    assert_eq!(list.matches(r#"data-label="State""#).count(), 2);
    let delivery = between(&list, r#"<a href="/dashboard/deliveries/"#, "\"").to_owned();
    let page = browser
        .page(&format!("/dashboard/deliveries/{delivery}"))
        .await;
    assert!(
        page.contains("The schedule is used up after 1 attempt."),
        "{page}"
    );

    // One by itself. Nothing is sent here before it is told to: the page does not wait for ever.
    let again = browser
        .post(&format!("/dashboard/deliveries/{delivery}/replay"), &[])
        .await;
    assert_eq!(again.status, 303);
    sending.drain().await;
    let page = browser
        .page(&format!("/dashboard/deliveries/{delivery}"))
        .await;
    assert!(page.contains("The receiver took it at attempt 2"), "{page}");

    // The rest, counted first.
    let preview = browser
        .page(&format!(
            "/dashboard/replays/new?WebhookId={id}&State=Failed"
        ))
        .await;
    assert!(preview.contains("Replay 1 delivery"), "{preview}");
    let token = between(&preview, r#"name="Token" value=""#, "\"");
    let started = browser
        .post(
            "/dashboard/replays/new",
            &[("Token", token), ("WebhookId", &id), ("State", "Failed")],
        )
        .await;
    assert_eq!(started.status, 303, "{}", started.text());
    sending.replay().await;
    let page = browser.page(started.header("location")).await;
    assert!(
        page.contains("1 of 1 are settled") && page.contains("Completed"),
        "{page}"
    );
    let overview = browser.page("/dashboard").await;
    assert!(overview.contains("Nothing is failing"), "{overview}");
    sending.app.stop().await;
}

#[tokio::test]
async fn what_is_not_there_offers_a_way_on() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let nothing = "00000000-0000-0000-0000-000000000000";
    for noun in [
        "deliveries",
        "integrations",
        "webhooks",
        "applications",
        "enterprises",
        "replays",
    ] {
        for id in [nothing, "nonsense", "%00", "%ff"] {
            let answer = browser.get(&format!("/dashboard/{noun}/{id}")).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404),
                "{noun}/{id}: {}",
                answer.status
            );
            if id == nothing {
                assert!(
                    answer.text().contains(r#"href="/dashboard""#),
                    "{}",
                    answer.text()
                );
            }
        }
    }
    assert_eq!(browser.get("/dashboard/no/such/page").await.status, 404);
    for path in [
        "/dashboard",
        "/dashboard/deliveries",
        "/dashboard/integrations",
        "/dashboard/webhooks",
        "/dashboard/applications",
        "/dashboard/enterprises",
        "/dashboard/replays",
        "/dashboard/keys",
        "/dashboard/operational-messages",
        "/dashboard/search",
    ] {
        let page = browser.page(path).await;
        assert!(
            page.contains(r#"class="empty""#),
            "{path} teaches nothing when it is empty"
        );
    }
    // The API is where it was.
    assert_eq!(desk.ask(&Method::GET, "/livez").send().await.status, 200);
    assert_eq!(desk.ask(&Method::GET, "/v1/keys").send().await.status, 401);
    assert_eq!(desk.ask(&Method::GET, "/nothing").send().await.status, 404);
    app.stop().await;
}
