//! Erasing bodies that carry an access token.

use std::time::Duration;

use bellhop::{
    domain::{access_token, delivery::DeliveryState, integration::Command, replay::ReplayCommand},
    id::{DeliveryId, IntegrationId, WebhookId},
    store::{CommitError, Erase, MessageBody, Purge, Selection, WebhookPatch, Write},
};
use bellhop_webhook::{Action, Profile};
use jiff::Timestamp;

use super::runs::{count, of_state, run, send_all, start, step};
use crate::{
    store::{databases::Database, world::World},
    support::random::SeededRandom,
};

/// How long a body outlives its deliveries here.
const GRACE: Duration = Duration::from_hours(1);
/// A second less.
const ALMOST: Duration = Duration::from_secs(3599);

/// Erases until there is no more.
async fn erase<D: Database>(world: &World<D>) -> u64 {
    let mut what = Erase {
        now: world.now(),
        ended: world.now() - GRACE,
        again: true,
    };
    let mut bodies = 0;
    loop {
        let erased = world.store().erase(what).await.unwrap();
        bodies += erased.bodies;
        what.again = false;
        if !erased.has_more {
            return bodies;
        }
    }
}

fn pass<D: Database>(world: &World<D>) {
    world.clock.advance(GRACE);
}

/// When each message of an integration was erased.
async fn erased<D: Database>(world: &World<D>, of: IntegrationId) -> Vec<Option<Timestamp>> {
    let history = world.store().messages(of, 0, 1000).await.unwrap();
    let erased = history.iter().map(|each| match &each.body {
        MessageBody::Erased { at } => Some(*at),
        MessageBody::Bytes(bytes) => {
            assert!(!bytes.is_empty());
            None
        }
    });
    erased.collect()
}

async fn is_erased<D: Database>(world: &World<D>, of: IntegrationId) -> bool {
    erased(world, of).await[0].is_some()
}

/// An integration whose first message a webhook has got.
async fn delivered<D: Database>(
    world: &World<D>,
    webhook: WebhookId,
) -> (IntegrationId, DeliveryId) {
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    (integration, claim.delivery_id)
}

pub async fn a_body_goes_once_all_its_deliveries_have_ended<D: Database>(world: World<D>) {
    let (one, other) = (world.new_webhook().await, world.new_webhook().await);
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    world.succeed(&world.claim_one(one).await).await;
    pass(&world);
    assert_eq!(erase(&world).await, 0, "one is pending");
    let claim = world.claim_one(other).await;
    world.succeed(&claim).await;
    world.clock.advance(ALMOST);
    assert_eq!(erase(&world).await, 0, "it has just ended");
    let at = world.later();
    assert_eq!(erase(&world).await, 1);
    // The other message carries no token and stays.
    assert_eq!(erased(&world, integration).await, [Some(at), None]);
    let body = world.store().body(claim.delivery_id).await.unwrap();
    assert_eq!(body, Some(MessageBody::Erased { at }));
    world.later();
    assert_eq!(erase(&world).await, 0, "it is erased once");
    assert_eq!(erased(&world, integration).await, [Some(at), None]);
    assert_eq!(world.claim_one(other).await.sequence, 2);
}

pub async fn what_failed_or_was_discarded_goes_as_well<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let failing = world.new_integration().await;
    for wait in [0, 10, 20] {
        world.clock.advance(Duration::from_secs(wait));
        let claim = world.claim_one(webhook).await;
        world.fail(&claim).await;
    }
    let discarded = world.new_integration().await;
    let id = world.lane(webhook, discarded).await[0].id;
    let reason = "not wanted".into();
    world.write(Write::Discard { id, reason }).await;
    pass(&world);
    assert_eq!(erase(&world).await, 2);
    assert!(is_erased(&world, failing).await && is_erased(&world, discarded).await);
}

pub async fn what_nobody_wanted_goes<D: Database>(mut world: World<D>) {
    let integration = world.new_integration().await;
    world.clock.advance(ALMOST);
    assert_eq!(erase(&world).await, 0);
    world.database.reopen().await;
    world.later();
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
}

pub async fn both_forms_of_a_body_go<D: Database>(world: World<D>) {
    let settings = WebhookPatch {
        profile: Some(Profile::V2025),
        ..WebhookPatch::default()
    };
    let webhook = world.new_webhook_with(settings).await;
    let (integration, created) = delivered(&world, webhook).await;
    let random = SeededRandom::new(31);
    let command = Command::RegenerateAccessToken {
        token: access_token::generate(integration, &random),
        overlap_until: world.now(),
    };
    world.command(integration, command).await;
    let claim = world.claim_one(webhook).await;
    assert_eq!(claim.action, Action::IntegrationApiKeyCreated);
    world.succeed(&claim).await;
    pass(&world);
    assert_eq!(erase(&world).await, 2);
    let at = world.now();
    assert_eq!(erased(&world, integration).await, [Some(at), Some(at)]);
    for id in [created, claim.delivery_id] {
        let body = world.store().body(id).await.unwrap();
        assert_eq!(body, Some(MessageBody::Erased { at }));
    }
}

pub async fn what_is_to_be_sent_again_stays<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (integration, id) = delivered(&world, webhook).await;
    pass(&world);
    world.write(Write::Replay { id }).await;
    assert_eq!(erase(&world).await, 0);
    let claim = world.claim_one(webhook).await;
    assert!(claim.body.is_some());
    assert_eq!(erase(&world).await, 0, "while the attempt is under way");
    world.succeed(&claim).await;
    // A replay does not make a delivery younger: it ended when it ended.
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
}

