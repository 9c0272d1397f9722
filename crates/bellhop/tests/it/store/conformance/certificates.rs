//! Client certificates that end are told: once at each moment, by whoever sees it first.

use std::{sync::Arc, time::Duration};

use bellhop::{
    clock::Clock as _,
    delivery::certificates::Certificates,
    domain::{
        authentication::ClientCertificate, operational::OperationalType, secret_text::SecretText,
    },
    id::WebhookId,
    store::{CommitError, WebhookPatch, Write},
};
use serde_json::Value;

use crate::{
    store::{
        databases::Database,
        world::{ALL, World},
    },
    support::clock::ManualClock,
};

const DAY: Duration = Duration::from_hours(24);

fn certificate<D: Database>(world: &World<D>, days: u32, fingerprint: &str) -> WebhookPatch {
    WebhookPatch {
        client_certificate: Some(Some(ClientCertificate {
            chain: "chain".into(),
            key: SecretText::new("hush"),
            subject: "CN=client".into(),
            not_after: world.now() + DAY * days,
            fingerprint: fingerprint.into(),
        })),
        ..WebhookPatch::default()
    }
}

/// Two replicas, or two rounds, see it: what was told by then, oldest first.
async fn told<D: Database>(world: &World<D>) -> Vec<(WebhookId, String, u64)> {
    let clock = Arc::new(ManualClock::new());
    clock.advance(world.now().duration_since(clock.now()).unsigned_abs());
    for _ in 0..2 {
        let mut walk = Certificates::new(world.store().clone(), clock.clone());
        while walk.step().await.unwrap() {}
    }
    let mut messages = world.store().operational_messages(ALL).await.unwrap();
    messages.reverse();
    let shown = messages.iter().map(|message| {
        assert_eq!(message.about, OperationalType::CertificateExpiring);
        assert!(!message.body.contains("hush"), "{}", message.body);
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let shown = &body["Data"]["ClientCertificate"];
        (
            message.webhook_id,
            shown["FingerprintSha256"].as_str().unwrap().to_owned(),
            shown["ExpiresWithinDays"].as_u64().unwrap(),
        )
    });
    shown.collect()
}

pub async fn the_end_of_a_certificate_is_told_once_at_each_moment<D: Database>(world: World<D>) {
    let id = world.new_webhook_with(certificate(&world, 31, "0a")).await;
    assert_eq!(told(&world).await, []);
    let mut expected = Vec::new();
    for (days, within) in [(2, 30), (20, 30), (3, 7), (5, 7), (2, 0), (9, 0)] {
        world.clock.advance(DAY * days);
        let entry = (id, "0a".to_owned(), within);
        if expected.last() != Some(&entry) {
            expected.push(entry);
        }
        assert_eq!(told(&world).await, expected);
    }
    assert_eq!(expected.len(), 3);
    // A new one is another: it is told when its time comes.
    world.update(id, certificate(&world, 40, "0b")).await;
    assert_eq!(told(&world).await, expected);
    world.clock.advance(DAY * 35);
    expected.push((id, "0b".to_owned(), 7));
    assert_eq!(told(&world).await, expected);
}

pub async fn what_is_valid_or_gone_is_not_told<D: Database>(world: World<D>) {
    world.new_webhook().await;
    world.new_webhook_with(certificate(&world, 31, "0a")).await;
    let gone = world.new_webhook_with(certificate(&world, 3, "0b")).await;
    world.write(Write::DeleteWebhook { id: gone }).await;
    // More than one step looks at.
    for _ in 0..120 {
        world.new_webhook().await;
    }
    let last = world.new_webhook_with(certificate(&world, 3, "0c")).await;
    assert_eq!(told(&world).await, [(last, "0c".to_owned(), 7)]);
    let refused = world.commit(Write::TellCertificate { id: gone }).await;
    assert!(matches!(refused, Err(CommitError::NotFound { .. })));
}
