//! Letting go of what is older than it is kept.

use std::time::Duration;

use bellhop::{
    domain::{
        access_token::TokenHash,
        api_key::{ApiKey, Scope},
        delivery::DeliveryState,
        integration::Command,
    },
    id::{DeliveryId, ReplayId},
    store::{CommitError, IntegrationFilter, Noun, Purge, Purged, Selection, Write},
};
use jiff::Timestamp;

use super::runs::{of_state, run, send_all, start, step};
use crate::store::{
    databases::Database,
    world::{ALL, World},
};

/// How long everything is kept here.
const KEPT: Duration = Duration::from_hours(1);
/// A second less.
const ALMOST: Duration = Duration::from_secs(3599);

/// What may go now, if everything is kept for an hour.
fn old<D: Database>(world: &World<D>, again: bool) -> Purge {
    let before = Some(world.now() - KEPT);
    Purge {
        now: world.now(),
        deliveries: before,
        tombstones: before,
        audit: None,
        again,
    }
}

/// Purges until there is no more.
async fn purge_all<D: Database>(world: &World<D>, mut what: Purge) -> Purged {
    let mut all = Purged::default();
    loop {
        let purged = world.store().purge(what).await.unwrap();
        all.deliveries += purged.deliveries;
        all.tombstones += purged.tombstones;
        all.replays += purged.replays;
        all.others += purged.others;
        what.again = false;
        if !purged.has_more {
            return all;
        }
    }
}

async fn purge<D: Database>(world: &World<D>) -> Purged {
    purge_all(world, old(world, true)).await
}

fn pass<D: Database>(world: &World<D>) {
    world.clock.advance(KEPT);
}

async fn is_gone<D: Database>(world: &World<D>, id: DeliveryId) -> bool {
    let store = world.store();
    let is_gone = store.delivery(id).await.unwrap().is_none();
    assert_eq!(store.body(id).await.unwrap().is_none(), is_gone);
    if is_gone {
        assert!(store.attempts(id).await.unwrap().is_empty());
        let replayed = world.commit(Write::Replay { id }).await;
        assert!(matches!(
            replayed,
            Err(CommitError::NotFound {
                noun: Noun::Delivery,
                ..
            })
        ));
    }
    is_gone
}

async fn counts<D: Database>(world: &World<D>) -> [u64; 4] {
    world.store().stats(world.now()).await.unwrap().deliveries
}

pub async fn what_ended_long_ago_goes_with_its_attempts<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    let first = world.claim_one(webhook).await;
    world.succeed(&first).await;
    world.later();
    let second = world.claim_one(webhook).await;
    world.succeed(&second).await;
    world.clock.advance(ALMOST);
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(is_gone(&world, first.delivery_id).await);
    assert!(!is_gone(&world, second.delivery_id).await);
    assert_eq!(counts(&world).await, [1, 1, 0, 0]);
    world.later();
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(is_gone(&world, second.delivery_id).await);
    assert_eq!(counts(&world).await, [1, 0, 0, 0]);
    let left = world.lane(webhook, integration).await;
    assert_eq!(left.len(), 1);
    assert_eq!(world.claim_one(webhook).await.sequence, 3);
}

pub async fn what_is_pending_or_to_be_sent_again_stays<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let first = world.claim_one(webhook).await;
    world.succeed(&first).await;
    let id = first.delivery_id;
    world.write(Write::Replay { id }).await;
    world.later();
    world.toggle(integration, 1).await;
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 0);
    // While the attempt is under way, too.
    let again = world.claim_one(webhook).await;
    assert_eq!(again.delivery_id, first.delivery_id);
    let second = world.lane(webhook, integration).await[1].id;
    assert_eq!(purge(&world).await.deliveries, 0);
    world.succeed(&again).await;
    // A replay does not make a delivery younger: it ended when it ended.
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(world.store().delivery(second).await.unwrap().is_some());
}

