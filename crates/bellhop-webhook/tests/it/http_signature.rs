//! HTTP message signatures: what is signed verifies, and nothing else does.

use bellhop_webhook::{
    Algorithm, HEADER_CONTENT_DIGEST, HEADER_ID, HEADER_MESSAGE_SIGNATURE, HEADER_SIGNATURE_INPUT,
    HEADER_TIMESTAMP, HttpRequest, HttpSigner, HttpVerified, HttpVerifier, HttpVerifyError,
    MessageRequest, Secret, SigningKey,
};
use proptest::prelude::*;

const NOW: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;

/// A request as it arrived.
#[derive(Clone)]
struct Arrived {
    authority: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Arrived {
    fn signed_by(signer: &HttpSigner) -> Self {
        let signed = signer.sign(&MessageRequest {
            authority: "Hooks.example.com:8443",
            path: "/in/hook",
            query: Some("key=a%20b"),
            content_type: "application/json",
            id: "msg_1",
            timestamp: NOW,
            body: BODY,
        });
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            authority: "hooks.example.com:8443".into(),
            path: "/in/hook".into(),
            query: Some("key=a%20b".into()),
            headers: vec![
                header("Content-Type", "application/json"),
                header(HEADER_ID, "msg_1"),
                header(HEADER_TIMESTAMP, &NOW.to_string()),
                header(HEADER_CONTENT_DIGEST, &signed.content_digest),
                header(HEADER_SIGNATURE_INPUT, &signed.input),
                header(HEADER_MESSAGE_SIGNATURE, &signed.signature),
            ],
            body: BODY.to_vec(),
        }
    }

    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(each, _)| each == name);
        &mut found.unwrap().1
    }

    /// Without a header.
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(each, _)| each != name);
        self
    }

    fn verify_at(
        &self,
        verifier: &HttpVerifier,
        now: i64,
    ) -> Result<HttpVerified, HttpVerifyError> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let request = HttpRequest {
            method: "POST",
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &headers,
        };
        verifier.verify(&request, &self.body, now, 300)
    }

    fn verify(&self, verifier: &HttpVerifier) -> Result<HttpVerified, HttpVerifyError> {
        self.verify_at(verifier, NOW + 1)
    }
}

