//! Replays in bulk: what is counted, what is sent, and how a run goes on.

use std::time::Duration;

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{DeliveryState, Next},
        replay::{ReplayCommand, ReplayState},
        webhook::WebhookState,
    },
    id::{IntegrationId, ReplayId, WebhookId},
    store::{
        CommitError, DeliveryFilter, MAX_DUE, NewReplay, Noun, Replay, ReplayCount, Selection,
        Write, Written,
    },
};

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

pub fn of_state(state: DeliveryState) -> Selection {
    Selection::Deliveries(DeliveryFilter {
        state: Some(state),
        ..DeliveryFilter::default()
    })
}

pub async fn count<D: Database>(world: &World<D>, selection: &Selection) -> ReplayCount {
    let store = world.store();
    let counted = store.count_replay(selection.clone(), None, world.now());
    counted.await.unwrap()
}

fn new_run<D: Database>(world: &World<D>, selection: Selection, count: ReplayCount) -> NewReplay {
    NewReplay {
        id: world.id(),
        selection,
        application_id: Some(world.application),
        count,
        previewed: None,
        expires: None,
    }
}

pub async fn start<D: Database>(world: &World<D>, selection: Selection) -> ReplayId {
    let count = count(world, &selection).await;
    let new = new_run(world, selection, count);
    let id = new.id;
    world.write(Write::StartReplay(Box::new(new))).await;
    id
}

pub async fn run<D: Database>(world: &World<D>, id: ReplayId) -> Replay {
    world.store().replay(id).await.unwrap().unwrap()
}

/// One step; answers with the run and the webhooks that it made due.
pub async fn step<D: Database>(world: &World<D>, id: ReplayId) -> (Replay, Vec<WebhookId>) {
    let next = world.store().next_of_replay(id).await.unwrap().unwrap();
    match world.write_due(Write::StepReplay(Box::new(next))).await {
        (Written::Replay { replay, .. }, due) => (*replay, due),
        other => panic!("not a run: {other:?}"),
    }
}

async fn command<D: Database>(world: &World<D>, id: ReplayId, command: ReplayCommand) -> bool {
    match world.write(Write::CommandReplay { id, command }).await {
        Written::Replay { replay, changed } => {
            assert_eq!(*replay, run(world, id).await);
            changed
        }
        other => panic!("not a run: {other:?}"),
    }
}

/// Claims and ends everything that is due, until nothing is; answers with what came, in order.
pub async fn send_all<D: Database>(
    world: &World<D>,
    webhook: WebhookId,
) -> Vec<(IntegrationId, u64)> {
    let mut sent = Vec::new();
    loop {
        // Moments of a run are a millisecond apart within a lane.
        world.clock.advance(Duration::from_millis(1));
        let claimed = world.claim_some(webhook, 1000).await;
        if claimed.claims.is_empty() && claimed.next_due.is_none_or(|due| due > world.now()) {
            let soon = world.now() + Duration::from_millis(300);
            if claimed.next_due.is_none_or(|due| due > soon) {
                return sent;
            }
        }
        for claim in claimed.claims {
            sent.push((claim.integration_id, claim.sequence));
            world.succeed(&claim).await;
        }
    }
}

/// A webhook and so many integrations, each with three messages that failed for good.
async fn failed_lanes<D: Database>(world: &World<D>, n: usize) -> (WebhookId, Vec<IntegrationId>) {
    let webhook = world.new_webhook().await;
    let mut integrations = Vec::new();
    for _ in 0..n {
        let integration = world.new_integration().await;
        world.toggle(integration, 2).await;
        integrations.push(integration);
    }
    for _ in 0..3 {
        for claim in world.claim(webhook).await {
            world.record(&claim, Next::Failed, None).await;
        }
    }
    integrations.sort();
    (webhook, integrations)
}

pub async fn a_count_tells_what_would_be_sent<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 2).await;
    let other = world.new_webhook().await;
    world.toggle(integrations[0], 2).await;
    let all = Selection::Deliveries(DeliveryFilter::default());
    let counted = count(&world, &all).await;
    assert_eq!(counted.total, 10);
    assert_eq!(counted.by_state, [4, 0, 6, 0]);
    assert_eq!(counted.by_webhook, [(webhook, 8), (other, 2)]);
    // Of the first, all but the fifth on both; of the second, all but the third.
    assert_eq!((counted.stale, counted.behind), (8 - 2 + 2 - 1, 2));
    assert_eq!((counted.erased, counted.without_webhook), (0, 0));
    let failed = count(&world, &of_state(DeliveryState::Failed)).await;
    assert_eq!((failed.total, failed.behind), (6, 0));
    assert_ne!(failed.digest, counted.digest);
    let one = Selection::Deliveries(DeliveryFilter {
        webhook_id: Some(webhook),
        integration_id: Some(integrations[1]),
        ..DeliveryFilter::default()
    });
    assert_eq!(count(&world, &one).await.total, 3);
    world.write(Write::DeleteWebhook { id: webhook }).await;
    assert_eq!(count(&world, &all).await.without_webhook, 8);
}

