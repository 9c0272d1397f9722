//! Webhooks and their settings.

use std::time::Duration;

use bellhop::{
    domain::{
        authentication::{AuthStyle, Authentication, ClientCertificate, OAuth2Client},
        delivery::DeliveryState,
        retry::{RetrySchedule, later},
        secret_text::SecretText,
        signatures::{SecretKind, Signature, SignatureChoice, Signatures},
        webhook::{
            ActionFilter, DEFAULT_MAX_IN_FLIGHT, DEFAULT_TIMEOUT, WebhookSecret, WebhookState,
        },
    },
    id::{ApplicationId, WebhookId},
    store::{CommitError, NewWebhook, Noun, Page, Recorded, WebhookPatch, Write, Written},
};
use bellhop_webhook::{Action, Profile};
use uuid::Uuid;

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

fn new_webhook<D: Database>(world: &World<D>, settings: WebhookPatch) -> NewWebhook {
    NewWebhook {
        id: world.id(),
        application_id: world.application,
        secret: SecretText::new("whsec_first"),
        settings,
    }
}

pub async fn a_webhook_begins_with_the_defaults<D: Database>(world: World<D>) {
    let new = new_webhook(&world, WebhookPatch::default());
    let id = new.id;
    let Written::Webhook(written) = world.write(Write::CreateWebhook(Box::new(new))).await else {
        panic!("not a webhook");
    };
    let webhook = world.webhook(id).await;
    assert_eq!(*written, webhook);
    assert_eq!(webhook.application_id, world.application);
    assert_eq!(webhook.actions, ActionFilter::ALL);
    assert_eq!(webhook.profile, Profile::Default);
    assert_eq!(
        (webhook.state, &webhook.state_reason),
        (WebhookState::Enabled, &None)
    );
    assert_eq!(webhook.timeout, DEFAULT_TIMEOUT);
    assert_eq!(webhook.retry_schedule, RetrySchedule::default());
    assert_eq!(webhook.max_in_flight, DEFAULT_MAX_IN_FLIGHT);
    assert_eq!((webhook.rate_limit, webhook.not_before), (None, None));
    assert!(!webhook.follow_redirects);
    assert_eq!(webhook.headers, []);
    assert_eq!(webhook.signatures, SecretKind::Shared.usual());
    assert_eq!(webhook.secrets.len(), 1);
    assert_eq!(webhook.secrets[0].text.expose(), "whsec_first");
    assert_eq!(webhook.created, world.now());
}

pub async fn every_setting_is_kept<D: Database>(mut world: World<D>) {
    let settings = WebhookPatch {
        url: Some(SecretText::new("https://receiver.example/?key=secret")),
        description: Some("Ünïcode 'quoted'".into()),
        actions: Some(ActionFilter::of(&[Action::IntegrationDeleted])),
        profile: Some(Profile::V2025),
        state: Some((WebhookState::Paused, Some("for a while".into()))),
        timeout_ms: Some(2500),
        retry_schedule: Some(RetrySchedule::try_new(vec![1, 2, 3]).unwrap()),
        max_in_flight: Some(7),
        rate_limit: Some(Some(9)),
        follow_redirects: Some(true),
        headers: Some(vec![("x-key".into(), SecretText::new("secret"))]),
        authentication: Some(Some(Authentication::OAuth2(OAuth2Client {
            token_url: SecretText::new("https://auth.example/token?key=secret"),
            client_id: "client".into(),
            client_secret: SecretText::new("secret"),
            scope: Some("scope".into()),
            style: AuthStyle::Body,
        }))),
        client_certificate: Some(Some(ClientCertificate {
            chain: "chain".into(),
            key: SecretText::new("secret"),
            subject: "CN=client".into(),
            not_after: world.now(),
            fingerprint: "00ff".into(),
        })),
        signatures: Some(SignatureChoice {
            signatures: Signatures::of(&Signature::ALL).unwrap(),
            spare: vec![WebhookSecret {
                text: SecretText::new("whsk_spare"),
                created: world.now(),
                expires: None,
            }],
        }),
    };
    let new = new_webhook(&world, settings.clone());
    let created = new.id;
    let expected = new.clone().into_webhook(world.now());
    world.write(Write::CreateWebhook(Box::new(new))).await;
    assert_eq!(world.webhook(created).await, expected);
    assert_eq!(expected.signatures.iter().count(), 4);
    assert_eq!(expected.secrets[0].text.expose(), "whsk_spare");

    let updated = world.new_webhook().await;
    let mut expected_update = world.webhook(updated).await;
    settings.clone().apply_to(&mut expected_update);
    assert_eq!(world.update(updated, settings).await, expected_update);
    world.database.reopen().await;
    assert_eq!(world.webhook(created).await, expected);
    assert_eq!(world.webhook(updated).await, expected_update);

    let cleared = WebhookPatch {
        rate_limit: Some(None),
        headers: Some(vec![]),
        authentication: Some(None),
        client_certificate: Some(None),
        ..WebhookPatch::default()
    };
    let webhook = world.update(updated, cleared).await;
    assert_eq!((webhook.rate_limit, webhook.headers.len()), (None, 0));
    assert_eq!(
        (&webhook.authentication, &webhook.client_certificate),
        (&None, &None)
    );
    assert_eq!(webhook.description, expected_update.description);
    assert_eq!(world.webhook(updated).await, webhook);
}

