//! What a receiver gets verifies by what a receiver knows: its secret, and what the well-known place says. Judged by
//! libraries that we did not write: standardwebhooks, http-message-signatures and cryptography from PyPI.

use std::time::Duration;

use bellhop_webhook::Secret;
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    app::text,
    python,
    receiver::{Received, Scripted},
    sending::Sending,
};

/// Tells for each case which of its signatures verify: by the secrets and the key set that a receiver has.
const JUDGE: &str = r#"
import base64, datetime, json, sys
from cryptography.exceptions import InvalidSignature as Wrong
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver
from http_message_signatures.algorithms import ED25519, HMAC_SHA256
from standardwebhooks.webhooks import Webhook
import http_sf

def public(jwk):
    assert jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519"
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))

class Request:
    def __init__(self, case):
        self.method, self.url, self.headers = "POST", case["url"], case["headers"]

def standard(case, item):
    headers, body = case["headers"], case["body"]
    scheme, signature = item.split(",", 1)
    if scheme == "v1":
        at = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.timezone.utc)
        signed = [Webhook(secret["whsec"]).sign(headers["webhook-id"], at, body) for secret in case["secrets"]]
        return [str(n) for n, each in enumerate(signed) if each == item]
    content = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.{body}'.encode()
    found = []
    for n, jwk in enumerate(case["keys"]):
        try:
            public(jwk).verify(base64.b64decode(signature), content)
            found.append(str(n))
        except Wrong:
            pass
    return found

def message(case, label, alg):
    if alg == "ed25519":
        algorithm, keys = ED25519, {jwk["kid"]: public(jwk) for jwk in case["keys"]}
    else:
        algorithm = HMAC_SHA256
        keys = {each["keyid"]: base64.b64decode(each["whsec"][6:]) for each in case["secrets"]}
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithm,
        key_resolver=MappingKeyResolver(public_keys=keys, private_keys={}))
    try:
        found = verifier.verify(
            Request(case), max_age=None, expect_tag="bellhop", expect_label=label, body=case["body"].encode(),
            require_components=("@method", "@authority", "@path", "@query", "content-type", "webhook-id",
                "webhook-timestamp", "content-digest"))
        created = str(found[0].parameters["created"])
        assert created == case["headers"]["webhook-timestamp"]
        return [str(list(keys).index(found[0].parameters["keyid"]))]
    except InvalidSignature:
        return []

for case in json.load(sys.stdin):
    told = []
    for item in case["headers"].get("webhook-signature", "").split():
        told.append(item.split(",")[0] + ":" + "/".join(standard(case, item)))
    inputs = case["headers"].get("signature-input", "")
    for label, (_, parameters) in http_sf.parse(inputs.encode(), tltype="dictionary").items() if inputs else []:
        told.append(parameters["alg"] + ":" + "/".join(message(case, label, parameters["alg"])))
    print(" ".join(told))
"#;

/// What a receiver knows.
struct Known {
    /// Newest first.
    secrets: Vec<String>,
    /// As the well-known place has them.
    keys: Value,
}

impl Known {
    /// A request as the judge takes it.
    fn case(&self, sending: &Sending, received: &Received) -> Value {
        let secrets: Vec<_> = self
            .secrets
            .iter()
            .map(|text| {
                let secret: Secret = text.parse().unwrap();
                json!({ "whsec": text, "keyid": secret.key_id() })
            })
            .collect();
        let headers: serde_json::Map<_, _> = received
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        json!({
            "url": sending.receiver.url(&received.path),
            "headers": headers,
            "body": String::from_utf8(received.body.to_vec()).unwrap(),
            "secrets": secrets,
            "keys": self.keys,
        })
    }
}

async fn public_keys(sending: &Sending, webhook: &Value) -> Value {
    let url = text(&webhook["PublicKeysUrl"]);
    let path = url.strip_prefix("https://bellhop.example").unwrap();
    let keys = sending.app.ask(Method::GET, path).send().await.expect(200);
    keys["keys"].clone()
}

fn has_judge() -> bool {
    python::has_library("standardwebhooks", "standardwebhooks")
        && python::has_library("http_message_signatures", "http-message-signatures")
}

