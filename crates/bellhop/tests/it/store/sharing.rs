//! What several stores on one database owe each other.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bellhop::{
    domain::{
        delivery::{DeliveryState, Next},
        integration::Command,
        replay::ReplayState,
        secret_text::SecretText,
        webhook::WebhookState,
    },
    id::{DeliveryId, IntegrationId},
    store::{
        Answer, Claim, ClaimRequest, Commit, Receipt, Recorded, Remember, Store, StoreError, Want,
        WebhookPatch, Write, postgres::Address,
    },
};

use tokio_postgres::NoTls;

use super::{
    conformance::runs,
    postgres::{Postgres, cluster, execute, open, try_open},
    world::{World, attempted},
};

/// A world, and a second replica on its database.
async fn two() -> Option<(World<Postgres>, Arc<dyn Store>)> {
    cluster()?;
    let world: World<Postgres> = World::new().await;
    let other = open(&world.database.url(), 7).await;
    Some((world, Arc::new(other)))
}

fn command(world: &World<Postgres>, id: IntegrationId, command: Command) -> Commit {
    let write = Write::Command {
        id,
        command,
        requestor: None,
    };
    Commit {
        at: world.now(),
        write,
        by: bellhop::domain::audit::By::system(),
        remember: None,
    }
}

async fn claim(
    world: &World<Postgres>,
    on: &dyn Store,
    webhook: bellhop::id::WebhookId,
    limit: usize,
) -> Vec<Claim> {
    let wants = vec![Want {
        webhook_id: webhook,
        limit,
    }];
    let now = world.now();
    on.claim(ClaimRequest { now, wants })
        .await
        .unwrap()
        .remove(0)
        .claims
}

#[tokio::test]
async fn commands_on_both_at_once_have_gapless_sequences() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..40_u32 {
        let store = if number % 2 == 0 {
            world.store()
        } else {
            other.clone()
        };
        let toggle = if number % 4 < 2 {
            Command::Disable
        } else {
            Command::Enable
        };
        let commit = command(&world, id, toggle);
        running.spawn(async move { store.commit(commit).await.unwrap() });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let messages = world.store().messages(id, 0, 1000).await.unwrap();
    let sequences: Vec<u64> = messages.iter().map(|message| message.sequence).collect();
    assert!(sequences.len() > 2);
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    // One head, and each knows the one before it.
    let mut lane = world.lane(webhook, id).await;
    lane.sort_by_key(|each| each.sequence);
    let due: Vec<bool> = lane
        .iter()
        .map(|each| each.next_attempt.is_some())
        .collect();
    assert_eq!(due.iter().filter(|is_due| **is_due).count(), 1);
    assert!(due[0] && lane.iter().all(|each| each.previous + 1 == each.sequence));
}

