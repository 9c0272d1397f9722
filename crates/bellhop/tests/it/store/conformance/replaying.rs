//! Sending again because a person asked.

use std::time::Duration;

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{DeliveryState, Next},
    },
    id::DeliveryId,
    store::{CommitError, Recorded, Write, Written},
};

use crate::store::{databases::Database, world::World};

fn replay(id: DeliveryId) -> Write {
    Write::Replay { id }
}

fn discard(id: DeliveryId) -> Write {
    let reason = "not wanted".into();
    Write::Discard { id, reason }
}

async fn is_not_now<D: Database>(world: &World<D>, write: Write) -> bool {
    matches!(world.commit(write).await, Err(CommitError::NotNow(_)))
}

pub async fn a_delivered_one_is_sent_again<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let first = world.claim_one(webhook).await;
    world.succeed(&first).await;
    let ended = world.now();
    world.later();
    let (written, due) = world.write_due(replay(first.delivery_id)).await;
    assert_eq!(due, [webhook]);
    let delivery = world.lane(webhook, integration).await.remove(0);
    assert!(matches!(written, Written::Delivery(written) if *written == delivery));
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.next_attempt, Some(world.now()));

    let again = world.claim_one(webhook).await;
    assert_eq!((again.number, again.tries, again.planned), (2, 1, None));
    assert_eq!(
        (again.state, &again.body),
        (DeliveryState::Delivered, &first.body)
    );
    world.later();
    let (recorded, next) = world.fail(&again).await;
    assert_eq!(next, Next::Unchanged);
    assert_eq!(
        recorded,
        Recorded::Done {
            lane_goes_on: false
        }
    );
    let delivery = world.lane(webhook, integration).await.remove(0);
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!((delivery.next_attempt, delivery.ended), (None, Some(ended)));
    assert_eq!((delivery.attempt_count, delivery.tries), (2, 1));
    assert_eq!(delivery.cause, Some(Cause::ServerError));
    assert_eq!(world.claim(webhook).await.len(), 0);
    assert_eq!(world.store().attempts(delivery.id).await.unwrap().len(), 2);
}

pub async fn a_failed_one_is_sent_again_and_then_delivered<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.record(&claim, Next::Failed, None).await;
    // Asked twice, it is sent once.
    world.write(replay(claim.delivery_id)).await;
    world.write(replay(claim.delivery_id)).await;
    let again = world.claim_one(webhook).await;
    assert_eq!((again.state, again.number), (DeliveryState::Failed, 2));
    let ended = world.later();
    world.succeed(&again).await;
    let delivery = world.lane(webhook, integration).await.remove(0);
    assert_eq!(
        (delivery.state, delivery.ended),
        (DeliveryState::Delivered, Some(ended))
    );
    assert_eq!(delivery.cause, None);
    assert_eq!(world.claim(webhook).await.len(), 0);
    let counts = world.store().stats(world.now()).await.unwrap().deliveries;
    assert_eq!(counts, [0, 1, 0, 0]);
}

pub async fn a_pending_one_keeps_its_planned_try<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&claim, Next::Retry { at }, None).await;
    world.later();
    world.write(replay(claim.delivery_id)).await;
    world.later();
    // Asked again, it is still the try of the schedule that is kept.
    world.write(replay(claim.delivery_id)).await;
    let again = world.claim_one(webhook).await;
    assert_eq!((again.planned, again.number, again.tries), (Some(at), 2, 1));
    let (_, next) = world.fail(&again).await;
    assert_eq!(next, Next::Retry { at });
    let delivery = world.lane(webhook, integration).await.remove(0);
    assert_eq!(
        (delivery.next_attempt, delivery.state),
        (Some(at), DeliveryState::Pending)
    );
    assert_eq!((delivery.attempt_count, delivery.tries), (2, 1));
    world.clock.advance(Duration::from_hours(1));
    let scheduled = world.claim_one(webhook).await;
    assert_eq!(
        (scheduled.planned, scheduled.number, scheduled.tries),
        (None, 3, 1)
    );
}