pub async fn a_change_names_the_revision_it_is_based_on<D: Database>(world: World<D>) {
    let id = world.new_webhook().await;
    let before = world.webhook(id).await;
    let change = |id, if_revision| Write::UpdateWebhook {
        id,
        if_revision,
        patch: Box::new(WebhookPatch {
            description: Some("changed".into()),
            ..WebhookPatch::default()
        }),
    };
    let stale = world.commit(change(id, Some(before.revision + 1))).await;
    assert!(matches!(stale.unwrap_err(), CommitError::Changed));
    assert_eq!(world.webhook(id).await, before);
    world
        .commit(change(id, Some(before.revision)))
        .await
        .unwrap();
    let after = world.webhook(id).await;
    assert_eq!(after.description, "changed");
    assert!(after.revision > before.revision);
    let nobody = WebhookId(Uuid::nil());
    assert!(matches!(
        world.commit(change(nobody, None)).await.unwrap_err(),
        CommitError::NotFound {
            noun: Noun::Webhook,
            ..
        }
    ));
}

pub async fn secrets_overlap_when_rotated<D: Database>(world: World<D>) {
    let new = new_webhook(&world, WebhookPatch::default());
    let id = new.id;
    world.write(Write::CreateWebhook(Box::new(new))).await;
    let hour = Duration::from_hours(1);
    let rotate = |secret: &str| Write::RotateSecret {
        id,
        secret: SecretText::new(secret),
        overlap_until: later(world.now(), hour),
    };
    let before = world.webhook(id).await.revision;
    let told = async || -> Vec<String> {
        let now = world.now();
        let webhook = world.webhook(id).await;
        let active = webhook.active_secrets(now);
        active
            .map(|secret| secret.text.expose().to_owned())
            .collect()
    };
    world.write(rotate("whsec_second")).await;
    assert!(world.webhook(id).await.revision > before);
    assert_eq!(told().await, ["whsec_second", "whsec_first"]);
    // The first keeps its end, though the second begins its own.
    world.clock.advance(hour / 2);
    world.write(rotate("whsec_third")).await;
    assert_eq!(told().await, ["whsec_third", "whsec_second", "whsec_first"]);
    world.clock.advance(hour / 2);
    assert_eq!(told().await, ["whsec_third", "whsec_second"]);
    world.clock.advance(hour / 2);
    assert_eq!(told().await, ["whsec_third"]);
    world.write(rotate("whsec_fourth")).await;
    assert_eq!(world.webhook(id).await.secrets.len(), 2);
}

pub async fn each_kind_of_secret_is_rotated_apart<D: Database>(world: World<D>) {
    let new = new_webhook(&world, WebhookPatch::default());
    let id = new.id;
    world.write(Write::CreateWebhook(Box::new(new))).await;
    let hour = Duration::from_hours(1);
    let rotate = async |secret: &str| {
        world
            .write(Write::RotateSecret {
                id,
                secret: SecretText::new(secret),
                overlap_until: later(world.now(), hour),
            })
            .await;
    };
    let told = async || -> Vec<String> {
        let webhook = world.webhook(id).await;
        let active = webhook.active_secrets(world.now());
        active
            .map(|secret| secret.text.expose().to_owned())
            .collect()
    };
    rotate("whsk_first").await;
    rotate("whsk_second").await;
    assert_eq!(told().await, ["whsk_second", "whsk_first", "whsec_first"]);
    world.clock.advance(hour);
    assert_eq!(told().await, ["whsk_second", "whsec_first"]);
    rotate("whsec_second").await;
    world.clock.advance(hour);
    assert_eq!(told().await, ["whsec_second", "whsk_second"]);
}

