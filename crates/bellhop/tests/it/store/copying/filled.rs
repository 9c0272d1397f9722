//! A database that was lived in: every table has rows, and every column a value somewhere.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{
        access_token::{TokenHash, generate},
        api_key::{ApiKey, KeyRotation, Scope},
        audit::{Actor, By},
        authentication::{Authentication, ClientCertificate},
        delivery::{Attempt, DeliveryState, Next, Timings, WebhookEffect},
        integration::{Command, NewIntegration},
        operational::Destination,
        secret_text::SecretText,
        signatures::{Signature, SignatureChoice, Signatures},
        webhook::WebhookState,
    },
    id::{IntegrationId, KeyId, WebhookId},
    store::{
        Answer, Attempted, Erase, OperationalRequest, Purge, Remember, Selection, WebhookPatch,
        Write,
    },
};
use bellhop_webhook::{Profile, Requestor, Service};
use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    store::{
        conformance::runs,
        databases::Sqlite,
        operating,
        world::{World, attempted},
    },
    support::random::SeededRandom,
};

/// Lives for a while, and stops. Answers with the place, and when it stopped.
pub async fn filled() -> (TempDir, Timestamp) {
    let world: World<Sqlite> = World::new().await;
    old_lane(&world).await;
    erases(&world).await;
    let webhook = world.new_webhook_with(every_setting()).await;
    lives(&world).await;
    fails_for_good(&world, webhook).await;
    pauses(&world).await;
    opens_a_circuit(&world).await;
    deletes_a_webhook(&world).await;
    runs_on(&world).await;
    tells_the_operator(&world).await;
    remembers(&world).await;
    is_audited(&world).await;
    let at = world.now();
    (world.database.close().await, at)
}

/// Somebody whom the audit log knows did something.
async fn is_audited(world: &World<Sqlite>) {
    let by = By {
        actor: Actor::Key {
            id: KeyId(Uuid::from_u128(7)),
            name: "Schlüssel".into(),
        },
        from: Some("2001:db8::7".parse().unwrap()),
        request_id: Some("req_1".into()),
    };
    let write = Write::RenameApplication {
        id: world.application,
        name: "Buchung".into(),
    };
    world.write_by(write, by).await;
}

fn every_setting() -> WebhookPatch {
    WebhookPatch {
        description: Some("Keys — “North”".into()),
        profile: Some(Profile::V2025),
        rate_limit: Some(Some(50)),
        follow_redirects: Some(true),
        headers: Some(vec![("x-tenant".into(), SecretText::new("hush"))]),
        authentication: Some(Some(Authentication::Bearer {
            token: SecretText::new("hush"),
        })),
        client_certificate: Some(Some(ClientCertificate {
            chain: "chain".into(),
            key: SecretText::new("hush"),
            subject: "CN=x".into(),
            not_after: Timestamp::UNIX_EPOCH,
            fingerprint: "00".into(),
        })),
        signatures: Some(SignatureChoice {
            signatures: Signatures::of(&[Signature::Rfc9421HmacSha256]).unwrap(),
            spare: vec![],
        }),
        ..WebhookPatch::default()
    }
}

/// A lane of which all deliveries were purged, and whose integration lives.
async fn old_lane(world: &World<Sqlite>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    world.succeed(&world.claim_one(webhook).await).await;
    world.clock.advance(Duration::from_hours(2));
    let before = Some(world.now() - Duration::from_hours(1));
    let purge = Purge {
        now: world.now(),
        deliveries: before,
        tombstones: before,
        audit: before,
        again: true,
    };
    assert_eq!(world.store().purge(purge).await.unwrap().deliveries, 1);
    let paused = WebhookPatch {
        state: Some((WebhookState::Paused, Some("looking into it".into()))),
        ..WebhookPatch::default()
    };
    world.update(webhook, paused).await;
}