#[tokio::test]
async fn every_choice_verifies_by_libraries_of_others() {
    if !has_judge() {
        return;
    }
    for (signatures, told) in [
        (json!(["v1"]), "v1:0"),
        (json!(["v1a"]), "v1a:0"),
        (json!(["v1", "v1a"]), "v1:0 v1a:0"),
        (json!(["rfc9421-hmac-sha256"]), "hmac-sha256:0"),
        (json!(["rfc9421-ed25519"]), "ed25519:0"),
        (
            json!(["v1", "v1a", "rfc9421-hmac-sha256", "rfc9421-ed25519"]),
            "v1:0 v1a:0 hmac-sha256:0 ed25519:0",
        ),
    ] {
        let mut sending = Sending::start().await;
        let settings = json!({
            "Signatures": signatures, "Url": "", "RetrySchedule": [0]
        });
        let made = sending.webhook(settings).await;
        sending.integration("one — “ü”").await;
        assert_eq!(sending.drain().await, 1);
        let known = Known {
            secrets: made["Secret"]
                .as_str()
                .map(str::to_owned)
                .into_iter()
                .collect(),
            keys: if made["PublicKeysUrl"].is_string() {
                public_keys(&sending, &made).await
            } else {
                json!([])
            },
        };
        let received = sending.receiver.received();
        let right = known.case(&sending, &received[0]);
        let mut changed = right.clone();
        changed["body"] = format!("{} ", right["body"].as_str().unwrap()).into();
        let told_of_changed: Vec<_> = told
            .split(' ')
            .map(|each| each.trim_end_matches('0'))
            .collect();
        let answers = python::ask(JUDGE, &json!([right, changed]));
        assert_eq!(answers, [told, &told_of_changed.join(" ")], "{signatures}");
        let has_standard = received[0].headers.contains_key("webhook-signature");
        assert_eq!(has_standard, told.contains("v1"));
    }
}

#[tokio::test]
async fn during_a_rotation_every_active_one_signs_newest_first() {
    if !has_judge() {
        return;
    }
    let mut sending = Sending::start().await;
    let settings = json!({ "Signatures": ["v1", "v1a", "rfc9421-hmac-sha256", "rfc9421-ed25519"] });
    let made = sending.webhook(settings).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", text(&made["Id"]));
    let mut secrets = vec![text(&made["Secret"])];
    for rotation in [
        json!({ "OverlapSeconds": 60 }),
        json!({ "OverlapSeconds": 120, "Kind": "KeyPair" }),
    ] {
        let rotated = sending.app.post(&path, &rotation).await.expect(200);
        if let Some(secret) = rotated["Secret"].as_str() {
            secrets.insert(0, secret.to_owned());
        }
    }
    let known = Known {
        secrets,
        keys: public_keys(&sending, &made).await,
    };
    for (wait, told) in [
        (
            0,
            "v1:0 v1:1 v1a:0 v1a:1 hmac-sha256:0 hmac-sha256:1 ed25519:0 ed25519:1",
        ),
        (60, "v1:0 v1a:0 v1a:1 hmac-sha256:0 ed25519:0 ed25519:1"),
        (60, "v1:0 v1a:0 hmac-sha256:0 ed25519:0"),
    ] {
        sending.app.clock.advance(Duration::from_secs(wait));
        sending.integration("one").await;
        assert_eq!(sending.drain().await, 1);
        let received = sending.receiver.received();
        let case = known.case(&sending, received.last().unwrap());
        assert_eq!(python::ask(JUDGE, &json!([case])), [told]);
    }
}

#[tokio::test]
async fn where_a_redirect_leads_is_what_is_signed_and_recorded() {
    let mut sending = Sending::start().await;
    let settings = json!({
        "Signatures": ["rfc9421-ed25519"], "FollowRedirects": true, "RetrySchedule": [0]
    });
    let made = sending.webhook(settings).await;
    let moved = Scripted::from(308).header("location", "/moved?to=here");
    sending.receiver.answers([moved, 204.into()]);
    let id = sending.integration("one").await;
    assert_eq!(sending.drain().await, 1);
    let received = sending.receiver.received();
    assert_eq!(received[1].path, "/moved?to=here");
    assert_ne!(
        received[0].header("signature"),
        received[1].header("signature")
    );
    let delivery = sending.delivery(&id, 1).await;
    let recorded = &delivery["Attempts"][0]["Request"]["Headers"];
    for name in ["content-digest", "signature-input", "signature"] {
        assert_eq!(recorded[name], received[1].header(name), "{recorded}");
    }
    assert_eq!(recorded["webhook-signature"], Value::Null);
    if has_judge() {
        let known = Known {
            secrets: vec![],
            keys: public_keys(&sending, &made).await,
        };
        let cases: Vec<_> = received
            .iter()
            .map(|each| known.case(&sending, each))
            .collect();
        assert_eq!(python::ask(JUDGE, &cases.into()), ["ed25519:0"; 2]);
    }
}
