//! What a replica claims as it makes it, because it asked for more than there was.

use std::sync::Arc;

use bellhop::{
    domain::{delivery::DeliveryState, webhook::WebhookState},
    id::WebhookId,
    store::{
        Claim, ClaimRequest, CommitError, MessageBody, Recorded, Store, Want, WebhookPatch, Write,
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
    let url = world.database.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let found = client.query_one("SELECT count(*) FROM claims", &[]).await;
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

#[tokio::test]
async fn both_together_claim_no_more_than_may_be_in_flight() {
    let Some(world) = world().await else {
        return;
    };
    let other = another(&world).await;
    let patch = WebhookPatch {
        max_in_flight: Some(3),
        ..WebhookPatch::default()
    };
    let webhook = world.new_webhook_with(patch).await;
    for _ in 0..2 {
        world.new_integration().await;
    }
    assert_eq!(claim(&world, &*other, webhook, 3).await.len(), 2);
    assert!(world.claim(webhook).await.is_empty());
    for _ in 0..4 {
        world.new_integration().await;
    }
    assert_eq!(under_way(&world).await, 3);
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
