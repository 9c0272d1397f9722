//! Headers from hostile or careless senders: no panic, no false trust.

use bellhop_webhook::{
    Evidence, KnownSecret, MAX_SIGNATURES, Secret, SignatureHeaders, Signer, SigningKey, Verified,
    Verifier, VerifyError, explain,
};
use proptest::prelude::*;

const SECRET: [u8; 32] = [3; 32];

fn verifier() -> Verifier {
    let key = SigningKey::from_seed([4; 32]).verifying_key();
    Verifier::new(vec![Secret::from(SECRET)], vec![key])
}

fn right() -> String {
    Signer::new(vec![Secret::from(SECRET)], vec![]).sign("msg_1", 100, b"{}")
}

fn verify(id: &str, timestamp: &str, signature: &str) -> Result<Verified, VerifyError> {
    let headers = SignatureHeaders {
        id,
        timestamp,
        signature,
    };
    verifier().verify(&headers, b"{}", 100, 300)
}

#[test]
fn other_items_do_not_hide_the_right_one() {
    let right = right();
    for header in [
        format!("  {right}  "),
        format!("v1,AAAA  {right}"),
        format!("v1 , v1, v1a, v2,x nonsense {right}"),
        format!("v9,ÄÖÜ🔔 {right} v1,\u{0}"),
        format!("{right}\t{right}"),
        format!("v1a,{} {right}", "A".repeat(100_000)),
    ] {
        assert!(verify("msg_1", "100", &header).is_ok(), "{header:.80}");
    }
}

#[test]
fn malformed_lists_are_not_trusted() {
    let right = right();
    let bare = right.trim_start_matches("v1,");
    for header in [
        "",
        " ",
        ",",
        "v1",
        "v1,",
        "v1a,",
        "v1,====",
        bare,
        "v1,🔔",
        "\u{FEFF}",
        &format!("v1a,{bare}"),
        &format!("V1,{bare}"),
        &format!("v1,{right}"),
        &format!("v1,{bare},{right}"),
        &right[..right.len() - 1],
    ] {
        assert_eq!(
            verify("msg_1", "100", header),
            Err(VerifyError::NoSignature),
            "{header}"
        );
    }
}

#[test]
fn the_list_is_bounded() {
    let wrong = format!(
        "v1,{} ",
        &right()[3..].replace(|c: char| c.is_ascii_lowercase(), "A")
    );
    let full = wrong.repeat(MAX_SIGNATURES - 1) + &right();
    assert!(verify("msg_1", "100", &full).is_ok());
    let over = wrong.repeat(MAX_SIGNATURES) + &right();
    assert_eq!(
        verify("msg_1", "100", &over),
        Err(VerifyError::TooManySignatures)
    );
    let huge = "v1,A ".repeat(1_000_000);
    assert_eq!(
        verify("msg_1", "100", &huge),
        Err(VerifyError::TooManySignatures)
    );
}

#[test]
fn timestamps_are_plain_and_recent() {
    let right = right();
    for text in [
        "",
        "abc",
        "+100",
        "1e2",
        "100.0",
        " 100",
        "0x64",
        "9223372036854775808",
        "１００",
    ] {
        assert_eq!(
            verify("msg_1", text, &right),
            Err(VerifyError::Timestamp),
            "{text}"
        );
    }
    // The same number in other digits is not what was signed.
    assert_eq!(verify("msg_1", "0100", &right), Err(VerifyError::NoMatch));
    assert_eq!(verify("", "100", &right), Err(VerifyError::Id));
    let at = |now| {
        let headers = SignatureHeaders {
            id: "msg_1",
            timestamp: "100",
            signature: &right,
        };
        verifier()
            .verify(&headers, b"{}", now, 300)
            .map(|verified| verified.timestamp)
    };
    assert_eq!(at(400), Ok(100));
    assert_eq!(at(-200), Ok(100));
    assert_eq!(
        at(401),
        Err(VerifyError::TooOld {
            age_seconds: 301,
            tolerance_seconds: 300
        })
    );
    assert_eq!(
        at(-201),
        Err(VerifyError::TooNew {
            ahead_seconds: 301,
            tolerance_seconds: 300
        })
    );
    let extreme = verify("msg_1", &i64::MIN.to_string(), &right);
    assert!(matches!(extreme, Err(VerifyError::TooOld { .. })));
    let extreme = verify("msg_1", &i64::MAX.to_string(), &right);
    assert!(matches!(extreme, Err(VerifyError::TooNew { .. })));
}

#[test]
fn the_id_is_signed() {
    assert_eq!(verify("msg_2", "100", &right()), Err(VerifyError::NoMatch));
}

proptest! {
    #[test]
    fn nothing_panics(
        id: String,
        timestamp in "\\PC{0,8}|[0-9+-]{0,22}",
        signature in "(v1|v1a|v2|sha256)?[ ,;=\t\"]{0,2}(\\PC{0,8}|[A-Za-z0-9+/=_-]{0,90})( v1,[A-F0-9]{0,64})?",
        secret in "(whsec_|whpk_|whsk_)?[A-Za-z0-9+/= ]{0,44}",
        body in "\\PC{0,12}|[\\[\\]{}\",:\\\\ u0-9\n]{0,24}",
        now: i64,
    ) {
        let headers = SignatureHeaders { id: &id, timestamp: &timestamp, signature: &signature };
        prop_assert!(verifier().verify(&headers, body.as_bytes(), now, 300).is_err());
        let explanation = explain(&Evidence {
            id: Some(&id),
            timestamp: Some(&timestamp),
            signature: Some(&signature),
            body: body.as_bytes(),
            secrets: &[KnownSecret { label: "it", text: &secret, is_current: true }],
            now,
            tolerance_seconds: 300,
        });
        prop_assert!(!explanation.verdict.verified);
        prop_assert!(!explanation.verdict.next_step.is_empty());
    }
}
