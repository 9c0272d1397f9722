//! Whose address a real server takes a request to come from, and what depends on it.

use http::Method;
use serde_json::{Value, json};

use crate::support::{app::text, server::Server};

const CLIENT: &str = "192.0.2.7";

/// Makes an application with these headers; answers with what the audit log has as its address.
async fn noted(server: &Server, headers: &[(&str, &str)]) -> Value {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let body = json!({ "Name": "Acme Keys" }).to_string();
    let made = server
        .fetch(Method::POST, "/v1/applications", &all, &body)
        .await;
    assert_eq!(made.0, 201);
    let page = server
        .get("/v1/audit?Action=ApplicationCreated&Limit=1")
        .await;
    page["Items"][0]["FromAddress"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_trusted_proxy_no_header_is_believed() {
    let server = Server::start(&[]).await;
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let said = if header == "forwarded" {
            "for=192.0.2.7"
        } else {
            CLIENT
        };
        assert_eq!(
            noted(&server, &[(header, said)]).await,
            "127.0.0.1",
            "{header}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_names_the_client_and_nobody_further_away_does() {
    let trusted = [("BELLHOP_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")];
    let server = Server::start(&trusted).await;
    let forged = "203.0.113.1, 192.0.2.7, 10.1.2.3";
    assert_eq!(noted(&server, &[("x-forwarded-for", forged)]).await, CLIENT);
    assert_eq!(
        noted(&server, &[("forwarded", "for=203.0.113.1")]).await,
        "127.0.0.1"
    );
    // The other header, if that is the one that the proxy writes.
    drop(server);
    let other = [trusted[0], ("BELLHOP_FORWARDED_HEADER", "forwarded")];
    let server = Server::start(&other).await;
    let said = "for=203.0.113.1, for=192.0.2.7;proto=https";
    assert_eq!(noted(&server, &[("forwarded", said)]).await, CLIENT);
    assert_eq!(
        noted(&server, &[("x-forwarded-for", forged)]).await,
        "127.0.0.1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_without_a_key_is_bounded_by_address() {
    let settings = [
        ("BELLHOP_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("BELLHOP_KEYLESS_RATE", "1"),
    ];
    let server = Server::start(&settings).await;
    let application = server.application("Acme Keys").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let webhook = json!({ "Url": "https://hooks.example.com/", "Signatures": ["v1a"] });
    let webhook = server.make(&path, &webhook).await;
    let keys = format!(
        "/.well-known/bellhop/webhooks/{}/keys",
        text(&webhook["Id"])
    );
    let ask = async |path: &str, client: &str| {
        let headers = [("x-forwarded-for", client)];
        let (status, headers, body) = server.fetch(Method::GET, path, &headers, "").await;
        (status, headers, String::from_utf8_lossy(&body).into_owned())
    };
    // Two at once; the third waits. Whatever it asks for: it is counted together.
    assert_eq!(ask(&keys, CLIENT).await.0, 200);
    assert_eq!(ask("/docs", CLIENT).await.0, 200);
    let (status, headers, body) = ask(&keys, CLIENT).await;
    assert_eq!(status, 429, "{body}");
    assert_eq!(headers["retry-after"], "1");
    assert!(
        body.contains("Without a key, one address may ask 1 times a second"),
        "{body}"
    );
    for path in [
        "/docs",
        "/openapi.json",
        "/metrics",
        "/problems/not_found",
        "/docs/style.css",
    ] {
        assert_eq!(ask(path, CLIENT).await.0, 429, "{path}");
    }
    // Others are none the worse, nor are probes, nor who has a key.
    assert_eq!(ask(&keys, "192.0.2.8").await.0, 200);
    assert_eq!(ask("/livez", CLIENT).await.0, 200);
    assert_eq!(ask("/readyz", CLIENT).await.0, 200);
    assert_eq!(ask("/v1/applications", CLIENT).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_at_how_to_sign_in_is_bounded_by_address() {
    let server = Server::start(&[]).await;
    let mut answered = std::collections::BTreeMap::<u16, usize>::new();
    for n in 0..60 {
        let path = if n % 2 == 0 {
            "/dashboard/sign-in"
        } else {
            "/dashboard/sign-in/guess"
        };
        let status = server.fetch(Method::GET, path, &[], "").await.0;
        *answered.entry(status).or_default() += 1;
    }
    // Twenty at once, and ten a second meanwhile.
    assert!(answered[&200] >= 20 && answered[&429] > 0, "{answered:?}");
    let session = server.sign_in_as_operator().await;
    let signed_in = server
        .fetch(Method::GET, "/dashboard", &[("cookie", &session)], "")
        .await;
    assert_eq!(signed_in.0, 200);
}
