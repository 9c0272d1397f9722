//! The test vectors of RFC 9421, appendix B: the base, the signing and the verifying.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sfv::{Dictionary, InnerList, ListEntry, Parser};

use super::base::{HttpRequest, of_input};
use super::sign::Key;
use crate::{SigningKey, VerifyingKey};

/// Appendix B.2, `test-request`.
const REQUEST: HttpRequest<'static> = HttpRequest {
    method: "POST",
    authority: "example.com",
    path: "/foo",
    query: Some("param=Value&Pet=dog"),
    headers: &[
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        (
            "Content-Digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("Content-Length", "18"),
    ],
};

fn input(text: &str, label: &str) -> InnerList {
    let dictionary: Dictionary = Parser::new(text).parse().unwrap();
    match dictionary.get(label) {
        Some(ListEntry::InnerList(input)) => input.clone(),
        other => panic!("{other:?}"),
    }
}

/// Appendix B.2.5.
#[test]
fn hmac_sha256_is_the_published_one() {
    // Appendix B.1.5.
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let text = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let base = of_input(&REQUEST, &input(text, "sig-b25")).unwrap();
    assert_eq!(
        base,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap());
    let published = "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=";
    assert_eq!(
        STANDARD.encode(Key::Hmac(Box::new(key)).sign(base.as_bytes())),
        published
    );
}

/// Appendix B.2.6.
#[test]
fn ed25519_is_the_published_one() {
    // Appendix B.1.4, as a JWK.
    let seed = URL_SAFE_NO_PAD
        .decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
        .unwrap();
    let public = URL_SAFE_NO_PAD
        .decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
        .unwrap();
    let key = SigningKey::from_seed(seed.try_into().unwrap());
    let verifying = VerifyingKey::from_bytes(public.try_into().unwrap());
    assert_eq!(key.verifying_key(), verifying);
    let text = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let base = of_input(&REQUEST, &input(text, "sig-b26")).unwrap();
    assert_eq!(
        base,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@method\": POST\n\
         \"@path\": /foo\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"content-length\": 18\n\
         \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\""
    );
    let published =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    assert_eq!(
        STANDARD.encode(Key::Ed25519(key).sign(base.as_bytes())),
        published
    );
    assert!(verifying.verifies(base.as_bytes(), &STANDARD.decode(published).unwrap()));
}
