//! What access tokens open: as new as the newest answer, whatever is remembered.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{access::Access, access_token::TokenHash, integration::Command},
    id::IntegrationId,
    store::{Commit, Write},
};

use crate::store::{databases::Database, world::World};

async fn access<D: Database>(world: &World<D>, id: IntegrationId) -> Option<Arc<Access>> {
    world.store().access(id).await.unwrap()
}

async fn is_open<D: Database>(world: &World<D>, id: IntegrationId) -> bool {
    access(world, id).await.unwrap().is_open
}

pub async fn it_follows_each_command<D: Database>(mut world: World<D>) {
    let id = world.new_integration().await;
    assert!(is_open(&world, id).await);
    for (command, opens) in [
        (Command::Disable, false),
        (Command::Enable, true),
        (Command::Cancel, false),
        (Command::Reinstate, true),
    ] {
        world.command(id, command.clone()).await;
        assert_eq!(is_open(&world, id).await, opens, "{command:?}");
        assert_eq!(is_open(&world, id).await, opens, "and again");
    }
    world.database.reopen().await;
    assert!(is_open(&world, id).await);
    let deleted = world.command(id, Command::Delete).await;
    let left = access(&world, id).await.unwrap();
    assert_eq!(*left, Access::from(&deleted));
    assert_eq!((left.is_open, &left.tokens), (false, &None));
}

pub async fn a_former_token_ends_by_the_clock<D: Database>(world: World<D>) {
    let new = world.integration_request();
    let (id, former) = (new.id, TokenHash::of(new.access_token.expose()));
    world.create(new).await;
    assert!(
        access(&world, id)
            .await
            .unwrap()
            .accepts(&former, world.now())
    );
    let token = world.integration_request().access_token;
    let present = TokenHash::of(token.expose());
    let overlap_until = world.now() + Duration::from_secs(10);
    let regenerate = Command::RegenerateAccessToken {
        token,
        overlap_until,
    };
    world.command(id, regenerate).await;
    let after = access(&world, id).await.unwrap();
    for _ in 0..10 {
        assert!(after.accepts(&former, world.now()));
        world.later();
    }
    assert!(!after.accepts(&former, world.now()));
    assert!(after.accepts(&present, world.now()));
}

pub async fn what_is_unknown_is_known_once_it_is_created<D: Database>(world: World<D>) {
    let new = world.integration_request();
    let id = new.id;
    for _ in 0..2 {
        assert_eq!(access(&world, id).await, None);
    }
    world.create(new).await;
    assert!(is_open(&world, id).await);
}

/// The one who gave the command goes away before it is answered.
pub async fn a_command_nobody_waits_for_counts<D: Database>(world: World<D>) {
    let id = world.new_integration().await;
    assert!(is_open(&world, id).await);
    let store = world.store();
    let commit = Commit {
        at: world.now(),
        write: Write::Command {
            id,
            command: Command::Disable,
            requestor: None,
        },
        by: bellhop::domain::audit::By::system(),
        remember: None,
    };
    let asked = tokio::time::timeout(Duration::ZERO, store.commit(commit));
    drop(asked.await);
    drop(store);
    // Whatever is answered later is durable later.
    world.new_enterprise("Another").await;
    let is_enabled = world
        .store()
        .integration(id)
        .await
        .unwrap()
        .unwrap()
        .is_enabled;
    assert_eq!(is_open(&world, id).await, is_enabled);
}

/// Others ask all the time while it is switched on and off: after each answer, everybody sees it.
pub async fn nobody_sees_what_was_before_an_answer<D: Database>(world: World<D>) {
    let id = world.new_integration().await;
    let store = world.store();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    store.access(id).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..200 {
        let command = if round % 2 == 0 {
            Command::Disable
        } else {
            Command::Enable
        };
        world.command(id, command).await;
        assert_eq!(is_open(&world, id).await, round % 2 == 1, "{round}");
    }
    for other in others {
        other.abort();
        drop(other.await);
    }
}
