//! What the dashboard asks beside the rest.

use std::time::Duration;

use bellhop::{
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        cause::Cause,
        delivery::DeliveryState,
        secret_text::SecretText,
        sign_in::{SignIn, SignInKind},
    },
    id::{ApplicationId, EnterpriseId, WebhookId},
    store::{CommitError, DeliveryFilter, Noun, Page, SignInWrite, Write},
};
use bellhop_webhook::Action;
use uuid::Uuid;

use crate::store::{
    databases::Database,
    world::{World, schedule},
};

fn text(text: &str) -> SecretText {
    SecretText::new(text)
}

async fn write<D: Database>(world: &World<D>, write: SignInWrite) -> Result<(), CommitError> {
    world.commit(Write::SignIn(write)).await.map(drop)
}

pub async fn a_link_opens_one_session_of_its_scope<D: Database>(world: World<D>) {
    let store = world.store();
    let application = world.new_application("Product").await;
    let key = Some(TokenHash::of("key"));
    let link =
        SignIn::link(&text("link"), Scope::Application(application), world.now()).with_key(key);
    write(&world, SignInWrite::Keep(link.clone()))
        .await
        .unwrap();
    assert_eq!(store.sign_in(link.hash).await.unwrap(), Some(link.clone()));
    let session = SignIn::session(&text("session"), Scope::Operator, world.now());
    let use_it = || SignInWrite::UseLink {
        link: link.hash,
        session: session.clone(),
    };
    write(&world, use_it()).await.unwrap();
    let kept = store.sign_in(session.hash).await.unwrap().unwrap();
    // Never more than the link says.
    assert_eq!(kept.scope, Scope::Application(application));
    // And no longer than the key that the link was made with.
    assert_eq!(kept.key, key);
    assert_eq!(kept.kind, SignInKind::Session);
    assert_eq!(store.sign_in(link.hash).await.unwrap(), None);
    let again = write(&world, use_it()).await.unwrap_err();
    assert!(matches!(again, CommitError::NotNow(_)), "{again}");
    // A session is no link.
    let of_session = SignInWrite::UseLink {
        link: session.hash,
        session: SignIn::session(&text("other"), Scope::Operator, world.now()),
    };
    assert!(matches!(
        write(&world, of_session).await.unwrap_err(),
        CommitError::NotNow(_)
    ));
    assert!(store.sign_in(session.hash).await.unwrap().is_some());
    let nobody = Scope::Application(ApplicationId(Uuid::nil()));
    let nobodys = SignIn::link(&text("nobody"), nobody, world.now());
    let refused = write(&world, SignInWrite::Keep(nobodys)).await.unwrap_err();
    assert!(matches!(
        refused,
        CommitError::NotFound {
            noun: Noun::Application,
            ..
        }
    ));
}

pub async fn a_link_that_is_over_opens_nothing<D: Database>(world: World<D>) {
    let link = SignIn::link(&text("link"), Scope::Operator, world.now());
    write(&world, SignInWrite::Keep(link.clone()))
        .await
        .unwrap();
    world.clock.advance(Duration::from_mins(30));
    let session = SignIn::session(&text("session"), Scope::Operator, world.now());
    let use_it = SignInWrite::UseLink {
        link: link.hash,
        session: session.clone(),
    };
    assert!(matches!(
        write(&world, use_it).await.unwrap_err(),
        CommitError::NotNow(_)
    ));
    assert_eq!(world.store().sign_in(session.hash).await.unwrap(), None);
    // Whoever signs in next clears it away.
    write(&world, SignInWrite::Keep(session)).await.unwrap();
    assert_eq!(world.store().sign_in(link.hash).await.unwrap(), None);
}

pub async fn a_session_is_prolonged_and_ended<D: Database>(world: World<D>) {
    let store = world.store();
    let session = SignIn::session(&text("session"), Scope::Operator, world.now());
    write(&world, SignInWrite::Keep(session.clone()))
        .await
        .unwrap();
    let idle_until = world.now() + Duration::from_hours(20);
    let prolong = SignInWrite::Prolong {
        session: session.hash,
        idle_until,
    };
    write(&world, prolong).await.unwrap();
    let kept = store.sign_in(session.hash).await.unwrap().unwrap();
    assert_eq!(
        kept,
        SignIn {
            idle_until,
            ..session.clone()
        }
    );
    let end = SignInWrite::End {
        session: session.hash,
        application_id: None,
    };
    write(&world, end.clone()).await.unwrap();
    assert_eq!(store.sign_in(session.hash).await.unwrap(), None);
    write(&world, end).await.unwrap();
}

