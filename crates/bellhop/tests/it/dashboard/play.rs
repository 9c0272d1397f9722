//! The built-in receiver: reached by the real sender, by nobody else, and seen by whom it belongs to.

use std::sync::Arc;

use bellhop::{
    clock::SystemClock,
    domain::api_key::Scope,
    random::SystemRandom,
    receiving::{PLAY_URL, Play},
};
use http::Method;
use serde_json::{Value, json};

use super::{Browser, Desk, between};
use crate::support::{
    app::{TestApp, text},
    sending::Sending,
};

fn play() -> Play {
    Play::new(Arc::new(SystemClock), Arc::new(SystemRandom))
}

/// Makes a receiver by the application's page, and a webhook that sends to it: the receiver's path, the webhook's id.
async fn begin(sending: &Sending, browser: &Browser<'_>) -> (String, String) {
    let path = format!("/dashboard/applications/{}/play", sending.application);
    let made = browser.post(&path, &[]).await;
    let form = browser.page(made.header("location")).await;
    let url = between(&form, r#"name="Url" type="url" value=""#, "\"").to_owned();
    let id = url.strip_prefix(PLAY_URL).unwrap().to_owned();
    let path = made
        .header("location")
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    let created = browser
        .post(&path, &[("Url", &url), ("RetrySchedule", "0, 5")])
        .await;
    assert_eq!(created.status, 200, "{}", created.text());
    let webhooks = sending.app.get("/v1/webhooks").await.expect(200);
    let webhook = text(&webhooks["Items"][0]["Id"]);
    (format!("/dashboard/play/{id}"), webhook)
}

async fn newest(sending: &Sending) -> Value {
    let list = sending.app.get("/v1/deliveries?Limit=1").await.expect(200);
    list["Items"][0].clone()
}

#[tokio::test]
async fn it_is_sent_to_verifies_and_behaves_as_it_is_told() {
    let play = play();
    let mut sending = Sending::playing(&play).await;
    let desk = Desk::with(&sending.app, Some(play));
    let browser = desk.operator().await;
    // Signatures are verified at the moment at which they came.
    sending.app.clock.set_to_now();
    let (path, webhook) = begin(&sending, &browser).await;
    let empty = browser.page(&path).await;
    assert!(
        empty.contains("Nothing yet") && empty.contains(&webhook),
        "{empty}"
    );
    let made = sending
        .app
        .integration(&sending.application, "North Wing")
        .await;
    sending.drain().await;
    assert_eq!(newest(&sending).await["State"], "Delivered");
    let page = browser.page(&path).await;
    for part in [
        "IntegrationCreated",
        "Verified",
        "Answered 200",
        "webhook-signature",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("Not verified"));
    let token = text(&made["AccessToken"]);
    assert!(!page.contains(&token[33..]), "the access token is shown");

    for (behaviour, cause) in [
        ("500", "server_error"),
        ("404", "client_error"),
        ("401", "client_error"),
        ("429:30", "rate_limited"),
        ("redirect", "redirect_refused"),
        ("drop", "closed_early"),
        ("failing:1", "server_error"),
        ("410", "gone"),
    ] {
        let behave = format!("{path}/behaviour");
        let done = browser.post(&behave, &[("Behaviour", behaviour)]).await;
        assert_eq!(done.status, 303, "{behaviour}");
        assert!(
            browser
                .page(&path)
                .await
                .contains(&format!(r#"value="{behaviour}" aria-pressed="true""#))
                || behaviour == "failing:1"
        );
        let name = format!("Wing {behaviour}");
        sending.app.integration(&sending.application, &name).await;
        sending.drain().await;
        let delivery = newest(&sending).await;
        assert_eq!(delivery["Cause"], cause, "{behaviour}: {delivery}");
        // Whatever it was: on.
        let resume = format!("/v1/webhooks/{webhook}/resume");
        sending.app.post(&resume, &json!({})).await.expect(200);
        sending
            .app
            .clock
            .advance(std::time::Duration::from_secs(40));
    }
    let odd = browser
        .post(&format!("{path}/behaviour"), &[("Own", "<b>explode")])
        .await;
    assert_eq!(odd.status, 422);
    assert!(odd.text().contains("a behaviour is one of"));
    browser.post(&format!("{path}/clear"), &[]).await;
    assert!(browser.page(&path).await.contains("Nothing yet"));
    sending.app.stop().await;
}

#[tokio::test]
async fn it_is_its_owners_and_nobody_reaches_it_from_outside() {
    let play = play();
    let sending = Sending::playing(&play).await;
    let desk = Desk::with(&sending.app, Some(play));
    let application = sending.application.parse().unwrap();
    let partner = desk.browser(Scope::Application(application)).await;
    let (path, _) = begin(&sending, &partner).await;
    let other = sending.app.application("Spa Planner").await;
    let stranger = desk
        .browser(Scope::Application(other.parse().unwrap()))
        .await;
    assert_eq!(stranger.get(&path).await.status, 404);
    let behave = format!("{path}/behaviour");
    let refused = stranger.post(&behave, &[("Behaviour", "500")]).await;
    assert_eq!(refused.status, 404);
    assert!(!stranger.page("/dashboard/play").await.contains(&path));
    assert!(partner.page("/dashboard/play").await.contains(&path));
    assert_eq!(partner.get("/dashboard/play/nonsense").await.status, 404);
    // Nobody who is not signed in, and nothing that is posted to this server.
    let id = path.rsplit('/').next().unwrap();
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::POST, path.clone()),
        (Method::POST, format!("/{id}")),
        (Method::POST, format!("/play/{id}")),
    ] {
        let asking = desk.ask(&method, &path);
        let asking = asking.header("host", "play.bellhop.internal");
        let answer = asking.body("{}").send().await;
        assert!(
            !answer.status.is_success(),
            "{method} {path}: {}",
            answer.status
        );
    }
    assert!(partner.page(&path).await.contains("Nothing yet"));
    sending.app.stop().await;
}

#[tokio::test]
async fn where_it_is_switched_off_there_is_none() {
    let app = TestApp::start();
    let application = app.application("Acme Keys").await;
    let desk = Desk::of(&app);
    let browser = desk.operator().await;
    let page = browser
        .page(&format!("/dashboard/applications/{application}"))
        .await;
    assert!(!page.contains("/dashboard/play") && !page.contains("built-in receiver"));
    for path in [
        "/dashboard/play",
        "/dashboard/play/0123456789abcdef0123456789abcdef",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains("switched off"));
    }
    app.stop().await;
}

