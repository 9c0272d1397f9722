//! Letting go of what is old: all of it at once.

use bellhop::{
    domain::delivery::DeliveryState,
    id::{DeliveryId, WebhookId},
    store::{Purge, Purged, Replay, Selection},
};
use jiff::Timestamp;

use super::State;

impl State {
    pub fn purge(&mut self, what: &Purge) -> Purged {
        let mut purged = Purged::default();
        let before = self.remembered.len();
        self.remembered.retain(|_, each| each.until > what.now);
        purged.others += (before - self.remembered.len()) as u64;
        if let Some(until) = what.deliveries {
            purged.others += self.purge_operational(until);
            self.purge_deliveries(until, &mut purged);
            purged.replays += self.purge_replays(until);
        }
        if let Some(until) = what.tombstones {
            self.purge_integrations(until, &mut purged);
            let keys = self.keys.len();
            self.keys
                .retain(|_, key| key.expires.is_none_or(|expires| expires > until));
            purged.tombstones += (keys - self.keys.len()) as u64;
            if let Some(deliveries) = what.deliveries {
                self.purge_webhooks(until.min(deliveries), &mut purged);
            }
        }
        purged
    }

    fn purge_deliveries(&mut self, until: Timestamp, purged: &mut Purged) {
        let ids: Vec<DeliveryId> = self.deliveries.keys().copied().collect();
        for id in ids {
            let delivery = &self.deliveries[&id].delivery;
            let is_old = delivery.state != DeliveryState::Pending
                && delivery.next_attempt.is_none()
                && delivery.ended.is_some_and(|ended| ended <= until);
            if !is_old {
                continue;
            }
            let (lane, sequence) = (
                (delivery.webhook_id, delivery.integration_id),
                delivery.sequence,
            );
            let others: Vec<u64> = self
                .lane(lane.0, lane.1)
                .map(|kept| kept.delivery.sequence)
                .collect();
            if others.iter().all(|other| *other <= sequence) {
                // The last of a lane stays while another does.
                if others.len() > 1 {
                    continue;
                }
                let end = self.lane_ends.entry(lane).or_default();
                *end = sequence.max(*end);
            }
            self.deliveries.remove(&id);
            purged.deliveries += 1;
        }
    }

    fn purge_replays(&mut self, until: Timestamp) -> u64 {
        let newest = |webhook: WebhookId| {
            let backfills = self.replays.values().filter(|run| {
                matches!(&run.selection, Selection::History { webhook_id, .. } if *webhook_id == webhook)
            });
            backfills.map(|run| run.id).max()
        };
        let may_go = |run: &Replay| {
            let is_needed = match &run.selection {
                Selection::Deliveries(_) => false,
                Selection::History { webhook_id, .. } => {
                    self.webhook(*webhook_id).is_some() && newest(*webhook_id) == Some(run.id)
                }
            };
            run.ended.is_some_and(|ended| ended <= until) && self.waiting(run.id) == 0 && !is_needed
        };
        let gone: Vec<_> = self
            .replays
            .values()
            .filter(|run| may_go(run))
            .map(|run| run.id)
            .collect();
        for id in &gone {
            self.replays.remove(id);
        }
        gone.len() as u64
    }

    fn purge_integrations(&mut self, until: Timestamp, purged: &mut Purged) {
        let mut gone = Vec::new();
        for integration in self.integrations.values() {
            let is_old = integration.deleted.is_some_and(|deleted| deleted <= until);
            let mut deliveries = self.deliveries.values();
            let has_deliveries =
                deliveries.any(|kept| kept.delivery.integration_id == integration.id);
            if is_old && !has_deliveries {
                gone.push(integration.id);
            }
        }
        for id in gone {
            self.integrations.remove(&id);
            let before = self.messages.len();
            self.messages.retain(|(of, _), _| *of != id);
            self.erased.retain(|(of, _), _| *of != id);
            self.lane_ends.retain(|(_, of), _| *of != id);
            purged.others += (before - self.messages.len()) as u64;
            purged.tombstones += 1;
        }
    }

    fn purge_webhooks(&mut self, until: Timestamp, purged: &mut Purged) {
        let before = self.webhooks.len();
        self.webhooks
            .retain(|_, kept| kept.deleted.is_none_or(|deleted| deleted > until));
        purged.tombstones += (before - self.webhooks.len()) as u64;
    }
}