pub async fn a_replay_of_it_is_refused<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (integration_id, id) = delivered(&world, webhook).await;
    pass(&world);
    assert_eq!(erase(&world).await, 1);
    let at = world.now();
    world.later();
    let before = world.lane(webhook, integration_id).await;
    match world.commit(Write::Replay { id }).await {
        Err(CommitError::Erased {
            integration_id: of,
            at: when,
        }) => {
            assert_eq!((of, when), (integration_id, at));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.lane(webhook, integration_id).await, before);
    assert!(world.claim(webhook).await.is_empty());
    // What it was is still told.
    assert_eq!(before[0].state, DeliveryState::Delivered);
    assert_eq!(world.store().attempts(id).await.unwrap().len(), 1);
}

pub async fn what_a_run_may_still_send_stays<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (integration, _) = delivered(&world, webhook).await;
    pass(&world);
    let id = start(&world, of_state(DeliveryState::Delivered)).await;
    assert_eq!(erase(&world).await, 0, "it has not begun");
    for command in [ReplayCommand::Pause, ReplayCommand::Resume] {
        world.write(Write::CommandReplay { id, command }).await;
        assert_eq!(erase(&world).await, 0, "{command:?}");
    }
    step(&world, id).await;
    assert_eq!(erase(&world).await, 0, "it is due");
    let pause = ReplayCommand::Pause;
    let command = |command| Write::CommandReplay { id, command };
    world.write(command(pause)).await;
    assert_eq!(erase(&world).await, 0, "it waits for the run to be resumed");
    world.write(command(ReplayCommand::Resume)).await;
    assert_eq!(send_all(&world, webhook).await.len(), 1);
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
    step(&world, id).await;
    let ended = run(&world, id).await;
    assert_eq!((ended.succeeded, ended.erased), (1, 0));
}

pub async fn a_run_passes_over_it_and_says_so<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (gone, _) = delivered(&world, webhook).await;
    pass(&world);
    let (kept, _) = delivered(&world, webhook).await;
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, gone).await && !is_erased(&world, kept).await);
    world.toggle(gone, 1).await;
    send_all(&world, webhook).await;
    world.later();
    let all = of_state(DeliveryState::Delivered);
    let counted = count(&world, &all).await;
    assert_eq!((counted.total, counted.erased), (3, 1));
    let id = start(&world, all).await;
    step(&world, id).await;
    let mut sent = send_all(&world, webhook).await;
    sent.sort();
    let mut expected = [(gone, 2), (kept, 1)];
    expected.sort();
    assert_eq!(sent, expected);
    step(&world, id).await;
    let ended = run(&world, id).await;
    assert!(ended.state.has_ended());
    assert_eq!(
        (ended.total, ended.succeeded, ended.skipped(), ended.erased),
        (3, 2, 1, 1)
    );
}

pub async fn a_backfill_leaves_it_out_and_the_lane_goes_on<D: Database>(world: World<D>) {
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    pass(&world);
    assert_eq!(erase(&world).await, 1);
    let webhook = world.new_webhook().await;
    world.later();
    let history = Selection::History {
        webhook_id: webhook,
        integrations: None,
    };
    let counted = count(&world, &history).await;
    assert_eq!((counted.total, counted.erased), (3, 1));
    let id = start(&world, history).await;
    step(&world, id).await;
    // The lane begins with what there is: nothing came before it on its way to this webhook.
    let lane = world.lane(webhook, integration).await;
    let places: Vec<_> = lane
        .iter()
        .map(|each| (each.sequence, each.previous))
        .collect();
    assert_eq!(places, [(2, 0), (3, 2)]);
    assert_eq!(
        send_all(&world, webhook).await,
        [(integration, 2), (integration, 3)]
    );
    step(&world, id).await;
    let ended = run(&world, id).await;
    assert_eq!(
        (ended.total, ended.succeeded, ended.skipped(), ended.erased),
        (3, 2, 1, 1)
    );
    world.toggle(integration, 1).await;
    assert_eq!(world.claim_one(webhook).await.previous, 3);
}

pub async fn what_was_purged_first_goes_as_well<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let (integration, _) = delivered(&world, webhook).await;
    world.clock.advance(ALMOST);
    let purge = Purge {
        now: world.now(),
        deliveries: Some(world.now()),
        tombstones: None,
        audit: None,
        again: true,
    };
    assert_eq!(world.store().purge(purge).await.unwrap().deliveries, 1);
    world.later();
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
}

pub async fn what_was_left_is_looked_at_when_it_is_asked_for<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    pass(&world);
    assert_eq!(erase(&world).await, 0, "it is pending");
    world.succeed(&world.claim_one(webhook).await).await;
    pass(&world);
    // The walk has passed it, also for a process that begins.
    world.database.reopen().await;
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
}

pub async fn what_a_deleted_webhook_had_goes<D: Database>(world: World<D>) {
    let (kept, deleted) = (world.new_webhook().await, world.new_webhook().await);
    let integration = world.new_integration().await;
    world.succeed(&world.claim_one(kept).await).await;
    world.write(Write::DeleteWebhook { id: deleted }).await;
    pass(&world);
    assert_eq!(erase(&world).await, 1);
    assert!(is_erased(&world, integration).await);
}

pub async fn much_is_erased_a_little_at_a_time<D: Database>(world: World<D>) {
    const MANY: u64 = 700;
    for _ in 0..MANY {
        world.new_integration().await;
    }
    let webhook = world.new_webhook().await;
    for _ in 0..MANY {
        world.new_integration().await;
    }
    while !send_all(&world, webhook).await.is_empty() {}
    pass(&world);
    assert_eq!(erase(&world).await, 2 * MANY);
    assert_eq!(erase(&world).await, 0);
}
