use std::{sync::Arc, time::Duration};

use bellhop_webhook::{Secret, Signer};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    receiving::{Answer, Order, Signature},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";
const ID: &str = "9e5e84e9974d4f169662ab2200f27cb1";

struct Bench {
    receiver: Receiver,
    events: mpsc::Receiver<Received>,
    client: Client<
        hyper_util::client::legacy::connect::HttpConnector,
        http_body_util::Full<bytes::Bytes>,
    >,
}

impl Bench {
    async fn new(behave: &str) -> Self {
        let secret: Secret = SECRET.parse().unwrap();
        let parts = ReceiverParts {
            verifier: Some(bellhop_webhook::Verifier::new(vec![secret], vec![])),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let (receiver, events) = Receiver::start(0, behave.parse().unwrap(), parts)
            .await
            .unwrap();
        Self {
            receiver,
            events,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Sends a message and returns the status, if one came.
    async fn send(
        &self,
        sequence: u64,
        attempt: u32,
        signed_body: &str,
        body: &str,
    ) -> Option<http::Response<hyper::body::Incoming>> {
        let secret: Secret = SECRET.parse().unwrap();
        let id = format!("msg_{ID}_{sequence}");
        let now = SystemClock.now().as_second();
        let signature = Signer::new(vec![secret], vec![]).sign(&id, now, signed_body.as_bytes());
        let request = http::Request::post(format!("http://{}/in", self.receiver.address()))
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .header("bellhop-previous", sequence - 1)
            .header("bellhop-attempt", attempt)
            .body(body.to_owned().into())
            .unwrap();
        self.client.request(request).await.ok()
    }

    async fn behave(&self, method: http::Method, text: &str) -> http::StatusCode {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{BEHAVE_PATH}", self.receiver.address()))
            .body(text.to_owned().into())
            .unwrap();
        self.client.request(request).await.unwrap().status()
    }
}

fn enabled() -> String {
    r#"{"Action":"IntegrationEnabled","Data":{"Integration":{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"n"}}}"#.to_owned()
}

fn created() -> String {
    format!(
        r#"{{"Action":"IntegrationCreated","Data":{{"Enterprise":{{"Id":"8865aa96-f62d-4f9b-a912-ab2100f60f42","Name":"Sample Chain Hotel 1"}},"Requestor":null,"AccessToken":"{TOKEN}","CreatedUtc":"2019-12-13T14:42:52Z","IsEnabled":true,"Integration":{{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"WebhookTEST"}}}}}}"#
    )
}

#[tokio::test]
async fn a_signed_message_is_verified_and_shown_without_its_token() {
    let mut bench = Bench::new("200").await;
    let body = created();
    assert_eq!(bench.send(1, 1, &body, &body).await.unwrap().status(), 200);
    let received = bench.events.recv().await.unwrap();
    assert!(received.signature.is_verified());
    assert_eq!(received.order, Order::InOrder);
    assert_eq!(received.action.as_deref(), Some("IntegrationCreated"));
    assert_eq!(received.body, body);
    for shown in [
        print::line(&received),
        print::object(&received).to_string(),
        format!("{received:?}"),
    ] {
        assert!(!shown.contains(&TOKEN[33..]), "{shown}");
    }
    assert!(print::object(&received).to_string().contains("WebhookTEST"));
}

#[tokio::test]
async fn a_changed_body_is_refused_and_not_accepted() {
    let mut bench = Bench::new("200").await;
    let body = enabled();
    let changed = body.replace(":\"n\"", ":\"m\"");
    assert_eq!(
        bench.send(1, 1, &body, &changed).await.unwrap().status(),
        401
    );
    let received = bench.events.recv().await.unwrap();
    assert_eq!(
        received.signature,
        Signature::Wrong(bellhop_webhook::VerifyError::NoMatch)
    );
    assert!(print::line(&received).contains("WRONG"));
    bench.send(1, 2, &body, &body).await.unwrap();
    assert_eq!(bench.events.recv().await.unwrap().order, Order::InOrder);
}

#[tokio::test]
async fn it_behaves_as_it_is_told() {
    let mut bench = Bench::new("204").await;
    let body = enabled();
    assert_eq!(bench.send(1, 1, &body, &body).await.unwrap().status(), 204);
    for (behaviour, attempt, expected) in [
        ("410", 1, Some(410)),
        ("slow:10ms", 1, Some(200)),
        ("redirect", 1, Some(307)),
        ("flaky:1", 1, Some(500)),
        ("flaky:0", 1, Some(200)),
        ("failing:2", 2, Some(500)),
        ("failing:2", 3, Some(200)),
        ("drop", 1, None),
    ] {
        assert_eq!(bench.behave(http::Method::POST, behaviour).await, 200);
        let answer = bench.send(2, attempt, &body, &body).await;
        assert_eq!(
            answer.map(|answer| answer.status().as_u16()),
            expected,
            "{behaviour}"
        );
    }
    assert_eq!(bench.behave(http::Method::POST, "429:30").await, 200);
    let answer = bench.send(2, 1, &body, &body).await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "30");
    assert_eq!(bench.behave(http::Method::POST, "nonsense").await, 400);
    bench.receiver.behave(Behaviour::Hang);
    while bench.events.try_recv().is_ok() {}
    let mut events = std::mem::replace(&mut bench.events, mpsc::channel(1).1);
    tokio::select! {
        _ = bench.send(3, 1, &body, &body) => panic!("it answered"),
        received = events.recv() => assert_eq!(received.unwrap().answer, Answer::None),
    }
}

#[tokio::test]
async fn gaps_and_duplicates_are_noted() {
    let mut bench = Bench::new("200").await;
    let body = enabled();
    for (sequence, note) in [
        (1, ""),
        (1, "duplicate"),
        (3, "GAP after 1"),
        (2, "older than 3"),
    ] {
        bench.send(sequence, 1, &body, &body).await.unwrap();
        let line = print::line(&bench.events.recv().await.unwrap());
        assert!(line.contains(note), "{line}");
    }
}

#[tokio::test]
async fn one_integration_can_be_treated_in_another_way() {
    let bench = Bench::new("200").await;
    bench
        .receiver
        .behave_for(ID.parse().unwrap(), Behaviour::Status(503, None));
    let body = enabled();
    assert_eq!(bench.send(1, 1, &body, &body).await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_dropped_receiver_frees_its_port() {
    let bench = Bench::new("200").await;
    let address = bench.receiver.address();
    drop(bench);
    let freed = async {
        while tokio::net::TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), freed)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_operational_message_is_verified_and_named() {
    let mut bench = Bench::new("200").await;
    let secret: Secret = SECRET.parse().unwrap();
    let id = format!("msg_operational_{ID}");
    let now = SystemClock.now().as_second();
    let body = r#"{"Type":"webhook.disabled","TimestampUtc":"2019-12-13T14:42:52Z","Data":{}}"#;
    let signature = Signer::new(vec![secret], vec![]).sign(&id, now, body.as_bytes());
    let request = http::Request::post(format!("http://{}/ops", bench.receiver.address()))
        .header("webhook-id", &id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", signature)
        .header("bellhop-attempt", 1)
        .body(body.to_owned().into())
        .unwrap();
    bench.client.request(request).await.unwrap();
    let received = bench.events.recv().await.unwrap();
    assert!(received.signature.is_verified());
    assert_eq!(received.action.as_deref(), Some("webhook.disabled"));
    assert_eq!(received.order, Order::None);
}
