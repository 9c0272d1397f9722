//! URLs that must be refused when they are configured, and again when something is to be sent to them.

use http::Method;
use serde_json::json;
use zoo::Trap;

use crate::support::{sending::Sending, server::Server};

/// With `{port}` for that of a listener on loopback.
const HOSTILE: &[&str] = &[
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f000001:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "https://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::1]:{port}/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:7f00:1::80ff:fffe]:{port}/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "http://user:pass@example.com/",
    "https://user:pass@example.com/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http:127.0.0.1:{port}",
    "//127.0.0.1:{port}/",
    "https://h.example:0/",
    "https://example.com:0/",
    "https://h.example:22/",
    "https://example.com:22/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "http://a..b/",
    "https://a..b/",
    "[example.com]",
    "https://[example.com]/",
    "http://example.com/",
    "",
];

fn hostile(port: u16) -> Vec<String> {
    let listed = HOSTILE
        .iter()
        .map(|url| url.replace("{port}", &port.to_string()));
    let too_long = format!("https://example.com/{}", "a".repeat(2048));
    listed.chain([too_long]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_refused_when_they_are_configured() {
    let trap = Trap::set().await.unwrap();
    let server = Server::start(&[]).await;
    let application = server.application("Sample Key Cards").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let fine = server
        .make(&path, &json!({ "Url": "https://example.com/hook" }))
        .await;
    let one = format!("/v1/webhooks/{}", fine["Id"].as_str().unwrap());

    let own = format!("http://{}/v1", server.address);
    for url in hostile(trap.address().port()).iter().chain([&own]) {
        for (method, path) in [(Method::POST, &path), (Method::PATCH, &one)] {
            let (status, problem) = server
                .ask(method.clone(), path, Some(&json!({ "Url": url })))
                .await;
            assert_eq!(status, 422, "{method} {url}: {problem}");
            let fault = &problem["errors"][0];
            assert_eq!(fault["pointer"], "/Url", "{url}: {problem}");
            let detail = fault["detail"].as_str().unwrap();
            assert!(
                detail.len() > 20 && detail.ends_with('.'),
                "{url}: {detail}"
            );
        }
    }
    let list = server.get(&path).await;
    assert_eq!(list["Items"].as_array().unwrap().len(), 1);
    assert_eq!(list["Items"][0]["Url"], "https://example.com/hook");
    assert_eq!(trap.caught(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_network_does_not_allow_bellhops_own_address_or_metadata() {
    let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "0.0.0.0/0, ::/0")]).await;
    let application = server.application("Sample Key Cards").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let own = format!("http://{}/v1", server.address);
    for url in [
        &*own,
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://[64:ff9b:1:a9fe:a9:fe00::]/",
    ] {
        let (status, problem) = server
            .ask(Method::POST, &path, Some(&json!({ "Url": url })))
            .await;
        assert_eq!(status, 422, "{url}: {problem}");
    }
    server
        .make(&path, &json!({ "Url": "http://10.0.0.1:8080/hook" }))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn international_names_are_stored_and_shown_in_punycode() {
    let server = Server::start(&[]).await;
    let application = server.application("Sample Key Cards").await;
    let path = format!("/v1/applications/{application}/webhooks");
    for (given, shown) in [
        (
            "https://bücher.example.com/ü?k=1",
            "https://xn--bcher-kva.example.com/%C3%BC?…",
        ),
        ("https://ＥＸＡＭＰＬＥ.com/", "https://example.com/"),
        (
            "https://faß.example.com./",
            "https://xn--fa-hia.example.com/",
        ),
    ] {
        let made = server.make(&path, &json!({ "Url": given })).await;
        assert_eq!(made["Url"], shown);
        let one = format!("/v1/webhooks/{}", made["Id"].as_str().unwrap());
        assert_eq!(server.get(&one).await["Url"], shown);
    }
}

/// A URL that is in the store all the same, from before the rule or the setting was another.
#[tokio::test]
async fn they_are_refused_when_something_is_to_be_sent() {
    let trap = Trap::set().await.unwrap();
    let mut sending = Sending::guarded(&[]).await;
    for url in hostile(trap.address().port()) {
        // The API takes no longer one, whoever judges it.
        if url.len() > 2048 {
            continue;
        }
        let application = sending.app.application("Sample Key Cards").await;
        sending
            .app
            .webhook(&application, json!({ "Url": url, "RetrySchedule": [0, 5] }))
            .await;
        let made = sending.app.integration(&application, "one").await;
        assert_eq!(sending.drain().await, 1, "{url}");
        let delivery = sending.delivery(made["Id"].as_str().unwrap(), 1).await;
        assert_eq!(delivery["State"], "Pending", "it is tried again: {url}");
        let attempt = &delivery["Attempts"][0];
        let cause = attempt["Cause"].as_str().unwrap();
        assert_eq!(cause, "url_refused", "{url}: {attempt}");
    }
    assert_eq!(trap.caught(), 0);
}
