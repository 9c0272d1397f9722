//! Texts of actions, profiles, ids, secrets and keys, and what they refuse.

use bellhop_webhook::{
    Action, KeyError, MessageId, MessageIdError, Profile, Secret, SecretError, Signer, SigningKey,
    Verifier, VerifyingKey,
};
use uuid::uuid;

#[test]
fn actions_are_their_texts() {
    for action in Action::ALL {
        assert_eq!(action.as_str().parse(), Ok(action));
        assert_eq!(action.to_string(), action.as_str());
        assert_eq!(
            serde_json::to_string(&action).unwrap(),
            format!("\"{action}\"")
        );
        assert_eq!(
            serde_json::from_str::<Action>(&format!("\"{action}\"")).unwrap(),
            action
        );
        assert_eq!(format!("{action:?}"), action.as_str());
        let is_seventh = action == Action::IntegrationApiKeyCreated;
        assert_eq!(action.in_profile(Profile::Default), !is_seventh);
        assert!(action.in_profile(Profile::V2025));
        let is_secret = is_seventh || action == Action::IntegrationCreated;
        assert_eq!(action.carries_secret(), is_secret);
    }
    let error = "integrationcreated".parse::<Action>().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("IntegrationCreated, IntegrationEnabled"),
        "{error}"
    );
    for profile in Profile::ALL {
        assert_eq!(profile.as_str().parse(), Ok(profile));
        assert_eq!(
            serde_json::to_string(&profile).unwrap(),
            format!("\"{profile}\"")
        );
    }
    assert!("2024".parse::<Profile>().is_err());
}

#[test]
fn message_ids_have_one_spelling() {
    let id = MessageId::new(uuid!("9e5e84e9-974d-4f16-9662-ab2200f27cb1"), 12);
    let text = "msg_9e5e84e9974d4f169662ab2200f27cb1_12";
    assert_eq!(id.to_string(), text);
    assert_eq!(
        serde_json::from_str::<MessageId>(&format!("\"{text}\"")).unwrap(),
        id
    );
    assert_eq!(
        MessageId::test([0xAB; 16]).to_string(),
        format!("msg_test_{}", "ab".repeat(16))
    );

    let hex = "9e5e84e9974d4f169662ab2200f27cb1";
    let refused = [
        (String::new(), MessageIdError::Prefix),
        (format!("MSG_{hex}_1"), MessageIdError::Prefix),
        (format!(" msg_{hex}_1"), MessageIdError::Prefix),
        (
            format!("msg_{}_1", hex.to_uppercase()),
            MessageIdError::Digits,
        ),
        (
            "msg_9e5e84e9-974d-4f16-9662-ab2200f27cb1_1".to_owned(),
            MessageIdError::Digits,
        ),
        (format!("msg_{}_1", &hex[1..]), MessageIdError::Digits),
        (
            "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            MessageIdError::Digits,
        ),
        (format!("msg_{hex}"), MessageIdError::Sequence),
        (format!("msg_{hex}_"), MessageIdError::Sequence),
        (format!("msg_{hex}_0"), MessageIdError::Sequence),
        (format!("msg_{hex}_01"), MessageIdError::Sequence),
        (format!("msg_{hex}_+1"), MessageIdError::Sequence),
        (format!("msg_{hex}_-1"), MessageIdError::Sequence),
        (format!("msg_{hex}_1_2"), MessageIdError::Sequence),
        (
            format!("msg_{hex}_18446744073709551616"),
            MessageIdError::Sequence,
        ),
        (format!("msg_test_{hex}_1"), MessageIdError::Digits),
        ("msg_test_".to_owned(), MessageIdError::Digits),
    ];
    for (text, error) in refused {
        assert_eq!(text.parse::<MessageId>(), Err(error), "{text}");
    }
}

#[test]
fn secrets_say_what_is_wrong_with_them() {
    let refuse = |text: &str| text.parse::<Secret>().unwrap_err();
    assert_eq!(
        refuse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        SecretError::Prefix
    );
    assert_eq!(refuse("whsk_AAAA"), SecretError::KeyPair("whsk_"));
    assert_eq!(refuse("whpk_AAAA"), SecretError::KeyPair("whpk_"));
    assert_eq!(
        refuse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"),
        SecretError::Whitespace
    );
    assert_eq!(
        refuse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"),
        SecretError::Base64
    );
    assert_eq!(
        refuse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La_-Sw"),
        SecretError::Base64
    );
    assert_eq!(refuse("whsec_"), SecretError::Length(0));
    assert_eq!(refuse("whsec_AAAA"), SecretError::Length(3));
    assert_eq!(Secret::from_bytes([0; 23]), Err(SecretError::Length(23)));
    assert_eq!(Secret::from_bytes([0; 65]), Err(SecretError::Length(65)));
    assert!(Secret::from_bytes([0; 24]).is_ok() && Secret::from_bytes([0; 64]).is_ok());
}

#[test]
fn keys_say_what_is_wrong_with_them() {
    let key = SigningKey::from_seed([1; 32]);
    let other = SigningKey::from_seed([2; 32]);
    let refuse = |text: &str| text.parse::<SigningKey>().map(|_| ()).unwrap_err();
    assert_eq!(
        refuse(&key.verifying_key().to_string()),
        KeyError::Prefix("whsk_")
    );
    assert_eq!(refuse("whsk_?"), KeyError::Base64("whsk_"));
    assert_eq!(
        refuse("whsk_AAAA"),
        KeyError::Length {
            found: 3,
            wanted: 64
        }
    );
    // 30 of the 32 seed bytes of one key with the rest of another.
    let mixed = format!("{}{}", &key.expose()[..45], &other.expose()[45..]);
    assert_eq!(refuse(&mixed), KeyError::Mismatch);
    assert_eq!(
        "whsec_AAAA".parse::<VerifyingKey>(),
        Err(KeyError::Prefix("whpk_"))
    );
    let wrong_length = KeyError::Length {
        found: 3,
        wanted: 32,
    };
    assert_eq!("whpk_AAAA".parse::<VerifyingKey>(), Err(wrong_length));
}

#[test]
fn debug_shows_no_secret() {
    let secret = Secret::from([0x5A; 32]);
    let key = SigningKey::from_seed([0x5A; 32]);
    let signer = Signer::new(vec![secret.clone()], vec![key.clone()]);
    let verifier = Verifier::new(vec![secret.clone()], vec![key.verifying_key()]);
    let shown = format!("{secret:?} {key:?} {signer:?} {verifier:?}");
    let seed = &key.expose()["whsk_".len()..40];
    assert!(
        !shown.contains(seed) && !shown.contains(&secret.expose()[6..40]),
        "{shown}"
    );
    assert!(
        !shown.contains("90, 90") && !shown.contains("5a5a"),
        "{shown}"
    );
}
