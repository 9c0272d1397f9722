//! Transitions: state, message and deliveries in one.

use bellhop::{
    domain::{
        access_token::{TokenHash, generate},
        delivery::DeliveryState,
        integration::{Command, NewIntegration, State},
        secret_text::SecretText,
        webhook::ActionFilter,
    },
    id::{ApplicationId, EnterpriseId, IntegrationId},
    store::{
        Commit, CommitError, IntegrationFilter, MessageBody, Noun, WebhookPatch, Write, Written,
    },
};
use bellhop_webhook::{Action, Profile, Requestor, Service};
use uuid::Uuid;

use crate::{
    store::{
        databases::Database,
        world::{ALL, World, integration},
    },
    support::random::SeededRandom,
};

fn text(body: MessageBody) -> String {
    match body {
        MessageBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        MessageBody::Erased { .. } => panic!("erased"),
    }
}

pub async fn a_creation_is_one_commit_with_its_message_and_deliveries<D: Database>(
    world: World<D>,
) {
    let webhook = world.new_webhook().await;
    let new = world.integration_request();
    let requestor = Requestor {
        name: "Ada".into(),
        email: "ada@example.com".into(),
    };
    let expected = new.create("Hotel", Some(&requestor), world.now());
    let write = Write::CreateIntegration {
        new: Box::new(new),
        requestor: Some(requestor.clone()),
    };
    let (written, due) = world.write_due(write).await;
    assert_eq!(due, [webhook]);
    assert!(matches!(
        written,
        Written::Integration { changed: true, .. }
    ));
    assert_eq!(integration(written), expected.integration);
    let store = world.store();
    let id = expected.integration.id;
    let kept = store.integration(id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&expected.integration));

    let messages = store.messages(id, 0, 10).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].integration_id, id);
    assert_eq!(
        (messages[0].sequence, messages[0].action),
        (1, Action::IntegrationCreated)
    );
    assert_eq!(messages[0].created, world.now());
    assert_eq!(messages[0].requestor, Some(requestor));
    let bytes = MessageBody::Bytes(expected.message.body.bytes.into());
    assert_eq!(messages[0].body, bytes);

    let lane = world.lane(webhook, id).await;
    assert_eq!(lane.len(), 1);
    assert_eq!(lane[0].application_id, world.application);
    assert_eq!((lane[0].sequence, lane[0].previous), (1, 0));
    assert_eq!((lane[0].attempt_count, lane[0].tries), (0, 0));
    assert_eq!(lane[0].state, DeliveryState::Pending);
    assert_eq!(lane[0].next_attempt, Some(world.now()));
    assert_eq!((lane[0].created, lane[0].ended), (world.now(), None));
    assert_eq!(store.body(lane[0].id).await.unwrap(), Some(bytes));
    assert_eq!(
        store.delivery(lane[0].id).await.unwrap().as_ref(),
        Some(&lane[0])
    );
    assert_eq!(store.due().await.unwrap(), [(webhook, world.now())]);
}