pub async fn a_replayed_head_that_arrives_lets_the_lane_go_on<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let claim = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&claim, Next::Retry { at }, None).await;
    world.write(replay(claim.delivery_id)).await;
    let again = world.claim_one(webhook).await;
    let recorded = world.succeed(&again).await;
    assert_eq!(recorded, Recorded::Done { lane_goes_on: true });
    assert_eq!(world.claim_one(webhook).await.sequence, 2);
    let lane = world.lane(webhook, integration).await;
    assert_eq!(lane[0].state, DeliveryState::Delivered);
}

pub async fn one_behind_the_head_cannot_be_replayed<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let before = world.lane(webhook, integration).await;
    assert!(is_not_now(&world, replay(before[1].id)).await);
    assert_eq!(world.lane(webhook, integration).await, before);
    assert!(matches!(
        world.commit(replay(world.id())).await.unwrap_err(),
        CommitError::NotFound { .. }
    ));
}

pub async fn one_under_way_cannot_be_replayed_or_discarded<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let id = claim.delivery_id;
    let before = world.lane(webhook, integration).await;
    assert!(is_not_now(&world, replay(id)).await);
    assert!(is_not_now(&world, discard(id)).await);
    assert_eq!(world.lane(webhook, integration).await, before);
    world.fail(&claim).await;
    world.write(replay(id)).await;
    world.write(discard(id)).await;
    // It is not sent, though a replay had made it due.
    assert_eq!(world.claim(webhook).await.len(), 0);
}

/// A replay of what has ended and the lane's head are due at once, and still go one after the other.
pub async fn a_lane_sends_one_at_a_time<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let first = world.claim_one(webhook).await;
    world.succeed(&first).await;
    world.later();
    world.toggle(integration, 1).await;
    world.later();
    world.write(replay(first.delivery_id)).await;
    let taken = world.claim_some(webhook, 10).await;
    assert_eq!(taken.claims.len(), 1);
    assert_eq!(taken.claims[0].sequence, 2);
    // Whoever asks when there is more must not ask in vain.
    assert_eq!(taken.next_due, None);
    let recorded = world.succeed(&taken.claims[0]).await;
    assert_eq!(recorded, Recorded::Done { lane_goes_on: true });
    let second = world.claim_one(webhook).await;
    assert_eq!(second.delivery_id, first.delivery_id);
    let recorded = world.succeed(&second).await;
    assert_eq!(
        recorded,
        Recorded::Done {
            lane_goes_on: false
        }
    );
}

/// What a person discards and then sends again ends before its turn. The lane must not take that for
/// its turn.
pub async fn a_replayed_discarded_one_leaves_the_lane_waiting<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let head = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&head, Next::Retry { at }, None).await;
    let second = world.lane(webhook, integration).await.remove(1).id;
    world.write(discard(second)).await;
    world.write(replay(second)).await;
    let claim = world.claim_one(webhook).await;
    assert_eq!(
        (claim.delivery_id, claim.state),
        (second, DeliveryState::Discarded)
    );
    world.succeed(&claim).await;
    world.toggle(integration, 1).await;
    let lane = world.lane(webhook, integration).await;
    let states: Vec<_> = lane.iter().map(|each| each.state).collect();
    assert_eq!(
        states,
        [
            DeliveryState::Pending,
            DeliveryState::Delivered,
            DeliveryState::Pending,
        ]
    );
    let next: Vec<_> = lane.iter().map(|each| each.next_attempt).collect();
    assert_eq!(next, [Some(at), None, None]);
}

/// It waits for the head of its lane, and then comes before what became due after it.
pub async fn a_replay_that_waited_keeps_its_place<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let second = world.lane(webhook, integration).await.remove(1).id;
    world.write(discard(second)).await;
    world.later();
    world.write(replay(second)).await;
    world.later();
    world.new_integration().await;
    world.later();

    let head = world.claim_some(webhook, 1).await.claims.remove(0);
    assert_eq!((head.integration_id, head.sequence), (integration, 1));
    world.succeed(&head).await;
    let next = world.claim_some(webhook, 1).await.claims.remove(0);
    assert_eq!(next.delivery_id, second);
}

pub async fn nothing_is_replayed_to_a_deleted_webhook<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    // One that was asked for before is not sent either.
    world.write(replay(claim.delivery_id)).await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    assert_eq!(world.store().due().await.unwrap(), []);
    assert!(is_not_now(&world, replay(claim.delivery_id)).await);
    assert_eq!(world.store().due().await.unwrap(), []);
}
