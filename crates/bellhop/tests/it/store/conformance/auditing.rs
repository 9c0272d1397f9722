//! The audit log: each change leaves an entry, and nothing else does.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bellhop::{
    domain::{
        access_token::{self, TokenHash},
        api_key::{ApiKey, KeyRotation, Scope},
        audit::{Actor, AuditAction as A, AuditEntry, AuditSubject, By, Fact},
        delivery::{Next, WebhookEffect},
        integration::Command,
        replay::ReplayCommand,
        retry::later,
        secret_text::SecretText,
        webhook::WebhookState,
    },
    id::{ApplicationId, KeyId, WebhookId},
    store::{
        Answer, CommitError, DeliveryFilter, NewReplay, Receipt, Remember, Selection, Shown,
        WebhookPatch, Write,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    store::{databases::Database, world::World},
    support::random::SeededRandom,
};

pub fn somebody() -> By {
    By {
        actor: Actor::Key {
            id: KeyId(Uuid::from_u128(7)),
            name: "deploy".into(),
        },
        from: Some("192.0.2.7".parse().unwrap()),
        request_id: Some("req_1".into()),
    }
}

fn details(entry: &AuditEntry) -> Value {
    serde_json::from_str(entry.details.as_deref().unwrap_or("null")).unwrap()
}

/// Does it and answers with the one entry that it left.
async fn left<D: Database>(world: &World<D>, write: Write) -> AuditEntry {
    let before = world.audited().await;
    world.later();
    world.write_by(write, somebody()).await;
    let mut after = world.audited().await;
    let entry = after.pop().unwrap();
    assert_eq!(before, after, "one entry, and the others as they were");
    entry
}

async fn a_run<D: Database>(world: &World<D>, selection: Selection) -> Write {
    let store = world.store();
    let count = store.count_replay(selection.clone(), None, world.now());
    Write::StartReplay(Box::new(NewReplay {
        id: world.id(),
        selection,
        application_id: Some(world.application),
        count: count.await.unwrap(),
        previewed: None,
        expires: None,
    }))
}

