//! The published vectors of Standard Webhooks.

use bellhop_webhook::{
    DEFAULT_TOLERANCE_SECONDS, Scheme, Secret, SignatureHeaders, Signer, SigningKey, Verified,
    Verifier, VerifyError, VerifyingKey,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNING_KEY: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const VERIFYING_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const V1A: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

fn secret() -> Secret {
    SECRET.parse().unwrap()
}

fn signing_key() -> SigningKey {
    SIGNING_KEY.parse().unwrap()
}

fn verifying_key() -> VerifyingKey {
    VERIFYING_KEY.parse().unwrap()
}

fn verify(verifier: &Verifier, signature: &str) -> Result<Verified, VerifyError> {
    let headers = SignatureHeaders {
        id: ID,
        timestamp: "1614265330",
        signature,
    };
    verifier.verify(&headers, BODY, TIMESTAMP, DEFAULT_TOLERANCE_SECONDS)
}

#[test]
fn v1_is_the_published_one() {
    let signature = Signer::new(vec![secret()], vec![]).sign(ID, TIMESTAMP, BODY);
    assert_eq!(signature, V1);
    let verified = verify(&Verifier::new(vec![secret()], vec![]), V1).unwrap();
    assert_eq!((verified.scheme, verified.index), (Scheme::V1, 0));
}

#[test]
fn v1a_is_the_published_one() {
    let signature = Signer::new(vec![], vec![signing_key()]).sign(ID, TIMESTAMP, BODY);
    assert_eq!(signature, V1A);
    let verified = verify(&Verifier::new(vec![], vec![verifying_key()]), V1A).unwrap();
    assert_eq!((verified.scheme, verified.index), (Scheme::V1a, 0));
}

#[test]
fn v1a_follows_v1_after_one_space_and_the_newest_secret_leads() {
    let newer = Secret::from([7; 32]);
    let newer_alone = Signer::new(vec![newer.clone()], vec![]).sign(ID, TIMESTAMP, BODY);
    let all = Signer::new(vec![newer.clone(), secret()], vec![signing_key()]);
    let signature = all.sign(ID, TIMESTAMP, BODY);
    assert_eq!(signature, format!("{newer_alone} {V1} {V1A}"));

    let old_only = Verifier::new(vec![secret()], vec![]);
    assert_eq!(verify(&old_only, &signature).unwrap().index, 0);
    let both = Verifier::new(vec![Secret::from([9; 32]), secret()], vec![]);
    assert_eq!(verify(&both, &signature).unwrap().index, 1);
    let key_only = Verifier::new(vec![], vec![verifying_key()]);
    assert_eq!(verify(&key_only, &signature).unwrap().scheme, Scheme::V1a);
    let stranger = Verifier::new(vec![Secret::from([9; 32])], vec![]);
    assert_eq!(verify(&stranger, &signature), Err(VerifyError::NoMatch));
}

#[test]
fn the_two_halves_belong_together() {
    assert_eq!(signing_key().verifying_key(), verifying_key());
    assert_eq!(verifying_key().to_string(), VERIFYING_KEY);
    assert_eq!(signing_key().expose(), SIGNING_KEY);
    assert_eq!(secret().expose(), SECRET);
}

#[test]
fn an_empty_signer_signs_nothing_and_an_empty_verifier_trusts_nothing() {
    assert_eq!(Signer::new(vec![], vec![]).sign(ID, TIMESTAMP, BODY), "");
    let none = Verifier::new(vec![], vec![]);
    assert_eq!(verify(&none, V1), Err(VerifyError::NoSignature));
    assert_eq!(verify(&none, ""), Err(VerifyError::NoSignature));
}
