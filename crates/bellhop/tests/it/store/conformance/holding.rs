//! Webhooks that are held keep their deliveries.

use std::time::Duration;

use bellhop::{
    domain::{
        delivery::{Next, WebhookEffect},
        webhook::WebhookState,
    },
    store::Write,
};

use crate::store::{databases::Database, world::World};

pub async fn a_webhook_that_is_not_enabled_is_held<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    for state in [WebhookState::Paused, WebhookState::Disabled] {
        world.set_state(webhook, state).await;
        world.toggle(integration, 1).await;
        let taken = world.claim_some(webhook, 10).await;
        assert_eq!((taken.claims.len(), taken.next_due), (0, None));
        assert_eq!(taken.revision, world.webhook(webhook).await.revision);
    }
    world.set_state(webhook, WebhookState::Enabled).await;
    // What was held goes, in order.
    for sequence in 1..=3 {
        let claim = world.claim_one(webhook).await;
        assert_eq!(claim.sequence, sequence);
        world.succeed(&claim).await;
    }
}

pub async fn gone_disables_the_webhook<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (one, two) = (world.new_integration().await, world.new_integration().await);
    let before = world.webhook(webhook).await;
    let claims = world.claim(webhook).await;
    let reason = "The receiver answered 410 Gone.".to_owned();
    let effect = WebhookEffect::Disable {
        reason: reason.clone(),
    };
    let at = world.now();
    world
        .record(&claims[0], Next::Retry { at }, Some(effect))
        .await;
    let after = world.webhook(webhook).await;
    assert_eq!(
        (after.state, after.state_reason),
        (WebhookState::Disabled, Some(reason))
    );
    assert!(after.revision > before.revision);
    // What was under way is recorded all the same.
    world.succeed(&claims[1]).await;
    let held = world.claim_some(webhook, 10).await;
    assert_eq!((held.claims.len(), held.next_due), (0, None));
    for integration in [one, two] {
        world.toggle(integration, 1).await;
    }
    world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(world.webhook(webhook).await.state_reason, None);
    assert_eq!(world.claim(webhook).await.len(), 2);
}

pub async fn a_pause_of_the_receiver_holds_the_webhook<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        world.new_integration().await;
    }
    let claims = world.claim_some(webhook, 2).await.claims;
    let far = world.now() + Duration::from_mins(1);
    let near = world.now() + Duration::from_secs(30);
    for (claim, until) in claims.iter().zip([far, near]) {
        let effect = WebhookEffect::NotBefore(until);
        world
            .record(claim, Next::Retry { at: until }, Some(effect))
            .await;
    }
    // The later of the two holds.
    assert_eq!(world.webhook(webhook).await.not_before, Some(far));
    world.clock.advance(Duration::from_secs(59));
    let held = world.claim_some(webhook, 10).await;
    assert_eq!((held.claims.len(), held.next_due), (0, Some(far)));
    world.database.reopen().await;
    assert_eq!(world.claim(webhook).await.len(), 0);
    let stats = world.store().stats(world.now()).await.unwrap();
    assert_eq!(stats.oldest_due, None);
    world.later();
    assert_eq!(world.claim(webhook).await.len(), 3);
}

pub async fn enabling_ends_the_pause<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let at = world.now();
    let effect = WebhookEffect::NotBefore(at + Duration::from_hours(1));
    world.record(&claim, Next::Retry { at }, Some(effect)).await;
    assert_eq!(world.claim(webhook).await.len(), 0);
    let webhook_now = world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(webhook_now.not_before, None);
    assert_eq!(world.claim(webhook).await.len(), 1);
}

pub async fn a_held_lane_is_counted_once<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (one, _) = (world.new_integration().await, world.new_integration().await);
    let claims = world.claim(webhook).await;
    let of_one = claims
        .iter()
        .find(|claim| claim.integration_id == one)
        .unwrap();
    world.succeed(of_one).await;
    world.toggle(one, 2).await;
    world
        .commit(Write::Replay {
            id: of_one.delivery_id,
        })
        .await
        .unwrap();
    let held = async || world.store().stats(world.now()).await.unwrap().lanes_held;
    assert_eq!(held().await, 0);
    world.set_state(webhook, WebhookState::Paused).await;
    assert_eq!(held().await, 2);
    world.write(Write::DeleteWebhook { id: webhook }).await;
    assert_eq!(held().await, 0);
}
