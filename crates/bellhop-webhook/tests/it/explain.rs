//! Each usual mistake is named for what it is.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bellhop_webhook::{
    Cause, Evidence, Explanation, KnownSecret, Secret, Signer, SigningKey, explain,
};

const ID: &str = "msg_9e5e84e9974d4f169662ab2200f27cb1_4";
const NOW: i64 = 1_700_000_000;
const BODY: &str = include_str!("../golden/integration-created-requestor.json");
/// Its base64 has every kind of letter in it, `+` and `/` included.
const CURRENT: [u8; 32] = *b"\xfb\xff\xbe 28 more bytes of a secret...";

/// A request with everything right, for tests to spoil.
struct Request {
    id: Option<String>,
    timestamp: Option<String>,
    signature: Option<String>,
    body: Vec<u8>,
    secrets: Vec<(&'static str, String, bool)>,
    now: i64,
}

impl Request {
    fn new() -> Self {
        Self {
            id: Some(ID.into()),
            timestamp: Some(NOW.to_string()),
            signature: Some(signature()),
            body: BODY.into(),
            secrets: vec![("the secret", current().expose(), true)],
            now: NOW + 1,
        }
    }

    fn signed(signature: impl Into<String>) -> Self {
        let signature = Some(signature.into());
        Self {
            signature,
            ..Self::new()
        }
    }

    fn with_body(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            body,
            ..Self::new()
        }
    }

    fn explain(&self) -> Explanation {
        let secrets: Vec<_> = self
            .secrets
            .iter()
            .map(|(label, text, is_current)| KnownSecret {
                label,
                text,
                is_current: *is_current,
            })
            .collect();
        explain(&Evidence {
            id: self.id.as_deref(),
            timestamp: self.timestamp.as_deref(),
            signature: self.signature.as_deref(),
            body: &self.body,
            secrets: &secrets,
            now: self.now,
            tolerance_seconds: 300,
        })
    }

    /// The cause and its sentence; no explanation shows a secret or the body.
    #[track_caller]
    fn is(&self, cause: Cause) -> String {
        let explanation = self.explain();
        let shown = serde_json::to_string(&explanation).unwrap();
        assert_eq!(explanation.verdict.cause, cause, "{shown}");
        assert_eq!(
            explanation.verdict.verified,
            cause == Cause::Verified,
            "{shown}"
        );
        assert_eq!(
            explanation.steps.iter().all(|step| step.ok),
            cause == Cause::Verified,
            "{shown}",
        );
        assert!(!shown.contains("00B343A0"), "{shown}");
        for (_, secret, _) in &self.secrets {
            let core = secret.trim().get(6..20).unwrap_or("no secret at all");
            assert!(!shown.contains(core), "{shown}");
        }
        explanation.verdict.summary
    }
}

fn current() -> Secret {
    CURRENT.into()
}

fn signature() -> String {
    signature_of(ID, NOW, BODY)
}

fn signature_of(id: &str, timestamp: i64, body: impl AsRef<[u8]>) -> String {
    Signer::new(vec![current()], vec![]).sign(id, timestamp, body.as_ref())
}

/// What a careless sender makes: this key over this content.
fn digest(key: &[u8], content: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), content.as_bytes())
}

fn v1(key: &[u8], content: &str) -> String {
    format!("v1,{}", STANDARD.encode(digest(key, content)))
}

