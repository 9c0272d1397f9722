//! What a replica claims as it makes it, because it asked for more than there was.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{audit::By, delivery::DeliveryState, webhook::WebhookState},
    id::WebhookId,
    store::{
        Claim, ClaimRequest, Commit, CommitError, MessageBody, Recorded, Store, Want, WebhookPatch,
        Write,
    },
};
use tokio_postgres::NoTls;

use super::{
    postgres::{Postgres, cluster, execute, open},
    world::World,
};

/// A world, if there is a PostgreSQL for it.
async fn world() -> Option<World<Postgres>> {
    cluster()?;
    Some(World::new().await)
}

async fn another(world: &World<Postgres>) -> Arc<dyn Store> {
    Arc::new(open(&world.database.url(), 7).await)
}

/// How many lanes the database has under way.
async fn under_way(world: &World<Postgres>) -> i64 {
    count(world, "SELECT count(*) FROM claims").await
}

async fn count(world: &World<Postgres>, sql: &str) -> i64 {
    let url = world.database.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let found = client.query_one(sql, &[]).await;
    let count = found.unwrap().get(0);
    drop(client);
    connection.await.unwrap().unwrap();
    count
}

async fn claim(
    world: &World<Postgres>,
    on: &dyn Store,
    webhook_id: WebhookId,
    limit: usize,
) -> Vec<Claim> {
    let wants = vec![Want { webhook_id, limit }];
    let now = world.now();
    let mut taken = on.claim(ClaimRequest { now, wants }).await.unwrap();
    taken.remove(0).claims
}

#[tokio::test]
async fn what_there_is_room_for_is_claimed_as_it_is_made() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let webhook = world.new_webhook().await;
    assert!(world.claim(webhook).await.is_empty());
    let id = world.new_integration().await;
    assert_eq!(under_way(&world).await, 1);
    assert!(claim(&world, &*other, webhook, 5).await.is_empty());
    let claimed = world.claim_one(webhook).await;
    assert_eq!(
        (claimed.integration_id, claimed.sequence, claimed.previous),
        (id, 1, 0)
    );
    assert_eq!(
        (claimed.number, claimed.tries, claimed.state),
        (1, 0, DeliveryState::Pending)
    );
    let body = world.store().body(claimed.delivery_id).await.unwrap();
    let Some(MessageBody::Bytes(bytes)) = body else {
        panic!("it has a body");
    };
    assert_eq!(claimed.body, Some(bytes));
    let done = world.succeed(&claimed).await;
    assert!(matches!(done, Recorded::Done { .. }));
    assert_eq!(under_way(&world).await, 0);
    let lane = world.lane(webhook, id).await;
    assert_eq!(lane[0].state, DeliveryState::Delivered);
    // Another message of the lane goes the same way, and one behind it waits.
    world.toggle(id, 2).await;
    assert_eq!(under_way(&world).await, 1);
    let second = world.claim_one(webhook).await;
    assert_eq!((second.sequence, second.previous), (2, 1));
    let lane_goes_on = true;
    assert_eq!(
        world.succeed(&second).await,
        Recorded::Done { lane_goes_on }
    );
    assert_eq!(world.claim_one(webhook).await.sequence, 3);
}

#[tokio::test]
async fn without_room_nothing_is_claimed_as_it_is_made() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        world.new_integration().await;
    }
    assert_eq!(under_way(&world).await, 0, "nobody has asked");
    let store = world.store();
    assert_eq!(claim(&world, &*store, webhook, 2).await.len(), 2);
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 2, "all of the room was used");
    assert_eq!(claim(&world, &*store, webhook, 3).await.len(), 2);
    for _ in 0..3 {
        world.new_integration().await;
    }
    assert_eq!(under_way(&world).await, 5, "room for one was left");
    assert_eq!(world.claim(webhook).await.len(), 3);
}

#[tokio::test]
async fn what_lies_ready_can_be_discarded() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    assert!(world.claim(webhook).await.is_empty());
    let id = world.new_integration().await;
    let made = world.lane(webhook, id).await.remove(0);
    let discard = |reason: &str| Write::Discard {
        id: made.id,
        reason: reason.to_owned(),
    };
    world.write(discard("not wanted")).await;
    assert_eq!(under_way(&world).await, 0);
    assert!(world.claim(webhook).await.is_empty());
    // One that was handed out cannot.
    let id = world.new_integration().await;
    let claimed = world.claim_one(webhook).await;
    assert_eq!(claimed.integration_id, id);
    let made = claimed.delivery_id;
    let late = Write::Discard {
        id: made,
        reason: "late".to_owned(),
    };
    let refused = world.commit(late).await;
    assert!(
        matches!(refused, Err(CommitError::NotNow(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_lies_ready_of_a_webhook_that_is_paused_stays() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    assert!(world.claim(webhook).await.is_empty());
    world.new_integration().await;
    world.set_state(webhook, WebhookState::Paused).await;
    assert!(world.claim(webhook).await.is_empty());
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 0);
    world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(world.claim(webhook).await.len(), 2);
}

#[tokio::test]
async fn what_lies_ready_is_given_back_if_the_database_holds_the_webhook_back() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    let store = world.store();
    assert!(claim(&world, &*store, webhook, 1).await.is_empty());
    for _ in 0..2 {
        world.new_integration().await;
    }
    assert_eq!(under_way(&world).await, 1, "there was room for one");
    // By another replica, of whose word nothing came.
    let url = world.database.url();
    execute(&url, "UPDATE webhooks SET state = 'Paused'").await;
    assert!(claim(&world, &*store, webhook, 5).await.is_empty());
    world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(world.claim(webhook).await.len(), 2);
    assert_eq!(under_way(&world).await, 2);
}

#[tokio::test]
async fn a_failure_is_asked_about_before_more_is_claimed() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let failing = world.claim_one(webhook).await;
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 2);
    world.fail(&failing).await;
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 1, "the one that lay ready");
    assert_eq!(world.claim(webhook).await.len(), 2);
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 2, "it has failed: it is watched");
}