pub async fn what_ended_late_goes_when_it_is_looked_at_again<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let other = world.new_integration().await;
    let claims = world.claim(webhook).await;
    let (late, early) = (&claims[0], &claims[1]);
    assert_eq!(
        (late.integration_id, early.integration_id),
        (integration, other)
    );
    world.succeed(early).await;
    pass(&world);
    world.succeed(late).await;
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(!is_gone(&world, late.delivery_id).await);
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(is_gone(&world, late.delivery_id).await);
    assert_eq!(counts(&world).await, [0; 4]);
}

pub async fn an_emptied_lane_still_knows_what_came_before<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    for _ in 0..2 {
        let claim = world.claim_one(webhook).await;
        world.succeed(&claim).await;
    }
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 2);
    world.database.reopen().await;
    world.toggle(integration, 1).await;
    let next = world.claim_one(webhook).await;
    assert_eq!((next.sequence, next.previous), (3, 2));
    world.succeed(&next).await;
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 1);
    world.toggle(integration, 1).await;
    assert_eq!(world.claim_one(webhook).await.previous, 3);
    // A webhook that is new has nothing before.
    let new = world.new_webhook().await;
    world.toggle(integration, 1).await;
    assert_eq!(world.claim_one(new).await.previous, 0);
}

pub async fn the_last_of_a_lane_stays_while_an_earlier_one_does<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let lane = world.lane(webhook, integration).await;
    let reason = "not wanted".into();
    let id = lane[1].id;
    world.write(Write::Discard { id, reason }).await;
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 0);
    world.toggle(integration, 1).await;
    let lane = world.lane(webhook, integration).await;
    assert_eq!(lane[2].previous, 2);
    assert_eq!(purge(&world).await.deliveries, 1);
    assert!(is_gone(&world, id).await);
}

pub async fn a_deleted_integration_goes_with_its_messages_after_its_deliveries<D: Database>(
    world: World<D>,
) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.command(integration, Command::Delete).await;
    let store = world.store();
    pass(&world);
    // Its deliveries are pending: it stays, and so do its messages.
    assert_eq!(purge(&world).await, Purged::default());
    for _ in 0..2 {
        let claim = world.claim_one(webhook).await;
        assert!(claim.body.is_some());
        world.succeed(&claim).await;
    }
    assert_eq!(purge(&world).await.total(), 0);
    assert_eq!(store.messages(integration, 0, 10).await.unwrap().len(), 2);
    pass(&world);
    let purged = purge(&world).await;
    assert_eq!(
        (purged.deliveries, purged.tombstones, purged.others),
        (2, 1, 2)
    );
    assert!(store.integration(integration).await.unwrap().is_none());
    assert!(store.messages(integration, 0, 10).await.unwrap().is_empty());
    let filter = IntegrationFilter {
        with_deleted: true,
        ..IntegrationFilter::default()
    };
    assert!(store.integrations(filter, ALL).await.unwrap().is_empty());
}

pub async fn messages_of_integrations_that_live_stay<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    world.command(integration, Command::Cancel).await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 2);
    let store = world.store();
    assert_eq!(store.messages(integration, 0, 10).await.unwrap().len(), 2);
    let left = store.integration(integration).await.unwrap().unwrap();
    assert_eq!(left.sequence, 2);
}

pub async fn a_deleted_webhook_goes<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    pass(&world);
    assert_eq!(purge(&world).await.deliveries, 1);
    world.toggle(integration, 1).await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    assert_eq!(purge(&world).await.total(), 0);
    assert_eq!(counts(&world).await, [0, 0, 0, 1]);
    pass(&world);
    let purged = purge(&world).await;
    assert_eq!((purged.deliveries, purged.tombstones), (1, 1));
    assert_eq!(counts(&world).await, [0; 4]);
    // Its id is free again.
    assert!(world.lane(webhook, integration).await.is_empty());
}