pub async fn a_run_starts_only_as_it_was_previewed<D: Database>(world: World<D>) {
    let (webhook, _) = failed_lanes(&world, 1).await;
    let selection = of_state(DeliveryState::Failed);
    let seen = count(&world, &selection).await;
    let recount = async || {
        let store = world.store();
        let again = store.count_replay(selection.clone(), Some(seen.counted), world.now());
        again.await.unwrap()
    };
    assert_eq!(recount().await, seen);
    let start = async |count: ReplayCount, expires| {
        let new = NewReplay {
            previewed: Some(seen.digest),
            expires: Some(expires),
            ..new_run(&world, selection.clone(), count)
        };
        world.commit(Write::StartReplay(Box::new(new))).await
    };
    let later = world.now() + Duration::from_secs(5);
    // What is made afterwards changes nothing,
    let fresh = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.later();
    world.record(&claim, Next::Failed, None).await;
    assert_eq!(claim.integration_id, fresh);
    assert_eq!(recount().await, seen);
    start(recount().await, later).await.unwrap();
    // and one that was sent by hand meanwhile does.
    let delivery = count(&world, &selection).await;
    assert_eq!(delivery.total, 4);
    let store = world.store();
    let all = store.deliveries(DeliveryFilter::default(), ALL).await;
    let first = all.unwrap().pop().unwrap().id;
    world.write(Write::Replay { id: first }).await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    let outdated = start(recount().await, later).await;
    assert!(matches!(outdated, Err(CommitError::Outdated)));
    let expired = start(seen.clone(), world.now()).await;
    assert!(matches!(expired, Err(CommitError::Outdated)));
    assert_eq!(world.store().replays(None, ALL).await.unwrap().len(), 1);
}

pub async fn a_run_sends_each_once_in_order<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 3).await;
    world.later();
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    assert_eq!(world.store().running_replays().await.unwrap(), [id]);
    let (after, due) = step(&world, id).await;
    assert_eq!(due, [webhook]);
    assert_eq!((after.total, after.passed, after.waiting), (9, 9, 9));
    assert_eq!((after.done(), after.state), (0, ReplayState::Running));
    let mut sent = send_all(&world, webhook).await;
    // Within a lane in order, once each.
    sent.sort_by_key(|(integration, _)| *integration);
    let expected: Vec<_> = integrations
        .iter()
        .flat_map(|integration| [1, 2, 3].map(|sequence| (*integration, sequence)))
        .collect();
    assert_eq!(sent, expected);
    world.later();
    let (after, due) = step(&world, id).await;
    assert_eq!(
        (after.state, after.ended),
        (ReplayState::Completed, Some(world.now()))
    );
    assert_eq!((after.succeeded, after.failed, after.skipped()), (9, 0, 0));
    assert_eq!((after.done(), after.waiting, due), (9, 0, vec![]));
    assert_eq!(world.store().running_replays().await.unwrap(), []);
    assert!(world.store().next_of_replay(id).await.unwrap().is_none());
    let counts = world.store().stats(world.now()).await.unwrap().deliveries;
    assert_eq!(counts, [0, 9, 0, 0]);
    let listed = world.store().replays(Some(world.application), ALL).await;
    assert_eq!(listed.unwrap(), [after]);
    let foreign = world.store().replays(Some(world.id()), ALL).await;
    assert_eq!(foreign.unwrap(), []);
}

pub async fn a_failed_replay_of_a_run_is_one_attempt<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 1).await;
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    step(&world, id).await;
    let claim = world.claim_one(webhook).await;
    assert_eq!((claim.replay_id, claim.is_replay()), (Some(id), true));
    world.fail(&claim).await;
    send_all(&world, webhook).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.succeeded, after.failed), (2, 1));
    assert_eq!(after.state, ReplayState::Completed);
    let states: Vec<_> = world.lane(webhook, integrations[0]).await;
    assert_eq!(states[0].state, DeliveryState::Failed);
    let attempts = world.store().attempts(states[0].id).await.unwrap();
    let were_replays: Vec<_> = attempts.iter().map(|each| each.is_replay).collect();
    assert_eq!(were_replays, [false, true]);
}