pub async fn every_way_to_authenticate_is_kept<D: Database>(mut world: World<D>) {
    let secret = || SecretText::new("secret");
    let client = OAuth2Client {
        token_url: secret(),
        client_id: "client".into(),
        client_secret: secret(),
        scope: None,
        style: AuthStyle::Header,
    };
    for authentication in [
        Authentication::Bearer { token: secret() },
        Authentication::Basic {
            username: "user".into(),
            password: secret(),
        },
        Authentication::OAuth2(client),
    ] {
        let settings = WebhookPatch {
            authentication: Some(Some(authentication.clone())),
            ..WebhookPatch::default()
        };
        let id = world.new_webhook_with(settings).await;
        world.database.reopen().await;
        assert_eq!(world.webhook(id).await.authentication, Some(authentication));
    }
}

pub async fn an_id_is_taken_once<D: Database>(world: World<D>) {
    let mut new = new_webhook(&world, WebhookPatch::default());
    world
        .write(Write::CreateWebhook(Box::new(new.clone())))
        .await;
    let before = world.webhook(new.id).await;
    new.settings.description = Some("another".into());
    let again = world
        .commit(Write::CreateWebhook(Box::new(new.clone())))
        .await;
    assert!(matches!(
        again.unwrap_err(),
        CommitError::Exists { noun: Noun::Webhook, id } if id == new.id.0
    ));
    assert_eq!(world.webhook(new.id).await, before);
    let nobodys = NewWebhook {
        id: world.id(),
        application_id: ApplicationId(Uuid::nil()),
        ..new
    };
    let nobodys = world.commit(Write::CreateWebhook(Box::new(nobodys))).await;
    assert!(matches!(
        nobodys.unwrap_err(),
        CommitError::NotFound {
            noun: Noun::Application,
            ..
        }
    ));
}

pub async fn a_deleted_webhook_is_gone_and_its_deliveries_end<D: Database>(world: World<D>) {
    let (id, other) = (world.new_webhook().await, world.new_webhook().await);
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    let claim = world.claim_one(id).await;
    world.succeed(&claim).await;
    let claim = world.claim_one(id).await;
    let ended = world.later();
    world.write(Write::DeleteWebhook { id }).await;

    assert_eq!(world.store().webhook(id).await.unwrap(), None);
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    assert_eq!(world.claim(id).await.len(), 0);
    let lane = world.lane(id, integration).await;
    let states: Vec<_> = lane.iter().map(|each| each.state).collect();
    assert_eq!(
        states,
        [
            DeliveryState::Delivered,
            DeliveryState::Discarded,
            DeliveryState::Discarded,
        ]
    );
    for discarded in &lane[1..] {
        assert!(discarded.reason.is_some());
        assert_eq!(
            (discarded.next_attempt, discarded.ended),
            (None, Some(ended))
        );
    }
    let due: Vec<_> = world.store().due().await.unwrap();
    assert_eq!(due.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [other]);

    // It gets nothing any more.
    world.toggle(integration, 1).await;
    assert_eq!(world.lane(id, integration).await.len(), 3);
    assert_eq!(world.lane(other, integration).await.len(), 4);
    for write in [
        Write::DeleteWebhook { id },
        Write::RotateSecret {
            id,
            secret: SecretText::new("whsec_late"),
            overlap_until: world.now(),
        },
    ] {
        assert!(matches!(
            world.commit(write).await.unwrap_err(),
            CommitError::NotFound {
                noun: Noun::Webhook,
                ..
            }
        ));
    }
    let again = NewWebhook {
        id,
        ..new_webhook(&world, WebhookPatch::default())
    };
    assert!(matches!(
        world
            .commit(Write::CreateWebhook(Box::new(again)))
            .await
            .unwrap_err(),
        CommitError::Exists {
            noun: Noun::Webhook,
            ..
        }
    ));
}

pub async fn webhooks_are_listed_by_application<D: Database>(world: World<D>) {
    let another = world.new_application("Another").await;
    let mut ours = Vec::new();
    for _ in 0..4 {
        ours.push(world.new_webhook().await);
        world.new_webhook_of(another, WebhookPatch::default()).await;
    }
    world
        .write(Write::DeleteWebhook { id: ours.remove(1) })
        .await;
    let store = world.store();
    let listed = async |of, page| -> Vec<WebhookId> {
        let webhooks = store.webhooks(of, page).await.unwrap();
        webhooks.iter().map(|each| each.id).collect()
    };
    assert_eq!(listed(Some(world.application), ALL).await, ours);
    assert_eq!(listed(Some(another), ALL).await.len(), 4);
    let all = listed(None, ALL).await;
    assert_eq!(all.len(), 7);
    let first = listed(
        None,
        Page {
            after: None,
            limit: 5,
        },
    )
    .await;
    let after = first.last().map(|id| id.0);
    let second = listed(None, Page { after, limit: 5 }).await;
    assert_eq!([first, second].concat(), all);
}