/// A body that was erased. Another has gone without its delivery, and is left to be.
async fn erases(world: &World<Sqlite>) {
    let erase = Erase {
        now: world.now(),
        ended: world.now() - Duration::from_hours(1),
        again: true,
    };
    assert_eq!(world.store().erase(erase).await.unwrap().bodies, 1);
    let application = world.new_application("Nobody listens").await;
    let new = NewIntegration {
        application_id: application,
        ..world.integration_request()
    };
    world.create(new).await;
}

/// Integrations in every state, with a service, a requestor, and a former access token.
async fn lives(world: &World<Sqlite>) {
    let requestor = || {
        Some(Requestor {
            name: "Ada Müller".into(),
            email: "ada@example.com".into(),
        })
    };
    let service = Some(Service {
        id: world.id(),
        name: "Keys".into(),
    });
    let create = |service: Option<Service>, is_enabled| {
        let new = NewIntegration {
            service,
            is_enabled,
            ..world.integration_request()
        };
        let id = new.id;
        let write = Write::CreateIntegration {
            new: Box::new(new),
            requestor: requestor(),
        };
        (id, write)
    };
    let random = SeededRandom::new(99);
    let mut ids: Vec<IntegrationId> = Vec::new();
    for (service, is_enabled) in [(service, true), (None, false), (None, true), (None, true)] {
        let (id, write) = create(service, is_enabled);
        world.write(write).await;
        ids.push(id);
    }
    let token = generate(ids[0], &random);
    let overlap_until = world.now() + Duration::from_hours(24);
    let regenerate = Command::RegenerateAccessToken {
        token,
        overlap_until,
    };
    world.command(ids[0], regenerate).await;
    world.command(ids[2], Command::Cancel).await;
    world.command(ids[3], Command::Delete).await;
    world.toggle(ids[0], 3).await;
}

/// Deliveries in every state: delivered, tried again, failed, discarded, to be sent again.
async fn fails_for_good(world: &World<Sqlite>, webhook: WebhookId) {
    let claims = world.claim(webhook).await;
    assert!(claims.len() >= 4, "{claims:?}");
    world.succeed(&claims[0]).await;
    record_every_time(world, &claims[0].clone()).await;
    world.fail(&claims[1]).await;
    world.record(&claims[2], Next::Failed, None).await;
    world.release_all(&claims[3..]).await;
    world
        .write(Write::Discard {
            id: claims[3].delivery_id,
            reason: "not wanted".into(),
        })
        .await;
    // A person asks for the one that waits for its next try, and the plan is kept beside.
    let waiting = claims[1].delivery_id;
    world.write(Write::Replay { id: waiting }).await;
    world.later();
}

/// An attempt of which every part was measured.
async fn record_every_time(world: &World<Sqlite>, before: &bellhop::store::Claim) {
    let id = before.delivery_id;
    world.write(Write::Replay { id }).await;
    let claims = world.claim(before.webhook_id).await;
    for claim in claims {
        if claim.delivery_id != id {
            world.release_all(&[claim]).await;
            continue;
        }
        let one = attempted(&claim, Next::Delivered, None, world.now());
        let timings = Timings {
            connect_us: Some(7),
            ..one.attempt.timings
        };
        let attempt = Attempt {
            timings,
            ..one.attempt
        };
        let recorded = world.store().record(Attempted { attempt, ..one }).await;
        recorded.unwrap();
    }
}

/// A receiver that asked for a pause.
async fn pauses(world: &World<Sqlite>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let until = world.now() + Duration::from_mins(7);
    let effect = WebhookEffect::NotBefore(until);
    let retry = Next::Retry { at: until };
    world.record(&claim, retry, Some(effect)).await;
}

/// One circuit that is open, and one on its ramp.
async fn opens_a_circuit(world: &World<Sqlite>) {
    let application = world.new_application("Another").await;
    for is_open in [true, false] {
        let webhook = world
            .new_webhook_of(application, WebhookPatch::default())
            .await;
        for _ in 0..12 {
            let new = NewIntegration {
                application_id: application,
                ..world.integration_request()
            };
            world.create(new).await;
        }
        for claim in world.claim_some(webhook, 10).await.claims {
            world.fail(&claim).await;
        }
        if !is_open {
            world.clock.advance(Duration::from_secs(5));
            let probe = world.claim_some(webhook, 1).await.claims.remove(0);
            world.succeed(&probe).await;
        }
    }
}

