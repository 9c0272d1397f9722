//! The receivers that the catalogue shows, run as they are shown, against the real sender.

use std::{
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{app::text, sending::Sending};

#[path = "../../../src/dashboard/snippets/handler.rs"]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    reason = "a program of its own, as people would write it"
)]
mod handler;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Kills it when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has(program: &str) -> bool {
    let mut asked = Command::new(program);
    let asked = asked.arg(if program == "go" {
        "version"
    } else {
        "--version"
    });
    let has = asked
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has {
        eprintln!("skipped: there is no {program} here");
    }
    has
}

/// Runs one, and says what it has printed.
async fn run(program: &str, before: &[&str], file: &str) {
    if !has(program) {
        return;
    }
    let port = free_port().await;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/dashboard/snippets")
        .join(file);
    let child = Command::new(program)
        .args(before)
        .arg(file)
        .env("WEBHOOK_SECRET", SECRET)
        .env("PORT", port.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(child.0.try_wait().unwrap().is_none(), "{program} ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    judge(port).await;
    child.0.kill().unwrap();
    let mut printed = String::new();
    let mut output = child.0.stdout.take().unwrap();
    output.read_to_string(&mut printed).unwrap();
    let actions: Vec<_> = printed
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["IntegrationCreated", "IntegrationDisabled"],
        "{program} does each message once: {printed}"
    );
}

/// A message, another, the first one again; and some that nobody signed.
async fn judge(port: u16) {
    let mut sending = Sending::start().await;
    // Receivers believe the machine's clock.
    sending.app.clock.set_to_now();
    let url = format!("http://127.0.0.1:{port}/hook");
    let settings = json!({ "Url": url, "Secret": SECRET, "RetrySchedule": [0] });
    let webhook = sending.app.webhook(&sending.application, settings).await;
    let rotated = format!("/v1/webhooks/{}/rotate-secret", text(&webhook["Id"]));
    // The former secret signs as well, as the second of two: receivers have to look at both.
    sending.app.post(&rotated, &json!({})).await.expect(200);
    let id = sending.integration("North Wing").await;
    sending.command(&id, "disable").await;
    assert_eq!(sending.drain().await, 2);
    let all = sending.app.get("/v1/deliveries").await.expect(200);
    let all = all["Items"].as_array().unwrap();
    for delivery in all {
        assert_eq!(delivery["State"], "Delivered", "{delivery}");
    }
    let first = text(&all.last().unwrap()["Id"]);
    let again = format!("/v1/deliveries/{first}/replay");
    sending.app.post(&again, &json!({})).await;
    assert_eq!(sending.drain().await, 1);
    let delivery = sending.app.get(&format!("/v1/deliveries/{first}")).await;
    assert_eq!(delivery.expect(200)["Attempts"][1]["StatusCode"], 204);
    sending.app.stop().await;
    for (timestamp, signature) in [
        ("0", "v1,AAAA"),
        ("", ""),
        ("never", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (
            "1614265330",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ] {
        let request = Request::post(&url)
            .header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::new(Bytes::from_static(br#"{"test": 2432232314}"#)))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.status(), 401, "{timestamp} {signature}");
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_one_in_python() {
    run("python3", &[], "handler.py").await;
}

#[tokio::test]
async fn the_one_in_javascript() {
    run("node", &[], "handler.mjs").await;
}

#[tokio::test]
async fn the_one_in_go() {
    run("go", &["run"], "handler.go").await;
}

#[tokio::test]
async fn the_one_in_rust() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = handler::router(SECRET.parse().unwrap());
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    judge(port).await;
    served.abort();
}
