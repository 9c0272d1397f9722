//! The audit log as it is read: filtered, and in pages.

use bellhop::{
    domain::{audit::AuditAction as A, integration::Command},
    id::IntegrationId,
    store::{AuditFilter, AuditKey, Commit, MAX_AUDIT_SCANNED, Write},
};
use uuid::Uuid;

use super::auditing::{answer, key, somebody};
use crate::store::{databases::Database, world::World};

pub async fn entries_are_filtered<D: Database>(world: World<D>) {
    let key = key(world.id(), world.application);
    world
        .write_by(Write::CreateKey(Box::new(key.clone())), somebody())
        .await;
    let noon = world.later();
    let id = world.new_integration().await;
    world.later();
    world.toggle(id, 3).await;
    let other = world.new_application("Other").await;

    let all = world.audited().await;
    let count = async |filter: AuditFilter| {
        let found = world.store().audited(filter, None, 1000).await.unwrap();
        assert_eq!(found.next, None);
        found.entries.len()
    };
    let none = AuditFilter::default;
    assert_eq!(count(none()).await, all.len());
    let of = |action| AuditFilter {
        action: Some(action),
        ..none()
    };
    assert_eq!(count(of(A::IntegrationDisabled)).await, 2);
    assert_eq!(count(of(A::KeyCreated)).await, 1);
    assert_eq!(count(of(A::KeyDeleted)).await, 0);
    let by = AuditFilter {
        actor_id: Some(Uuid::from_u128(7)),
        ..none()
    };
    assert_eq!(count(by).await, 1);
    let to = |id| AuditFilter {
        subject_id: Some(id),
        ..none()
    };
    assert_eq!(count(to(id.0)).await, 4);
    assert_eq!(count(to(key.id.0)).await, 1);
    let of_application = |id| AuditFilter {
        application_id: Some(id),
        ..none()
    };
    assert_eq!(count(of_application(other)).await, 1);
    assert_eq!(count(of_application(world.application)).await, 6);
    let from = AuditFilter {
        from: Some(noon),
        ..none()
    };
    assert_eq!(count(from).await, 5);
    let to = AuditFilter {
        to: Some(noon),
        ..none()
    };
    assert_eq!(count(to).await, all.len() - 5);
}

pub async fn entries_are_paged_newest_first<D: Database>(world: World<D>) {
    let id = world.new_integration().await;
    world.toggle(id, 6).await;
    let mut all = world.audited().await;
    all.reverse();
    for limit in [1, 2, 3, 8, 9] {
        let (mut before, mut found): (Option<AuditKey>, _) = (None, Vec::new());
        loop {
            let filter = AuditFilter::default();
            let page = world.store().audited(filter, before, limit).await.unwrap();
            assert!(page.entries.len() <= limit as usize);
            found.extend(page.entries);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, all, "pages of {limit}");
    }
}

/// More than one question looks at: it says where to go on, and what is few is found at once.
pub async fn a_question_that_fits_little_ends<D: Database>(world: World<D>) {
    let first = key(world.id(), world.application);
    world.write(Write::CreateKey(Box::new(first))).await;
    let store = world.store();
    let again = |number| {
        let write = Write::Command {
            id: IntegrationId(Uuid::from_u128(number)),
            command: Command::Enable,
            requestor: None,
        };
        let (at, by, remember) = (world.now(), somebody(), Some(answer()));
        Commit {
            at,
            write,
            by,
            remember,
        }
    };
    let create = Write::CreateIntegration {
        new: Box::new(world.integration_request()),
        requestor: None,
    };
    world.commit_once(create, Some(answer())).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..MAX_AUDIT_SCANNED {
        let (store, commit) = (store.clone(), again(number.into()));
        running.spawn(async move { store.commit(commit).await.unwrap() });
        if running.len() >= 512 {
            running.join_next().await;
        }
    }
    running.join_all().await;
    let of = |action| AuditFilter {
        action,
        ..AuditFilter::default()
    };
    let few = store
        .audited(of(Some(A::KeyCreated)), None, 10)
        .await
        .unwrap();
    assert_eq!((few.entries.len(), few.next), (1, None));
    let by_subject = |before| {
        let filter = AuditFilter {
            application_id: Some(world.application),
            action: Some(A::IntegrationCreated),
            ..AuditFilter::default()
        };
        store.audited(filter, before, 10)
    };
    let mut found = by_subject(None).await.unwrap();
    let mut asked = 1;
    while let Some(next) = found.next.filter(|_| found.entries.is_empty()) {
        found = by_subject(Some(next)).await.unwrap();
        asked += 1;
    }
    assert_eq!(found.entries.len(), 1);
    assert!(asked <= 2, "asked {asked} times");
}
