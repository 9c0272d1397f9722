//! What ways into the dashboard leave in the audit log, and how long a session that a key has opened lasts.

use std::time::Duration;

use axum::body::Body;
use bellhop::{clock::Clock as _, domain::api_key::Scope, feed::Event};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Browser, Desk, cookie};
use crate::support::{
    answer::Answer,
    app::{OPERATOR, TestApp, text},
};

const HOME: &str = "192.0.2.7";

/// The newest entries, newest first.
async fn newest(app: &TestApp, many: usize) -> Vec<Value> {
    let page = app.get(&format!("/v1/audit?Limit={many}")).await;
    page.expect(200)["Items"].as_array().unwrap().clone()
}

async fn only_newest(app: &TestApp) -> Value {
    newest(app, 1).await.remove(0)
}

impl Desk {
    async fn sign_in_with(&self, key: &str) -> Answer {
        let asking = self.ask(&Method::POST, "/dashboard/sign-in").from(HOME);
        asking.body(format!("ApiKey={key}")).send().await
    }

    async fn browser_with(&self, key: &str) -> Browser<'_> {
        let answer = self.sign_in_with(key).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        Browser {
            desk: self,
            cookie: cookie(&answer),
        }
    }

    /// As `bellhop sign-in` asks: the path of the link.
    async fn link_with(&self, key: &str) -> Answer {
        let asking = self.ask(&Method::POST, "/dashboard/links").from(HOME);
        asking.key(key).send().await
    }
}

