//! A clock that was set back: what was planned by it waits from now for as long as it was to wait then.

use std::time::Duration;

use bellhop::{
    domain::{health::FIRST_OPEN, retry::later},
    id::DeliveryId,
};
use jiff::Timestamp;

use super::State;

impl State {
    pub fn replan(&mut self, now: Timestamp) -> usize {
        let replanned: Vec<(DeliveryId, Timestamp)> = self
            .deliveries
            .keys()
            .filter_map(|id| Some((*id, self.replanned(*id, now)?)))
            .collect();
        for (id, next) in &replanned {
            self.deliveries.get_mut(id).unwrap().delivery.next_attempt = Some(*next);
        }
        for kept in self.webhooks.values_mut() {
            let webhook = &mut kept.webhook;
            if let (Some(until), Some(asked)) = (webhook.not_before, kept.asked)
                && until > now
                && asked > now
            {
                webhook.not_before = Some(now + until.duration_since(asked));
                kept.asked = Some(now);
            }
            let soon = later(now, FIRST_OPEN);
            let open_until = &mut webhook.health.open_until;
            *open_until = open_until.map(|until| until.min(soon));
        }
        replanned.len()
    }

    /// When a head is tried next, if it was planned by a clock that had gone further.
    fn replanned(&self, id: DeliveryId, now: Timestamp) -> Option<Timestamp> {
        let kept = &self.deliveries[&id];
        let delivery = &kept.delivery;
        let next = delivery.next_attempt.filter(|next| *next > now)?;
        let schedule = &self
            .webhooks
            .get(&delivery.webhook_id)?
            .webhook
            .retry_schedule;
        let Some(last) = kept.attempts.last() else {
            let first = later(now, schedule.first_wait());
            return (next > first).then_some(first);
        };
        if last.started <= now {
            return None;
        }
        if next >= last.started {
            return Some(now + next.duration_since(last.started));
        }
        let wait = schedule.seconds().get(delivery.tries as usize);
        let longest = Duration::from_secs(u64::from(*wait.unwrap_or(&0))).mul_f64(1.2);
        Some(next.min(later(now, longest)))
    }
}
