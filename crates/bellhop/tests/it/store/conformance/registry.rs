//! Enterprises, applications and API keys.

use std::time::Duration;

use bellhop::{
    domain::{
        access_token::TokenHash,
        api_key::{ApiKey, KeyRotation, Scope},
        enterprise::{Application, Enterprise},
    },
    id::{ApplicationId, KeyId},
    store::{CommitError, DeliveryFilter, IntegrationFilter, Noun, Page, Write, Written},
};
use uuid::Uuid;

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

pub async fn an_enterprise_is_put_and_renamed<D: Database>(world: World<D>) {
    let created = world.now();
    let (id, later) = (world.id(), world.later());
    let mut expected = Enterprise {
        id,
        name: "One".into(),
        created: later,
    };
    assert_ne!(created, later);
    for (name, new) in [("One", true), ("Two", false)] {
        let name = name.to_owned();
        expected.name.clone_from(&name);
        match world.write(Write::PutEnterprise { id, name }).await {
            Written::Enterprise { enterprise, is_new } => {
                assert_eq!((&enterprise, is_new), (&expected, new));
            }
            other => panic!("not an enterprise: {other:?}"),
        }
        let kept = world.store().enterprise(id).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&expected));
        world.later();
    }
}

pub async fn an_application_is_created_once_and_renamed<D: Database>(world: World<D>) {
    let id: ApplicationId = world.id();
    let create = |name: &str| Write::CreateApplication {
        id,
        name: name.into(),
    };
    let rename = |id, name: &str| Write::RenameApplication {
        id,
        name: name.into(),
    };
    let missing = world.commit(rename(id, "Early")).await.unwrap_err();
    assert!(matches!(
        missing,
        CommitError::NotFound { noun: Noun::Application, id: of } if of == id.0
    ));
    let mut expected = Application {
        id,
        name: "One".into(),
        created: world.now(),
    };
    let written = world.write(create("One")).await;
    assert!(matches!(written, Written::Application(application) if application == expected));
    let again = world.commit(create("Two")).await.unwrap_err();
    assert!(matches!(
        again,
        CommitError::Exists { noun: Noun::Application, id: of } if of == id.0
    ));
    let kept = world.store().application(id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&expected));
    world.later();
    expected.name = "Two".into();
    let written = world.write(rename(id, "Two")).await;
    assert!(matches!(written, Written::Application(application) if application == expected));
    let kept = world.store().application(id).await.unwrap();
    assert_eq!(kept, Some(expected));
}

pub async fn keys_come_and_go<D: Database>(world: World<D>) {
    let store = world.store();
    let scopes = [
        Scope::Operator,
        Scope::Application(world.application),
        Scope::Introspect,
    ];
    let mut keys = Vec::new();
    for (number, scope) in scopes.into_iter().enumerate() {
        let key = ApiKey {
            id: world.id(),
            name: format!("key {number}"),
            scope,
            hash: TokenHash([number as u8; 32]),
            created: world.now(),
            expires: (number == 1).then(|| world.later()),
            previous: None,
            first: None,
            last_used: None,
        };
        let written = world.write(Write::CreateKey(Box::new(key.clone()))).await;
        assert!(matches!(written, Written::Key(written) if *written == key));
        assert_eq!(store.key(key.id).await.unwrap().as_ref(), Some(&key));
        keys.push(key);
    }
    assert_eq!(store.keys().await.unwrap(), keys);

    let twice = world.commit(Write::CreateKey(Box::new(keys[0].clone())));
    assert!(matches!(
        twice.await.unwrap_err(),
        CommitError::Exists {
            noun: Noun::Key,
            ..
        }
    ));
    let nobodys = ApiKey {
        id: world.id(),
        scope: Scope::Application(ApplicationId(Uuid::nil())),
        hash: TokenHash([9; 32]),
        ..keys[0].clone()
    };
    let nobodys = world.commit(Write::CreateKey(Box::new(nobodys))).await;
    assert!(matches!(
        nobodys.unwrap_err(),
        CommitError::NotFound {
            noun: Noun::Application,
            ..
        }
    ));

    let gone = keys.remove(1).id;
    let delete = |id: KeyId| world.commit(Write::DeleteKey { id });
    delete(gone).await.unwrap();
    assert_eq!(store.key(gone).await.unwrap(), None);
    assert_eq!(store.keys().await.unwrap(), keys);
    assert!(matches!(
        delete(gone).await.unwrap_err(),
        CommitError::NotFound { noun: Noun::Key, id } if id == gone.0
    ));
}

