//! Properties: what is signed verifies, what was changed does not, what is
//! written is read back.

use bellhop_webhook::{
    AccessTokenText, Action, Enterprise, Integration, IntegrationApiKeyCreated, IntegrationChanged,
    IntegrationCreated, IntegrationDeleted, Message, MessageId, Requestor, Secret, Service,
    SignatureHeaders, Signer, SigningKey, UtcSecond, Verifier, VerifyError,
};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

fn secret() -> impl Strategy<Value = Secret> {
    vec(any::<u8>(), 24..=64).prop_map(|bytes| Secret::from_bytes(bytes).unwrap())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn integration() -> impl Strategy<Value = Integration> {
    (uuid(), any::<String>()).prop_map(|(id, name)| Integration { id, name })
}

/// Any moment that RFC 3339 can write.
fn utc() -> impl Strategy<Value = UtcSecond> {
    (-62_135_596_800_i64..=253_402_207_200, 0..1_000_000_000)
        .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap().into())
}

fn created() -> impl Strategy<Value = Message> {
    let named = || (uuid(), any::<String>());
    let people = (any::<String>(), any::<String>());
    let service = option::of(named());
    (
        named(),
        service,
        option::of(people),
        any::<String>(),
        utc(),
        any::<bool>(),
        integration(),
    )
        .prop_map(
            |(enterprise, service, requestor, token, created_utc, is_enabled, integration)| {
                Message::IntegrationCreated(IntegrationCreated {
                    enterprise: Enterprise {
                        id: enterprise.0,
                        name: enterprise.1,
                    },
                    service: service.map(|(id, name)| Service { id, name }),
                    requestor: requestor.map(|(name, email)| Requestor { name, email }),
                    access_token: AccessTokenText::new(token),
                    created_utc,
                    is_enabled,
                    integration,
                })
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    let changed = |make: fn(IntegrationChanged) -> Message| {
        integration().prop_map(move |integration| make(IntegrationChanged { integration }))
    };
    prop_oneof![
        created(),
        changed(Message::IntegrationEnabled),
        changed(Message::IntegrationDisabled),
        changed(Message::IntegrationCanceled),
        changed(Message::IntegrationReinstated),
        (utc(), integration()).prop_map(|(deleted_utc, integration)| {
            Message::IntegrationDeleted(IntegrationDeleted {
                deleted_utc,
                integration,
            })
        }),
        (integration(), any::<String>()).prop_map(|(integration, key)| {
            let api_key = AccessTokenText::new(key);
            Message::IntegrationApiKeyCreated(IntegrationApiKeyCreated {
                integration,
                api_key,
            })
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        secrets in vec(secret(), 1..4),
        seeds in vec(any::<[u8; 32]>(), 0..2),
        body in vec(any::<u8>(), 0..600),
        timestamp: i64,
        id in "[!-~]{1,40}",
    ) {
        let keys: Vec<_> = seeds.into_iter().map(SigningKey::from_seed).collect();
        let signature = Signer::new(secrets.clone(), keys.clone()).sign(&id, timestamp, &body);
        prop_assert_eq!(signature.split(' ').count(), secrets.len() + keys.len());
        let timestamp_text = timestamp.to_string();
        let headers = SignatureHeaders { id: &id, timestamp: &timestamp_text, signature: &signature };
        for secret in secrets {
            let verifier = Verifier::new(vec![secret], vec![]);
            let verified = verifier.verify(&headers, &body, timestamp, 0);
            prop_assert_eq!(verified.map(|verified| verified.timestamp), Ok(timestamp));
        }
        for key in keys {
            let verifier = Verifier::new(vec![], vec![key.verifying_key()]);
            prop_assert!(verifier.verify(&headers, &body, timestamp, 0).is_ok());
        }
    }

    #[test]
    fn one_flipped_bit_fails(
        secret in secret(),
        seed: [u8; 32],
        body in vec(any::<u8>(), 1..300),
        place: Index,
        bit in 0..8_u32,
    ) {
        let key = SigningKey::from_seed(seed);
        let mut changed = body.clone();
        changed[place.index(body.len())] ^= 1 << bit;
        let signature = Signer::new(vec![secret.clone()], vec![key.clone()]).sign("msg_1", 7, &body);
        let headers = SignatureHeaders { id: "msg_1", timestamp: "7", signature: &signature };
        let verifier = Verifier::new(vec![secret], vec![key.verifying_key()]);
        prop_assert!(verifier.verify(&headers, &body, 7, 0).is_ok());
        prop_assert_eq!(verifier.verify(&headers, &changed, 7, 0), Err(VerifyError::NoMatch));
    }

    #[test]
    fn a_changed_signature_fails(secret in secret(), place in 3..47_usize, letter in "[A-Za-z0-9+/=]") {
        let signature = Signer::new(vec![secret.clone()], vec![]).sign("msg_1", 7, b"{}");
        let mut changed = signature.clone();
        changed.replace_range(place..=place, &letter);
        prop_assume!(changed != signature);
        let headers = SignatureHeaders { id: "msg_1", timestamp: "7", signature: &changed };
        let outcome = Verifier::new(vec![secret], vec![]).verify(&headers, b"{}", 7, 0);
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn message_ids_are_read_back(id: [u8; 16], sequence in 1..=u64::MAX) {
        let written = MessageId::new(Uuid::from_bytes(id), sequence);
        prop_assert_eq!(written.to_string().parse(), Ok(written));
        prop_assert_eq!(written.sequence(), Some(sequence));
        let test = MessageId::test(id);
        prop_assert_eq!(test.to_string().parse(), Ok(test));
        prop_assert!(test.is_test() && test.integration_id().is_none());
    }

    #[test]
    fn what_reads_as_a_message_id_is_written_the_same(text in "msg_(test_)?[0-9a-fA-F]{31,33}(_[0-9+]{0,21})?") {
        if let Ok(id) = text.parse::<MessageId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn messages_are_read_back(message in message()) {
        let bytes = message.to_bytes();
        prop_assert_eq!(Message::parse(&bytes).unwrap(), message.clone());
        prop_assert!(Action::ALL.contains(&message.action()));
    }

    #[test]
    fn secrets_and_keys_are_read_back(secret in secret(), seed: [u8; 32]) {
        prop_assert_eq!(secret.expose().parse(), Ok(secret));
        let key = SigningKey::from_seed(seed);
        let again: SigningKey = key.expose().parse().unwrap();
        prop_assert_eq!(again.verifying_key(), key.verifying_key());
        prop_assert_eq!(again.expose(), key.expose());
    }
}
