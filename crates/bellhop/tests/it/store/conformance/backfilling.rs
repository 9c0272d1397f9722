//! Backfills: the history that a webhook has not.

use std::time::Duration;

use bellhop::{
    domain::{
        delivery::{DeliveryState, Next},
        integration::Command,
        replay::{ReplayCommand, ReplayState},
        webhook::ActionFilter,
    },
    id::{IntegrationId, WebhookId},
    store::{CommitError, NewReplay, Selection, WebhookPatch, Write},
};
use bellhop_webhook::Action;

use super::runs::{count, run, send_all, start, step};
use crate::store::{databases::Database, world::World};

fn history(webhook_id: WebhookId) -> Selection {
    Selection::History {
        webhook_id,
        integrations: None,
    }
}

/// An integration with so many messages.
async fn integration_with<D: Database>(world: &World<D>, messages: usize) -> IntegrationId {
    let integration = world.new_integration().await;
    world.toggle(integration, messages - 1).await;
    integration
}

pub async fn a_backfill_gives_the_history_in_order<D: Database>(world: World<D>) {
    let one = integration_with(&world, 3).await;
    let two = integration_with(&world, 2).await;
    let gone = integration_with(&world, 2).await;
    world.command(gone, Command::Delete).await;
    let webhook = world.new_webhook().await;
    world.later();
    let counted = count(&world, &history(webhook)).await;
    assert_eq!((counted.total, counted.by_webhook.len()), (5, 1));
    let id = start(&world, history(webhook)).await;
    let (after, due) = step(&world, id).await;
    assert_eq!((after.passed, after.waiting, due), (5, 5, vec![webhook]));
    let lane = world.lane(webhook, one).await;
    let previous: Vec<_> = lane.iter().map(|each| each.previous).collect();
    assert_eq!(previous, [0, 1, 2]);
    assert!(lane.iter().all(|each| each.created == world.now()));
    // A retry is part of it: the whole schedule is its own.
    let claim = world.claim(webhook).await.remove(0);
    assert_eq!((claim.sequence, claim.is_replay()), (1, false));
    assert_eq!(claim.replay_id, Some(id));
    assert!(matches!(world.fail(&claim).await.1, Next::Retry { .. }));
    assert_eq!(run(&world, id).await.waiting, 5);
    // What it held back is free again.
    world.clock.advance(Duration::from_secs(10));
    world
        .store()
        .release(vec![])
        .await
        .expect("nothing to release");
    let mut sent = send_all(&world, webhook).await;
    sent.retain(|(integration, _)| *integration == claim.integration_id);
    let whole = if claim.integration_id == one { 3 } else { 2 };
    assert_eq!(
        sent,
        (1..=whole)
            .map(|sequence| (claim.integration_id, sequence))
            .collect::<Vec<_>>()
    );
    assert!(world.lane(webhook, gone).await.is_empty());
    assert!([one, two].contains(&claim.integration_id));
}

pub async fn a_backfill_ends_when_all_has_arrived<D: Database>(world: World<D>) {
    integration_with(&world, 3).await;
    let webhook = world.new_webhook().await;
    let id = start(&world, history(webhook)).await;
    step(&world, id).await;
    assert_eq!(send_all(&world, webhook).await.len(), 3);
    let (after, _) = step(&world, id).await;
    assert_eq!(after.state, ReplayState::Completed);
    assert_eq!((after.succeeded, after.failed, after.skipped()), (3, 0, 0));
    // Again there is nothing to do.
    let id = start(&world, history(webhook)).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.total, after.state), (0, ReplayState::Completed));
}

pub async fn a_backfill_keeps_to_what_it_names_and_the_webhook_wants<D: Database>(world: World<D>) {
    let one = integration_with(&world, 3).await;
    integration_with(&world, 3).await;
    let only = ActionFilter::of(&[Action::IntegrationCreated, Action::IntegrationEnabled]);
    let webhook = world
        .new_webhook_with(WebhookPatch {
            actions: Some(only),
            ..WebhookPatch::default()
        })
        .await;
    let selection = Selection::History {
        webhook_id: webhook,
        integrations: Some(vec![one]),
    };
    let id = start(&world, selection).await;
    assert_eq!(step(&world, id).await.0.total, 2);
    assert_eq!(send_all(&world, webhook).await, [(one, 1), (one, 3)]);
    let lane = world.lane(webhook, one).await;
    assert_eq!(lane[1].previous, 1);
}