#[tokio::test]
async fn a_partners_link_leaves_who_made_it_who_used_it_and_whose_it_is() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let desk = Desk::of(&app);
    let operator = desk.operator().await;
    let session = only_newest(&app).await["Subject"]["Id"].clone();
    let path = format!("/dashboard/applications/{application}/sign-in-link");
    let page = operator.post(&path, &[]).await;
    let link = super::between(&page.text(), "/dashboard/sign-in/", "\"").to_owned();
    let link = format!("/dashboard/sign-in/{}", &link[..64]);

    let made = only_newest(&app).await;
    assert_eq!(made["Action"], "SignInLinkCreated");
    assert_eq!(made["ApplicationId"], application);
    assert_eq!(
        made["Actor"],
        json!({ "Kind": "Session", "Id": session, "Name": "operator" })
    );
    assert_eq!(
        made["Details"],
        json!({ "Scope": "application", "Shown": "Link" })
    );

    let used = desk.ask(&Method::POST, &link).from(HOME).send().await;
    assert_eq!(used.status, 303);
    let signed_in = only_newest(&app).await;
    assert_eq!(signed_in["Action"], "SignedIn");
    assert_eq!(signed_in["ApplicationId"], application);
    assert_eq!(signed_in["FromAddress"], HOME);
    let visit = signed_in["Subject"].clone();
    assert_eq!(visit["Kind"], "Session");
    let partner = json!({ "Kind": "Session", "Id": visit["Id"], "Name": "application" });
    assert_eq!(signed_in["Actor"], partner);
    let details = json!({ "Scope": "application", "Link": made["Subject"]["Id"] });
    assert_eq!(signed_in["Details"], details);

    // Whoever comes with the link again.
    let again = desk
        .ask(&Method::POST, &link)
        .from("198.51.100.1")
        .send()
        .await;
    assert_eq!(again.status, 410);
    let refused = only_newest(&app).await;
    assert_eq!(refused["Action"], "SignInRefused");
    assert_eq!(refused["Actor"]["Kind"], "Stranger");
    assert_eq!(refused["FromAddress"], "198.51.100.1");
    assert_eq!(refused["Subject"], made["Subject"]);
    assert_eq!(refused["Details"], json!({ "With": "Link" }));

    let browser = Browser {
        desk: &desk,
        cookie: cookie(&used),
    };
    assert_eq!(browser.post("/dashboard/sign-out", &[]).await.status, 303);
    let out = only_newest(&app).await;
    assert_eq!(out["Action"], "SignedOut");
    assert_eq!((&out["Subject"], &out["Actor"]), (&visit, &partner));
    assert_eq!(out["ApplicationId"], application);
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_signs_in_is_named_and_one_that_may_not_as_well() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let make = async |document: Value| app.post("/v1/keys", &document).await.expect(201);
    let partner =
        make(json!({ "Scope": "application", "ApplicationId": application, "Name": "Acme" })).await;
    let gateway = make(json!({ "Scope": "introspect", "Name": "gateway" })).await;
    let desk = Desk::of(&app);
    let as_key = |key: &Value| json!({ "Kind": "Key", "Id": key["Id"], "Name": key["Name"] });

    desk.browser_with(&text(&partner["Key"])).await;
    let signed_in = only_newest(&app).await;
    assert_eq!(
        (&signed_in["Action"], &signed_in["Subject"]["Kind"]),
        (&json!("SignedIn"), &json!("Session"))
    );
    assert_eq!(signed_in["Actor"], as_key(&partner));
    assert_eq!(signed_in["ApplicationId"], application);
    assert_eq!(signed_in["FromAddress"], HOME);
    desk.browser_with(OPERATOR).await;
    let signed_in = only_newest(&app).await;
    assert_eq!(
        signed_in["Actor"],
        json!({ "Kind": "OperatorKey", "Id": null, "Name": null })
    );

    for (key, who) in [
        (text(&gateway["Key"]), as_key(&gateway)),
        (
            "bhk_wrong".to_owned(),
            json!({ "Kind": "Stranger", "Id": null, "Name": null }),
        ),
    ] {
        assert_eq!(desk.sign_in_with(&key).await.status, 401);
        let refused = only_newest(&app).await;
        assert_eq!(refused["Action"], "SignInRefused");
        assert_eq!(refused["Actor"], who);
        assert_eq!(
            (&refused["FromAddress"], &refused["Details"]),
            (&json!(HOME), &json!({ "With": "Key" }))
        );
        // `bellhop sign-in` with the same.
        assert_eq!(desk.link_with(&key).await.status, 401);
        assert_eq!(only_newest(&app).await["Action"], "SignInRefused");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_link_names_the_key_that_it_was_made_with() {
    let app = TestApp::start();
    let made = app
        .post(
            "/v1/keys",
            &json!({ "Scope": "operator", "Name": "night shift" }),
        )
        .await;
    let made = made.expect(201);
    let desk = Desk::of(&app);
    desk.link_with(&text(&made["Key"])).await.expect(201);
    let created = only_newest(&app).await;
    assert_eq!(created["Action"], "SignInLinkCreated");
    let who = json!({ "Kind": "Key", "Id": made["Id"], "Name": "night shift" });
    assert_eq!(
        (&created["Actor"], &created["FromAddress"]),
        (&who, &json!(HOME))
    );
    desk.link_with(OPERATOR).await.expect(201);
    assert_eq!(only_newest(&app).await["Actor"]["Kind"], "OperatorKey");
    // The first link of a server is its own.
    desk.link(Scope::Operator).await;
    assert_eq!(only_newest(&app).await["Actor"]["Kind"], "System");
    app.stop().await;
}

#[tokio::test]
async fn strangers_do_not_fill_the_log_with_tries() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    for n in 0..60 {
        let asking = desk.ask(&Method::POST, "/dashboard/sign-in");
        let asking = asking.from(&format!("198.51.100.{n}")).body("ApiKey=wrong");
        assert_eq!(asking.send().await.status, 401);
    }
    let noted = async || {
        let page = app.get("/v1/audit?Action=SignInRefused&Limit=1000").await;
        page.expect(200)["Items"].as_array().unwrap().len()
    };
    assert_eq!(noted().await, 30);
    app.clock.advance(Duration::from_secs(10));
    desk.sign_in_with("wrong").await;
    desk.sign_in_with("wrong").await;
    assert_eq!(noted().await, 31);
    app.stop().await;
}

