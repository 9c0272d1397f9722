//! Against the official library of Standard Webhooks for Rust.

use bellhop_webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId, Secret};
use bellhop_webhook::{SignatureHeaders, Signer, SigningKey, Verifier};
use http::HeaderMap;
use standardwebhooks::Webhook;

const BODY: &[u8] = include_bytes!("../golden/integration-created-requestor.json");

/// The official library verifies against the time of day only.
#[expect(
    clippy::disallowed_methods,
    reason = "the official library takes no clock"
)]
fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

fn headers(id: &str, timestamp: i64, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HEADER_ID, id.parse().unwrap());
    headers.insert(HEADER_TIMESTAMP, timestamp.into());
    headers.insert(HEADER_SIGNATURE, signature.parse().unwrap());
    headers
}

#[test]
fn it_verifies_what_we_sign() {
    let secrets: Vec<Secret> = (1..=3).map(|byte| Secret::from([byte; 32])).collect();
    let signer = Signer::new(secrets.clone(), vec![SigningKey::from_seed([4; 32])]);
    let (id, now) = (MessageId::test([5; 16]).to_string(), now());
    let headers = headers(&id, now, &signer.sign(&id, now, BODY));
    for secret in &secrets {
        let official = Webhook::new(&secret.expose()).unwrap();
        official.verify(BODY, &headers).unwrap();
        assert!(official.verify(b"{}", &headers).is_err());
    }
    let stranger = Webhook::new(&Secret::from([9; 32]).expose()).unwrap();
    assert!(stranger.verify(BODY, &headers).is_err());
}

#[test]
fn we_verify_what_it_signs() {
    for length in [24, 32, 64] {
        let secret = Secret::from_bytes(vec![0xA5; length]).unwrap();
        let official = Webhook::new(&secret.expose()).unwrap();
        let signature = official.sign("msg_1", 1_700_000_000, BODY).unwrap();
        let headers = SignatureHeaders {
            id: "msg_1",
            timestamp: "1700000000",
            signature: &signature,
        };
        let verifier = Verifier::new(vec![secret], vec![]);
        verifier.verify(&headers, BODY, 1_700_000_000, 0).unwrap();
    }
}