/// What is pending waits for what is earlier, is tried no earlier than it was planned, and says what comes before.
pub async fn a_backfill_comes_before_what_is_pending<D: Database>(world: World<D>) {
    let integration = integration_with(&world, 2).await;
    let webhook = world.new_webhook().await;
    world.toggle(integration, 2).await;
    let head = world.claim_one(webhook).await;
    assert_eq!((head.sequence, head.previous), (3, 0));
    let id = start(&world, history(webhook)).await;
    // Not while an attempt of the lane is under way.
    let (after, _) = step(&world, id).await;
    assert_eq!((after.passed, after.waiting), (0, 0));
    let at = world.now() + Duration::from_hours(1);
    world.record(&head, Next::Retry { at }, None).await;
    world.later();
    let (after, due) = step(&world, id).await;
    assert_eq!((after.waiting, due), (2, vec![webhook]));
    let lane = world.lane(webhook, integration).await;
    assert_eq!(lane.len(), 4);
    let told = async || -> Vec<(u64, u64, bool)> {
        let mut lane = world.lane(webhook, integration).await;
        lane.sort_by_key(|each| each.sequence);
        lane.iter()
            .map(|each| (each.sequence, each.previous, each.next_attempt.is_some()))
            .collect()
    };
    // 3 was sent once already, and said 0 then.
    assert_eq!(
        told().await,
        [(1, 0, true), (2, 1, false), (3, 0, false), (4, 3, false)]
    );
    // What comes now goes to the end.
    world.toggle(integration, 1).await;
    assert_eq!(told().await[4], (5, 4, false));
    assert_eq!(
        send_all(&world, webhook).await,
        [(integration, 1), (integration, 2)]
    );
    world.clock.advance(Duration::from_mins(59));
    assert_eq!(send_all(&world, webhook).await, []);
    world.clock.advance(Duration::from_mins(1));
    let third = world.claim_one(webhook).await;
    // Its own schedule goes on where it was.
    assert_eq!((third.sequence, third.tries, third.planned), (3, 1, None));
    world.succeed(&third).await;
    assert_eq!(
        send_all(&world, webhook).await,
        [(integration, 4), (integration, 5)]
    );
}

/// Where what is later has arrived already, what is backfilled still holds what comes next.
pub async fn a_new_message_waits_for_what_is_backfilled<D: Database>(mut world: World<D>) {
    let integration = integration_with(&world, 2).await;
    let webhook = world.new_webhook().await;
    world.toggle(integration, 1).await;
    assert_eq!(send_all(&world, webhook).await, [(integration, 3)]);
    let id = start(&world, history(webhook)).await;
    step(&world, id).await;
    let first = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&first, Next::Retry { at }, None).await;
    for reopened in [false, true] {
        if reopened {
            world.database.reopen().await;
        }
        world.toggle(integration, 1).await;
        assert_eq!(send_all(&world, webhook).await, []);
    }
    world.clock.advance(Duration::from_hours(1));
    let sequences: Vec<_> = send_all(&world, webhook).await;
    assert_eq!(
        sequences,
        [1, 2, 4, 5].map(|sequence| (integration, sequence))
    );
}

pub async fn a_paused_backfill_makes_nothing_more<D: Database>(world: World<D>) {
    let integration = integration_with(&world, 2).await;
    let webhook = world.new_webhook().await;
    let id = start(&world, history(webhook)).await;
    step(&world, id).await;
    let pause = Write::CommandReplay {
        id,
        command: ReplayCommand::Pause,
    };
    world.write(pause).await;
    assert!(world.store().next_of_replay(id).await.unwrap().is_none());
    // What it has made is pending like anything else.
    assert_eq!(send_all(&world, webhook).await.len(), 2);
    let cancel = Write::CommandReplay {
        id,
        command: ReplayCommand::Cancel,
    };
    world.write(cancel).await;
    let after = run(&world, id).await;
    assert_eq!((after.state, after.succeeded), (ReplayState::Canceled, 2));
    let lane = world.lane(webhook, integration).await;
    assert!(
        lane.iter()
            .all(|each| each.state == DeliveryState::Delivered)
    );
}

pub async fn no_backfill_without_its_webhook<D: Database>(world: World<D>) {
    integration_with(&world, 2).await;
    let webhook = world.new_webhook().await;
    let id = start(&world, history(webhook)).await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    let (after, _) = step(&world, id).await;
    assert_eq!(after.state, ReplayState::Completed);
    assert_eq!((after.done(), after.skipped()), (2, 2));
    let selection = history(webhook);
    let count = count(&world, &selection).await;
    assert_eq!(count.total, 0);
    let new = NewReplay {
        id: world.id(),
        selection,
        application_id: Some(world.application),
        count,
        previewed: None,
        expires: None,
    };
    let refused = world.commit(Write::StartReplay(Box::new(new))).await;
    assert!(matches!(refused, Err(CommitError::NotFound { .. })));
}
