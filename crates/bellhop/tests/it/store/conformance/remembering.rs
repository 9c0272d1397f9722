//! Idempotency keys: committed with the write that they stand for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bellhop::{
    domain::integration::Command,
    store::{Answer, Commit, CommitError, IntegrationFilter, Receipt, Remember, Write},
};
use jiff::Timestamp;

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

/// Remembers an answer that is another each time it is written.
fn remember(key: u8, fingerprint: u8, until: Timestamp) -> Remember {
    static RENDERED: AtomicU32 = AtomicU32::new(0);
    Remember {
        key: [key; 32],
        fingerprint: [fingerprint; 32],
        until,
        shows: |_| None,
        render: Arc::new(|written| {
            let number = RENDERED.fetch_add(1, Ordering::Relaxed);
            Answer(format!("{number} {written:?}").into_bytes())
        }),
    }
}

fn create<D: Database>(world: &World<D>) -> Write {
    Write::CreateIntegration {
        new: Box::new(world.integration_request()),
        requestor: None,
    }
}

async fn integrations<D: Database>(world: &World<D>) -> usize {
    let store = world.store();
    store
        .integrations(IntegrationFilter::default(), ALL)
        .await
        .unwrap()
        .len()
}

fn answer(receipt: Result<Receipt, CommitError>) -> Answer {
    match receipt.unwrap() {
        Receipt::Repeated(answer) => answer,
        Receipt::Done { .. } => panic!("it was done again"),
    }
}

pub async fn the_same_request_has_the_same_answer<D: Database>(mut world: World<D>) {
    let until = world.now() + Duration::from_mins(1);
    let done = world
        .commit_once(create(&world), Some(remember(1, 1, until)))
        .await;
    let Receipt::Done { written, .. } = done.unwrap() else {
        panic!("it was never asked before");
    };
    let first = answer(
        world
            .commit_once(create(&world), Some(remember(1, 1, until)))
            .await,
    );
    let text = String::from_utf8(first.0.clone()).unwrap();
    assert!(text.ends_with(&format!("{written:?}")), "{text}");
    world.database.reopen().await;
    world.later();
    let second = answer(
        world
            .commit_once(create(&world), Some(remember(1, 1, until)))
            .await,
    );
    assert_eq!(first, second);
    assert_eq!(integrations(&world).await, 1);
    // Another key is another request.
    let other = world
        .commit_once(create(&world), Some(remember(2, 1, until)))
        .await;
    assert!(matches!(other, Ok(Receipt::Done { .. })));
    assert_eq!(integrations(&world).await, 2);
}

pub async fn another_request_with_the_key_is_refused<D: Database>(world: World<D>) {
    let until = world.now() + Duration::from_mins(1);
    world
        .commit_once(create(&world), Some(remember(1, 1, until)))
        .await
        .unwrap();
    let reused = world
        .commit_once(create(&world), Some(remember(1, 2, until)))
        .await;
    assert!(matches!(reused.unwrap_err(), CommitError::KeyReused));
    assert_eq!(integrations(&world).await, 1);
}

pub async fn a_key_is_forgotten_in_time<D: Database>(world: World<D>) {
    let until = world.now() + Duration::from_secs(1);
    world
        .commit_once(create(&world), Some(remember(1, 1, until)))
        .await
        .unwrap();
    world.later();
    let until = world.now() + Duration::from_secs(1);
    let done = world
        .commit_once(create(&world), Some(remember(1, 2, until)))
        .await;
    assert!(matches!(done, Ok(Receipt::Done { .. })));
    assert_eq!(integrations(&world).await, 2);
    // And remembered anew.
    let again = world
        .commit_once(create(&world), Some(remember(1, 2, until)))
        .await;
    answer(again);
}

pub async fn a_refused_request_is_not_remembered<D: Database>(world: World<D>) {
    let until = world.now() + Duration::from_mins(1);
    let id = world.new_integration().await;
    world.command(id, Command::Cancel).await;
    let disable = Write::Command {
        id,
        command: Command::Disable,
        requestor: None,
    };
    let refused = world
        .commit_once(disable.clone(), Some(remember(1, 1, until)))
        .await;
    assert!(matches!(refused.unwrap_err(), CommitError::Refused(_)));
    world.command(id, Command::Reinstate).await;
    let done = world
        .commit_once(disable, Some(remember(1, 1, until)))
        .await;
    assert!(matches!(done, Ok(Receipt::Done { .. })));
}

pub async fn the_same_request_at_once_is_done_once<D: Database>(world: World<D>) {
    let until = world.now() + Duration::from_mins(1);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let commit = Commit {
            at: world.now(),
            write: create(&world),
            by: bellhop::domain::audit::By::system(),
            remember: Some(remember(1, 1, until)),
        };
        let store = world.store();
        running.spawn(async move { store.commit(commit).await.unwrap() });
    }
    let mut done = 0;
    while let Some(receipt) = running.join_next().await {
        done += u32::from(matches!(receipt.unwrap(), Receipt::Done { .. }));
    }
    assert_eq!(done, 1);
    assert_eq!(integrations(&world).await, 1);
}