/// Records end heads while commands add behind them: whatever meets, no lane is left without a head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lane_stops_where_a_record_and_a_command_meet() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    let mut integrations = Vec::new();
    for _ in 0..6 {
        integrations.push(world.new_integration().await);
    }
    for round in 0..15 {
        let mut running = tokio::task::JoinSet::new();
        for (number, id) in integrations.iter().enumerate() {
            let store = if number % 2 == 0 {
                world.store()
            } else {
                other.clone()
            };
            let toggle = if round % 2 == 0 {
                Command::Disable
            } else {
                Command::Enable
            };
            let commit = command(&world, *id, toggle);
            running.spawn(async move { drop(store.commit(commit).await.unwrap()) });
        }
        for claim in world.claim(webhook).await {
            let (store, at) = (world.store(), world.now());
            running.spawn(async move {
                let next = Next::Delivered;
                let recorded = store.record(attempted(&claim, next, None, at)).await;
                assert!(matches!(recorded, Ok(Recorded::Done { .. })));
            });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
    }
    let mut left = integrations.len();
    // What was claimed with a commit and lay too long is given back first: there may be nothing for a moment.
    let mut patience = 100;
    loop {
        let claims = world.claim(webhook).await;
        if claims.is_empty() && (left == 0 || patience == 0) {
            break;
        }
        if claims.is_empty() {
            patience -= 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for claim in claims {
            world.succeed(&claim).await;
            left = left.saturating_sub(1);
        }
    }
    assert_eq!(left, 0);
    let stats = world.store().stats(world.now()).await.unwrap();
    assert_eq!(stats.deliveries, [0, 16 * integrations.len() as u64, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_both_are_disjoint_and_one_a_lane() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world
        .new_webhook_with(WebhookPatch {
            max_in_flight: Some(100),
            ..WebhookPatch::default()
        })
        .await;
    for _ in 0..60 {
        world.new_integration().await;
    }
    let mut seen: HashSet<DeliveryId> = HashSet::new();
    let mut count = 0;
    while count < 60 {
        let store = world.store();
        let (ours, theirs) = tokio::join!(
            claim(&world, &*store, webhook, 7),
            claim(&world, &*other, webhook, 7)
        );
        count += ours.len() + theirs.len();
        seen.extend(ours.iter().chain(&theirs).map(|claim| claim.delivery_id));
    }
    assert_eq!((seen.len(), count), (60, 60));
}

/// A record ends the claim first and changes the delivery then. Whoever waited for the one while it holds the other would
/// wait in a circle.
#[tokio::test]
async fn who_claims_does_not_wait_for_a_late_record() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    world.claim_one(webhook).await;
    let url = world.database.url();
    let lapse = "UPDATE claims SET lease_until = clock_timestamp() - interval '1 second'";
    execute(&url, lapse).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let record = "BEGIN; DELETE FROM claims";
    client.batch_execute(record).await.unwrap();
    let claimed = claim(&world, &*other, webhook, 5);
    let claimed = tokio::time::timeout(Duration::from_secs(5), claimed).await;
    assert!(claimed.expect("it waits").is_empty());
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(claim(&world, &*other, webhook, 5).await.len(), 1);
}

#[tokio::test]
async fn who_is_past_its_lease_and_was_replaced_records_nothing() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    let late = world.claim_one(webhook).await;
    assert!(claim(&world, &*other, webhook, 5).await.is_empty());
    let lapse = "UPDATE claims SET lease_until = clock_timestamp() - interval '1 second'";
    execute(&world.database.url(), lapse).await;
    let taken = claim(&world, &*other, webhook, 5).await.remove(0);
    assert_eq!((taken.delivery_id, taken.number), (late.delivery_id, 1));
    assert!(taken.fence > late.fence);
    assert_eq!(world.succeed(&late).await, Recorded::Lost);
    assert!(
        world
            .store()
            .attempts(late.delivery_id)
            .await
            .unwrap()
            .is_empty()
    );
    // Nor does it free what is another's.
    world
        .store()
        .release(vec![(late.delivery_id, late.fence)])
        .await
        .unwrap();
    assert!(world.claim(webhook).await.is_empty());
    let next = Next::Delivered;
    let recorded = other
        .record(attempted(&taken, next, None, world.now()))
        .await
        .unwrap();
    assert!(matches!(recorded, Recorded::Done { .. }));
    assert_eq!(world.lane(webhook, id).await[0].attempt_count, 1);
    // What a person does to a delivery whose claim has lapsed ends the claim.
    world.toggle(id, 1).await;
    let late = world.claim_one(webhook).await;
    execute(&world.database.url(), lapse).await;
    let reason = "not wanted".to_owned();
    world
        .write(Write::Discard {
            id: late.delivery_id,
            reason,
        })
        .await;
    assert_eq!(world.succeed(&late).await, Recorded::Lost);
}

#[tokio::test]
async fn the_same_request_to_both_is_done_once() {
    let Some((world, other)) = two().await else {
        return;
    };
    let until = world.now() + Duration::from_mins(1);
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let remember = Remember {
            key: [1; 32],
            fingerprint: [1; 32],
            until,
            shows: |_| None,
            render: Arc::new(|written| Answer(format!("{written:?}").into_bytes())),
        };
        let commit = Commit {
            at: world.now(),
            write: Write::CreateIntegration {
                new: Box::new(world.integration_request()),
                requestor: None,
            },
            by: bellhop::domain::audit::By::system(),
            remember: Some(remember),
        };
        let store = if number % 2 == 0 {
            world.store()
        } else {
            other.clone()
        };
        running.spawn(async move { store.commit(commit).await.unwrap() });
    }
    let mut done = 0;
    while let Some(receipt) = running.join_next().await {
        done += u32::from(matches!(receipt.unwrap(), Receipt::Done { .. }));
    }
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_deleted_webhook_gets_nothing_from_the_other() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    let id = world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let at = world.now();
    let write = Write::DeleteWebhook { id: webhook };
    other
        .commit(Commit {
            at,
            write,
            by: bellhop::domain::audit::By::system(),
            remember: None,
        })
        .await
        .unwrap();
    assert_eq!(world.succeed(&claim).await, Recorded::Lost);
    world.toggle(id, 1).await;
    assert_eq!(world.lane(webhook, id).await.len(), 1);
    assert!(world.store().webhook(webhook).await.unwrap().is_none());
}

