//! Claims and fences.

use std::{collections::HashSet, time::Duration};

use bellhop::{
    domain::delivery::{DeliveryState, Next},
    id::WebhookId,
    store::{ClaimRequest, Fence, MessageBody, Recorded, Want},
};
use bellhop_webhook::Action;
use uuid::Uuid;

use crate::store::{databases::Database, world::World};

pub async fn a_claim_tells_all_that_sending_needs<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let made = world.now();
    world.later();
    let taken = world.claim_some(webhook, 10).await;
    assert_eq!(taken.webhook_id, webhook);
    assert_eq!(taken.revision, world.webhook(webhook).await.revision);
    assert_eq!(taken.next_due, None);
    let claim = &taken.claims[0];
    let lane = world.lane(webhook, integration).await;
    assert_eq!(claim.delivery_id, lane[0].id);
    assert_eq!(
        (claim.webhook_id, claim.integration_id),
        (webhook, integration)
    );
    assert_eq!((claim.sequence, claim.previous), (1, 0));
    assert_eq!(claim.action, Action::IntegrationCreated);
    assert_eq!(claim.state, DeliveryState::Pending);
    assert_eq!((claim.number, claim.tries, claim.planned), (1, 0, None));
    assert_eq!(claim.created, made);
    let body = world.store().body(lane[0].id).await.unwrap();
    assert_eq!(claim.body.clone().map(MessageBody::Bytes), body);
    assert_eq!(claim.message_id(), lane[0].message_id());
}

pub async fn what_is_claimed_is_not_claimed_again<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..5 {
        world.new_integration().await;
    }
    let mut seen = HashSet::new();
    for expected in [2, 2, 1, 0] {
        let taken = world.claim_some(webhook, 2).await;
        assert_eq!(taken.claims.len(), expected);
        for claim in taken.claims {
            assert!(seen.insert(claim.delivery_id));
        }
    }
}

pub async fn claims_come_in_the_order_they_are_due<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let mut integrations = Vec::new();
    for _ in 0..4 {
        integrations.push(world.new_integration().await);
        world.later();
    }
    // The first is tried again only after all others are due.
    let claim = world.claim_some(webhook, 1).await.claims.remove(0);
    assert_eq!(claim.integration_id, integrations[0]);
    let at = world.now();
    world.record(&claim, Next::Retry { at }, None).await;
    let claims = world.claim(webhook).await;
    let order: Vec<_> = claims.iter().map(|claim| claim.integration_id).collect();
    integrations.rotate_left(1);
    assert_eq!(order, integrations);
}

pub async fn a_claim_says_when_there_is_more<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let first = world.now();
    world.new_integration().await;
    let second = world.later();
    world.new_integration().await;
    assert_eq!(world.claim_some(webhook, 0).await.next_due, Some(first));
    // More is due already.
    let taken = world.claim_some(webhook, 1).await;
    assert_eq!(taken.next_due, Some(second));
    // Nothing is left but what is claimed.
    assert_eq!(world.claim_some(webhook, 1).await.next_due, None);
    // More will be due.
    let at = world.now() + Duration::from_secs(10);
    world
        .record(&taken.claims[0], Next::Retry { at }, None)
        .await;
    let nothing = world.claim_some(webhook, 1).await;
    assert_eq!((nothing.claims.len(), nothing.next_due), (0, Some(at)));
    let dues = world.store().due().await.unwrap();
    assert_eq!(
        dues.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [webhook]
    );
}

pub async fn several_webhooks_are_claimed_at_once<D: Database>(world: World<D>) {
    let (one, two) = (world.new_webhook().await, world.new_webhook().await);
    for _ in 0..3 {
        world.new_integration().await;
    }
    let unknown = WebhookId(Uuid::nil());
    let want = |webhook_id, limit| Want { webhook_id, limit };
    let request = ClaimRequest {
        now: world.now(),
        wants: vec![want(two, 2), want(unknown, 5), want(one, 5)],
    };
    let taken = world.store().claim(request).await.unwrap();
    let told: Vec<_> = taken
        .iter()
        .map(|taken| (taken.webhook_id, taken.claims.len()))
        .collect();
    assert_eq!(told, [(two, 2), (unknown, 0), (one, 3)]);
    assert_eq!(taken[1].next_due, None);
    for taken in taken {
        assert!(
            taken
                .claims
                .iter()
                .all(|claim| claim.webhook_id == taken.webhook_id)
        );
    }
    let nothing = ClaimRequest {
        now: world.now(),
        wants: vec![],
    };
    assert!(world.store().claim(nothing).await.unwrap().is_empty());
}

pub async fn a_released_claim_is_due_again<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let before = world.lane(webhook, integration).await;
    let claim = world.claim_one(webhook).await;
    let store = world.store();
    let wrong = Fence(claim.fence.0 + 1);
    store
        .release(vec![(claim.delivery_id, wrong)])
        .await
        .unwrap();
    assert_eq!(world.claim(webhook).await.len(), 0);
    store
        .release(vec![(claim.delivery_id, claim.fence)])
        .await
        .unwrap();
    assert_eq!(world.lane(webhook, integration).await, before);
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    let again = world.claim_one(webhook).await;
    assert_eq!((again.delivery_id, again.number), (claim.delivery_id, 1));
    assert_ne!(again.fence, claim.fence);
    store.release(vec![]).await.unwrap();
}

pub async fn a_fence_that_is_not_held_records_nothing<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let mut claim = world.claim_one(webhook).await;
    let before = world.lane(webhook, integration).await;
    let fence = claim.fence;
    claim.fence = Fence(fence.0 + 1);
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    assert_eq!(world.lane(webhook, integration).await, before);
    assert_eq!(world.store().attempts(claim.delivery_id).await.unwrap(), []);
    claim.fence = fence;
    assert_eq!(
        world.succeed(&claim).await,
        Recorded::Done {
            lane_goes_on: false
        }
    );
    // Nor is what nobody claimed.
    world.toggle(integration, 1).await;
    claim.delivery_id = world.lane(webhook, integration).await[1].id;
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
}

pub async fn reopening_frees_what_was_claimed<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.database.reopen().await;
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    let again = world.claim_one(webhook).await;
    assert_eq!((again.delivery_id, again.number), (claim.delivery_id, 1));
    world.succeed(&again).await;
}

pub async fn claims_at_once_share_what_is_due<D: Database>(world: World<D>) {
    let webhook_id = world.new_webhook().await;
    for _ in 0..30 {
        world.new_integration().await;
    }
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (store, now) = (world.store(), world.now());
        running.spawn(async move {
            let wants = vec![Want {
                webhook_id,
                limit: 5,
            }];
            store.claim(ClaimRequest { now, wants }).await.unwrap()
        });
    }
    let (mut seen, mut count) = (HashSet::new(), 0);
    while let Some(taken) = running.join_next().await {
        for claim in taken.unwrap().into_iter().flat_map(|taken| taken.claims) {
            seen.insert(claim.delivery_id);
            count += 1;
        }
    }
    assert_eq!((seen.len(), count), (30, 30));
}