pub async fn what_is_missing_or_taken_is_refused_and_nothing_changes<D: Database>(world: World<D>) {
    world.new_webhook().await;
    let taken = world.new_integration().await;
    let before = world.store().stats(world.now()).await.unwrap();
    let request = world.integration_request();
    let cases = [
        (
            NewIntegration {
                application_id: ApplicationId(Uuid::nil()),
                ..request.clone()
            },
            Noun::Application,
        ),
        (
            NewIntegration {
                enterprise_id: EnterpriseId(Uuid::nil()),
                ..request.clone()
            },
            Noun::Enterprise,
        ),
        (
            NewIntegration {
                id: taken,
                ..request
            },
            Noun::Integration,
        ),
    ];
    for (new, expected) in cases {
        let write = Write::CreateIntegration {
            new: Box::new(new),
            requestor: None,
        };
        match world.commit(write).await.unwrap_err() {
            CommitError::NotFound { noun, id } => {
                assert_eq!((noun, id), (expected, Uuid::nil()));
            }
            CommitError::Exists { noun, id } => assert_eq!((noun, id), (expected, taken.0)),
            other => panic!("{other:?}"),
        }
    }
    let unknown = Write::Command {
        id: IntegrationId(Uuid::nil()),
        command: Command::Enable,
        requestor: None,
    };
    assert!(matches!(
        world.commit(unknown).await.unwrap_err(),
        CommitError::NotFound {
            noun: Noun::Integration,
            ..
        }
    ));
    let store = world.store();
    assert_eq!(
        store.stats(world.now()).await.unwrap().deliveries,
        before.deliveries
    );
    assert_eq!(
        store
            .integrations(IntegrationFilter::default(), ALL)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub async fn each_command_tells_its_message<D: Database>(mut world: World<D>) {
    let webhook = world
        .new_webhook_with(WebhookPatch {
            profile: Some(Profile::V2025),
            ..WebhookPatch::default()
        })
        .await;
    let id = world.new_integration().await;
    let token = generate(id, &SeededRandom::new(3));
    let regenerate = Command::RegenerateAccessToken {
        token: token.clone(),
        // Not over when it is commanded: the clock moves on before each command.
        overlap_until: world.now() + std::time::Duration::from_hours(24),
    };
    let commands = [
        Command::Disable,
        Command::Enable,
        Command::Cancel,
        Command::Reinstate,
        regenerate,
        Command::Delete,
    ];
    let mut expected = world.store().integration(id).await.unwrap().unwrap();
    for command in commands {
        world.later();
        let decision = expected.apply(&command, None, world.now()).unwrap();
        let bellhop::domain::integration::Decision::Changed(change) = decision else {
            panic!("{command:?} changes nothing");
        };
        expected = world.command(id, command).await;
        assert_eq!(expected, change.integration);
        world.database.reopen().await;
        let store = world.store();
        let kept = store.integration(id).await.unwrap().unwrap();
        assert_eq!(kept, expected);
        let newest = store.messages(id, expected.sequence - 1, 10).await.unwrap();
        assert_eq!(newest.len(), 1);
        assert_eq!(newest[0].action, change.message.action);
        let bytes = MessageBody::Bytes(change.message.body.bytes.into());
        assert_eq!(newest[0].body, bytes);
        let lane = world.lane(webhook, id).await;
        assert_eq!(lane.len() as u64, expected.sequence);
        assert_eq!(
            store.body(lane.last().unwrap().id).await.unwrap(),
            Some(bytes)
        );
        if newest[0].action == Action::IntegrationApiKeyCreated {
            let tokens = kept.tokens.unwrap();
            assert_eq!(tokens.current, TokenHash::of(token.expose()));
            assert!(tokens.previous.is_some());
        }
    }
    assert_eq!(expected.state(), State::Deleted);
    assert_eq!(expected.tokens, None);
}

pub async fn a_command_that_changes_nothing_says_so<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    for command in [Command::Enable, Command::Reinstate] {
        let write = Write::Command {
            id,
            command,
            requestor: None,
        };
        let (written, due) = world.write_due(write).await;
        assert_eq!(due, []);
        match written {
            Written::Integration {
                integration,
                changed,
            } => {
                assert!(!changed);
                assert_eq!(integration.sequence, 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.lane(webhook, id).await.len(), 1);
}

pub async fn a_refused_command_changes_nothing<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    let before = world.command(id, Command::Cancel).await;
    for command in [Command::Enable, Command::Disable] {
        let write = Write::Command {
            id,
            command,
            requestor: None,
        };
        match world.commit(write).await.unwrap_err() {
            CommitError::Refused(refused) => assert_eq!(refused.state, State::Canceled),
            other => panic!("{other:?}"),
        }
    }
    let store = world.store();
    assert_eq!(store.integration(id).await.unwrap(), Some(before));
    assert_eq!(store.messages(id, 0, 10).await.unwrap().len(), 2);
    assert_eq!(world.lane(webhook, id).await.len(), 2);
}

pub async fn only_those_that_want_it_get_it<D: Database>(world: World<D>) {
    let filtered = world
        .new_webhook_with(WebhookPatch {
            actions: Some(ActionFilter::of(&[Action::IntegrationEnabled])),
            ..WebhookPatch::default()
        })
        .await;
    let another = world.new_application("Another").await;
    let strange = world.new_webhook_of(another, WebhookPatch::default()).await;
    let all = world.new_webhook().await;
    let id = world.new_integration().await;
    world.toggle(id, 4).await;
    let late = world.new_webhook().await;
    let regenerate = Command::RegenerateAccessToken {
        token: SecretText::new("x"),
        overlap_until: world.now(),
    };
    // The default profile does not tell of it.
    world.command(id, regenerate).await;
    world.command(id, Command::Cancel).await;
    let sequences = async |webhook| -> Vec<u64> {
        let lane = world.lane(webhook, id).await;
        lane.iter().map(|each| each.sequence).collect()
    };
    assert_eq!(sequences(filtered).await, [3, 5]);
    assert_eq!(sequences(strange).await, Vec::<u64>::new());
    assert_eq!(sequences(all).await, [1, 2, 3, 4, 5, 7]);
    assert_eq!(sequences(late).await, [7]);
}

fn with_service<D: Database>(world: &World<D>) -> NewIntegration {
    NewIntegration {
        service: Some(Service {
            id: Uuid::nil(),
            name: "Restaurant".into(),
        }),
        ..world.integration_request()
    }
}

pub async fn profile_2025_has_its_own_bytes<D: Database>(world: World<D>) {
    let default = world.new_webhook().await;
    let modern = world
        .new_webhook_with(WebhookPatch {
            profile: Some(Profile::V2025),
            ..WebhookPatch::default()
        })
        .await;
    let created = world.create(with_service(&world)).await;
    let kept = world.store().integration(created.id).await.unwrap();
    assert_eq!(kept, Some(created.clone()));
    let body = async |webhook| -> String {
        let lane = world.lane(webhook, created.id).await;
        text(world.store().body(lane[0].id).await.unwrap().unwrap())
    };
    assert!(!body(default).await.contains("Service"));
    assert!(body(modern).await.contains("Restaurant"));
    for webhook in [default, modern] {
        let claim = world.claim_one(webhook).await;
        let sent = String::from_utf8(claim.body.unwrap().to_vec()).unwrap();
        assert_eq!(sent, body(webhook).await);
    }
}

/// All attempts and replays of a message carry the same bytes, whatever is configured meanwhile.
pub async fn bytes_outlive_a_change_of_profile<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let created = world.create(with_service(&world)).await;
    let claim = world.claim_one(webhook).await;
    world.fail(&claim).await;
    let before = claim.body.unwrap();
    let modern = WebhookPatch {
        profile: Some(Profile::V2025),
        ..WebhookPatch::default()
    };
    world.update(webhook, modern).await;
    world.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(world.claim_one(webhook).await.body, Some(before.clone()));
    let lane = world.lane(webhook, created.id).await;
    let body = world.store().body(lane[0].id).await.unwrap();
    assert_eq!(body, Some(MessageBody::Bytes(before)));
}

pub async fn commands_at_once_have_gapless_sequences<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..40 {
        let commit = Commit {
            at: world.now(),
            write: Write::Command {
                id,
                command: if number % 2 == 0 {
                    Command::Disable
                } else {
                    Command::Enable
                },
                requestor: None,
            },
            by: bellhop::domain::audit::By::system(),
            remember: None,
        };
        let store = world.store();
        running.spawn(async move { store.commit(commit).await.unwrap() });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let store = world.store();
    let last = store.integration(id).await.unwrap().unwrap().sequence;
    let messages = store.messages(id, 0, 100).await.unwrap();
    let sequences: Vec<_> = messages.iter().map(|each| each.sequence).collect();
    assert_eq!(sequences, (1..=last).collect::<Vec<_>>());
    let lane = world.lane(webhook, id).await;
    let told: Vec<_> = lane
        .iter()
        .map(|each| (each.previous, each.sequence))
        .collect();
    let expected: Vec<_> = (1..=last)
        .map(|sequence| (sequence - 1, sequence))
        .collect();
    assert_eq!(told, expected);
    let due = lane.iter().filter(|each| each.next_attempt.is_some());
    assert_eq!(due.count(), 1);
}