async fn with_most_in_flight(world: &World<Postgres>, most: u32) -> WebhookId {
    let patch = WebhookPatch {
        max_in_flight: Some(most),
        ..WebhookPatch::default()
    };
    world.new_webhook_with(patch).await
}

#[tokio::test]
async fn both_together_claim_no_more_than_may_be_in_flight() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let webhook = with_most_in_flight(&world, 4).await;
    assert!(claim(&world, &*other, webhook, 4).await.is_empty());
    world.new_integration().await;
    assert_eq!(claim(&world, &*other, webhook, 3).await.len(), 1);
    assert!(world.claim(webhook).await.is_empty());
    for _ in 0..4 {
        world.new_integration().await;
    }
    assert_eq!(
        under_way(&world).await,
        3,
        "one of the other, and its share"
    );
    assert_eq!(
        world.claim(webhook).await.len(),
        3,
        "and one that was asked for"
    );
    assert_eq!(under_way(&world).await, 4);
}

#[tokio::test]
async fn while_another_has_more_than_its_share_only_one_takes_what_it_leaves() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let webhook = with_most_in_flight(&world, 8).await;
    for _ in 0..5 {
        world.new_integration().await;
    }
    assert_eq!(claim(&world, &*other, webhook, 8).await.len(), 5);
    assert!(world.claim(webhook).await.is_empty());
    for _ in 0..4 {
        world.new_integration().await;
    }
    assert_eq!(under_way(&world).await, 8);
    assert_eq!(world.claim(webhook).await.len(), 3);
}

#[tokio::test]
async fn of_three_none_takes_unseen_what_one_with_more_than_its_share_leaves() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let third = open(&world.database.url(), 8).await;
    let webhook = with_most_in_flight(&world, 9).await;
    for _ in 0..5 {
        world.new_integration().await;
    }
    assert_eq!(claim(&world, &*other, webhook, 9).await.len(), 5);
    assert!(claim(&world, &third, webhook, 9).await.is_empty());
    assert!(world.claim(webhook).await.is_empty());
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 5);
    assert_eq!(world.claim(webhook).await.len(), 1);
}

#[tokio::test]
async fn who_is_counted_no_longer_claims_nothing_unseen_before_it_has_come_again() {
    let Some(world) = world().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    assert!(world.claim(webhook).await.is_empty());
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 1);
    let lapse = "UPDATE replicas SET until = clock_timestamp() - interval '1 second'";
    execute(&world.database.url(), lapse).await;
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 1);
    // It says that it is there every second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(world.claim(webhook).await.len(), 2);
    // What it is told while it comes is forgotten too.
    assert!(world.claim(webhook).await.is_empty());
    world.new_integration().await;
    assert_eq!(under_way(&world).await, 3);
    world.store().close().await.unwrap();
    let there = count(&world, "SELECT count(*) FROM replicas").await;
    assert_eq!(there, 0, "it has left");
}

/// Neither sees what the other is about to commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_claim_at_the_same_time_keep_to_what_may_be_in_flight() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let webhook = with_most_in_flight(&world, 20).await;
    assert!(world.claim(webhook).await.is_empty());
    assert!(claim(&world, &*other, webhook, 20).await.is_empty());
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200_usize {
        let store = [world.store(), other.clone()][number % 2].clone();
        let write = Write::CreateIntegration {
            new: Box::new(world.integration_request()),
            requestor: None,
        };
        let commit = Commit {
            at: world.now(),
            write,
            by: By::system(),
            remember: None,
        };
        running.spawn(async move { store.commit(commit).await.unwrap() });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let by_holder = "SELECT count(DISTINCT holder) FROM claims";
    assert_eq!(count(&world, by_holder).await, 2, "both have claimed");
    assert_eq!(under_way(&world).await, 20);
}

#[tokio::test]
async fn what_was_made_by_one_that_is_gone_goes_to_another() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let webhook = world.new_webhook().await;
    assert!(world.claim(webhook).await.is_empty());
    let id = world.new_integration().await;
    assert!(claim(&world, &*other, webhook, 5).await.is_empty());
    let lapse = "UPDATE claims SET lease_until = clock_timestamp() - interval '1 second'";
    execute(&world.database.url(), lapse).await;
    let taken = claim(&world, &*other, webhook, 5).await;
    assert_eq!((taken.len(), taken[0].integration_id), (1, id));
    for late in world.claim(webhook).await {
        assert_eq!(world.succeed(&late).await, Recorded::Lost);
    }
    assert_eq!(world.lane(webhook, id).await[0].attempt_count, 0);
}