pub async fn what_is_failing_is_grouped<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        world.new_integration().await;
    }
    let store = world.store();
    let since = world.now();
    assert_eq!(store.failing(None, since).await.unwrap(), []);
    let claims = world.claim(webhook).await;
    assert_eq!(claims.len(), 3);
    world.succeed(&claims[0]).await;
    world.fail(&claims[1]).await;
    world.fail(&claims[2]).await;
    let groups = store.failing(None, since).await.unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(
        (groups[0].webhook_id, groups[0].waiting, groups[0].failed),
        (webhook, 2, 0)
    );
    assert_eq!(groups[0].since, since);
    let of = world.webhook(webhook).await.application_id;
    assert_eq!(store.failing(Some(of), since).await.unwrap(), groups);
    let other = world.new_application("Other").await;
    assert_eq!(store.failing(Some(other), since).await.unwrap(), []);
    // To the end of the schedule.
    for _ in 1..schedule().seconds().len() {
        world.clock.advance(Duration::from_hours(24));
        for claim in world.claim(webhook).await {
            world.fail(&claim).await;
        }
    }
    let groups = store.failing(Some(of), since).await.unwrap();
    assert_eq!(
        (groups.len(), groups[0].waiting, groups[0].failed),
        (1, 0, 2),
        "{groups:?}"
    );
    let later = world.now();
    assert_eq!(store.failing(None, later).await.unwrap(), []);
}

pub async fn the_newest_attempts_of_a_webhook_are_told<D: Database>(world: World<D>) {
    let (webhook, other) = (world.new_webhook().await, world.new_webhook().await);
    let integration = world.new_integration().await;
    let store = world.store();
    assert_eq!(store.recent_attempts(webhook).await.unwrap(), []);
    let claim = world.claim_one(webhook).await;
    world.fail(&claim).await;
    world.clock.advance(Duration::from_hours(24));
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    let told = store.recent_attempts(webhook).await.unwrap();
    let numbers: Vec<_> = told
        .iter()
        .map(|attempt| (attempt.number, attempt.cause.is_none()))
        .collect();
    assert_eq!(numbers, [(2, true), (1, false)]);
    let delivery = &world.lane(webhook, integration).await[0];
    let kept = store.attempts(delivery.id).await.unwrap();
    assert_eq!(
        (told[1].started, told[1].duration),
        (kept[0].started, kept[0].duration)
    );
    assert!(
        told.iter()
            .all(|attempt| attempt.delivery_id == delivery.id)
    );
    assert_eq!(store.recent_attempts(other).await.unwrap(), []);
}

pub async fn a_webhooks_history_is_told_in_spans<D: Database>(world: World<D>) {
    let (webhook, other) = (world.new_webhook().await, world.new_webhook().await);
    let store = world.store();
    let hour = Duration::from_hours(1);
    let begin = world.now();
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.fail(&claim).await;
    world.clock.advance(hour);
    world.new_integration().await;
    world.new_integration().await;
    for claim in world.claim(webhook).await {
        world.succeed(&claim).await;
    }
    let moments: Vec<_> = (0..4).map(|past| begin + hour * past).collect();
    let spans = store.history(webhook, moments.clone()).await.unwrap();
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let good = span.attempts.iter().filter(|(_, is_good)| *is_good);
            (span.states, span.attempts.len(), good.count())
        })
        .collect();
    // What was made in the first hour was tried again in the second.
    assert_eq!(
        told,
        [
            ([0, 1, 0, 0], 2, 1),
            ([0, 2, 0, 0], 2, 2),
            ([0, 0, 0, 0], 0, 0)
        ]
    );
    let other = store.history(other, moments).await.unwrap();
    assert_eq!(other[0].states, [1, 0, 0, 0]);
    assert!(other[0].attempts.is_empty());
    assert_eq!(store.history(webhook, vec![begin]).await.unwrap(), []);
}

