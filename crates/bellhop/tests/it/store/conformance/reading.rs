//! Lists, filters, pages and figures.

use std::{collections::HashMap, time::Duration};

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{Delivery, DeliveryState, Next},
        integration::{Command, Integration, NewIntegration, State},
        webhook::WebhookState,
    },
    id::{DeliveryId, EnterpriseId},
    store::{DeliveryFilter, IntegrationFilter, Page, WebhookPatch, Write},
};
use uuid::Uuid;

use crate::store::{
    databases::Database,
    world::{ALL, World},
};

pub async fn integrations_are_filtered<D: Database>(world: World<D>) {
    let another = world.new_application("Another").await;
    let elsewhere = world.new_enterprise("Elsewhere").await;
    for application_id in [world.application, another] {
        for enterprise_id in [world.enterprise, elsewhere] {
            for state in State::ALL {
                let new = NewIntegration {
                    application_id,
                    enterprise_id,
                    is_enabled: state != State::Disabled,
                    ..world.integration_request()
                };
                let id = world.create(new).await.id;
                match state {
                    State::Canceled => drop(world.command(id, Command::Cancel).await),
                    State::Deleted => {
                        // Canceled before, and still deleted.
                        world.command(id, Command::Cancel).await;
                        world.command(id, Command::Delete).await;
                    }
                    State::Enabled | State::Disabled => {}
                }
            }
        }
    }
    let store = world.store();
    let everything = IntegrationFilter {
        with_deleted: true,
        ..IntegrationFilter::default()
    };
    let all = store.integrations(everything, ALL).await.unwrap();
    assert_eq!(all.len(), 16);
    assert!(all.is_sorted_by_key(|each| each.id));
    for application_id in [None, Some(another)] {
        for enterprise_id in [None, Some(elsewhere)] {
            for state in State::ALL.map(Some).into_iter().chain([None]) {
                for with_deleted in [false, true] {
                    let filter = IntegrationFilter {
                        application_id,
                        enterprise_id,
                        state,
                        with_deleted,
                    };
                    let fits = |each: &&Integration| {
                        application_id.is_none_or(|id| id == each.application_id)
                            && enterprise_id.is_none_or(|id| id == each.enterprise_id)
                            && match state {
                                Some(state) => each.state() == state,
                                None => with_deleted || each.deleted.is_none(),
                            }
                    };
                    let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
                    let mut found = Vec::new();
                    loop {
                        let after = found.last().map(|each: &Integration| each.id.0);
                        let page = Page { after, limit: 3 };
                        let more = store.integrations(filter.clone(), page).await.unwrap();
                        assert!(more.len() <= 3);
                        if more.is_empty() {
                            break;
                        }
                        found.extend(more);
                    }
                    assert_eq!(found, expected, "{filter:?}");
                }
            }
        }
    }
}

pub async fn a_history_is_read_in_order<D: Database>(world: World<D>) {
    let (id, other) = (world.new_integration().await, world.new_integration().await);
    for _ in 0..12 {
        world.toggle(id, 1).await;
        world.toggle(other, 1).await;
    }
    let store = world.store();
    let all = store.messages(id, 0, 100).await.unwrap();
    let sequences: Vec<_> = all.iter().map(|each| each.sequence).collect();
    assert_eq!(sequences, (1..=13).collect::<Vec<_>>());
    assert!(all.iter().all(|each| each.integration_id == id));
    let first = store.messages(id, 0, 5).await.unwrap();
    let rest = store.messages(id, 5, 100).await.unwrap();
    assert_eq!([first, rest].concat(), all);
    assert_eq!(store.messages(id, 13, 5).await.unwrap(), []);
}

