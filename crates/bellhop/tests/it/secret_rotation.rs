//! Rotating what signs, with the real server and a receiver that verifies with a library that we did not write.

use bellhop::clock::{Clock as _, SystemClock};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    app::text,
    receiver::{Received, Receiver},
    server::Server,
};

/// Whether the library accepts what was received, with this secret alone.
fn is_signed_by(secret: &str, received: &Received) -> bool {
    let judge = standardwebhooks::Webhook::new(secret).unwrap();
    judge.verify(&received.body, &received.headers).is_ok()
}

struct Rotating {
    server: Server,
    receiver: Receiver,
    path: String,
}

impl Rotating {
    async fn start() -> (Self, String) {
        let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
        let receiver = Receiver::start().await;
        let application = server.application("Booking engine").await;
        let path = format!("/v1/applications/{application}/webhooks");
        let made = server
            .make(&path, &json!({ "Url": receiver.url("/hook") }))
            .await;
        let path = format!("/v1/webhooks/{}", text(&made["Id"]));
        let rotating = Self {
            server,
            receiver,
            path,
        };
        (rotating, text(&made["Secret"]))
    }

    async fn post(&self, command: &str, document: &Value) -> Value {
        let path = format!("{}/{command}", self.path);
        let (status, done) = self.server.ask(Method::POST, &path, Some(document)).await;
        assert_eq!(status, 200, "{path}: {done}");
        done
    }

    /// Sends a test; answers for each secret whether it signed that.
    async fn test<const N: usize>(&self, document: &Value, secrets: [&str; N]) -> [bool; N] {
        let tested = self.post("test", document).await;
        assert_eq!(tested["Attempt"]["Outcome"], "Succeeded", "{tested}");
        let received = self.receiver.received().pop().unwrap();
        assert_eq!(
            received.header("webhook-id"),
            tested["MessageId"].as_str().unwrap()
        );
        secrets.map(|secret| is_signed_by(secret, &received))
    }

    async fn active(&self) -> Vec<Value> {
        let webhook = self.server.get(&self.path).await;
        webhook["Secrets"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_test_shows_whether_the_receiver_has_the_new_secret() {
    let (rotating, first) = Rotating::start().await;
    let second = text(&rotating.post("rotate-secret", &json!({})).await["Secret"]);
    let secrets = [first.as_str(), &second];
    assert_eq!(rotating.test(&json!({}), secrets).await, [true, true]);
    let newest_only = json!({ "NewestSecretOnly": true });
    assert_eq!(rotating.test(&newest_only, secrets).await, [false, true]);
    let all = json!({ "NewestSecretOnly": false });
    assert_eq!(rotating.test(&all, secrets).await, [true, true]);
    assert!(rotating.server.end().await);
}

#[tokio::test]
async fn a_secret_in_wrong_hands_stops_signing_at_once() {
    let (rotating, first) = Rotating::start().await;
    let second = text(&rotating.post("rotate-secret", &json!({})).await["Secret"]);
    let active = rotating.active().await;
    assert_eq!(active.len(), 2);
    assert!(active[0]["ExpiresUtc"].is_null() && !active[1]["ExpiresUtc"].is_null());
    let fingerprint = |secret: &str| {
        use aws_lc_rs::digest::{SHA256, digest};
        let hash = digest(&SHA256, secret.as_bytes());
        let hex: Vec<String> = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.concat()[..12].to_owned()
    };
    assert_eq!(active[0]["Fingerprint"], fingerprint(&second));
    assert_eq!(active[1]["Fingerprint"], fingerprint(&first));

    let no_overlap = json!({ "OverlapSeconds": 0 });
    let third = text(&rotating.post("rotate-secret", &no_overlap).await["Secret"]);
    let active = rotating.active().await;
    assert_eq!(active.len(), 1, "{active:?}");
    assert_eq!(active[0]["Fingerprint"], fingerprint(&third));
    assert_eq!(active[0]["Kind"], "whsec");
    let secrets = [first.as_str(), &second, &third];
    assert_eq!(
        rotating.test(&json!({}), secrets).await,
        [false, false, true]
    );
    assert!(rotating.server.end().await);
}

/// While messages flow through all of these, the secret is replaced at the first of them. Answers with the unix second at
/// which that was answered, both secrets, and what the receiver got.
pub async fn rotated_under_fire(
    servers: [&Server; 2],
    receiver: &Receiver,
) -> (u64, [String; 2], Vec<Received>) {
    let application = servers[0].application("Booking engine").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let made = servers[0]
        .make(
            &path,
            &json!({ "Url": receiver.url("/hook"), "RetrySchedule": [0, 1] }),
        )
        .await;
    let mut integrations = Vec::new();
    for number in 0..4 {
        let name = format!("Desk {number}");
        integrations.push(servers[number % 2].integration(&application, &name).await);
    }
    let rotate = format!("/v1/webhooks/{}/rotate-secret", text(&made["Id"]));
    let mut rotated = None;
    for round in 0..60 {
        let command = ["disable", "enable"][round % 2];
        for (number, integration) in integrations.iter().enumerate() {
            let path = format!("/v1/integrations/{}/{command}", text(&integration["Id"]));
            let server = servers[(number + round) % 2];
            let (status, done) = server.ask(Method::POST, &path, Some(&json!({}))).await;
            assert_eq!(status, 200, "{done}");
        }
        if round == 20 {
            let no_overlap = json!({ "OverlapSeconds": 0 });
            let (status, done) = servers[0]
                .ask(Method::POST, &rotate, Some(&no_overlap))
                .await;
            assert_eq!(status, 200, "{done}");
            let now = SystemClock.now();
            rotated = Some((now.as_second() as u64, text(&done["Secret"])));
        }
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    let delivered = format!(
        "/v1/deliveries?WebhookId={}&State=Pending",
        text(&made["Id"])
    );
    while servers[0].get(&delivered).await["Items"] != json!([]) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (answered, newest) = rotated.unwrap();
    (
        answered,
        [text(&made["Secret"]), newest],
        receiver.received(),
    )
}

/// Nothing is signed with the former secret later than `grace` seconds after the answer, and by the new one alone from then
/// on.
pub fn is_retired(
    answered: u64,
    grace: u64,
    [former, newest]: &[String; 2],
    received: &[Received],
) {
    assert_eq!(received.len(), 4 * 61);
    let (mut by_former, mut by_newest) = (0, 0);
    for one in received {
        let signed: u64 = one.header("webhook-timestamp").parse().unwrap();
        if is_signed_by(former, one) {
            by_former += 1;
            assert!(
                signed <= answered + grace,
                "{signed} is later than {answered} + {grace}"
            );
        }
        by_newest += usize::from(is_signed_by(newest, one));
    }
    assert_eq!(by_former + by_newest, received.len());
    assert!(by_former > 0 && by_newest > 0, "{by_former} {by_newest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_not_signed_with_a_retired_secret() {
    let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
    let receiver = Receiver::start().await;
    let (answered, secrets, received) = rotated_under_fire([&server, &server], &receiver).await;
    is_retired(answered, 0, &secrets, &received);
    assert!(server.end().await);
}
