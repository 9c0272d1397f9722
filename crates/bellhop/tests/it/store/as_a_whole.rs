//! What holds for a webhook as a whole, however many replicas send to it.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{delivery::Next, health::Circuit},
    id::WebhookId,
    store::{ClaimRequest, Store, Want, WebhookClaims, WebhookPatch},
};

use super::{
    postgres::{Postgres, cluster, execute, open},
    world::{World, attempted},
};

/// A world, a webhook with these settings and twelve lanes, and a second replica on its database.
async fn two(settings: WebhookPatch) -> Option<(World<Postgres>, WebhookId, Arc<dyn Store>)> {
    cluster()?;
    let world: World<Postgres> = World::new().await;
    let webhook = world.new_webhook_with(settings).await;
    for _ in 0..12 {
        world.new_integration().await;
    }
    let other = open(&world.database.url(), 7).await;
    Some((world, webhook, Arc::new(other)))
}

fn at_most(max_in_flight: u32) -> WebhookPatch {
    WebhookPatch {
        max_in_flight: Some(max_in_flight),
        ..WebhookPatch::default()
    }
}

async fn claim(
    world: &World<Postgres>,
    on: &dyn Store,
    webhook_id: WebhookId,
    limit: usize,
) -> WebhookClaims {
    let wants = vec![Want { webhook_id, limit }];
    let now = world.now();
    let request = ClaimRequest { now, wants };
    on.claim(request).await.unwrap().remove(0)
}

async fn end(world: &World<Postgres>, on: &dyn Store, claims: &WebhookClaims, next: Next) {
    for claim in &claims.claims {
        let attempted = attempted(claim, next, None, world.now());
        on.record(attempted).await.unwrap();
    }
}

#[tokio::test]
async fn requests_in_flight_are_counted_over_all_replicas() {
    let Some((world, webhook, other)) = two(at_most(4)).await else {
        return;
    };
    let one = world.store();
    let ours = claim(&world, &*one, webhook, 3).await;
    assert_eq!((ours.claims.len(), ours.most_in_flight), (3, None));
    let theirs = claim(&world, &*other, webhook, 4).await;
    assert_eq!((theirs.claims.len(), theirs.most_in_flight), (1, Some(1)));
    assert!(theirs.next_due.is_some_and(|due| due <= world.now()));
    assert_eq!(claim(&world, &*one, webhook, 1).await.claims.len(), 0);
    // One of theirs ends: there is room for one, on whichever replica.
    end(&world, &*other, &theirs, Next::Delivered).await;
    let more = claim(&world, &*one, webhook, 1).await;
    assert_eq!((more.claims.len(), more.most_in_flight), (1, None));
    assert_eq!(claim(&world, &*other, webhook, 4).await.claims.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_claim_at_the_same_time_do_not_count_wrong() {
    let Some((world, webhook, other)) = two(at_most(2)).await else {
        return;
    };
    let one = world.store();
    for _ in 0..30 {
        let (ours, theirs) = tokio::join!(
            claim(&world, &*one, webhook, 2),
            claim(&world, &*other, webhook, 2)
        );
        assert_eq!(ours.claims.len() + theirs.claims.len(), 2);
        // They are given back: the lanes are as they were.
        for (store, taken) in [(&one, ours), (&other, theirs)] {
            let proofs = taken
                .claims
                .iter()
                .map(|each| (each.delivery_id, each.fence));
            store.release(proofs.collect()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_circuit_is_open_on_all_replicas_and_one_of_them_finds_out() {
    let Some((world, webhook, other)) = two(WebhookPatch::default()).await else {
        return;
    };
    let one = world.store();
    // Some fail here, some there.
    let ours = claim(&world, &*one, webhook, 5).await;
    let theirs = claim(&world, &*other, webhook, 5).await;
    let retry = Next::Retry {
        at: world.now() + Duration::from_mins(1),
    };
    end(&world, &*one, &ours, retry).await;
    end(&world, &*other, &theirs, retry).await;
    let health = world.webhook(webhook).await.health;
    assert!(matches!(health.circuit(world.now()), Circuit::Open { .. }));
    assert_eq!(claim(&world, &*one, webhook, 5).await.claims.len(), 0);
    assert_eq!(claim(&world, &*other, webhook, 5).await.claims.len(), 0);
    world.clock.advance(Duration::from_secs(7));
    let probe = claim(&world, &*other, webhook, 5).await;
    assert_eq!(probe.claims.len(), 1);
    let nothing = claim(&world, &*one, webhook, 5).await;
    assert_eq!((nothing.claims.len(), nothing.most_in_flight), (0, Some(0)));
    end(&world, &*other, &probe, Next::Delivered).await;
    assert_eq!(claim(&world, &*one, webhook, 5).await.claims.len(), 1);
}

#[tokio::test]
async fn a_rate_limit_is_one_for_all_replicas() {
    let ten_a_second = WebhookPatch {
        rate_limit: Some(Some(10)),
        ..WebhookPatch::default()
    };
    let Some((world, webhook, other)) = two(ten_a_second).await else {
        return;
    };
    let one = world.store();
    // A replica that is alone keeps the pace by itself.
    for limit in [3, 2] {
        let ours = claim(&world, &*one, webhook, limit).await;
        assert_eq!(ours.claims.len(), limit);
    }
    let theirs = claim(&world, &*other, webhook, 5).await;
    assert_eq!(theirs.claims.len(), 0);
    let wait = theirs.next_due.unwrap().duration_since(world.now());
    assert!(
        wait.as_secs_f64() > 0.2 && wait.as_secs_f64() <= 0.5,
        "{wait:?}"
    );
    // The database's clock cannot be moved: what is spent is.
    let later = "UPDATE paces SET spent_until = spent_until - interval '1 second'";
    execute(&world.database.url(), later).await;
    let theirs = claim(&world, &*other, webhook, 5).await;
    assert_eq!(
        theirs.claims.len(),
        1,
        "a tenth of a second's requests at once"
    );
    let ours = claim(&world, &*one, webhook, 5).await;
    assert_eq!(ours.claims.len(), 0, "now the other has claimed last");
    assert!(ours.next_due.is_some_and(|due| due > world.now()));
}