#[tokio::test]
async fn a_newer_schema_and_another_key_are_refused() {
    let Some((world, _other)) = two().await else {
        return;
    };
    let url = world.database.url();
    let refused = try_open(&url, 8, [9; 32]).await.unwrap_err();
    assert!(matches!(refused, StoreError::OtherKey), "{refused}");
    execute(&url, "UPDATE schema_version SET version = 1000").await;
    let refused = try_open(&url, 8, [7; 32]).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Newer { found: 1000, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    if cluster().is_none() {
        return;
    }
    let database = super::postgres::TestDatabase::new().await;
    let url = database.url();
    let (one, two, three) = tokio::join!(open(&url, 1), open(&url, 2), open(&url, 3));
    for store in [one, two, three] {
        assert!(store.keys().await.unwrap().is_empty());
        store.close().await.unwrap();
    }
}

#[test]
fn what_is_shown_of_an_address_is_no_secret() {
    let shown = |url: &str| Address::parse(&SecretText::new(url)).unwrap().shown();
    assert_eq!(
        shown("postgres://user:word@db.example/hooks"),
        "postgres://db.example:5432/hooks"
    );
    assert_eq!(
        shown("postgres://user:word@one:1,two:2/hooks?sslmode=verify-full&application_name=a%20b"),
        "postgres://one:1,two:2/hooks"
    );
    let refused = Address::parse(&SecretText::new(
        "postgres://user:word@db/hooks?nonsense=word",
    ))
    .unwrap_err();
    assert!(!refused.to_string().contains("word"), "{refused}");
}

/// Both replicas step the same run while both send what it makes due: each is sent once, in the order of its lane.
#[tokio::test]
async fn two_replicas_move_one_run_on() {
    let Some((world, other)) = two().await else {
        return;
    };
    let webhook = world.new_webhook().await;
    for _ in 0..4 {
        let integration = world.new_integration().await;
        world.toggle(integration, 2).await;
    }
    for _ in 0..3 {
        for claim in world.claim(webhook).await {
            world.record(&claim, Next::Failed, None).await;
        }
    }
    // Its circuit is closed again.
    world.set_state(webhook, WebhookState::Enabled).await;
    world.later();
    let id = runs::start(&world, runs::of_state(DeliveryState::Failed)).await;
    let sent = std::sync::Mutex::new(Vec::new());
    let step = async |on: &dyn Store| {
        if let Some(step) = on.next_of_replay(id).await.unwrap() {
            let write = Write::StepReplay(Box::new(step));
            let commit = Commit {
                at: world.now(),
                write,
                by: bellhop::domain::audit::By::system(),
                remember: None,
            };
            on.commit(commit).await.unwrap();
        }
    };
    let send = async |on: &dyn Store| {
        for claim in claim(&world, on, webhook, 3).await {
            let place = (claim.integration_id, claim.sequence);
            sent.lock().unwrap().push(place);
            let arrived = attempted(&claim, Next::Delivered, None, world.now());
            on.record(arrived).await.unwrap();
        }
    };
    let one = world.store();
    for _ in 0..200 {
        world.clock.advance(Duration::from_millis(1));
        tokio::join!(step(&*one), step(&*other), send(&*one), send(&*other));
        if runs::run(&world, id).await.state.has_ended() {
            break;
        }
    }
    let run = runs::run(&world, id).await;
    assert_eq!(run.state, ReplayState::Completed);
    assert_eq!(
        (run.passed, run.succeeded, run.failed, run.waiting),
        (12, 12, 0, 0)
    );
    let mut sent = sent.into_inner().unwrap();
    sent.sort_by_key(|(integration, _)| *integration);
    let sequences: Vec<u64> = sent.iter().map(|(_, sequence)| *sequence).collect();
    assert_eq!(sequences, [1, 2, 3].repeat(4));
}
