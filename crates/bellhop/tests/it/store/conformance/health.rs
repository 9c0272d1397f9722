//! What attempts show of a webhook, and what that holds back.

use std::time::Duration;

use bellhop::{
    domain::{
        cause::Cause,
        delivery::Next,
        health::{Circuit, Health},
        secret_text::SecretText,
        webhook::WebhookState,
    },
    id::WebhookId,
    store::{Claim, DeliveryFilter, WebhookPatch},
};

use crate::store::{
    databases::Database,
    world::{ALL, World, attempted},
};

/// A webhook whose circuit has just opened, with twelve lanes, none of which is under way.
async fn an_open_one<D: Database>(world: &World<D>) -> WebhookId {
    let webhook = world.new_webhook().await;
    for _ in 0..12 {
        world.new_integration().await;
    }
    for claim in world.claim_some(webhook, 10).await.claims {
        world.fail(&claim).await;
    }
    webhook
}

async fn fares<D: Database>(world: &World<D>, webhook: WebhookId) -> Health {
    world.webhook(webhook).await.health
}

pub async fn ten_failures_open_the_circuit<D: Database>(world: World<D>) {
    let webhook = an_open_one(&world).await;
    let until = world.now() + Duration::from_secs(5);
    let health = fares(&world, webhook).await;
    assert_eq!(health.circuit(world.now()), Circuit::Open { until });
    assert_eq!(
        (health.failures, health.failing_since),
        (10, Some(world.now()))
    );
    let held = world.claim_some(webhook, 10).await;
    assert_eq!((held.claims.len(), held.next_due), (0, Some(until)));
    assert_eq!(world.store().due().await.unwrap(), [(webhook, until)]);
    let stats = world.store().stats(world.now()).await.unwrap();
    assert_eq!(
        (stats.circuits_open, stats.lanes_held, stats.oldest_due),
        (1, 12, None)
    );
}

pub async fn an_open_circuit_shows_in_the_next_attempt<D: Database>(world: World<D>) {
    let webhook = an_open_one(&world).await;
    let until = world.now() + Duration::from_secs(5);
    let retry = world.now() + Duration::from_secs(10);
    let all = world
        .store()
        .deliveries(DeliveryFilter::default(), ALL)
        .await;
    for delivery in all.unwrap() {
        let shown = if delivery.attempt_count == 0 {
            until
        } else {
            retry
        };
        assert_eq!(delivery.next_attempt, Some(shown));
        let alone = world.store().delivery(delivery.id).await.unwrap();
        assert_eq!(alone, Some(delivery));
    }
    world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(
        world.claim(webhook).await.len(),
        2,
        "it is shown, not written"
    );
}

pub async fn one_attempt_at_a_time_finds_out<D: Database>(mut world: World<D>) {
    let webhook = an_open_one(&world).await;
    world.database.reopen().await;
    world.clock.advance(Duration::from_secs(5));
    let probe = world.claim_some(webhook, 10).await;
    assert_eq!((probe.claims.len(), probe.most_in_flight), (1, Some(1)));
    assert!(probe.next_due.is_some_and(|due| due <= world.now()));
    assert_eq!(world.claim(webhook).await.len(), 0, "one at a time");
    world.fail(&probe.claims[0]).await;
    // It failed: twice as long.
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(world.claim(webhook).await.len(), 0);
    world.later();
    let probe = world.claim_one(webhook).await;
    world.succeed(&probe).await;
    let health = fares(&world, webhook).await;
    assert_eq!(
        (health.circuit(world.now()), health.ramp),
        (Circuit::Closed, Some(1))
    );
}

pub async fn the_backlog_drains_on_a_ramp<D: Database>(mut world: World<D>) {
    let webhook = an_open_one(&world).await;
    world.clock.advance(Duration::from_mins(1));
    let probe = world.claim_one(webhook).await;
    world.succeed(&probe).await;
    let mut in_flight = Vec::new();
    loop {
        let taken = world.claim_some(webhook, 1000).await;
        if taken.claims.is_empty() {
            break;
        }
        in_flight.push(taken.claims.len());
        for claim in taken.claims {
            world.succeed(&claim).await;
        }
        world.database.reopen().await;
    }
    // Each success doubles what may be in flight: 1, then 2, and from there 8.
    assert_eq!(in_flight, [1, 2, 8]);
    assert!(fares(&world, webhook).await.is_clean());
}

pub async fn enabling_it_or_another_url_closes_the_circuit<D: Database>(world: World<D>) {
    let webhook = an_open_one(&world).await;
    let same = WebhookPatch {
        url: Some(SecretText::new("https://receiver.example/hooks?key=secret")),
        ..WebhookPatch::default()
    };
    assert_eq!(world.update(webhook, same).await.health.opened, 1);
    let paused = world.set_state(webhook, WebhookState::Paused).await;
    assert_eq!(paused.health.opened, 1, "a pause heals nothing");
    let other = WebhookPatch {
        url: Some(SecretText::new("https://elsewhere.example/")),
        ..WebhookPatch::default()
    };
    assert!(world.update(webhook, other).await.health.is_clean());
    world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(world.claim_some(webhook, 1000).await.claims.len(), 2);

    let other = an_open_one(&world).await;
    assert!(!fares(&world, other).await.is_clean());
    let enabled = world.set_state(other, WebhookState::Enabled).await;
    assert!(enabled.health.is_clean());
}

pub async fn our_own_faults_do_not_count<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let at = world.now();
    let mut internal = attempted(&claim, Next::Retry { at }, None, at);
    internal.attempt.cause = Some(Cause::Internal);
    world.store().record(internal).await.unwrap();
    assert!(fares(&world, webhook).await.is_clean());
}

pub async fn five_days_of_failures_disable_it<D: Database>(mut world: World<D>) {
    let webhook = an_open_one(&world).await;
    let before = world.webhook(webhook).await;
    let since = world.now();
    world
        .clock
        .advance(Duration::from_hours(5 * 24) - Duration::from_secs(1));
    let probe = world.claim_one(webhook).await;
    world.fail(&probe).await;
    assert_eq!(world.webhook(webhook).await.state, WebhookState::Enabled);
    world.database.reopen().await;
    world.clock.advance(Duration::from_mins(5));
    let probe = world.claim_one(webhook).await;
    world.fail(&probe).await;
    let disabled = world.webhook(webhook).await;
    assert_eq!(disabled.state, WebhookState::Disabled);
    assert!(disabled.revision > before.revision);
    let reason = disabled.state_reason.unwrap();
    let since = bellhop_webhook::UtcSecond::new(since).to_string();
    assert!(
        reason.contains(&since) && reason.contains("5 days"),
        "{reason}"
    );

    let enabled = world.set_state(webhook, WebhookState::Enabled).await;
    assert_eq!(
        (enabled.state_reason, enabled.health),
        (None, Health::default())
    );
    world.later();
    let held: Vec<Claim> = world.claim(webhook).await;
    assert!(held.len() >= 11, "{}", held.len());
}

pub async fn a_success_is_all_that_it_takes_to_be_clean<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..4 {
        world.new_integration().await;
    }
    let claims = world.claim(webhook).await;
    for claim in &claims[..3] {
        world.fail(claim).await;
    }
    assert_eq!(fares(&world, webhook).await.failures, 3);
    let revision = world.webhook(webhook).await.revision;
    world.succeed(&claims[3]).await;
    assert!(fares(&world, webhook).await.is_clean());
    assert_eq!(
        world.webhook(webhook).await.revision,
        revision,
        "not a change of its settings"
    );
}