/// A key, its id, and a session that it has opened; one more that a link has opened which was made with it.
struct Opened<'a> {
    id: String,
    sessions: [Browser<'a>; 2],
}

async fn opened<'a>(app: &TestApp, desk: &'a Desk, document: &Value) -> Opened<'a> {
    let made = app.post("/v1/keys", document).await.expect(201);
    let key = text(&made["Key"]);
    let link = text(&desk.link_with(&key).await.expect(201)["Path"]);
    let used = desk.ask(&Method::POST, &link).send().await;
    assert_eq!(used.status, 303, "{}", used.text());
    let by_link = Browser {
        desk,
        cookie: cookie(&used),
    };
    let sessions = [desk.browser_with(&key).await, by_link];
    for session in &sessions {
        session.page("/dashboard/keys").await;
    }
    Opened {
        id: text(&made["Id"]),
        sessions,
    }
}

impl Opened<'_> {
    async fn are_over(&self) {
        for session in &self.sessions {
            let page = session.get("/dashboard/keys").await;
            assert_eq!(
                (page.status.as_u16(), page.header("location")),
                (303, "/dashboard/sign-in")
            );
            // Nor does it do anything any more.
            let form = session
                .post_as_is("/dashboard/applications", &[("Name", "x")])
                .await;
            assert_eq!(
                (form.status.as_u16(), form.header("location")),
                (303, "/dashboard/sign-in")
            );
        }
    }
}

#[tokio::test]
async fn a_session_ends_with_the_key_that_has_opened_it() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let operator = desk.operator().await;
    let plain = json!({ "Scope": "operator" });

    let deleted = opened(&app, &desk, &plain).await;
    let path = format!("/v1/keys/{}", deleted.id);
    app.operator(Method::DELETE, &path).send().await.expect(204);
    deleted.are_over().await;

    let rotated = opened(&app, &desk, &plain).await;
    let path = format!("/v1/keys/{}/rotate", rotated.id);
    app.post(&path, &json!({ "OverlapSeconds": 60 }))
        .await
        .expect(200);
    rotated.sessions[0].page("/dashboard/keys").await;
    app.clock.advance(Duration::from_mins(1));
    rotated.are_over().await;

    let until = (app.clock.now() + Duration::from_mins(10)).to_string();
    let expires = json!({ "Scope": "operator", "ExpiresUtc": until });
    let expiring = opened(&app, &desk, &expires).await;
    app.clock.advance(Duration::from_mins(10));
    expiring.are_over().await;

    // A link that waits when its key is deleted opens nothing.
    let made = app.post("/v1/keys", &plain).await.expect(201);
    let link = text(&desk.link_with(&text(&made["Key"])).await.expect(201)["Path"]);
    let path = format!("/v1/keys/{}", text(&made["Id"]));
    app.operator(Method::DELETE, &path).send().await.expect(204);
    assert_eq!(desk.ask(&Method::POST, &link).send().await.status, 410);
    // Others are none the worse.
    operator.page("/dashboard/keys").await;
    app.stop().await;
}

#[tokio::test]
async fn what_a_page_listens_to_ends_with_the_session() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let opened = opened(&app, &desk, &json!({ "Scope": "operator" })).await;
    let request = Request::get("/dashboard/events")
        .header("cookie", &opened.sessions[0].cookie)
        .body(Body::empty())
        .unwrap();
    let response = desk.router.clone().oneshot(request).await.unwrap();
    let mut news = response.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(Duration::from_secs(20), news.frame());
        let frame = frame.await.unwrap()?.unwrap().into_data().unwrap();
        Some(String::from_utf8(frame.to_vec()).unwrap())
    };
    assert!(next().await.unwrap().contains("retry"));
    let tell = || app.feed.tell(Event::Webhook(uuid::Uuid::nil().into()));
    tell();
    assert!(next().await.unwrap().contains("event: webhooks"));
    let path = format!("/v1/keys/{}", opened.id);
    app.operator(Method::DELETE, &path).send().await.expect(204);
    tell();
    assert_eq!(next().await, None);
    app.stop().await;
}
