//! A clock that is set back: what was planned by it waits from then for as long as it was to wait, never shorter.

use std::time::Duration;

use bellhop::{
    domain::{
        delivery::{Next, WebhookEffect},
        retry::later,
    },
    store::{WebhookPatch, Write},
};

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

/// Further than clocks of replicas are ever apart, and further than a circuit stays open.
const A_DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

async fn replan<D: Database>(world: &World<D>) -> usize {
    world.store().replan(world.now()).await.unwrap()
}

/// What is due of the webhook now.
async fn due<D: Database>(world: &World<D>) -> usize {
    let webhooks = world.store().webhooks(None, ALL).await.unwrap();
    let mut due = 0;
    for webhook in webhooks {
        let claims = world.claim(webhook.id).await;
        due += claims.len();
        let proof = claims.iter().map(|claim| (claim.delivery_id, claim.fence));
        world.store().release(proof.collect()).await.unwrap();
    }
    due
}

pub async fn a_retry_waits_as_long_as_it_was_to_wait<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.fail(&claim).await;
    // Three of its ten seconds are over.
    world.clock.advance(Duration::from_secs(3));
    world.clock.set_back(A_DAY);
    assert_eq!(replan(&world).await, 1);
    let planned = world.lane(webhook, integration).await[0].next_attempt;
    assert_eq!(planned, Some(later(world.now(), Duration::from_secs(10))));
    world.clock.advance(Duration::from_millis(9_999));
    assert_eq!(due(&world).await, 0);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(due(&world).await, 1);
    assert_eq!(replan(&world).await, 0, "what was moved is not moved again");
}

pub async fn a_first_try_is_not_lost_in_the_future<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    world.clock.set_back(A_DAY);
    assert_eq!(due(&world).await, 0);
    assert_eq!(replan(&world).await, 1, "heads alone have a plan");
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    assert_eq!(world.claim_one(webhook).await.sequence, 2);
}

/// Its commit is long ago by any clock; when it became the head is written nowhere.
pub async fn what_became_the_head_in_the_future_is_not_lost_there<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    world.clock.advance(A_DAY);
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    for back in [HOUR, A_DAY] {
        world.clock.set_back(back);
        assert_eq!(due(&world).await, 0);
        assert_eq!(replan(&world).await, 1);
        assert_eq!(due(&world).await, 1);
    }
}

pub async fn a_plan_that_the_clock_has_passed_stays<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let retry = Next::Retry {
        at: later(world.now(), A_DAY),
    };
    world.record(&claim, retry, None).await;
    let before = world.lane(webhook, integration).await;
    world.clock.advance(2 * HOUR);
    // Back, but not to before it was planned.
    world.clock.set_back(HOUR);
    assert_eq!(replan(&world).await, 0);
    assert_eq!(world.lane(webhook, integration).await, before);
}

pub async fn a_pause_of_the_receiver_lasts_as_long<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let pause = later(world.now(), HOUR);
    let retry = Next::Retry { at: pause };
    let effect = WebhookEffect::NotBefore(pause);
    world.record(&claim, retry, Some(effect)).await;
    world.clock.set_back(A_DAY);
    assert_eq!(replan(&world).await, 1);
    let until = world.webhook(webhook).await.not_before;
    assert_eq!(until, Some(later(world.now(), HOUR)));
    world.clock.advance(Duration::from_millis(3_599_999));
    assert_eq!(due(&world).await, 0);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(due(&world).await, 1);
}

/// Other heads were planned at other times, by other clocks: they say nothing of the pause.
pub async fn a_pause_lasts_as_long_however_often_the_clock_is_set_back<D: Database>(
    world: World<D>,
) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.clock.advance(4 * HOUR);
    world.new_integration().await;
    world.clock.advance(4 * HOUR);
    let pause = later(world.now(), Duration::from_secs(2));
    let retry = Next::Retry { at: pause };
    let effect = WebhookEffect::NotBefore(pause);
    world.record(&claim, retry, Some(effect)).await;
    for back in [HOUR, 2 * HOUR, A_DAY] {
        world.clock.set_back(back);
        replan(&world).await;
        let until = world.webhook(webhook).await.not_before;
        assert_eq!(until, Some(later(world.now(), Duration::from_secs(2))));
    }
    // A change of the settings does not make it forget that.
    world.update(webhook, WebhookPatch::default()).await;
    world.clock.set_back(HOUR);
    replan(&world).await;
    let until = world.webhook(webhook).await.not_before;
    assert_eq!(until, Some(later(world.now(), Duration::from_secs(2))));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(due(&world).await, 1, "the one that was never tried");
    // The other waits for as long as the schedule says, at most: what it was to wait is not known after the second time.
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(due(&world).await, 2);
}

pub async fn a_circuit_asks_soon<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..10 {
        world.new_integration().await;
    }
    for claim in world.claim(webhook).await {
        world.fail(&claim).await;
    }
    assert!(world.webhook(webhook).await.health.open_until.is_some());
    world.clock.set_back(A_DAY);
    replan(&world).await;
    let until = world.webhook(webhook).await.health.open_until;
    assert_eq!(until, Some(later(world.now(), Duration::from_secs(5))));
}

pub async fn what_waits_for_nobody_is_left_alone<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    world.toggle(integration, 1).await;
    let id = world.lane(webhook, integration).await[1].id;
    let reason = "not wanted".to_owned();
    world.write(Write::Discard { id, reason }).await;
    let before = world.lane(webhook, integration).await;
    world.clock.set_back(A_DAY);
    assert_eq!(replan(&world).await, 0);
    assert_eq!(world.lane(webhook, integration).await, before);
}
