//! Lanes: one after the other.

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{DeliveryState, Next, Timings},
        webhook::ActionFilter,
    },
    store::{CommitError, Recorded, WebhookPatch, Write, Written},
};
use bellhop_webhook::Action;
use std::time::Duration;

use crate::store::{
    databases::Database,
    world::{World, attempted},
};

pub async fn only_the_head_is_due<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let at = world.now();
    world.later();
    world.toggle(integration, 2).await;
    let lane = world.lane(webhook, integration).await;
    let next: Vec<_> = lane.iter().map(|each| each.next_attempt).collect();
    assert_eq!(next, [Some(at), None, None]);
    let claims = world.claim(webhook).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].sequence, 1);
    // Nor is the next due while the head is under way.
    assert_eq!(world.claim(webhook).await.len(), 0);
}

pub async fn the_next_is_due_when_the_head_is_delivered<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    for sequence in 1..=3 {
        let claim = world.claim_one(webhook).await;
        assert_eq!(claim.sequence, sequence);
        let ended = world.later();
        let lane_goes_on = sequence < 3;
        assert_eq!(world.succeed(&claim).await, Recorded::Done { lane_goes_on });
        let lane = world.lane(webhook, integration).await;
        let head = &lane[sequence as usize - 1];
        assert_eq!(
            (head.state, head.ended),
            (DeliveryState::Delivered, Some(ended))
        );
        assert_eq!((head.next_attempt, head.cause), (None, None));
        assert_eq!((head.attempt_count, head.tries), (1, 1));
        if lane_goes_on {
            assert_eq!(lane[sequence as usize].next_attempt, Some(ended));
        }
        // It is recorded once.
        assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    }
    assert_eq!(world.claim(webhook).await.len(), 0);
    assert_eq!(world.store().due().await.unwrap(), []);
    // The lane begins anew.
    world.later();
    world.toggle(integration, 1).await;
    let lane = world.lane(webhook, integration).await;
    assert_eq!(lane[3].next_attempt, Some(world.now()));
}

pub async fn a_retry_keeps_the_lane<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let claim = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_secs(10);
    let goes_on = world.record(&claim, Next::Retry { at }, None).await;
    assert_eq!(
        goes_on,
        Recorded::Done {
            lane_goes_on: false
        }
    );
    let lane = world.lane(webhook, integration).await;
    assert_eq!(
        (lane[0].state, lane[0].next_attempt),
        (DeliveryState::Pending, Some(at))
    );
    assert_eq!(
        (lane[0].attempt_count, lane[0].tries, lane[0].ended),
        (1, 1, None)
    );
    assert_eq!(lane[0].cause, Some(Cause::ServerError));
    assert_eq!(lane[1].next_attempt, None);
    assert_eq!(world.claim(webhook).await.len(), 0);
    world.clock.advance(Duration::from_secs(10));
    let again = world.claim_one(webhook).await;
    assert_eq!((again.sequence, again.number, again.tries), (1, 2, 1));
    world.succeed(&again).await;
    assert_eq!(world.claim_one(webhook).await.sequence, 2);
    assert_eq!(world.lane(webhook, integration).await[0].cause, None);
}

pub async fn a_used_up_schedule_lets_the_lane_go_on<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    for (number, last) in [(1, false), (2, false), (3, true)] {
        let claim = world.claim_one(webhook).await;
        assert_eq!((claim.sequence, claim.number), (1, number));
        let (recorded, next) = world.fail(&claim).await;
        assert_eq!(next == Next::Failed, last);
        assert_eq!(recorded, Recorded::Done { lane_goes_on: last });
        if !last {
            world.clock.advance(Duration::from_secs(20));
        }
    }
    let lane = world.lane(webhook, integration).await;
    assert_eq!((lane[0].state, lane[0].tries), (DeliveryState::Failed, 3));
    assert_eq!(lane[0].ended, Some(world.now()));
    assert_eq!(lane[0].next_attempt, None);
    assert_eq!(lane[0].cause, Some(Cause::ServerError));
    assert_eq!(world.claim_one(webhook).await.sequence, 2);
}