#[tokio::test]
async fn the_debugger_names_the_mistake_and_shows_no_secret() {
    let mut sending = Sending::start().await;
    let webhook = sending.plain_webhook().await;
    let id = text(&webhook["Id"]);
    let former = text(&webhook["Secret"]);
    sending.integration("Nórth Wing").await;
    sending.drain().await;
    let received = sending.receiver.received()[0].clone();
    let desk = Desk::of(&sending.app);
    let browser = desk.operator().await;
    let path = format!("/dashboard/webhooks/{id}/debug-signature");
    let header = |name: &str| received.headers[name].to_str().unwrap().to_owned();
    let (message, timestamp, signature) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    );
    let sent = String::from_utf8(received.body.to_vec()).unwrap();
    let judged = async |timestamp: &str, signature: &str, body: &str, came: &str| {
        let headers = format!(
            "POST /hook HTTP/1.1\r\nwebhook-id: {message}\r\nwebhook-timestamp: {timestamp}\r\n\
             webhook-signature: {signature}\r\n"
        );
        let fields = [
            ("Headers", &*headers),
            ("Body", body),
            ("ReceivedUtc", came),
        ];
        let answer = browser.post(&path, &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.text();
        assert!(!page.contains(&former[6..]), "a secret is shown");
        between(&page, r#"aria-labelledby="verdict""#, "</section>").to_owned()
    };
    let told = judged(&timestamp, &signature, &sent, "").await;
    assert!(
        told.contains("Verified") && !told.contains("Not verified"),
        "{told}"
    );

    let value: Value = serde_json::from_str(&sent).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    let key = former.trim_start_matches("whsec_");
    let by = |key: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        let content = format!("{message}.{timestamp}.{sent}");
        let tag = aws_lc_rs::hmac::sign(&key, content.as_bytes());
        use base64::Engine as _;
        format!(
            "v1,{}",
            base64::engine::general_purpose::STANDARD.encode(tag)
        )
    };
    let now = sending.app.clock.clone();
    let later = {
        use bellhop::clock::Clock as _;
        (now.now() + std::time::Duration::from_secs(3600)).to_string()
    };
    for (what, timestamp, signature, body, came, expected) in [
        (
            "re-serialised",
            &*timestamp,
            &*signature,
            &*pretty,
            "",
            "same JSON",
        ),
        (
            "base64 as text",
            &timestamp,
            &by(key.as_bytes()),
            &sent,
            "",
            "base64",
        ),
        (
            "whsec_ as text",
            &timestamp,
            &by(former.as_bytes()),
            &sent,
            "",
            "whsec_",
        ),
        (
            "wrong secret",
            &timestamp,
            &by(b"another secret of 24 bytes"),
            &sent,
            "",
            "another secret",
        ),
        (
            "milliseconds",
            &format!("{timestamp}000"),
            &signature,
            &sent,
            "",
            "milliseconds",
        ),
        ("skew", &timestamp, &signature, &sent, &later, "older"),
    ] {
        let told = judged(timestamp, signature, body, came).await;
        assert!(told.contains("Not verified"), "{what}: {told}");
        assert!(told.to_lowercase().contains(expected), "{what}: {told}");
    }
    // Rotated without an overlap, the former secret is forgotten; with one that is over, it is recognised.
    let rotate = format!("/v1/webhooks/{id}/rotate-secret");
    sending
        .app
        .post(&rotate, &json!({ "OverlapSeconds": 60 }))
        .await
        .expect(200);
    sending.after(120).await;
    let told = judged(&timestamp, &signature, &sent, "").await;
    assert!(told.contains("former secret"), "{told}");

    let nothing = browser.post(&path, &[("Headers", "x: y")]).await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.text().contains("There is nothing to verify."));
    let odd = [("Headers", "webhook-id: 1"), ("ReceivedUtc", "yesterday")];
    assert_eq!(browser.post(&path, &odd).await.status, 422);
    sending.app.stop().await;
}
