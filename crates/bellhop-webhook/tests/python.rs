//! Against libraries for Python that many receivers verify with: the official one of Standard Webhooks, and one of
//! HTTP Message Signatures (`pip install standardwebhooks http-message-signatures`).
//!
//! Without it the test says that it was skipped; with
//! `REQUIRE_PYTHON_RECEIVER=1` it fails instead.

#[path = "support/python.rs"]
mod python;

use bellhop_webhook::{
    HEADER_CONTENT_DIGEST, HEADER_MESSAGE_SIGNATURE, HEADER_SIGNATURE_INPUT, HttpSignature,
    HttpSigner, MessageRequest, Secret, Signer, SigningKey,
};
use bellhop_webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId};

/// Verifies every case of the JSON on standard input, prints an answer each.
const RECEIVER: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for case in json.load(sys.stdin):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("verified")
    except WebhookVerificationError:
        print("refused")
"#;

/// Verifies every case of the JSON on standard input with http-message-signatures, prints an answer each.
const HTTP_RECEIVER: &str = r#"
import base64, json, sys
from http_message_signatures import (
    HTTPMessageVerifier, InvalidSignature, MappingKeyResolver)
from http_message_signatures.algorithms import ED25519, HMAC_SHA256
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Request:
    def __init__(self, case):
        self.method, self.url, self.headers = "POST", case["url"], case["headers"]

for case in json.load(sys.stdin):
    key = base64.b64decode(case["key"])
    algorithm = HMAC_SHA256
    if case["alg"] == "ed25519":
        algorithm, key = ED25519, Ed25519PublicKey.from_public_bytes(key)
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithm,
        key_resolver=MappingKeyResolver(public_keys={case["keyid"]: key}, private_keys={}))
    try:
        verifier.verify(
            Request(case), expect_tag="bellhop", expect_label=case["label"], body=case["body"].encode(),
            require_components=("@method", "@authority", "@path", "@query", "webhook-id", "content-digest"))
        print("verified")
    except InvalidSignature as error:
        print("refused")
"#;

#[expect(clippy::disallowed_methods, reason = "the libraries take no clock")]
fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

#[test]
fn python_verifies_what_we_sign() {
    if !python::has_library("standardwebhooks", "standardwebhooks") {
        return;
    }
    let id = MessageId::test([6; 16]).to_string();
    let now = now();
    let newest = Secret::from([1; 32]);
    let previous = Secret::from_bytes([2; 24]).unwrap();
    let longest = Secret::from_bytes([3; 64]).unwrap();
    let stranger = Secret::from([4; 32]);
    let alone = Signer::new(vec![newest.clone()], vec![]);
    let several = [newest.clone(), previous.clone(), longest.clone()];
    // The library does not know v1a and must pass over it.
    let key = SigningKey::from_seed([5; 32]);
    let rotating = Signer::new(several.to_vec(), vec![key]);

    let mut cases = Vec::new();
    let mut wanted = Vec::new();
    for body in [
        include_str!("golden/integration-created-requestor.json"),
        include_str!("golden/integration-deleted.json"),
    ] {
        let mut add = |signer: &Signer, secret: &Secret, received: &str, answer: &'static str| {
            cases.push(serde_json::json!({
                "secret": secret.expose(),
                "body": received,
                "headers": {
                    HEADER_ID: id,
                    HEADER_TIMESTAMP: now.to_string(),
                    HEADER_SIGNATURE: signer.sign(&id, now, body.as_bytes()),
                },
            }));
            wanted.push(answer);
        };
        add(&alone, &newest, body, "verified");
        add(&alone, &previous, body, "refused");
        for secret in &several {
            add(&rotating, secret, body, "verified");
        }
        add(&rotating, &stranger, body, "refused");
        add(&rotating, &newest, &format!("{body}\n"), "refused");
    }
    assert_eq!(python::ask(RECEIVER, &cases.into()), wanted);
}

/// Label, algorithm, name and bytes.
type Key = (&'static str, &'static str, String, String);

/// A request as it arrived, and the key to verify it with.
fn http_case(
    (label, alg, keyid, key): &Key,
    url: &str,
    body: &str,
    id: &str,
    now: i64,
    signed: &HttpSignature,
) -> serde_json::Value {
    serde_json::json!({
        "label": label, "alg": alg, "keyid": keyid, "key": key, "url": url, "body": body,
        "headers": {
            "Content-Type": "application/json",
            HEADER_ID: id,
            HEADER_TIMESTAMP: now.to_string(),
            HEADER_CONTENT_DIGEST: signed.content_digest,
            HEADER_SIGNATURE_INPUT: signed.input,
            HEADER_MESSAGE_SIGNATURE: signed.signature,
        },
    })
}

#[test]
fn python_verifies_the_http_messages_that_we_sign() {
    if !python::has_library("http_message_signatures", "http-message-signatures") {
        return;
    }
    let id = MessageId::test([6; 16]).to_string();
    let now = now();
    let (newest, former) = (Secret::from([1; 32]), Secret::from_bytes([2; 24]).unwrap());
    let key = SigningKey::from_seed([5; 32]);
    let signer = HttpSigner::new(vec![newest.clone(), former.clone()], vec![key.clone()]);
    let base64_of = |secret: &Secret| secret.expose()["whsec_".len()..].to_owned();
    let public = key.verifying_key();
    let keys = [
        (
            "bellhop",
            "hmac-sha256",
            newest.key_id(),
            base64_of(&newest),
        ),
        (
            "bellhop2",
            "hmac-sha256",
            former.key_id(),
            base64_of(&former),
        ),
        (
            "bellhop3",
            "ed25519",
            public.key_id(),
            public.to_string()["whpk_".len()..].to_owned(),
        ),
    ];
    let body = include_str!("golden/integration-created-requestor.json");
    let mut cases = Vec::new();
    let mut wanted = Vec::new();
    for (path, query) in [("/in/hook", None), ("/", Some("key=a%20b&c"))] {
        let signed = signer.sign(&MessageRequest {
            authority: "hooks.example.com:8443",
            path,
            query,
            content_type: "application/json",
            id: &id,
            timestamp: now,
            body: body.as_bytes(),
        });
        let url = format!(
            "https://hooks.example.com:8443{path}{}",
            query.map(|query| format!("?{query}")).unwrap_or_default()
        );
        let mut add = |key: &Key, url: &str, body: &str, answer: &'static str| {
            cases.push(http_case(key, url, body, &id, now, &signed));
            wanted.push(answer);
        };
        for each in &keys {
            add(each, &url, body, "verified");
            add(each, &format!("{url}x"), body, "refused");
            add(each, &url, &format!("{body}\n"), "refused");
        }
        // The former secret under the newest one's name.
        let stranger = (keys[0].0, keys[0].1, keys[0].2.clone(), keys[1].3.clone());
        add(&stranger, &url, body, "refused");
    }
    assert_eq!(python::ask(HTTP_RECEIVER, &cases.into()), wanted);
}