fn secret(seed: u8) -> Secret {
    Secret::from([seed; 32])
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn of_secret(seed: u8) -> HttpVerifier {
    HttpVerifier::new(vec![secret(seed)], vec![])
}

#[test]
fn every_active_key_signs_and_each_verifies_alone() {
    let signer = HttpSigner::new(vec![secret(1), secret(2)], vec![key(3), key(4)]);
    let arrived = Arrived::signed_by(&signer);
    for seed in [1, 2] {
        let verified = arrived.verify(&of_secret(seed)).unwrap();
        assert_eq!(verified.algorithm, Algorithm::HmacSha256);
        assert_eq!(verified.key_id, secret(seed).key_id());
        assert_eq!(verified.created, NOW);
    }
    for seed in [3, 4] {
        let verifying = key(seed).verifying_key();
        let verified = arrived
            .verify(&HttpVerifier::new(vec![], vec![verifying]))
            .unwrap();
        assert_eq!(verified.algorithm, Algorithm::Ed25519);
        assert_eq!(verified.key_id, verifying.key_id());
    }
    assert_eq!(
        arrived.verify(&of_secret(5)),
        Err(HttpVerifyError::NoSignature)
    );
    let labels: Vec<_> = signer_labels(&arrived);
    assert_eq!(labels, ["bellhop", "bellhop2", "bellhop3", "bellhop4"]);
}

fn signer_labels(arrived: &Arrived) -> Vec<String> {
    let (_, input) = arrived
        .headers
        .iter()
        .find(|(name, _)| name == HEADER_SIGNATURE_INPUT)
        .unwrap();
    input
        .split(", ")
        .map(|member| member.split('=').next().unwrap().to_owned())
        .collect()
}

#[test]
fn whatever_is_covered_cannot_be_changed() {
    let arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
    let refuse = |change: &dyn Fn(&mut Arrived)| {
        let mut changed = arrived.clone();
        change(&mut changed);
        changed.verify(&of_secret(1)).unwrap_err()
    };
    for change in [
        (&|arrived: &mut Arrived| arrived.authority = "evil.example".into())
            as &dyn Fn(&mut Arrived),
        &|arrived| arrived.path = "/in/Hook".into(),
        &|arrived| arrived.query = None,
        &|arrived| arrived.query = Some("key=a+b".into()),
        &|arrived| arrived.header(HEADER_ID).push('2'),
        &|arrived| *arrived.header(HEADER_TIMESTAMP) = (NOW + 1).to_string(),
        &|arrived| *arrived.header("Content-Type") = "text/plain".into(),
        &|arrived| *arrived.header(HEADER_CONTENT_DIGEST) = bellhop_webhook::content_digest(b"x"),
        // A second value is joined to the first.
        &|arrived| arrived.headers.push((HEADER_ID.into(), "msg_2".into())),
    ] {
        assert_eq!(refuse(change), HttpVerifyError::NoMatch);
    }
    assert_eq!(
        refuse(&|arrived| arrived.body.push(b' ')),
        HttpVerifyError::Digest
    );
    // What is not covered may change.
    let mut more = arrived.clone();
    more.headers
        .push(("x-forwarded-for".into(), "192.0.2.1".into()));
    assert!(more.verify(&of_secret(1)).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
    for name in [HEADER_SIGNATURE_INPUT, HEADER_MESSAGE_SIGNATURE] {
        let refused = arrived.clone().without(name).verify(&of_secret(1));
        assert_eq!(refused, Err(HttpVerifyError::Missing(name)));
    }
    for name in [
        "Content-Type",
        HEADER_ID,
        HEADER_TIMESTAMP,
        HEADER_CONTENT_DIGEST,
    ] {
        let refused = arrived.clone().without(name).verify(&of_secret(1));
        let lower = name.to_ascii_lowercase();
        assert_eq!(refused, Err(HttpVerifyError::Component(lower)));
    }
}

/// What stands in `signature-input`, what is put in its place, and what that is refused for.
fn flawed_inputs() -> Vec<(String, String, HttpVerifyError)> {
    let created = format!("created={NOW};");
    let expired = format!("created={NOW};expires={NOW};");
    [
        ("\"@path\" ", "", HttpVerifyError::NotCovered("@path")),
        (
            " \"webhook-id\"",
            "",
            HttpVerifyError::NotCovered("webhook-id"),
        ),
        (
            " \"content-digest\"",
            "",
            HttpVerifyError::NotCovered("content-digest"),
        ),
        (
            "tag=\"bellhop\"",
            "tag=\"proxy\"",
            HttpVerifyError::NoSignature,
        ),
        (";tag=\"bellhop\"", "", HttpVerifyError::NoSignature),
        ("hmac-sha256", "ed25519", HttpVerifyError::Algorithm),
        (
            "alg=\"hmac-sha256\"",
            "alg=hmac-sha256",
            HttpVerifyError::Algorithm,
        ),
        (&created, "", HttpVerifyError::NoTime),
        (&created, "created=\"now\";", HttpVerifyError::NoTime),
        (&created, &expired, HttpVerifyError::Expired),
        (
            "\"@query\"",
            "\"@query\" \"@query\"",
            HttpVerifyError::Malformed("signature-input"),
        ),
        (
            "\"@query\"",
            "\"@query\" \"@nonsense\"",
            HttpVerifyError::Component("@nonsense".into()),
        ),
        (
            "\"webhook-id\"",
            "\"webhook-id\" \"webhook-id\";bs",
            HttpVerifyError::Component("webhook-id".into()),
        ),
        (
            "bellhop=(",
            "bellhop=1, x=(",
            HttpVerifyError::Malformed("signature-input"),
        ),
        (
            "bellhop=(",
            "other=(",
            HttpVerifyError::Malformed("signature"),
        ),
        (
            "bellhop=(",
            "bellhop=((",
            HttpVerifyError::Malformed("signature-input"),
        ),
        // A covered order of its own is another base.
        (
            "\"@path\" \"@query\"",
            "\"@query\" \"@path\"",
            HttpVerifyError::NoMatch,
        ),
    ]
    .map(|(from, to, error): (&str, &str, _)| (from.to_owned(), to.to_owned(), error))
    .into()
}

#[test]
fn a_signature_must_be_ours_and_cover_enough() {
    let arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
    let with_input = |from: &str, to: &str| {
        let mut changed = arrived.clone();
        let input = changed.header(HEADER_SIGNATURE_INPUT);
        assert!(input.contains(from), "{input}");
        *input = input.replace(from, to);
        changed.verify(&of_secret(1)).unwrap_err()
    };
    for (from, to, error) in flawed_inputs() {
        assert_eq!(with_input(&from, &to), error, "{from} {to}");
    }
}

#[test]
fn it_must_be_recent_and_within_bounds() {
    let arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
    for (now, is_right) in [
        (NOW + 300, true),
        (NOW + 301, false),
        (NOW - 300, true),
        (NOW - 301, false),
    ] {
        assert_eq!(
            arrived.verify_at(&of_secret(1), now).is_ok(),
            is_right,
            "{now}"
        );
    }
    let mut long = arrived.clone();
    long.header(HEADER_MESSAGE_SIGNATURE)
        .push_str(&", a=1".repeat(4000));
    assert_eq!(long.verify(&of_secret(1)), Err(HttpVerifyError::TooMany));
    let mut many = arrived.clone();
    let further: Vec<_> = (0..16).map(|number| format!(", a{number}=()")).collect();
    many.header(HEADER_SIGNATURE_INPUT)
        .push_str(&further.concat());
    assert_eq!(many.verify(&of_secret(1)), Err(HttpVerifyError::TooMany));
}

#[test]
fn another_signature_beside_ours_does_no_harm() {
    let mut arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
    arrived
        .header(HEADER_SIGNATURE_INPUT)
        .insert_str(0, "proxy=(\"@method\");created=1;keyid=\"p\", ");
    arrived
        .header(HEADER_MESSAGE_SIGNATURE)
        .insert_str(0, "proxy=:AAAA:, ");
    assert!(arrived.verify(&of_secret(1)).is_ok());
}

#[test]
fn key_ids_tell_keys_apart_and_tell_nothing_of_them() {
    assert_ne!(secret(1).key_id(), secret(2).key_id());
    assert_eq!(secret(1).key_id().len(), 16);
    let shown = format!("{:?}", HttpSigner::new(vec![secret(1)], vec![key(2)]));
    assert!(
        !shown.contains(&secret(1).expose()["whsec_".len()..]),
        "{shown}"
    );
    assert!(
        !shown.contains(&key(2).expose()["whsk_".len()..40]),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(input in "\\PC{0,200}", signature in "\\PC{0,80}", tail in "[ -~]{0,80}") {
        let mut arrived = Arrived::signed_by(&HttpSigner::new(vec![secret(1)], vec![]));
        let mut tailed = arrived.clone();
        tailed.header(HEADER_SIGNATURE_INPUT).push_str(&tail);
        let _ = tailed.verify(&of_secret(1));
        *arrived.header(HEADER_SIGNATURE_INPUT) = input;
        *arrived.header(HEADER_MESSAGE_SIGNATURE) = signature;
        prop_assert!(arrived.verify(&of_secret(1)).is_err());
    }
}
