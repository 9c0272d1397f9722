//! Links, sessions, and the guard against foreign forms.

use std::time::Duration;

use bellhop::domain::api_key::Scope;
use http::Method;
use serde_json::json;

use super::{Desk, cookie};
use crate::support::app::{OPERATOR, TestApp};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[tokio::test]
async fn a_link_is_shown_by_get_and_used_once_by_post() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let link = desk.link(Scope::Operator).await;
    // Programs that scan mail follow links: that uses nothing up.
    for _ in 0..3 {
        let shown = desk.ask(&Method::GET, &link).send().await;
        assert_eq!(shown.status, 200);
        assert!(
            shown.text().contains(r#"<form method="post""#),
            "{}",
            shown.text()
        );
        assert_eq!(shown.header("set-cookie"), "");
    }
    let used = desk.ask(&Method::POST, &link).send().await;
    assert_eq!(
        (used.status.as_u16(), used.header("location")),
        (303, "/dashboard")
    );
    let given = used.header("set-cookie");
    for part in ["bellhop-session=", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(given.contains(part), "{given}");
    }
    let again = desk.ask(&Method::POST, &link).send().await;
    assert_eq!(again.status, 410);
    assert_eq!(again.header("set-cookie"), "");
    assert!(again.text().contains("was used already"));
    app.stop().await;
}

#[tokio::test]
async fn a_link_is_over_after_half_an_hour() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let link = desk.link(Scope::Operator).await;
    app.clock.advance(Duration::from_mins(30));
    assert_eq!(desk.ask(&Method::POST, &link).send().await.status, 410);
    let guess = format!("{}x", desk.link(Scope::Operator).await);
    assert_eq!(desk.ask(&Method::POST, &guess).send().await.status, 410);
    app.stop().await;
}

#[tokio::test]
async fn over_https_the_cookie_is_of_this_host_alone() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let link = desk.link(Scope::Operator).await;
    let used = desk
        .ask(&Method::POST, &link)
        .header("sec-fetch-site", "same-origin");
    let used = used
        .header("origin", "https://hooks.example.com")
        .send()
        .await;
    let given = used.header("set-cookie");
    assert!(
        given.starts_with("__Host-bellhop-session=") && given.ends_with("; Secure"),
        "{given}"
    );
    let page = desk
        .ask(&Method::GET, "/dashboard")
        .header("cookie", &cookie(&used))
        .send()
        .await;
    assert_eq!(page.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn whoever_is_not_signed_in_sees_how_to() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    for path in [
        "/dashboard",
        "/dashboard/deliveries",
        "/dashboard/keys",
        "/dashboard/nothing",
    ] {
        let answer = desk.ask(&Method::GET, path).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, "/dashboard/sign-in"),
            "{path}"
        );
        let answer = desk
            .ask(&Method::GET, path)
            .header("cookie", "bellhop-session=guess")
            .send()
            .await;
        assert_eq!(answer.status, 303, "{path}");
    }
    assert_eq!(
        desk.ask(&Method::GET, "/dashboard/events")
            .send()
            .await
            .status,
        401
    );
    let page = desk.ask(&Method::GET, "/dashboard/sign-in").send().await;
    assert!(page.text().contains("/var/lib/bellhop/sign-in-link"));
    assert_eq!(page.header("content-security-policy"), POLICY);
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert_eq!(page.header("cache-control"), "no-store");
    let front = desk.ask(&Method::GET, "/").send().await;
    assert_eq!(
        (front.status.as_u16(), front.header("location")),
        (307, "/dashboard")
    );
    app.stop().await;
}

