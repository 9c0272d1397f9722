//! What a run selects, and how it stands. The walk is the whole list each time, sorted.

use bellhop::{
    domain::{delivery::DeliveryState, replay::ReplayState},
    id::{ApplicationId, DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Candidate, Counted, MAX_STEP, Page, Position, Replay, ReplayCount, ReplayStep, Selection,
    },
};
use jiff::Timestamp;

use super::{State, replays::position};

impl State {
    fn selected(&self, selection: &Selection, counted: Counted) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = match selection {
            Selection::Deliveries(filter) => self
                .deliveries
                .values()
                .map(|kept| &kept.delivery)
                .filter(|each| self.fits(each, filter))
                .filter(|each| each.id <= counted.newest)
                .filter(|each| each.ended.is_none_or(|ended| ended <= counted.at))
                .map(|each| Candidate {
                    position: position(each),
                    delivery_id: Some(each.id),
                    is_erased: self.is_erased(position(each)),
                })
                .collect(),
            Selection::History {
                webhook_id,
                integrations,
            } => self.missing_of(*webhook_id, integrations.as_deref(), counted),
        };
        found.sort_by_key(|each| each.position);
        found
    }

    fn is_erased(&self, at: Position) -> bool {
        self.erased.contains_key(&(at.integration_id, at.sequence))
    }

    /// The messages that a webhook wants and has no delivery of.
    fn missing_of(
        &self,
        id: WebhookId,
        only: Option<&[IntegrationId]>,
        counted: Counted,
    ) -> Vec<Candidate> {
        let Some(webhook) = self.webhook(id) else {
            return Vec::new();
        };
        let is_wanted = |integration: &IntegrationId| {
            let integration = &self.integrations[integration];
            integration.application_id == webhook.application_id
                && integration.deleted.is_none()
                && only.is_none_or(|only| only.contains(&integration.id))
        };
        self.messages
            .iter()
            .filter(|((integration, _), _)| is_wanted(integration))
            .filter(|(_, message)| webhook.subscription().wants(message.action))
            .filter(|(_, message)| message.at <= counted.at)
            .filter(|((integration, sequence), message)| {
                let end = self.lane_ends.get(&(id, *integration));
                let end = end.copied().unwrap_or(0);
                let before = self.lane(id, *integration).next();
                let before = before.map_or(0, |oldest| oldest.delivery.previous);
                message.at < webhook.created || *sequence > end.max(before)
            })
            .filter(|((integration, sequence), _)| {
                self.lane(id, *integration)
                    .all(|kept| kept.delivery.sequence != *sequence)
            })
            .map(|((integration_id, sequence), _)| Candidate {
                position: Position {
                    integration_id: *integration_id,
                    webhook_id: id,
                    sequence: *sequence,
                },
                delivery_id: None,
                is_erased: self.erased.contains_key(&(*integration_id, *sequence)),
            })
            .collect()
    }

    pub fn count_replay(
        &self,
        selection: &Selection,
        counted: Option<Counted>,
        now: Timestamp,
    ) -> ReplayCount {
        let newest = self.deliveries.keys().next_back().copied();
        let counted = counted.unwrap_or(Counted {
            at: now,
            newest: newest.unwrap_or(DeliveryId(uuid::Uuid::nil())),
        });
        let mut count = ReplayCount {
            counted,
            total: 0,
            by_state: [0; 4],
            by_webhook: Vec::new(),
            stale: 0,
            erased: 0,
            without_webhook: 0,
            behind: 0,
            digest: [0; 32],
        };
        for Candidate {
            position,
            delivery_id,
            is_erased,
        } in self.selected(selection, counted)
        {
            count.total += 1;
            let newest = self.integrations[&position.integration_id].sequence;
            count.stale += u64::from(newest > position.sequence);
            match count
                .by_webhook
                .iter_mut()
                .find(|(id, _)| *id == position.webhook_id)
            {
                Some((_, n)) => *n += 1,
                None => count.by_webhook.push((position.webhook_id, 1)),
            }
            // Another set of positions is another digest, near enough.
            let text = format!("{position:?}");
            for (place, byte) in text.bytes().enumerate() {
                let at = (place + count.total as usize) % 32;
                count.digest[at] = count.digest[at].wrapping_mul(31).wrapping_add(byte);
            }
            let Some(id) = delivery_id else {
                count.erased += u64::from(is_erased);
                continue;
            };
            let delivery = &self.deliveries[&id].delivery;
            let state = DeliveryState::ALL.iter().position(|s| *s == delivery.state);
            count.by_state[state.unwrap()] += 1;
            if self.webhook(position.webhook_id).is_none() {
                count.without_webhook += 1;
            } else if is_erased {
                count.erased += 1;
            } else if delivery.state == DeliveryState::Pending && delivery.next_attempt.is_none() {
                count.behind += 1;
            }
        }
        count
            .by_webhook
            .sort_by_key(|(id, n)| (std::cmp::Reverse(*n), *id));
        count
    }

    pub fn next_of_replay(&self, id: ReplayId) -> Option<ReplayStep> {
        let run = self.replays.get(&id)?;
        if run.state != ReplayState::Running {
            return None;
        }
        let mut candidates = Vec::new();
        if !run.is_exhausted {
            candidates = self.selected(&run.selection, run.counted);
            candidates.retain(|each| run.position.is_none_or(|at| each.position > at));
        }
        let is_last = candidates.len() <= MAX_STEP;
        candidates.truncate(MAX_STEP);
        let last = candidates.last().map(|each| each.position);
        Some(ReplayStep {
            id,
            from: run.position,
            candidates,
            to: last.or(run.position),
            is_last,
        })
    }

    pub fn running_replays(&self) -> Vec<ReplayId> {
        let running = self.replays.values();
        running
            .filter(|run| run.state == ReplayState::Running)
            .map(|run| run.id)
            .collect()
    }

    pub fn replay_shown(&self, id: ReplayId) -> Option<Replay> {
        let run = self.replays.get(&id)?.clone();
        let waiting = self.waiting(id) as u64;
        Some(Replay { waiting, ..run })
    }

    pub fn replays_of(&self, of: Option<ApplicationId>, page: Page) -> Vec<Replay> {
        let all = self.replays.keys().rev().copied();
        all.filter(|id| page.after.is_none_or(|after| id.0 < after))
            .filter_map(|id| self.replay_shown(id))
            .filter(|run| of.is_none() || run.application_id == of)
            .take(page.limit as usize)
            .collect()
    }
}