/// Deliveries in every state, of two applications, two enterprises and several moments.
async fn populate<D: Database>(world: &World<D>) -> Vec<Delivery> {
    let another = world.new_application("Another").await;
    let elsewhere = world.new_enterprise("Elsewhere").await;
    for application_id in [world.application, another] {
        world
            .new_webhook_of(application_id, WebhookPatch::default())
            .await;
        let webhook = world
            .new_webhook_of(application_id, WebhookPatch::default())
            .await;
        for enterprise_id in [world.enterprise, elsewhere] {
            world.later();
            let new = NewIntegration {
                application_id,
                enterprise_id,
                ..world.integration_request()
            };
            let id = world.create(new).await.id;
            world.toggle(id, 4).await;
            let claim = world.claim_one(webhook).await;
            world.succeed(&claim).await;
            let claim = world.claim_one(webhook).await;
            world.record(&claim, Next::Failed, None).await;
            let claim = world.claim_one(webhook).await;
            world.fail(&claim).await;
            let lane = world.lane(webhook, id).await;
            let reason = "not wanted".into();
            world
                .write(Write::Discard {
                    id: lane[3].id,
                    reason,
                })
                .await;
        }
    }
    let store = world.store();
    let all = store.deliveries(DeliveryFilter::default(), ALL).await;
    let all = all.unwrap();
    assert_eq!(all.len(), 40);
    assert!(all.is_sorted_by(|newer, older| newer.id > older.id));
    all
}

/// Each combination of the nine members of the filter, with values of one delivery.
pub async fn deliveries_are_filtered<D: Database>(world: World<D>) {
    let all = populate(&world).await;
    let store = world.store();
    let mut enterprises = HashMap::new();
    for each in &all {
        let integration = store.integration(each.integration_id).await.unwrap();
        enterprises.insert(each.integration_id, integration.unwrap().enterprise_id);
    }
    let sample = all.iter().find(|each| each.state == DeliveryState::Failed);
    let sample = sample.unwrap();
    for mask in 0..1 << 9 {
        let is_set = |bit: u32| mask & (1 << bit) != 0;
        let filter = DeliveryFilter {
            webhook_id: is_set(0).then_some(sample.webhook_id),
            application_id: is_set(1).then_some(sample.application_id),
            integration_id: is_set(2).then_some(sample.integration_id),
            enterprise_id: is_set(3).then_some(enterprises[&sample.integration_id]),
            action: is_set(4).then_some(sample.action),
            state: is_set(5).then_some(sample.state),
            cause: is_set(6).then_some(Cause::ServerError),
            from: is_set(7).then_some(sample.created),
            to: is_set(8).then_some(sample.created + Duration::from_secs(1)),
        };
        let fits = |each: &&Delivery| fits(each, enterprises[&each.integration_id], &filter);
        let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
        assert!(!expected.is_empty());
        let found = store.deliveries(filter.clone(), ALL).await.unwrap();
        assert_eq!(found, expected, "{filter:?}");
    }
    let none = DeliveryFilter::default;
    for nothing in [
        DeliveryFilter {
            cause: Some(Cause::Timeout),
            ..none()
        },
        // The upper end does not belong to the range.
        DeliveryFilter {
            from: Some(sample.created),
            to: Some(sample.created),
            ..none()
        },
        DeliveryFilter {
            webhook_id: Some(sample.webhook_id),
            application_id: Some(world.id()),
            ..none()
        },
        DeliveryFilter {
            webhook_id: Some(world.id()),
            ..none()
        },
    ] {
        let found = store.deliveries(nothing, ALL).await.unwrap();
        assert_eq!(found, []);
    }
}

fn fits(each: &Delivery, enterprise: EnterpriseId, filter: &DeliveryFilter) -> bool {
    fn fits<T: PartialEq + Copy>(wanted: Option<T>, is: T) -> bool {
        wanted.is_none_or(|wanted| wanted == is)
    }
    fits(filter.webhook_id, each.webhook_id)
        && fits(filter.application_id, each.application_id)
        && fits(filter.integration_id, each.integration_id)
        && fits(filter.enterprise_id, enterprise)
        && fits(filter.action, each.action)
        && fits(filter.state, each.state)
        && fits(filter.cause.map(Some), each.cause)
        && filter.from.is_none_or(|from| each.created >= from)
        && filter.to.is_none_or(|to| each.created < to)
}