pub async fn a_rotated_key_overlaps_and_its_use_is_noted<D: Database>(world: World<D>) {
    let store = world.store();
    let hash = |number: u8| TokenHash([number; 32]);
    let mut key = ApiKey {
        id: world.id(),
        name: "gateway".into(),
        scope: Scope::Introspect,
        hash: hash(1),
        created: world.now(),
        expires: None,
        previous: None,
        first: None,
        last_used: None,
    };
    world.write(Write::CreateKey(Box::new(key.clone()))).await;
    let until = world.now() + Duration::from_hours(1);
    let rotate = |id, number, overlap_until, expires| Write::RotateKey {
        id,
        to: KeyRotation {
            hash: hash(number),
            overlap_until,
            expires,
        },
    };

    let end = until + Duration::from_hours(1);
    let written = world.write(rotate(key.id, 2, until, Some(end))).await;
    (key.hash, key.first) = (hash(2), Some(hash(1)));
    (key.previous, key.expires) = (Some((hash(1), until)), Some(end));
    assert!(matches!(written, Written::Key(written) if *written == key));
    assert_eq!(store.key(key.id).await.unwrap().as_ref(), Some(&key));

    // Again, without an overlap: none of the former ones is left, and the first is still known.
    world.write(rotate(key.id, 3, world.now(), None)).await;
    (key.hash, key.previous) = (hash(3), None);
    assert_eq!(store.keys().await.unwrap(), std::slice::from_ref(&key));

    let (early, late) = (world.now(), world.later());
    for (used, noted) in [(early, early), (late, late), (early, late)] {
        let nobodys = (KeyId(Uuid::nil()), used);
        let written = world.write(Write::NoteKeyUses(vec![(key.id, used), nobodys]));
        assert!(matches!(written.await, Written::Noted));
        key.last_used = Some(noted);
        assert_eq!(store.keys().await.unwrap(), std::slice::from_ref(&key));
    }

    let nobodys = world.commit(rotate(KeyId(Uuid::nil()), 4, until, None));
    assert!(matches!(
        nobodys.await.unwrap_err(),
        CommitError::NotFound {
            noun: Noun::Key,
            ..
        }
    ));
}

pub async fn lists_are_paged<D: Database>(world: World<D>) {
    for number in 0..7 {
        world.new_enterprise(&format!("Hotel {number}")).await;
        world.new_application(&format!("Product {number}")).await;
    }
    let store = world.store();
    let enterprises = store.enterprises(ALL).await.unwrap();
    let applications = store.applications(ALL).await.unwrap();
    assert_eq!((enterprises.len(), applications.len()), (8, 8));
    assert!(enterprises.is_sorted_by_key(|each| each.id));
    assert!(applications.is_sorted_by_key(|each| each.id));
    let (mut some_enterprises, mut some_applications) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let after = |id: Option<Uuid>| Page {
            after: id,
            limit: 3,
        };
        let page = after(some_enterprises.last().map(|each: &Enterprise| each.id.0));
        some_enterprises.extend(store.enterprises(page).await.unwrap());
        let page = after(some_applications.last().map(|each: &Application| each.id.0));
        some_applications.extend(store.applications(page).await.unwrap());
    }
    assert_eq!(some_enterprises, enterprises);
    assert_eq!(some_applications, applications);
}

pub async fn all_is_there_after_reopening<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 3).await;
    let claim = world.claim_one(webhook).await;
    world.fail(&claim).await;
    let before = whole(&world).await;
    world.database.reopen().await;
    assert_eq!(whole(&world).await, before);
}

/// Everything that a store tells, as text.
async fn whole<D: Database>(world: &World<D>) -> String {
    let store = world.store();
    let mut told = vec![
        format!("{:?}", store.enterprises(ALL).await.unwrap()),
        format!("{:?}", store.applications(ALL).await.unwrap()),
        format!("{:?}", store.webhooks(None, ALL).await.unwrap()),
        format!("{:?}", store.due().await.unwrap()),
    ];
    let integrations = store
        .integrations(IntegrationFilter::default(), ALL)
        .await
        .unwrap();
    for integration in &integrations {
        let messages = store.messages(integration.id, 0, 100).await.unwrap();
        told.push(format!("{messages:?}"));
    }
    let deliveries = store
        .deliveries(DeliveryFilter::default(), ALL)
        .await
        .unwrap();
    for delivery in &deliveries {
        told.push(format!("{:?}", store.attempts(delivery.id).await.unwrap()));
        told.push(format!("{:?}", store.body(delivery.id).await.unwrap()));
    }
    told.push(format!("{integrations:?} {deliveries:?}"));
    told.join("\n")
}
