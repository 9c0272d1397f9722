//! Erasing bodies: all that may go, at once.

use bellhop::{
    domain::delivery::DeliveryState,
    id::IntegrationId,
    store::{Erase, Erased},
};
use jiff::Timestamp;

use super::{KeptDelivery, State};

impl State {
    pub fn erase(&mut self, what: &Erase) -> Erased {
        let may_go = |key: &(IntegrationId, u64)| self.may_be_erased(*key, what.ended);
        let gone: Vec<_> = self.messages.keys().copied().filter(may_go).collect();
        self.erased.extend(gone.iter().map(|key| (*key, what.now)));
        Erased {
            bodies: gone.len() as u64,
            has_more: false,
        }
    }

    fn may_be_erased(&self, (of, sequence): (IntegrationId, u64), until: Timestamp) -> bool {
        let message = &self.messages[&(of, sequence)];
        let has_body =
            message.action.carries_secret() && !self.erased.contains_key(&(of, sequence));
        let is_of_it = |kept: &&KeptDelivery| {
            (kept.delivery.integration_id, kept.delivery.sequence) == (of, sequence)
        };
        // One to a webhook that was deleted cannot be sent again.
        let mut deliveries = self
            .deliveries
            .values()
            .filter(is_of_it)
            .filter(|kept| self.webhook(kept.delivery.webhook_id).is_some());
        let is_over = deliveries.all(|kept| {
            kept.delivery.state != DeliveryState::Pending
                && kept.delivery.next_attempt.is_none()
                && kept.replay_id.is_none()
                && kept.delivery.ended.is_some_and(|ended| ended <= until)
        });
        has_body && message.at <= until && is_over && !self.may_still_be_sent(of)
    }

    /// Whether a run has not come to an integration yet.
    fn may_still_be_sent(&self, of: IntegrationId) -> bool {
        let application = self.integrations[&of].application_id;
        self.replays.values().any(|run| {
            run.ended.is_none()
                && !run.is_exhausted
                && run.application_id.is_none_or(|only| only == application)
                && run.position.is_none_or(|at| at.integration_id <= of)
        })
    }
}