pub async fn expired_keys_go<D: Database>(world: World<D>) {
    let key = |expires: Option<Timestamp>, hash: u8| ApiKey {
        id: world.id(),
        name: "gateway".into(),
        scope: Scope::Introspect,
        hash: TokenHash([hash; 32]),
        created: world.now(),
        expires,
        previous: None,
        first: None,
        last_used: None,
    };
    let (short, long) = (key(Some(world.now()), 1), key(None, 2));
    for key in [&short, &long] {
        world.write(Write::CreateKey(Box::new(key.clone()))).await;
    }
    world.clock.advance(ALMOST);
    assert_eq!(purge(&world).await.total(), 0);
    world.later();
    assert_eq!(purge(&world).await.tombstones, 1);
    let left = world.store().keys().await.unwrap();
    assert_eq!(left, [long]);
}

pub async fn much_goes_a_little_at_a_time<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 299).await;
    world.command(integration, Command::Delete).await;
    for _ in 0..301 {
        let claim = world.claim_one(webhook).await;
        world.succeed(&claim).await;
    }
    pass(&world);
    let purged = purge(&world).await;
    assert_eq!(
        (purged.deliveries, purged.tombstones, purged.others),
        (301, 1, 301)
    );
    assert_eq!(counts(&world).await, [0; 4]);
    assert_eq!(purge(&world).await, Purged::default());
}

pub async fn nothing_goes_that_is_kept_for_ever<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.command(integration, Command::Delete).await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    pass(&world);
    let nothing = Purge {
        deliveries: None,
        tombstones: None,
        ..old(&world, true)
    };
    assert_eq!(purge_all(&world, nothing).await, Purged::default());
    // A tombstone stays as long as a delivery of it does.
    let tombstones = Purge {
        deliveries: None,
        ..old(&world, true)
    };
    assert_eq!(purge_all(&world, tombstones).await, Purged::default());
    let discarded = world.lane(webhook, integration).await;
    let states = discarded.iter().map(|each| each.state);
    assert!(states.eq([DeliveryState::Discarded; 2]));
}

/// Steps a run and sends what it makes due, until it has ended.
async fn end<D: Database>(world: &World<D>, id: ReplayId, webhook: bellhop::id::WebhookId) {
    while run(world, id).await.ended.is_none() {
        if world.store().next_of_replay(id).await.unwrap().is_some() {
            step(world, id).await;
        }
        send_all(world, webhook).await;
    }
}

async fn is_kept<D: Database>(world: &World<D>, id: ReplayId) -> bool {
    world.store().replay(id).await.unwrap().is_some()
}

pub async fn an_ended_replay_goes<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    send_all(&world, webhook).await;
    let ended = start(&world, of_state(DeliveryState::Delivered)).await;
    end(&world, ended, webhook).await;
    let open = start(&world, of_state(DeliveryState::Delivered)).await;
    world.clock.advance(ALMOST);
    assert_eq!(purge(&world).await.replays, 0);
    assert!(is_kept(&world, ended).await);
    world.later();
    assert_eq!(purge(&world).await.replays, 1);
    assert!(!is_kept(&world, ended).await);
    assert!(is_kept(&world, open).await, "it has not ended");
}

pub async fn the_newest_backfill_of_a_webhook_stays<D: Database>(mut world: World<D>) {
    let integration = world.new_integration().await;
    let webhook = world.new_webhook().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let history = Selection::History {
            webhook_id: webhook,
            integrations: None,
        };
        let id = start(&world, history).await;
        end(&world, id, webhook).await;
        runs.push(id);
        world.later();
    }
    pass(&world);
    assert_eq!(purge(&world).await.replays, 1);
    assert!(!is_kept(&world, runs[0]).await);
    assert!(is_kept(&world, runs[1]).await);
    // The lane is in order after a restart as well.
    world.database.reopen().await;
    world.toggle(integration, 2).await;
    let sent = send_all(&world, webhook).await;
    assert_eq!(sent, [(integration, 2), (integration, 3)]);
    // With its webhook it goes.
    world.write(Write::DeleteWebhook { id: webhook }).await;
    assert_eq!(purge(&world).await.replays, 1);
}
