//! Whoever is signed in for one application sees and does what belongs to it, and nothing else exists for them.

use bellhop::domain::api_key::Scope;
use serde_json::{Value, json};

use super::{Browser, Desk};
use crate::support::app::{ENTERPRISE, TestApp, text};

/// An application with a webhook, an integration and a delivery: their ids.
struct Owned {
    application: String,
    webhook: String,
    integration: String,
    delivery: String,
}

async fn owned(app: &TestApp, name: &str) -> Owned {
    let application = app.application(name).await;
    let webhook = text(&app.webhook(&application, json!({})).await["Id"]);
    let integration = text(
        &app.integration(&application, &format!("{name} integration"))
            .await["Id"],
    );
    let found = app
        .get(&format!("/v1/deliveries?WebhookId={webhook}"))
        .await
        .expect(200);
    Owned {
        application,
        webhook,
        integration,
        delivery: text(&found["Items"][0]["Id"]),
    }
}

/// Two applications, one of whose people look.
struct Two {
    app: TestApp,
    own: Owned,
    other: Owned,
}

impl Two {
    async fn start() -> Self {
        let app = TestApp::start();
        app.enterprise().await;
        Self {
            own: owned(&app, "Acme Keys").await,
            other: owned(&app, "Spa Planner").await,
            app,
        }
    }

    /// Signed in for the first.
    async fn partner<'a>(&self, desk: &'a Desk) -> Browser<'a> {
        let application = self.own.application.parse().unwrap();
        desk.browser(Scope::Application(application)).await
    }
}

impl Owned {
    fn pages(&self) -> Vec<String> {
        [
            format!("/applications/{}", self.application),
            format!("/applications/{}/webhooks/new", self.application),
            format!("/webhooks/{}", self.webhook),
            format!("/webhooks/{}/settings", self.webhook),
            format!("/webhooks/{}/rotate-secret", self.webhook),
            format!("/webhooks/{}/signatures", self.webhook),
            format!("/webhooks/{}/credentials", self.webhook),
            format!("/webhooks/{}/backfill", self.webhook),
            format!("/webhooks/{}/delete", self.webhook),
            format!("/integrations/{}", self.integration),
            format!("/deliveries/{}", self.delivery),
            format!("/deliveries?WebhookId={}", self.webhook),
            format!("/deliveries?IntegrationId={}", self.integration),
            format!("/deliveries?ApplicationId={}", self.application),
            format!("/integrations?ApplicationId={}", self.application),
            format!("/replays/new?WebhookId={}", self.webhook),
        ]
        .map(|path| format!("/dashboard{path}"))
        .to_vec()
    }

    fn commands(&self) -> Vec<String> {
        [
            format!("/webhooks/{}/pause", self.webhook),
            format!("/webhooks/{}/resume", self.webhook),
            format!("/webhooks/{}/test", self.webhook),
            format!("/webhooks/{}/rotate-secret", self.webhook),
            format!("/webhooks/{}/settings", self.webhook),
            format!("/webhooks/{}/signatures", self.webhook),
            format!("/webhooks/{}/credentials", self.webhook),
            format!("/webhooks/{}/backfill", self.webhook),
            format!("/webhooks/{}/delete", self.webhook),
            format!("/deliveries/{}/replay", self.delivery),
            format!("/deliveries/{}/discard", self.delivery),
            format!("/applications/{}/webhooks/new", self.application),
            format!("/applications/{}", self.application),
            format!("/applications/{}/sign-in-link", self.application),
            format!("/integrations/{}/disable", self.integration),
            format!("/integrations/{}/delete", self.integration),
        ]
        .map(|path| format!("/dashboard{path}"))
        .to_vec()
    }
}

#[tokio::test]
async fn a_partner_sees_its_own() {
    let two = Two::start().await;
    let desk = Desk::of(&two.app);
    let partner = two.partner(&desk).await;
    let Two { app, own, other } = two;
    for path in own.pages() {
        let page = partner.page(&path).await;
        assert!(
            !page.contains("Spa Planner") && !page.contains(&other.webhook),
            "{path}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_of_others_does_not_exist_for_a_partner() {
    let two = Two::start().await;
    let desk = Desk::of(&two.app);
    let partner = two.partner(&desk).await;
    let Two { app, other, .. } = two;
    for path in other.pages() {
        let answer = partner.get(&path).await;
        // A list that is narrowed to something foreign is empty; a thing is not found.
        assert!(
            answer.status == 404 || !answer.text().contains("Spa Planner"),
            "{path}"
        );
        assert!(!answer.text().contains("Spa Planner"), "{path}");
        if !path.contains('?') {
            assert_eq!(answer.status, 404, "{path}");
        }
    }
    for path in [
        "",
        "/deliveries",
        "/webhooks",
        "/integrations",
        "/applications",
        "/replays",
        "/search?Text=spa",
    ] {
        let page = partner.page(&format!("/dashboard{path}")).await;
        assert!(!page.contains("Spa Planner"), "{path}");
        for id in [
            &other.application,
            &other.webhook,
            &other.integration,
            &other.delivery,
        ] {
            assert!(!page.contains(id.as_str()), "{path}");
        }
    }
    for id in [
        &other.application,
        &other.webhook,
        &other.integration,
        &other.delivery,
    ] {
        let page = partner.page(&format!("/dashboard/search?Text={id}")).await;
        assert!(page.contains("Nothing found"), "{page}");
    }
    for path in [
        "/keys",
        "/audit",
        "/enterprises",
        "/operational-messages",
        "/integrations/new",
    ] {
        assert_eq!(
            partner.get(&format!("/dashboard{path}")).await.status,
            403,
            "{path}"
        );
    }
    assert_eq!(
        partner
            .get(&format!("/dashboard/enterprises/{ENTERPRISE}"))
            .await
            .status,
        403
    );
    app.stop().await;
}

#[tokio::test]
async fn a_partner_commands_its_own_and_nothing_else() {
    let two = Two::start().await;
    let desk = Desk::of(&two.app);
    let partner = two.partner(&desk).await;
    let Two { app, own, other } = two;
    let before: Value = app.everything().await;
    for path in other.commands() {
        let fields = [
            ("Reason", "x"),
            ("Name", "x"),
            ("Url", "https://h.example/"),
        ];
        let refused = partner.post(&path, &fields).await;
        assert!(
            matches!(refused.status.as_u16(), 403 | 404),
            "{path}: {}",
            refused.status
        );
    }
    for (path, fields) in [
        ("/dashboard/applications", &[("Name", "x")][..]),
        ("/dashboard/enterprises", &[("Name", "x")]),
        ("/dashboard/keys", &[("Name", "x"), ("Scope", "operator")]),
        (
            "/dashboard/integrations/new",
            &[
                ("Name", "x"),
                ("ApplicationId", &own.application),
                ("EnterpriseId", ENTERPRISE),
            ],
        ),
        (
            &format!("/dashboard/integrations/{}/disable", own.integration),
            &[],
        ),
        (
            &format!("/dashboard/applications/{}/sign-in-link", own.application),
            &[],
        ),
    ] {
        assert_eq!(partner.post(path, fields).await.status, 403, "{path}");
    }
    assert_eq!(app.everything().await, before);

    let paused = partner
        .post(&format!("/dashboard/webhooks/{}/pause", own.webhook), &[])
        .await;
    assert_eq!(paused.status, 303, "{}", paused.text());
    let webhook = app
        .get(&format!("/v1/webhooks/{}", own.webhook))
        .await
        .expect(200);
    assert_eq!(webhook["State"], "Paused");
    app.stop().await;
}
