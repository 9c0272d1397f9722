//! Reading.

use bellhop::{
    domain::{
        delivery::{Delivery, DeliveryState},
        integration::{Integration, State as IntegrationState},
        operational::{OperationalMessage, SendState},
        webhook::{Webhook, WebhookState},
    },
    id::{ApplicationId, IntegrationId, WebhookId},
    store::{DeliveryFilter, IntegrationFilter, MessageBody, Page, Stats, StoredMessage},
};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::BTreeSet;
use uuid::Uuid;

use super::State;

/// A page of what is in the order of its ids.
pub fn page<T>(page: Page, all: impl Iterator<Item = T>, id: impl Fn(&T) -> Uuid) -> Vec<T> {
    all.filter(|each| page.after.is_none_or(|after| id(each) > after))
        .take(page.limit as usize)
        .collect()
}

fn is_or_any<T: PartialEq + Copy>(wanted: Option<T>, value: T) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

impl State {
    pub fn webhooks_of(&self, of: Option<ApplicationId>, wanted: Page) -> Vec<Webhook> {
        let live = self.webhooks.values().filter(|kept| kept.deleted.is_none());
        let live = live.map(|kept| kept.webhook.clone());
        let found = live.filter(|webhook| is_or_any(of, webhook.application_id));
        page(wanted, found, |each| each.id.0)
    }

    pub fn integrations_like(&self, filter: &IntegrationFilter, wanted: Page) -> Vec<Integration> {
        let fits = |each: &&Integration| {
            let state = each.state();
            let in_state = match filter.state {
                Some(wanted) => state == wanted,
                None => filter.with_deleted || state != IntegrationState::Deleted,
            };
            in_state
                && is_or_any(filter.application_id, each.application_id)
                && is_or_any(filter.enterprise_id, each.enterprise_id)
        };
        let found = self.integrations.values().filter(fits).cloned();
        page(wanted, found, |each| each.id.0)
    }

    pub fn messages_of(&self, of: IntegrationId, after: u64, limit: u32) -> Vec<StoredMessage> {
        self.messages
            .range((of, after + 1)..=(of, u64::MAX))
            .take(limit as usize)
            .map(|((integration_id, sequence), message)| StoredMessage {
                integration_id: *integration_id,
                sequence: *sequence,
                action: message.action,
                created: message.at,
                requestor: message.requestor.clone(),
                body: match self.erased.get(&(*integration_id, *sequence)) {
                    Some(at) => MessageBody::Erased { at: *at },
                    None => MessageBody::Bytes(Bytes::from(message.body.bytes.clone())),
                },
            })
            .collect()
    }

    pub fn deliveries_like(&self, filter: &DeliveryFilter, wanted: Page) -> Vec<Delivery> {
        let all = self.deliveries.values().rev();
        all.filter(|each| wanted.after.is_none_or(|after| each.delivery.id.0 < after))
            .filter(|each| self.fits(&each.delivery, filter))
            .take(wanted.limit as usize)
            .map(|each| self.shown(each))
            .collect()
    }

    pub fn fits(&self, each: &Delivery, filter: &DeliveryFilter) -> bool {
        let enterprise = self.integrations[&each.integration_id].enterprise_id;
        is_or_any(filter.webhook_id, each.webhook_id)
            && is_or_any(filter.application_id, each.application_id)
            && is_or_any(filter.integration_id, each.integration_id)
            && is_or_any(filter.enterprise_id, enterprise)
            && is_or_any(filter.action, each.action)
            && is_or_any(filter.state, each.state)
            && (filter.cause.is_none() || filter.cause == each.cause)
            && filter.from.is_none_or(|from| each.created >= from)
            && filter.to.is_none_or(|to| each.created < to)
    }

    pub fn stats(&self, now: Timestamp) -> Stats {
        let mut stats = Stats::default();
        let mut held: BTreeSet<(WebhookId, IntegrationId)> = BTreeSet::new();
        for kept in self.deliveries.values() {
            let delivery = &kept.delivery;
            let place = DeliveryState::ALL
                .iter()
                .position(|state| *state == delivery.state);
            stats.deliveries[place.unwrap()] += 1;
            let (Some(webhook), Some(next)) =
                (self.webhook(delivery.webhook_id), delivery.next_attempt)
            else {
                continue;
            };
            if webhook.state != WebhookState::Enabled || webhook.health.open_until.is_some() {
                held.insert((delivery.webhook_id, delivery.integration_id));
            }
            let is_open =
                webhook.state == WebhookState::Enabled && webhook.health.open_until.is_none();
            if is_open && next <= now && webhook.not_before.is_none_or(|at| at <= now) {
                let oldest = stats.oldest_due.unwrap_or(next);
                stats.oldest_due = Some(oldest.min(next));
            }
        }
        let is_pending = |message: &&OperationalMessage| {
            let mut sends = message.sends.iter();
            sends.any(|send| send.state == SendState::Pending)
        };
        stats.operational_pending = self.operational.values().filter(is_pending).count() as u64;
        stats.lanes_held = held.len() as u64;
        let live = self.webhooks.keys().filter_map(|id| self.webhook(*id));
        stats.circuits_open = live
            .filter(|webhook| webhook.health.open_until.is_some())
            .count() as u64;
        stats
    }
}
