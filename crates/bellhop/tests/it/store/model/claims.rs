//! Claiming and recording.

use std::collections::{BTreeMap, HashSet};

use bellhop::{
    domain::{
        audit::By,
        delivery::{DeliveryState, Next, WebhookEffect},
        health::{Circuit, Diagnosis, Observed},
        webhook::{Webhook, WebhookState},
    },
    id::{DeliveryId, IntegrationId, WebhookId},
    store::{Attempted, Claim, Fence, Recorded, Selection, Want, WebhookClaims, audit::disabled},
};
use jiff::Timestamp;

use super::{KeptDelivery, State};

/// What an attempt shows of its webhook.
fn diagnose(webhook: &Webhook, attempted: &Attempted) -> Diagnosis {
    let observed = Observed {
        cause: attempted.attempt.cause,
        started: attempted.attempt.started,
        ended: attempted.at,
        max_in_flight: webhook.max_in_flight,
        state: webhook.state,
        unit: attempted.unit,
    };
    webhook
        .health
        .after(observed, attempted.next, attempted.effect.as_ref())
}

impl State {
    pub fn claim_of_webhook(&mut self, want: Want, now: Timestamp) -> WebhookClaims {
        let mut taken = WebhookClaims {
            webhook_id: want.webhook_id,
            revision: 0,
            claims: Vec::new(),
            next_due: None,
            most_in_flight: None,
        };
        let Some(webhook) = self.webhook(want.webhook_id) else {
            return taken;
        };
        taken.revision = webhook.revision;
        if webhook.state != WebhookState::Enabled {
            return taken;
        }
        let mut held_until = webhook.not_before.filter(|not_before| now < *not_before);
        let mut limit = want.limit;
        if held_until.is_none() {
            let health = webhook.health;
            match health.circuit(now) {
                Circuit::Open { until } => held_until = Some(until),
                Circuit::HalfOpen | Circuit::Closed => {
                    taken.most_in_flight = health.most_in_flight(now);
                }
            }
            if let Some(most) = taken.most_in_flight {
                let held = self.busy_lanes(want.webhook_id).len();
                limit = limit.min((most as usize).saturating_sub(held));
            }
        }
        let mut busy = self.busy_lanes(want.webhook_id);
        for (due, id) in self.by_due(want.webhook_id) {
            let integration = self.deliveries[&id].delivery.integration_id;
            if busy.contains(&integration) {
                continue;
            }
            if due > now || held_until.is_some() || taken.claims.len() == limit {
                taken.next_due = Some(due.max(held_until.unwrap_or(due)));
                break;
            }
            busy.insert(integration);
            let claim = self.take(id);
            taken.claims.push(claim);
        }
        taken
    }

    /// The integrations whose lane to this webhook has an attempt under way.
    fn busy_lanes(&self, webhook: WebhookId) -> HashSet<IntegrationId> {
        let claimed = self.claims.keys().map(|id| &self.deliveries[id].delivery);
        claimed
            .filter(|delivery| delivery.webhook_id == webhook)
            .map(|delivery| delivery.integration_id)
            .collect()
    }

    fn by_due(&self, webhook: WebhookId) -> Vec<(Timestamp, DeliveryId)> {
        let of_webhook = self
            .deliveries
            .values()
            .map(|kept| &kept.delivery)
            .filter(|delivery| delivery.webhook_id == webhook);
        let mut due: Vec<_> = of_webhook
            .filter_map(|delivery| Some((delivery.next_attempt?, delivery.id)))
            .collect();
        due.sort();
        due
    }

    fn take(&mut self, id: DeliveryId) -> Claim {
        self.last_fence += 1;
        let fence = Fence(self.last_fence);
        self.claims.insert(id, fence);
        if let Some(run) = self.deliveries[&id].replay_id {
            self.claimed_by_run.insert(id, run);
        } else {
            self.claimed_by_run.remove(&id);
        }
        let KeptDelivery {
            delivery,
            planned,
            replay_id,
            body,
            ..
        } = &self.deliveries[&id];
        Claim {
            delivery_id: id,
            fence,
            webhook_id: delivery.webhook_id,
            integration_id: delivery.integration_id,
            sequence: delivery.sequence,
            previous: delivery.previous,
            action: delivery.action,
            state: delivery.state,
            number: delivery.attempt_count + 1,
            tries: delivery.tries,
            planned: *planned,
            created: delivery.created,
            body: Some(body.clone()),
            replay_id: *replay_id,
        }
    }