pub async fn a_run_leaves_what_is_pending_on_its_schedule<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    world.toggle(integration, 2).await;
    let claim = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&claim, Next::Retry { at }, None).await;
    let due_already = world.new_integration().await;
    world.later();
    let id = start(&world, of_state(DeliveryState::Pending)).await;
    let (after, _) = step(&world, id).await;
    // The head is tried now; those behind it and the one that is due anyway are not touched.
    assert_eq!((after.total, after.passed, after.waiting), (4, 4, 1));
    assert_eq!(after.skipped(), 3);
    let claims = world.claim(webhook).await;
    let [first, head] = &claims[..] else {
        panic!("{claims:?}");
    };
    assert_eq!((first.integration_id, first.replay_id), (due_already, None));
    assert_eq!((head.sequence, head.planned, head.tries), (1, Some(at), 1));
    let (_, next) = world.fail(head).await;
    assert_eq!(next, Next::Retry { at });
    let lane = world.lane(webhook, integration).await;
    let next: Vec<_> = lane.iter().map(|each| each.next_attempt).collect();
    assert_eq!(next, [Some(at), None, None]);
    let (after, _) = step(&world, id).await;
    assert_eq!((after.failed, after.state), (1, ReplayState::Completed));
}

pub async fn a_run_goes_on_after_reopening<D: Database>(mut world: World<D>) {
    let lanes = MAX_DUE + 10;
    let webhook = world.new_webhook().await;
    for _ in 0..lanes {
        world.new_integration().await;
    }
    for claim in world.claim(webhook).await {
        world.record(&claim, Next::Failed, None).await;
    }
    // So many failures have opened its circuit.
    world.set_state(webhook, WebhookState::Enabled).await;
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    let (before, _) = step(&world, id).await;
    assert_eq!(before.waiting, MAX_DUE as u64);
    let half = world.claim_some(webhook, 10).await.claims;
    for claim in &half[..5] {
        world.succeed(claim).await;
    }
    let before = run(&world, id).await;
    world.database.reopen().await;
    assert_eq!(run(&world, id).await, before);
    let mut sent: Vec<_> = half[..5]
        .iter()
        .map(|claim| (claim.integration_id, claim.sequence))
        .collect();
    loop {
        world.later();
        let (after, _) = step(&world, id).await;
        sent.extend(send_all(&world, webhook).await);
        if after.state == ReplayState::Completed {
            assert_eq!((after.succeeded, after.failed), (lanes as u64, 0));
            break;
        }
    }
    // Nothing twice, nothing left out.
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), lanes);
}

/// First tries and retries come before replays.
pub async fn a_run_yields_to_what_is_due<D: Database>(world: World<D>) {
    let (webhook, _) = failed_lanes(&world, 1).await;
    for _ in 0..MAX_DUE {
        world.new_integration().await;
    }
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    let (after, due) = step(&world, id).await;
    assert_eq!((after.passed, after.held_by, due), (0, None, vec![]));
    let claims = world.claim_some(webhook, 2).await.claims;
    for claim in &claims {
        world.succeed(claim).await;
    }
    let (after, _) = step(&world, id).await;
    assert_eq!((after.passed, after.waiting), (2, 2));
}

pub async fn a_run_waits_for_a_webhook_that_is_held<D: Database>(world: World<D>) {
    let (webhook, _) = failed_lanes(&world, 1).await;
    world.set_state(webhook, WebhookState::Paused).await;
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.passed, after.held_by), (0, Some(webhook)));
    world.set_state(webhook, WebhookState::Enabled).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.passed, after.held_by), (3, None));
    // Held again, with everything under way.
    world.set_state(webhook, WebhookState::Disabled).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.waiting, after.held_by), (3, Some(webhook)));
    world.write(Write::DeleteWebhook { id: webhook }).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.state, after.skipped()), (ReplayState::Completed, 3));
}

pub async fn a_paused_run_sends_nothing_until_it_is_resumed<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 1).await;
    world.later();
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    step(&world, id).await;
    let claim = world.claim_one(webhook).await;
    assert!(command(&world, id, ReplayCommand::Pause).await);
    assert!(!command(&world, id, ReplayCommand::Pause).await);
    assert!(world.store().next_of_replay(id).await.unwrap().is_none());
    // What is under way ends, and counts.
    world.succeed(&claim).await;
    assert_eq!(send_all(&world, webhook).await, []);
    let paused = run(&world, id).await;
    assert_eq!((paused.waiting, paused.succeeded), (2, 1));
    assert!(command(&world, id, ReplayCommand::Resume).await);
    let sent = send_all(&world, webhook).await;
    assert_eq!(sent, [2, 3].map(|sequence| (integrations[0], sequence)));
    let (after, _) = step(&world, id).await;
    assert_eq!((after.state, after.succeeded), (ReplayState::Completed, 3));
    let refused = world.commit(Write::CommandReplay {
        id,
        command: ReplayCommand::Cancel,
    });
    assert!(matches!(refused.await, Err(CommitError::NotNow(_))));
}