pub fn key(id: KeyId, of: ApplicationId) -> ApiKey {
    ApiKey {
        id,
        name: "gateway".into(),
        scope: Scope::Application(of),
        hash: TokenHash([9; 32]),
        previous: None,
        first: None,
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: None,
        last_used: None,
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one of every change, each of which needs the ones before"
)]
pub async fn each_change_leaves_one_entry<D: Database>(world: World<D>) {
    let mut seen = Vec::new();
    let mut expect = async |write: Write, action: A| {
        let entry = left(&world, write).await;
        assert_eq!(entry.action, action.as_str());
        assert_eq!(entry.at_ms, world.now().as_millisecond());
        seen.push(action);
    };
    let enterprise = world.enterprise;
    let named = |name: &str| Write::PutEnterprise {
        id: enterprise,
        name: name.into(),
    };
    let other = |id| Write::PutEnterprise {
        id,
        name: "Other".into(),
    };
    expect(other(world.id()), A::EnterpriseCreated).await;
    expect(named("Inn"), A::EnterpriseRenamed).await;
    let application = Write::CreateApplication {
        id: world.id(),
        name: "Keys".into(),
    };
    expect(application, A::ApplicationCreated).await;
    let rename = Write::RenameApplication {
        id: world.application,
        name: "Booking".into(),
    };
    expect(rename, A::ApplicationRenamed).await;

    let webhook = world.new_webhook().await;
    let state = |state| Write::UpdateWebhook {
        id: webhook,
        if_revision: None,
        patch: Box::new(WebhookPatch {
            state: Some((state, None)),
            ..WebhookPatch::default()
        }),
    };
    expect(state(WebhookState::Paused), A::WebhookPaused).await;
    expect(state(WebhookState::Enabled), A::WebhookResumed).await;
    let settings = Write::UpdateWebhook {
        id: webhook,
        if_revision: None,
        patch: Box::new(WebhookPatch {
            description: Some("Doors".into()),
            ..WebhookPatch::default()
        }),
    };
    expect(settings, A::WebhookUpdated).await;
    let rotate = Write::RotateSecret {
        id: webhook,
        secret: SecretText::new("whsec_2V0ldXaN7GKYqrTwjUPD8ILPZIo2LaLa"),
        overlap_until: later(world.now(), Duration::from_mins(1)),
    };
    expect(rotate, A::WebhookSecretRotated).await;

    let new = world.integration_request();
    let id = new.id;
    let create = Write::CreateIntegration {
        new: Box::new(new),
        requestor: None,
    };
    expect(create, A::IntegrationCreated).await;
    let token = Command::RegenerateAccessToken {
        token: access_token::generate(id, &SeededRandom::new(3)),
        overlap_until: world.now(),
    };
    for (command, action) in [
        (Command::Disable, A::IntegrationDisabled),
        (Command::Enable, A::IntegrationEnabled),
        (Command::Cancel, A::IntegrationCanceled),
        (Command::Reinstate, A::IntegrationReinstated),
        (token, A::AccessTokenRegenerated),
        (Command::Delete, A::IntegrationDeleted),
    ] {
        let write = Write::Command {
            id,
            command,
            requestor: None,
        };
        expect(write, action).await;
    }

    let head = world.lane(webhook, id).await[0].id;
    expect(Write::Replay { id: head }, A::DeliveryReplayed).await;
    let discard = Write::Discard {
        id: head,
        reason: "Not wanted.".into(),
    };
    expect(discard, A::DeliveryDiscarded).await;
    let of_webhook = DeliveryFilter {
        webhook_id: Some(webhook),
        ..DeliveryFilter::default()
    };
    let run = a_run(&world, Selection::Deliveries(of_webhook)).await;
    let Write::StartReplay(new) = &run else {
        unreachable!();
    };
    let run_id = new.id;
    expect(run, A::ReplayStarted).await;
    for (command, action) in [
        (ReplayCommand::Pause, A::ReplayPaused),
        (ReplayCommand::Resume, A::ReplayResumed),
        (ReplayCommand::Cancel, A::ReplayCanceled),
    ] {
        expect(
            Write::CommandReplay {
                id: run_id,
                command,
            },
            action,
        )
        .await;
    }
    let history = Selection::History {
        webhook_id: webhook,
        integrations: None,
    };
    expect(a_run(&world, history).await, A::BackfillStarted).await;

    let key = key(world.id(), world.application);
    let key_id = key.id;
    expect(Write::CreateKey(Box::new(key)), A::KeyCreated).await;
    let rotate = Write::RotateKey {
        id: key_id,
        to: KeyRotation {
            hash: TokenHash([8; 32]),
            overlap_until: world.now(),
            expires: None,
        },
    };
    expect(rotate, A::KeyRotated).await;
    expect(Write::DeleteKey { id: key_id }, A::KeyDeleted).await;
    expect(Write::DeleteWebhook { id: webhook }, A::WebhookDeleted).await;
    let session = Fact::new(A::SignedIn, AuditSubject::Session, world.id());
    expect(Write::Note(Box::new(session)), A::SignedIn).await;
    let note = |action| Write::Note(Box::new(Fact::of_server(action)));
    for action in [
        A::DeliveryRevealed,
        A::SignedOut,
        A::SignInRefused,
        A::KeysRefused,
        A::EncryptionKeyRotated,
        A::EncryptionKeysPruned,
        A::AuditLogPurged,
        A::ServerStarted,
    ] {
        expect(note(action), action).await;
    }

    let names: BTreeSet<_> = seen.iter().map(|action| action.as_str()).collect();
    // The webhook came before it was looked at; the others have tests of their own.
    let elsewhere = [
        A::WebhookCreated,
        A::WebhookDisabled,
        A::SecretShownAgain,
        A::SignInLinkCreated,
    ];
    let all = A::ALL.iter().filter(|action| !elsewhere.contains(action));
    assert_eq!(names, all.map(|action| action.as_str()).collect());
}

pub async fn an_entry_says_who_and_what_and_no_secret<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let patch = WebhookPatch {
        url: Some(SecretText::new("https://receiver.example/hooks?key=other")),
        description: Some("Doors".into()),
        headers: Some(vec![("x-key".into(), SecretText::new("canary"))]),
        ..WebhookPatch::default()
    };
    let update = Write::UpdateWebhook {
        id: webhook,
        if_revision: None,
        patch: Box::new(patch),
    };
    let entry = left(&world, update).await;
    assert_eq!(
        (&*entry.actor, entry.actor_id, entry.actor_name.as_deref()),
        ("Key", Some(Uuid::from_u128(7)), Some("deploy"))
    );
    assert_eq!(entry.from_address.as_deref(), Some("192.0.2.7"));
    assert_eq!(entry.request_id.as_deref(), Some("req_1"));
    assert_eq!(
        (&*entry.subject, entry.subject_id),
        ("Webhook", Some(webhook.0))
    );
    assert_eq!(entry.application_id, Some(world.application));
    let expected = json!({
        "Description": { "Old": "", "New": "Doors" },
        "Headers": { "Old": [], "New": ["x-key"] },
        "Url": "Changed",
    });
    assert_eq!(details(&entry), expected);

    let integration = world.new_integration().await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    let text = format!("{:?}", world.audited().await);
    let token = world.store().integration(integration).await.unwrap();
    assert!(token.is_some());
    for secret in [
        "whsec_",
        "canary",
        "key=",
        &integration.0.simple().to_string().to_uppercase(),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let created = world.audited().await;
    let created = created
        .iter()
        .find(|entry| entry.action == "IntegrationCreated");
    let expected = json!({ "Sequence": 1, "Shown": "AccessToken" });
    assert_eq!(details(created.unwrap()), expected);
}