async fn deletes_a_webhook(world: &World<Sqlite>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
}

/// A replay that waits for a webhook that is paused, one that is under way, one that was canceled, and a backfill.
async fn runs_on(world: &World<Sqlite>) {
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        let integration = world.new_integration().await;
        world.toggle(integration, 1).await;
    }
    for claim in world.claim(webhook).await {
        world.record(&claim, Next::Failed, None).await;
    }
    world.later();
    let failed = || {
        let Selection::Deliveries(filter) = runs::of_state(DeliveryState::Failed) else {
            unreachable!("it is of deliveries");
        };
        let webhook_id = Some(webhook);
        Selection::Deliveries(bellhop::store::DeliveryFilter {
            webhook_id,
            ..filter
        })
    };
    let under_way = runs::start(world, failed()).await;
    runs::step(world, under_way).await;
    let canceled = runs::start(world, failed()).await;
    let cancel = Write::CommandReplay {
        id: canceled,
        command: bellhop::domain::replay::ReplayCommand::Cancel,
    };
    world.write(cancel).await;
    world.set_state(webhook, WebhookState::Paused).await;
    let held = runs::start(world, failed()).await;
    runs::step(world, held).await;
    let late = world.new_webhook().await;
    let history = Selection::History {
        webhook_id: late,
        integrations: None,
    };
    let backfill = runs::start(world, history).await;
    runs::step(world, backfill).await;
}

/// Messages to the operator: sent, tried again, given up; and a window that gathers.
async fn tells_the_operator(world: &World<Sqlite>) {
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        world.new_integration().await;
        let claim = world.claim_one(webhook).await;
        world.record(&claim, Next::Failed, None).await;
    }
    for (is_taken, times) in [(true, 1), (false, 20)] {
        for _ in 0..times {
            let request = OperationalRequest {
                now: world.now(),
                destinations: Destination::ALL.to_vec(),
            };
            let due = world.store().operational_due(request).await.unwrap();
            for claim in due.claims.into_iter().take(1) {
                let attempted = operating::attempted(&claim, is_taken, world.now());
                world.store().record_operational(attempted).await.unwrap();
            }
            world.later();
        }
    }
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.record(&claim, Next::Failed, None).await;
}

/// Answers, and keys.
async fn remembers(world: &World<Sqlite>) {
    let new = world.integration_request();
    let write = Write::CreateIntegration {
        new: Box::new(new),
        requestor: None,
    };
    world
        .commit_once(write, Some(remember(world.now())))
        .await
        .unwrap();
    let scopes = [Scope::Operator, Scope::Application(world.application)];
    for (number, scope) in scopes.into_iter().enumerate() {
        let key = ApiKey {
            id: world.id(),
            name: "gateway".into(),
            scope,
            hash: TokenHash([number as u8; 32]),
            created: world.now(),
            expires: (number == 1).then(|| world.now() + Duration::from_hours(1)),
            previous: None,
            first: None,
            last_used: None,
        };
        let id = key.id;
        world.write(Write::CreateKey(Box::new(key))).await;
        if number == 0 {
            let to = KeyRotation {
                hash: TokenHash([0xee; 32]),
                overlap_until: world.now() + Duration::from_hours(1),
                expires: None,
            };
            world.write(Write::RotateKey { id, to }).await;
            let used = vec![(id, world.now())];
            world.write(Write::NoteKeyUses(used)).await;
        }
    }
}

/// What the filled database remembers.
pub fn remember(now: Timestamp) -> Remember {
    Remember {
        key: [5; 32],
        fingerprint: [6; 32],
        until: now + Duration::from_hours(24),
        shows: |_| None,
        render: Arc::new(|_| Answer(b"the answer of then".to_vec())),
    }
}