pub async fn a_canceled_run_leaves_everything_as_it_was<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 1).await;
    world.toggle(integrations[0], 1).await;
    let head = world.claim_one(webhook).await;
    let at = world.now() + Duration::from_hours(1);
    world.record(&head, Next::Retry { at }, None).await;
    let before = world.lane(webhook, integrations[0]).await;
    let id = start(&world, Selection::Deliveries(DeliveryFilter::default())).await;
    let (after, _) = step(&world, id).await;
    assert_eq!(after.waiting, 4);
    assert!(command(&world, id, ReplayCommand::Cancel).await);
    assert!(!command(&world, id, ReplayCommand::Cancel).await);
    assert_eq!(world.lane(webhook, integrations[0]).await, before);
    let after = run(&world, id).await;
    assert_eq!((after.state, after.waiting), (ReplayState::Canceled, 0));
    assert_eq!((after.done(), after.skipped()), (4, 4));
    let resumed = world.commit(Write::CommandReplay {
        id,
        command: ReplayCommand::Resume,
    });
    assert!(matches!(resumed.await, Err(CommitError::NotNow(_))));
    let unknown = world.commit(Write::CommandReplay {
        id: world.id(),
        command: ReplayCommand::Pause,
    });
    let noun = Noun::Replay;
    assert!(matches!(unknown.await, Err(CommitError::NotFound { noun: n, .. }) if n == noun));
}

pub async fn a_step_is_taken_once<D: Database>(world: World<D>) {
    let (webhook, _) = failed_lanes(&world, 1).await;
    let id = start(&world, of_state(DeliveryState::Failed)).await;
    let next = world.store().next_of_replay(id).await.unwrap().unwrap();
    let first = world.write(Write::StepReplay(Box::new(next.clone()))).await;
    assert!(matches!(first, Written::Replay { changed: true, .. }));
    send_all(&world, webhook).await;
    let before = run(&world, id).await;
    let again = world.write(Write::StepReplay(Box::new(next))).await;
    assert!(matches!(again, Written::Replay { changed: false, .. }));
    assert_eq!(run(&world, id).await, before);
    assert_eq!(send_all(&world, webhook).await, []);
}

/// What a person settles while the run is on its way is left alone.
pub async fn what_was_settled_since_the_count_is_skipped<D: Database>(world: World<D>) {
    let (webhook, integrations) = failed_lanes(&world, 1).await;
    let lane = world.lane(webhook, integrations[0]).await;
    world.later();
    let id = start(&world, Selection::Deliveries(DeliveryFilter::default())).await;
    world.later();
    world.write(Write::Replay { id: lane[0].id }).await;
    let claim = world.claim_one(webhook).await;
    world.later();
    world.succeed(&claim).await;
    let (after, _) = step(&world, id).await;
    assert_eq!((after.passed, after.waiting), (2, 2));
    let sent = send_all(&world, webhook).await;
    assert_eq!(sent, [2, 3].map(|sequence| (integrations[0], sequence)));
    let (after, _) = step(&world, id).await;
    assert_eq!((after.done(), after.succeeded, after.skipped()), (3, 2, 1));
}

pub async fn staleness_follows_the_history<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let integration = world.new_integration().await;
    let is_stale = async || -> Vec<bool> {
        let lane = world.lane(webhook, integration).await;
        for each in &lane {
            let one = world.store().delivery(each.id).await.unwrap().unwrap();
            assert_eq!(one, *each);
        }
        lane.iter().map(|each| each.is_stale).collect()
    };
    assert_eq!(is_stale().await, [false]);
    world.toggle(integration, 1).await;
    assert_eq!(is_stale().await, [true, false]);
}

/// A filter by cause meets deliveries that have none.
pub async fn what_has_no_cause_is_passed_over<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    let mut integrations = [world.new_integration().await, world.new_integration().await];
    integrations.sort();
    for claim in world.claim(webhook).await {
        if claim.integration_id == integrations[0] {
            world.succeed(&claim).await;
        } else {
            world.record(&claim, Next::Failed, None).await;
        }
    }
    world.later();
    let by_cause = Selection::Deliveries(DeliveryFilter {
        cause: Some(Cause::ServerError),
        ..DeliveryFilter::default()
    });
    let id = start(&world, by_cause).await;
    let (after, due) = step(&world, id).await;
    assert_eq!((after.total, after.passed, after.waiting), (1, 1, 1));
    assert_eq!(due, [webhook]);
    assert_eq!(send_all(&world, webhook).await, [(integrations[1], 1)]);
}