pub async fn what_changes_nothing_leaves_nothing<D: Database>(world: World<D>) {
    let id = world.new_integration().await;
    world.command(id, Command::Cancel).await;
    let before = world.audited().await;
    let enable = |command| Write::Command {
        id,
        command,
        requestor: None,
    };
    world.write(enable(Command::Cancel)).await;
    let refused = world.commit(enable(Command::Enable)).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))));
    let same = Write::PutEnterprise {
        id: world.enterprise,
        name: "Hotel".into(),
    };
    world.write(same).await;
    let same = Write::RenameApplication {
        id: world.application,
        name: "Booking engine".into(),
    };
    world.write(same).await;
    let missing = Write::DeleteKey { id: world.id() };
    assert!(world.commit(missing).await.is_err());
    let missing = Write::DeleteWebhook { id: world.id() };
    assert!(world.commit(missing).await.is_err());
    assert_eq!(world.audited().await, before);
}

/// An answer that shows a secret.
pub fn answer() -> Remember {
    Remember {
        key: [1; 32],
        fingerprint: [1; 32],
        until: jiff::Timestamp::MAX,
        render: Arc::new(|_| Answer(b"secret".to_vec())),
        shows: |answer| {
            assert_eq!(answer.0, b"secret");
            Some(Shown {
                secret: "AccessToken",
                subject: AuditSubject::Integration,
                id: Uuid::from_u128(3),
                application_id: Some(ApplicationId(Uuid::from_u128(4))),
            })
        },
    }
}

pub async fn a_secret_that_is_shown_again_is_noted<D: Database>(world: World<D>) {
    let create = || Write::CreateIntegration {
        new: Box::new(world.integration_request()),
        requestor: None,
    };
    let done = world.commit_once(create(), Some(answer())).await;
    assert!(matches!(done, Ok(Receipt::Done { .. })));
    let before = world.audited().await;
    let repeated = world.commit_once(create(), Some(answer())).await;
    assert!(matches!(repeated, Ok(Receipt::Repeated(_))));
    // Where writes go alone as well.
    let alone = Write::CreateApplication {
        id: world.id(),
        name: "Keys".into(),
    };
    let repeated = world.commit_once(alone, Some(answer())).await;
    assert!(matches!(repeated, Ok(Receipt::Repeated(_))));
    let after = world.audited().await;
    assert_eq!(after.len(), before.len() + 2);
    for entry in &after[before.len()..] {
        assert_eq!(entry.action, "SecretShownAgain");
        assert_eq!(entry.subject_id, Some(Uuid::from_u128(3)));
        assert_eq!(details(entry), json!({ "Shown": "AccessToken" }));
    }
}

async fn disabled<D: Database>(world: &World<D>) -> WebhookId {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let gone = WebhookEffect::Disable {
        reason: "The receiver said 410 Gone.".into(),
    };
    world.record(&claim, Next::Failed, Some(gone)).await;
    webhook
}

pub async fn the_server_notes_what_it_disables<D: Database>(world: World<D>) {
    let webhook = disabled(&world).await;
    let entry = world.audited().await.pop().unwrap();
    assert_eq!(
        (&*entry.action, &*entry.actor),
        ("WebhookDisabled", "System")
    );
    assert_eq!(entry.subject_id, Some(webhook.0));
    assert_eq!(entry.application_id, Some(world.application));
    let reason = world.webhook(webhook).await.state_reason;
    assert_eq!(details(&entry), json!({ "Reason": reason }));
}

pub async fn all_is_linked_and_there_after_reopening<D: Database>(mut world: World<D>) {
    let id = world.new_integration().await;
    world.toggle(id, 3).await;
    let (before, linked) = (world.audited().await, world.link_all().await);
    assert_eq!(linked.chain.position, before.len() as u64);
    let mut chain = bellhop::domain::audit::Chain::EMPTY;
    for entry in &before {
        chain.add(entry);
    }
    assert_eq!(linked.chain, chain);
    world.database.reopen().await;
    assert_eq!(world.audited().await, before);
    world.toggle(id, 1).await;
    chain.add(world.audited().await.last().unwrap());
    assert_eq!(world.link_all().await.chain, chain);
}