pub async fn deliveries_are_paged_newest_first<D: Database>(world: World<D>) {
    let all = populate(&world).await;
    let store = world.store();
    for (filter, expected) in [
        (DeliveryFilter::default(), all.clone()),
        (
            DeliveryFilter {
                state: Some(DeliveryState::Pending),
                ..DeliveryFilter::default()
            },
            all.iter()
                .filter(|each| each.state == DeliveryState::Pending)
                .cloned()
                .collect(),
        ),
    ] {
        let mut found: Vec<Delivery> = Vec::new();
        loop {
            let after = found.last().map(|each| each.id.0);
            let page = Page { after, limit: 7 };
            let more = store.deliveries(filter.clone(), page).await.unwrap();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        assert_eq!(found, expected);
    }
}

pub async fn what_is_not_there_is_not_found<D: Database>(world: World<D>) {
    let store = world.store();
    let nobody = Uuid::nil();
    assert_eq!(store.enterprise(nobody.into()).await.unwrap(), None);
    assert_eq!(store.application(nobody.into()).await.unwrap(), None);
    assert_eq!(store.webhook(nobody.into()).await.unwrap(), None);
    assert_eq!(store.integration(nobody.into()).await.unwrap(), None);
    assert_eq!(store.key(nobody.into()).await.unwrap(), None);
    let delivery = DeliveryId(nobody);
    assert_eq!(store.delivery(delivery).await.unwrap(), None);
    assert_eq!(store.body(delivery).await.unwrap(), None);
    assert_eq!(store.attempts(delivery).await.unwrap(), []);
    assert_eq!(store.messages(nobody.into(), 0, 10).await.unwrap(), []);
    assert_eq!(store.due().await.unwrap(), []);
}

pub async fn figures_equal_the_truth<D: Database>(mut world: World<D>) {
    let empty = world.store().stats(world.now()).await.unwrap();
    assert_eq!(
        (empty.deliveries, empty.oldest_due, empty.lanes_held),
        ([0; 4], None, 0)
    );
    let all = populate(&world).await;
    let count = |state| all.iter().filter(|each| each.state == state).count() as u64;
    let expected = DeliveryState::ALL.map(count);
    assert!(expected.iter().all(|count| *count > 0), "{expected:?}");
    let stats = world.store().stats(world.now()).await.unwrap();
    assert_eq!(stats.deliveries, expected);
    let oldest = all.iter().filter_map(|each| each.next_attempt).min();
    assert_eq!(stats.oldest_due, oldest);
    let early = oldest.unwrap() - Duration::from_millis(1);
    assert_eq!(world.store().stats(early).await.unwrap().oldest_due, None);

    let held = all
        .iter()
        .find(|each| each.next_attempt == oldest)
        .unwrap()
        .webhook_id;
    world.set_state(held, WebhookState::Paused).await;
    let of_held = |each: &&Delivery| each.webhook_id == held && each.next_attempt.is_some();
    let stats = world.store().stats(world.now()).await.unwrap();
    assert_eq!(stats.lanes_held, all.iter().filter(of_held).count() as u64);
    let others = all.iter().filter(|each| each.webhook_id != held);
    let due = others.filter_map(|each| each.next_attempt);
    assert_eq!(stats.oldest_due, due.filter(|at| *at <= world.now()).min());

    world.database.reopen().await;
    assert_eq!(
        world.store().stats(world.now()).await.unwrap().deliveries,
        expected
    );
    world.write(Write::DeleteWebhook { id: held }).await;
    let pending = all
        .iter()
        .filter(|each| each.state == DeliveryState::Pending);
    let moved = pending.filter(|each| each.webhook_id == held).count() as u64;
    let counts = world.store().stats(world.now()).await.unwrap().deliveries;
    assert_eq!(
        counts,
        [
            expected[0] - moved,
            expected[1],
            expected[2],
            expected[3] + moved
        ]
    );
}
