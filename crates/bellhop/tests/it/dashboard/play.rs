//! The built-in receiver: reached by the real sender, by nobody else, and seen by whom it belongs to.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bellhop::{
    clock::{Clock as _, SystemClock},
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
    // Signatures are verified at the moment at which they came.
    sending.app.clock.set_to_now();
    let desk = Desk::with(&sending.app, Some(play));
    let browser = desk.operator().await;
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
        // Mended, so that the next one begins with a webhook that is well.
        browser.post(&behave, &[("Behaviour", "200")]).await;
        let resume = format!("/v1/webhooks/{webhook}/resume");
        sending.app.post(&resume, &json!({})).await.expect(200);
        sending.after(60).await;
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

/// A webhook that has sent one message, and what its receiver has of it.
struct Debugged {
    sending: Sending,
    path: String,
    rotate: String,
    secret: String,
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Debugged {
    async fn new() -> Self {
        let mut sending = Sending::start().await;
        let webhook = sending.plain_webhook().await;
        let id = text(&webhook["Id"]);
        sending.integration("Nórth Wing").await;
        sending.drain().await;
        let received = sending.receiver.received()[0].clone();
        let header = |name: &str| received.header(name).to_owned();
        Self {
            path: format!("/dashboard/webhooks/{id}/debug-signature"),
            rotate: format!("/v1/webhooks/{id}/rotate-secret"),
            secret: text(&webhook["Secret"]),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: String::from_utf8(received.body.to_vec()).unwrap(),
            sending,
        }
    }

    /// What the page says of such a request.
    async fn judged(
        &self,
        browser: &Browser<'_>,
        (timestamp, signature): (&str, &str),
        body: &str,
        came: &str,
    ) -> String {
        let headers = format!(
            "POST /hook HTTP/1.1\r\nwebhook-id: {}\r\nwebhook-timestamp: {timestamp}\r\n\
             webhook-signature: {signature}\r\n",
            self.id
        );
        let fields = [
            ("Headers", &*headers),
            ("Body", body),
            ("ReceivedUtc", came),
        ];
        let answer = browser.post(&self.path, &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.text();
        assert!(!page.contains(&self.secret[6..]), "a secret is shown");
        between(&page, r#"aria-labelledby="verdict""#, "</section>").to_owned()
    }

    /// A signature of the same message by these bytes.
    fn by(&self, key: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let content = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let tag = hmac::sign(&key, content.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[tokio::test]
async fn the_debugger_names_the_mistake_and_shows_no_secret() {
    let debugged = Debugged::new().await;
    let desk = Desk::of(&debugged.sending.app);
    let browser = desk.operator().await;
    let Debugged {
        timestamp,
        signature,
        body,
        secret,
        ..
    } = &debugged;
    let told = debugged
        .judged(&browser, (timestamp, signature), body, "")
        .await;
    assert!(
        told.contains("Verified") && !told.contains("Not verified"),
        "{told}"
    );
    let value: Value = serde_json::from_str(body).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    let key = secret.trim_start_matches("whsec_");
    let ms = format!("{timestamp}000");
    let later = debugged.sending.app.clock.now() + std::time::Duration::from_hours(1);
    let later = later.to_string();
    let sent = |signature: String, expected| (timestamp.clone(), signature, body.clone(), expected);
    for (timestamp, signature, body, expected) in [
        (
            timestamp.clone(),
            signature.clone(),
            pretty,
            "before anything parses them",
        ),
        sent(debugged.by(key.as_bytes()), "not decoded"),
        sent(debugged.by(secret.as_bytes()), "whsec_"),
        sent(
            debugged.by(b"another secret of 24 bytes"),
            "no signature matches",
        ),
        (ms, signature.clone(), body.clone(), "milliseconds"),
    ] {
        let told = debugged
            .judged(&browser, (&timestamp, &signature), &body, "")
            .await;
        assert!(told.contains("Not verified"), "{expected}: {told}");
        assert!(told.to_lowercase().contains(expected), "{expected}: {told}");
    }
    let told = debugged
        .judged(&browser, (timestamp, signature), body, &later)
        .await;
    assert!(
        told.contains("Not verified") && told.contains(" old;"),
        "{told}"
    );
    debugged.sending.app.stop().await;
}

#[tokio::test]
async fn the_debugger_knows_a_former_secret_and_refuses_what_is_no_request() {
    let mut debugged = Debugged::new().await;
    let overlap = json!({ "OverlapSeconds": 60 });
    let app = &debugged.sending.app;
    app.post(&debugged.rotate, &overlap).await.expect(200);
    debugged.sending.after(120).await;
    let desk = Desk::of(&debugged.sending.app);
    let browser = desk.operator().await;
    let sent = (&*debugged.timestamp, &*debugged.signature);
    let told = debugged.judged(&browser, sent, &debugged.body, "").await;
    assert!(told.contains("former secret"), "{told}");

    let path = &debugged.path;
    let nothing = browser.post(path, &[("Headers", "x: y")]).await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.text().contains("There is nothing to verify."));
    let odd = [("Headers", "webhook-id: 1"), ("ReceivedUtc", "yesterday")];
    assert_eq!(browser.post(path, &odd).await.status, 422);
    debugged.sending.app.stop().await;
}