/// Filters that are looked for in each of the ways that there are.
fn filters(
    (of, enterprise): (ApplicationId, EnterpriseId),
    webhook: WebhookId,
    other: WebhookId,
) -> Vec<DeliveryFilter> {
    let all = DeliveryFilter::default;
    let of_state = |state| DeliveryFilter {
        state: Some(state),
        ..all()
    };
    let to = |webhook| DeliveryFilter {
        webhook_id: Some(webhook),
        ..all()
    };
    let own = |filter| DeliveryFilter {
        application_id: Some(of),
        ..filter
    };
    let doing = |action| DeliveryFilter {
        action: Some(action),
        ..all()
    };
    vec![
        all(),
        to(webhook),
        own(all()),
        of_state(DeliveryState::Pending),
        own(of_state(DeliveryState::Pending)),
        of_state(DeliveryState::Failed),
        own(of_state(DeliveryState::Failed)),
        of_state(DeliveryState::Delivered),
        DeliveryFilter {
            state: Some(DeliveryState::Pending),
            ..to(other)
        },
        DeliveryFilter {
            state: Some(DeliveryState::Delivered),
            ..to(webhook)
        },
        DeliveryFilter {
            cause: Some(Cause::Gone),
            ..all()
        },
        doing(Action::IntegrationCreated),
        doing(Action::IntegrationDeleted),
        DeliveryFilter {
            enterprise_id: Some(enterprise),
            ..to(webhook)
        },
        DeliveryFilter {
            enterprise_id: Some(EnterpriseId(webhook.0)),
            ..all()
        },
    ]
}

/// Pages of a filter, one after the other, hold what the list of the API holds, however few are looked at for each.
pub async fn leafed_through_a_filter_gives_all_of_it<D: Database>(world: World<D>) {
    let (webhook, other) = (world.new_webhook().await, world.new_webhook().await);
    for _ in 0..4 {
        world.new_integration().await;
    }
    // One is delivered, two wait for their next try, one has failed for good; the other webhook's all wait.
    let claims = world.claim(webhook).await;
    world.succeed(&claims[0]).await;
    for claim in &claims[1..] {
        world.fail(claim).await;
    }
    for _ in 1..schedule().seconds().len() {
        world.clock.advance(Duration::from_hours(24));
        let claims = world.claim(webhook).await;
        if let Some(claim) = claims.first() {
            world.fail(claim).await;
        }
        world.release_all(claims.get(1..).unwrap_or_default()).await;
    }
    let of = world.webhook(webhook).await.application_id;
    let store = world.store();
    for filter in filters((of, world.enterprise), webhook, other) {
        let whole = Page {
            after: None,
            limit: 1000,
        };
        let wanted = store.deliveries(filter.clone(), whole).await.unwrap();
        for looked in [1, 2, 3, 1000] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = Page { after, limit: 2 };
                let leaf = store.leaf(filter.clone(), page, looked).await.unwrap();
                let last = leaf.deliveries.last().map(|each| each.id.0);
                let is_full = leaf.deliveries.len() == 2;
                found.extend(leaf.deliveries);
                after = if is_full {
                    last
                } else {
                    leaf.looked_to.map(|id| id.0)
                };
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{filter:?}, looking at {looked}");
        }
    }
}

/// A page of a former time is looked for there, and not among all that came after it.
pub async fn a_page_of_a_former_time_begins_there<D: Database>(world: World<D>) {
    world.new_webhook().await;
    let first = world.new_integration().await;
    world.clock.advance(Duration::from_hours(1));
    let between = world.now();
    world.clock.advance(Duration::from_hours(1));
    for _ in 0..5 {
        world.new_integration().await;
    }
    let filter = DeliveryFilter {
        action: Some(Action::IntegrationCreated),
        to: Some(between),
        ..DeliveryFilter::default()
    };
    let page = Page {
        after: None,
        limit: 10,
    };
    let leaf = world.store().leaf(filter, page, 2).await.unwrap();
    assert_eq!(leaf.looked_to, None);
    assert_eq!(leaf.deliveries.len(), 1);
    assert_eq!(leaf.deliveries[0].integration_id, first);
}

pub async fn names_are_found_by_a_part_of_them<D: Database>(world: World<D>) {
    for name in ["Alpenblick Hotels", "Blick 100%", "blick_a\\b", "Harbour"] {
        world.new_application(name).await;
    }
    let store = world.store();
    for (part, wanted) in [
        (
            "blick",
            &["Alpenblick Hotels", "Blick 100%", "blick_a\\b"][..],
        ),
        ("BLICK", &["Alpenblick Hotels", "Blick 100%", "blick_a\\b"]),
        ("100%", &["Blick 100%"]),
        ("k_a", &["blick_a\\b"]),
        ("a\\b", &["blick_a\\b"]),
        ("%", &["Blick 100%"]),
        ("nowhere", &[]),
    ] {
        let found = store.applications_named(part.to_owned(), 10).await.unwrap();
        let mut names: Vec<_> = found.iter().map(|each| &*each.name).collect();
        names.sort_unstable();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{part}");
        let few = store.applications_named(part.to_owned(), 1).await.unwrap();
        assert_eq!(few.len(), wanted.len().min(1));
        assert!(
            store
                .enterprises_named("nowhere".to_owned(), 10)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