#[tokio::test]
async fn a_key_signs_in_to_what_it_opens() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let other = app.application("Spa Planner").await;
    let key = app
        .key(&json!({ "Scope": "application", "ApplicationId": application }))
        .await;
    let gateway = app.key(&json!({ "Scope": "introspect" })).await;
    let desk = Desk::of(&app);
    let sign_in = async |key: &str| {
        let asking = desk.ask(&Method::POST, "/dashboard/sign-in");
        asking.body(format!("ApiKey={key}")).send().await
    };
    let page = async |cookie: &str, path: &str| {
        let answer = desk
            .ask(&Method::GET, path)
            .header("cookie", cookie)
            .send()
            .await;
        answer.status.as_u16()
    };
    let operator = cookie(&sign_in(OPERATOR).await);
    assert_eq!(page(&operator, "/dashboard/keys").await, 200);
    let partner = cookie(&sign_in(&key).await);
    assert_eq!(page(&partner, "/dashboard/keys").await, 403);
    assert_eq!(
        page(&partner, &format!("/dashboard/applications/{application}")).await,
        200
    );
    assert_eq!(
        page(&partner, &format!("/dashboard/applications/{other}")).await,
        404
    );
    for wrong in [gateway.as_str(), "bhk_wrong", ""] {
        let refused = sign_in(wrong).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("set-cookie"), "");
        assert!(wrong.is_empty() || !refused.text().contains(wrong));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_it_idles_and_when_somebody_signs_out() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    for _ in 0..10 {
        app.clock.advance(Duration::from_hours(11));
        browser.page("/dashboard").await;
    }
    app.clock.advance(Duration::from_hours(12));
    assert_eq!(browser.get("/dashboard").await.status, 303);
    // However much it is used, a week is the most.
    let browser = desk.operator().await;
    for _ in 0..15 {
        app.clock.advance(Duration::from_hours(11));
        browser.page("/dashboard").await;
    }
    app.clock.advance(Duration::from_hours(4));
    assert_eq!(browser.get("/dashboard").await.status, 303);

    let browser = desk.operator().await;
    let out = browser.post("/dashboard/sign-out", &[]).await;
    assert_eq!(
        (out.status.as_u16(), out.header("location")),
        (303, "/dashboard/sign-in")
    );
    assert_eq!(browser.get("/dashboard").await.status, 303);
    app.stop().await;
}

#[tokio::test]
async fn sessions_are_kept_in_the_store_as_hashes_and_outlive_a_restart() {
    let app = TestApp::start();
    let cookie = {
        let desk = Desk::of(&app);
        desk.operator().await.cookie
    };
    let app = app.restart().await;
    let desk = Desk::of(&app);
    let page = desk
        .ask(&Method::GET, "/dashboard")
        .header("cookie", &cookie)
        .send()
        .await;
    assert_eq!(page.status, 200);
    drop(desk);
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_was_not_made_here_changes_nothing() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let other = desk.operator().await;
    let before = app.everything().await;
    let foreign = other.form_key().await;
    for fields in [
        &[("Name", "x")][..],
        &[("Name", "x"), ("Key", "guess")],
        &[("Name", "x"), ("Key", &foreign)],
    ] {
        let refused = browser.post_as_is("/dashboard/applications", fields).await;
        assert_eq!(refused.status, 403, "{fields:?}");
        assert!(refused.text().contains("Nothing was changed"));
    }
    let key = browser.form_key().await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let asking = desk
            .ask(&Method::POST, "/dashboard/applications")
            .header(name, value);
        let asking = asking
            .header("host", "127.0.0.1:8080")
            .header("cookie", &browser.cookie);
        let refused = asking.body(format!("Name=x&Key={key}")).send().await;
        assert_eq!(refused.status, 403, "{name}: {value}");
    }
    assert_eq!(app.everything().await, before);
    app.stop().await;
}

#[tokio::test]
async fn tries_to_sign_in_are_bounded() {
    let app = TestApp::start();
    let desk = Desk::of(&app);
    let attempt = async || {
        let asking = desk.ask(&Method::POST, "/dashboard/sign-in");
        asking.body("ApiKey=wrong").send().await.status.as_u16()
    };
    let mut refused = 0;
    for _ in 0..40 {
        refused += usize::from(attempt().await == 429);
    }
    assert_eq!(refused, 10);
    // Somebody elsewhere may.
    let asking = desk
        .ask(&Method::POST, "/dashboard/sign-in")
        .from("192.0.2.7");
    assert_eq!(asking.body("ApiKey=wrong").send().await.status, 401);
    app.clock.advance(Duration::from_secs(4));
    assert_eq!(
        [attempt().await, attempt().await, attempt().await],
        [401, 401, 429]
    );
    app.stop().await;
}