fn content() -> String {
    format!("{ID}.{NOW}.{BODY}")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn nothing_is_wrong() {
    let summary = Request::new().is(Cause::Verified);
    assert_eq!(
        summary,
        "The request is from the sender, unchanged and recent."
    );
}

#[test]
fn headers() {
    let mut request = Request::new();
    request.id = None;
    request.signature = Some(" ".into());
    let summary = request.is(Cause::HeaderMissing);
    assert_eq!(
        summary,
        "The request has no webhook-id, no webhook-signature."
    );
}

#[test]
fn timestamps() {
    let mut request = Request::new();
    request.timestamp = Some("2023-11-14T22:13:20Z".into());
    request.is(Cause::TimestampMalformed);

    // The sender signed its milliseconds, or seconds and wrote milliseconds.
    for signed in [NOW * 1000, NOW] {
        let mut request = Request::signed(signature_of(ID, signed, BODY));
        request.timestamp = Some((NOW * 1000).to_string());
        let summary = request.is(Cause::TimestampInMilliseconds);
        assert!(summary.contains("is in milliseconds"), "{summary}");
    }
}

#[test]
fn clocks() {
    let mut request = Request::new();
    request.now = NOW + 3 * 3600;
    let summary = request.is(Cause::TimestampTooOld);
    assert!(summary.contains("10800 s (3 hours) old"), "{summary}");
    request.now = NOW - 400;
    let summary = request.is(Cause::TimestampInFuture);
    assert!(
        summary.contains("400 s (6 minutes) in the future"),
        "{summary}"
    );

    // A request of last week with a spoilt body: the body is what matters.
    let mut request = Request::with_body(format!("{BODY}\n"));
    request.now = NOW + 7 * 86_400;
    let summary = request.is(Cause::BodyLineBreaks);
    assert!(
        summary.contains("Also: the timestamp is 604800 s (7 days) old"),
        "{summary}"
    );
}

#[test]
fn secrets_that_cannot_be_read() {
    let mut request = Request::new();
    request.secrets = vec![];
    request.is(Cause::SecretMissing);

    request.secrets = vec![("the secret", "whsec_not base64 at all!".into(), true)];
    let summary = request.is(Cause::SecretMalformed);
    assert!(
        summary.starts_with("\"the secret\" cannot be read: "),
        "{summary}"
    );
}

#[test]
fn a_secret_used_undecoded() {
    let text = current().expose();
    Request::signed(v1(text.as_bytes(), &content())).is(Cause::SecretTextAsKey);
    Request::signed(v1(&text.as_bytes()[6..], &content())).is(Cause::SecretBase64AsKey);
}

#[test]
fn a_previous_secret() {
    let mut request = Request::new();
    let newer = Secret::from([8; 32]).expose();
    let older = Secret::from([9; 32]).expose();
    request.secrets = vec![
        ("the secret", newer, true),
        ("before the first rotation", older, false),
        ("before the second rotation", current().expose(), false),
    ];
    let summary = request.is(Cause::PreviousSecret);
    assert_eq!(
        summary,
        "The signature was made with \"before the second rotation\"."
    );
}

#[test]
fn a_body_written_anew() {
    let value: serde_json::Value = serde_json::from_str(BODY).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    Request::with_body(pretty.clone()).is(Cause::BodyReserialised);
    Request::with_body(pretty.replace("  ", "\t") + "\n").is(Cause::BodyReserialised);
    // Members sorted by name, as Go's maps do.
    Request::with_body(serde_json::to_vec(&value).unwrap()).is(Cause::BodyReserialised);
    // Letters escaped and spaces put in, as Python's `json.dumps` does.
    let python = BODY
        .replace('ë', "\\u00eb")
        .replace('’', "\\u2019")
        .replace("\",\"", "\", \"");
    Request::with_body(python).is(Cause::BodyReserialised);
    // The body as a text in JSON, as a second `JSON.stringify` does.
    Request::with_body(serde_json::to_vec(BODY).unwrap()).is(Cause::BodyReserialised);
}

#[test]
fn a_body_that_lost_its_white_space() {
    // Order and escapes of the members are not the contract's: another sender.
    let compact = r#"{"b":[1.0,{},[]],"a":"x: {\"y\", 1}","c":{"d":null}}"#;
    for sent in [
        "{\n  \"b\": [\n    1.0,\n    {},\n    []\n  ],\n  \"a\": \"x: {\\\"y\\\", 1}\",\n  \"c\": {\n    \"d\": null\n  }\n}",
        r#"{"b": [1.0, {}, []], "a": "x: {\"y\", 1}", "c": {"d": null}}"#,
    ] {
        let mut request = Request::signed(signature_of(ID, NOW, sent));
        request.body = compact.into();
        let summary = request.is(Cause::BodyReserialised);
        assert!(
            summary.contains("has lost white space that was sent"),
            "{summary}"
        );
        let counts = format!("it has {} bytes, {} were signed", compact.len(), sent.len());
        assert!(summary.contains(&counts), "{summary}");
    }
}

#[test]
fn a_body_with_other_ends() {
    for body in [format!("{BODY}\n"), format!("{BODY}\r\n")] {
        let summary = Request::with_body(body).is(Cause::BodyLineBreaks);
        assert!(
            summary.contains("has a line break at its end that was not sent"),
            "{summary}"
        );
    }
    Request::signed(signature_of(ID, NOW, format!("{BODY}\n"))).is(Cause::BodyLineBreaks);
    let mut request = Request::signed(signature_of(ID, NOW, "a\nb\n"));
    request.body = b"a\r\nb\r\n".into();
    request.is(Cause::BodyLineBreaks);

    Request::with_body(format!("\u{FEFF}{BODY}")).is(Cause::BodyByteOrderMark);
    Request::with_body(format!("\u{FEFF}{BODY}\r\n")).is(Cause::BodyByteOrderMark);
    Request::signed(signature_of(ID, NOW, format!("\u{FEFF}{BODY}"))).is(Cause::BodyByteOrderMark);
}

#[test]
fn a_list_that_was_cut_or_joined_wrongly() {
    let right = signature();
    let bare = right.trim_start_matches("v1,");
    let other = v1(&[8; 32], &content());
    Request::signed(format!("{other},{right}")).is(Cause::SignatureSeparator);
    Request::signed(format!("{other};{right}")).is(Cause::SignatureSeparator);
    Request::signed(format!("{other}, {right}, ")).is(Cause::SignatureSeparator);
    Request::signed(format!("v1={bare}")).is(Cause::SignatureSeparator);
    Request::signed(bare).is(Cause::SignatureWithoutScheme);
    Request::signed(format!("v1 {bare}")).is(Cause::SignatureSeparator);
    Request::signed("v1").is(Cause::SignatureScheme);
}

#[test]
fn a_signature_in_other_letters() {
    let tag = digest(&CURRENT, &content());
    Request::signed(format!("v1,{}", hex(tag))).is(Cause::SignatureInHex);
    Request::signed(format!("sha256={}", hex(tag).to_uppercase())).is(Cause::SignatureInHex);
    Request::signed(format!("v1,{}", STANDARD.encode(hex(tag)))).is(Cause::SignatureInHex);
    Request::signed(format!("v1,{}", URL_SAFE_NO_PAD.encode(tag))).is(Cause::SignatureBase64);
    Request::signed(signature().trim_end_matches('=')).is(Cause::SignatureBase64);
}

#[test]
fn another_content_was_signed() {
    for content in [
        BODY.to_owned(),
        format!("{NOW}.{BODY}"),
        format!("{NOW}.{ID}.{BODY}"),
        format!("{ID}{NOW}{BODY}"),
    ] {
        Request::signed(v1(&CURRENT, &content)).is(Cause::SignedContent);
    }
}

#[test]
fn key_pairs() {
    let key = SigningKey::from_seed([5; 32]);
    let mut request = Request::new();
    request.secrets = vec![("the key", key.verifying_key().to_string(), true)];
    let summary = request.is(Cause::SignatureScheme);
    assert_eq!(
        summary,
        "The request is signed with a secret (v1) only, and only keys were given."
    );

    request.signature = Some(Signer::new(vec![], vec![key]).sign(ID, NOW, BODY.as_bytes()));
    request.is(Cause::Verified);
    request.body.push(b'\n');
    request.is(Cause::BodyLineBreaks);
    request.secrets = Request::new().secrets;
    request.is(Cause::SignatureScheme);
}

#[test]
fn two_mistakes_at_once() {
    let sent = v1(current().expose().as_bytes(), &content());
    let mut request = Request::signed(sent);
    request.body.push(b'\n');
    let summary = request.is(Cause::SecretTextAsKey);
    assert!(
        summary.contains("Also: the receiver's body has a line break"),
        "{summary}"
    );
}

#[test]
fn nothing_known_makes_it_match() {
    let mut request = Request::new();
    request.body = BODY.replace("true", "false").into();
    request.is(Cause::NoMatch);
    request.body = vec![];
    let summary = request.is(Cause::NoMatch);
    assert!(summary.ends_with("the body is empty."), "{summary}");
}

#[test]
fn programs_can_read_it() {
    let value = serde_json::to_value(Request::with_body(format!("{BODY}\n")).explain()).unwrap();
    assert_eq!(value["Verdict"]["Cause"], "body_line_breaks");
    assert_eq!(value["Verdict"]["Verified"], false);
    assert_eq!(value["Steps"][0]["Check"], "headers");
    assert_eq!(value["Steps"][0]["Ok"], true);
}
