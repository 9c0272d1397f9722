//! Requests that are wrong, and have a secret in them: no error may repeat it.

use http::Method;
use serde_json::{Value, json};

use super::canaries::{Canaries, Seen};
use crate::support::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const GOOD_URL: &str = "https://example.com/";

pub async fn make_mistakes(
    server: &Server,
    application: &str,
    webhook: &str,
    canaries: &mut Canaries,
    seen: &mut Seen,
) {
    let webhooks = format!("/v1/applications/{application}/webhooks");
    let webhook = format!("/v1/webhooks/{webhook}");
    let rotate = format!("{webhook}/rotate-secret");
    let mut secret = || canaries.make("secret in a request that is wrong");
    for body in wrong_webhooks(&mut secret) {
        refused(
            server,
            Method::POST,
            &webhooks,
            JSON,
            &body.to_string(),
            seen,
        )
        .await;
    }
    let body = json!({ "Secret": format!("whsec_{}!", secret()) }).to_string();
    refused(server, Method::POST, &rotate, JSON, &body, seen).await;
    let body = json!({ "Secret": secret() }).to_string();
    refused(server, Method::PATCH, &webhook, JSON, &body, seen).await;
    let broken = format!("{{\"Url\": \"{GOOD_URL}?{}", secret());
    refused(server, Method::POST, &webhooks, JSON, &broken, seen).await;
    for scheme in ["Bearer bhk_", "Basic ", "Bearer ", ""] {
        let value = format!("{scheme}{}", secret());
        let header = ("authorization", value.as_str());
        refused(server, Method::GET, "/v1/webhooks", header, "", seen).await;
    }
    let path = format!("/v1/deliveries?access_token={}", secret());
    refused(server, Method::GET, &path, JSON, "", seen).await;
    let introspect = "/v1/access-tokens/introspect";
    // A good question, of a token that nobody has.
    let body = format!("token={}", secret());
    for header in [FORM, JSON] {
        let answer = server
            .fetch(Method::POST, introspect, &[header], &body)
            .await;
        seen.put("errors", format!("{answer:?}"));
    }
}

/// Each wrong in another way.
fn wrong_webhooks(secret: &mut impl FnMut() -> String) -> Vec<Value> {
    vec![
        json!({ "Url": format!("ftp://example.com/?{}", secret()) }),
        json!({ "Url": format!("https://u:{}@example.com/", secret()) }),
        json!({ "Url": format!("http://10.0.0.1/?{}", secret()) }),
        json!({ "Url": GOOD_URL, "Secret": secret() }),
        json!({ "Url": GOOD_URL, "Secret": [secret()] }),
        json!({ "Url": GOOD_URL, "Headers": { "X-Key": format!("{}\n", secret()) } }),
        json!({ "Url": GOOD_URL, "Headers": { "Host": secret() } }),
        json!({ "Uri": secret() }),
    ]
}

async fn refused(
    server: &Server,
    method: Method,
    path: &str,
    header: (&str, &str),
    body: &str,
    seen: &mut Seen,
) {
    let (status, headers, body) = server.fetch(method, path, &[header], body).await;
    assert!((400..500).contains(&status), "{path}: {status}");
    seen.put("errors", format!("{headers:?}"));
    seen.put("errors", body);
}