pub async fn lanes_are_independent<D: Database>(world: World<D>) {
    let (one, two) = (world.new_webhook().await, world.new_webhook().await);
    let (a, b) = (world.new_integration().await, world.new_integration().await);
    for integration in [a, b] {
        world.toggle(integration, 1).await;
    }
    let claims = world.claim(one).await;
    assert_eq!(claims.len(), 2);
    let (of_a, of_b) = if claims[0].integration_id == a {
        (&claims[0], &claims[1])
    } else {
        (&claims[1], &claims[0])
    };
    world.fail(of_a).await;
    world.succeed(of_b).await;
    let next = world.claim_one(one).await;
    assert_eq!((next.integration_id, next.sequence), (b, 2));
    assert_eq!(world.claim(two).await.len(), 2);
}

pub async fn previous_is_the_last_of_this_lane<D: Database>(world: World<D>) {
    let all = world.new_webhook().await;
    let filtered = world
        .new_webhook_with(WebhookPatch {
            actions: Some(ActionFilter::of(&[Action::IntegrationDisabled])),
            ..WebhookPatch::default()
        })
        .await;
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    // Whatever became of the one before.
    let claim = world.claim_one(filtered).await;
    assert_eq!((claim.sequence, claim.previous), (2, 0));
    world.record(&claim, Next::Failed, None).await;
    world.toggle(integration, 4).await;
    let told = async |webhook| -> Vec<(u64, u64)> {
        let lane = world.lane(webhook, integration).await;
        lane.iter()
            .map(|each| (each.previous, each.sequence))
            .collect()
    };
    assert_eq!(told(filtered).await, [(0, 2), (2, 4), (4, 6)]);
    assert_eq!(told(all).await[..3], [(0, 1), (1, 2), (2, 3)]);
}

pub async fn a_discarded_head_lets_the_lane_go_on<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 1).await;
    let at = world.later();
    for sequence in [1, 2] {
        let lane = world.lane(webhook, integration).await;
        let write = Write::Discard {
            id: lane[sequence - 1].id,
            reason: "not wanted".into(),
        };
        let (written, due) = world.write_due(write).await;
        let goes_on = sequence == 1;
        assert_eq!(due, if goes_on { vec![webhook] } else { vec![] });
        let lane = world.lane(webhook, integration).await;
        let discarded = &lane[sequence - 1];
        assert!(matches!(written, Written::Delivery(written) if *written == *discarded));
        assert_eq!(discarded.state, DeliveryState::Discarded);
        assert_eq!(discarded.reason.as_deref(), Some("not wanted"));
        assert_eq!((discarded.ended, discarded.next_attempt), (Some(at), None));
        if goes_on {
            assert_eq!(lane[1].next_attempt, Some(at));
        }
    }
    assert_eq!(world.claim(webhook).await.len(), 0);
}

pub async fn a_discarded_one_behind_the_head_is_skipped<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    let lane = world.lane(webhook, integration).await;
    let write = Write::Discard {
        id: lane[1].id,
        reason: "not wanted".into(),
    };
    assert_eq!(world.write_due(write).await.1, []);
    let claim = world.claim_one(webhook).await;
    assert_eq!(claim.sequence, 1);
    world.succeed(&claim).await;
    let claim = world.claim_one(webhook).await;
    // It was made with the one before it, and says so.
    assert_eq!((claim.sequence, claim.previous), (3, 2));
}

pub async fn only_the_pending_can_be_discarded<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    let before = world.lane(webhook, integration).await;
    let discard = |id| Write::Discard {
        id,
        reason: "late".into(),
    };
    let refused = world.commit(discard(claim.delivery_id)).await;
    assert!(matches!(refused.unwrap_err(), CommitError::NotNow(_)));
    assert_eq!(world.lane(webhook, integration).await, before);
    let unknown = world.commit(discard(world.id())).await;
    assert!(matches!(unknown.unwrap_err(), CommitError::NotFound { .. }));
}

pub async fn attempts_are_kept_whole<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let mut expected = Vec::new();
    for number in 1..=3 {
        let claim = world.claim_one(webhook).await;
        let next = match number {
            3 => Next::Delivered,
            _ => Next::Retry { at: world.now() },
        };
        let mut made = attempted(&claim, next, None, world.later());
        if number == 2 {
            // Nothing came back, and nothing is known.
            made.attempt.response = None;
            made.attempt.remote = None;
            made.attempt.detail = None;
            made.attempt.timings = Timings::default();
        }
        expected.push(made.attempt.clone());
        world.store().record(made).await.unwrap();
        let kept = world.store().attempts(claim.delivery_id).await.unwrap();
        assert_eq!(kept, expected);
        if number == 3 {
            world.database.reopen().await;
            let kept = world.store().attempts(claim.delivery_id).await.unwrap();
            assert_eq!(kept, expected);
        }
    }
}