    pub fn record(&mut self, attempted: Attempted) -> Recorded {
        let id = attempted.delivery_id;
        if self.claims.get(&id) != Some(&attempted.fence) {
            return Recorded::Lost;
        }
        self.claims.remove(&id);
        let run = self.claimed_by_run.remove(&id);
        let webhook = self.webhook(self.deliveries[&id].delivery.webhook_id);
        let webhook = webhook.unwrap();
        let diagnosis = diagnose(webhook, &attempted);
        self.tell_of(&attempted, &diagnosis.events);
        let kept = self.deliveries.get_mut(&id).unwrap();
        let delivery = &mut kept.delivery;
        let was_pending = delivery.state == DeliveryState::Pending;
        let is_replay = kept.planned.take().is_some() || !was_pending;
        delivery.attempt_count = attempted.attempt.number;
        delivery.tries += u32::from(!is_replay);
        delivery.cause = attempted.attempt.cause;
        delivery.next_attempt = None;
        let before = delivery.state;
        match attempted.next {
            Next::Delivered => delivery.state = DeliveryState::Delivered,
            Next::Failed => delivery.state = DeliveryState::Failed,
            Next::Retry { at } => delivery.next_attempt = Some(at),
            Next::Unchanged => {}
        }
        if delivery.state != before {
            delivery.ended = Some(attempted.at);
        }
        let settled = run.filter(|run| {
            !was_pending
                || delivery.state != DeliveryState::Pending
                || (is_replay
                    && self
                        .replays
                        .get(run)
                        .is_some_and(|run| matches!(run.selection, Selection::Deliveries(_))))
        });
        if let Some(run) = settled {
            kept.replay_id = None;
            // It may have been canceled and purged meanwhile.
            if let Some(run) = self.replays.get_mut(&run) {
                match attempted.next {
                    Next::Delivered => run.succeeded += 1,
                    _ => run.failed += 1,
                }
            }
        }
        let has_ended = was_pending && delivery.state != DeliveryState::Pending;
        let (webhook, integration) = (delivery.webhook_id, delivery.integration_id);
        kept.attempts.push(attempted.attempt);
        self.webhook_mut(webhook).unwrap().health = diagnosis.health;
        if let Some(reason) = diagnosis.disabled {
            self.disable(webhook, reason, attempted.at);
        }
        if let Some(WebhookEffect::NotBefore(until)) = attempted.effect {
            self.pause(webhook, until, attempted.at);
        }
        let goes_on = has_ended && self.advance(webhook, integration, attempted.at);
        let lane_goes_on = goes_on
            || self.lane(webhook, integration).any(|other| {
                other.delivery.id != id
                    && other.delivery.next_attempt <= Some(attempted.at)
                    && other.delivery.next_attempt.is_some()
            });
        Recorded::Done { lane_goes_on }
    }

    /// The server disables a webhook.
    fn disable(&mut self, id: WebhookId, reason: String, at: Timestamp) {
        let webhook = self.webhook_mut(id).unwrap();
        let fact = disabled(id, webhook.application_id, &reason);
        (webhook.state, webhook.state_reason) = (WebhookState::Disabled, Some(reason));
        webhook.revision += 1;
        self.note_by(fact, at, &By::system());
    }

    pub fn due(&self) -> Vec<(WebhookId, Timestamp)> {
        let mut earliest: BTreeMap<WebhookId, Timestamp> = BTreeMap::new();
        for kept in self.deliveries.values() {
            if let Some(next) = kept.delivery.next_attempt {
                let due = earliest.entry(kept.delivery.webhook_id).or_insert(next);
                *due = next.min(*due);
            }
        }
        let open_until = |id| {
            self.webhook(id)
                .and_then(|webhook| webhook.health.open_until)
        };
        earliest
            .into_iter()
            .map(|(id, due)| (id, open_until(id).map_or(due, |until| due.max(until))))
            .collect()
    }

    /// The receiver asks for a pause; a longer one from before stays.
    fn pause(&mut self, id: WebhookId, until: Timestamp, asked: Timestamp) {
        let kept = self.webhooks.get_mut(&id).unwrap();
        let before = &mut kept.webhook.not_before;
        if before.is_none_or(|before| until > before) {
            (*before, kept.asked) = (Some(until), Some(asked));
        }
    }
}
