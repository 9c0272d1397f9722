//! Runs: what becomes of them. What they select is in `selection`.

use bellhop::{
    domain::{
        delivery::{Delivery, DeliveryState},
        replay::{ReplayCommand, ReplayState},
        retry::later,
        webhook::{Webhook, WebhookState},
    },
    id::{DeliveryId, IntegrationId, ReplayId, WebhookId},
    store::{
        Candidate, CommitError, MAX_DUE, MAX_OPEN, MAX_WAITING, NewReplay, Noun, Position, Replay,
        ReplayStep, Selection, Written,
    },
};
use bellhop_webhook::Profile;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{KeptDelivery, State, commit::Outcome, commit::missing};

pub(super) fn position(delivery: &Delivery) -> Position {
    Position {
        integration_id: delivery.integration_id,
        webhook_id: delivery.webhook_id,
        sequence: delivery.sequence,
    }
}

fn ms(n: usize) -> SignedDuration {
    SignedDuration::from_millis(n as i64)
}

impl State {
    pub(super) fn waiting(&self, id: ReplayId) -> usize {
        let waits = |kept: &&KeptDelivery| kept.replay_id == Some(id);
        self.deliveries.values().filter(waits).count()
    }

    fn replay_written(
        &self,
        id: ReplayId,
        changed: bool,
        due: Vec<WebhookId>,
    ) -> (Written, Vec<WebhookId>) {
        let replay = Box::new(self.replay_shown(id).unwrap());
        (Written::Replay { replay, changed }, due)
    }

    pub fn start_replay(&mut self, new: &NewReplay, at: Timestamp) -> Outcome {
        if new.previewed.is_some_and(|seen| seen != new.count.digest)
            || new.expires.is_some_and(|until| at >= until)
        {
            return Err(CommitError::Outdated);
        }
        if self.replays.contains_key(&new.id) {
            return Err(CommitError::Exists {
                noun: Noun::Replay,
                id: new.id.0,
            });
        }
        let open = self
            .replays
            .values()
            .filter(|run| run.ended.is_none() && run.application_id == new.application_id);
        if open.count() >= MAX_OPEN {
            return Err(CommitError::NotNow("too many".into()));
        }
        if let Selection::History { webhook_id, .. } = &new.selection {
            self.webhook(*webhook_id)
                .ok_or(missing(Noun::Webhook, webhook_id.0))?;
        }
        let run = Replay {
            id: new.id,
            selection: new.selection.clone(),
            application_id: new.application_id,
            counted: new.count.counted,
            state: ReplayState::Running,
            position: None,
            is_exhausted: false,
            total: new.count.total,
            passed: 0,
            waiting: 0,
            succeeded: 0,
            failed: 0,
            erased: 0,
            held_by: None,
            created: at,
            ended: None,
        };
        self.replays.insert(run.id, run);
        Ok(self.replay_written(new.id, true, vec![]))
    }

    pub fn command_replay(
        &mut self,
        id: ReplayId,
        command: ReplayCommand,
        at: Timestamp,
    ) -> Outcome {
        let run = self.replays.get(&id).ok_or(missing(Noun::Replay, id.0))?;
        let Some(after) = run.state.after(command) else {
            return Err(CommitError::NotNow("it has ended".into()));
        };
        if after == run.state {
            return Ok(self.replay_written(id, false, vec![]));
        }
        let mut due = vec![];
        if matches!(run.selection, Selection::Deliveries(_)) {
            match command {
                ReplayCommand::Resume => due = self.resume(id, at),
                ReplayCommand::Pause => self.withdraw(id, false),
                ReplayCommand::Cancel => self.withdraw(id, true),
            }
        }
        let run = self.replays.get_mut(&id).unwrap();
        (run.state, run.held_by) = (after, None);
        run.ended = after.has_ended().then_some(at);
        Ok(self.replay_written(id, true, due))
    }

    fn withdraw(&mut self, id: ReplayId, for_good: bool) {
        for kept in self.deliveries.values_mut() {
            if kept.replay_id != Some(id) {
                continue;
            }
            let planned = kept.planned.take();
            let delivery = &mut kept.delivery;
            delivery.next_attempt = match delivery.state {
                DeliveryState::Pending => planned.or(delivery.next_attempt),
                _ => None,
            };
            kept.replay_id = kept.replay_id.filter(|_| !for_good);
        }
    }

    fn resume(&mut self, id: ReplayId, at: Timestamp) -> Vec<WebhookId> {
        let from = self.first_free_moment(id, at);
        let waits = |kept: &&KeptDelivery| kept.replay_id == Some(id);
        let waiting = self.deliveries.values().filter(waits);
        let mut waiting: Vec<_> = waiting
            .map(|kept| (position(&kept.delivery), kept.delivery.id))
            .collect();
        waiting.sort();
        let (mut due, mut lanes) = (vec![], vec![]);
        for (place, delivery) in waiting {
            if self.claims.contains_key(&delivery) {
                continue;
            }
            if self.send_again(delivery, id, from, &mut lanes) {
                if !due.contains(&place.webhook_id) {
                    due.push(place.webhook_id);
                }
            } else {
                self.deliveries.get_mut(&delivery).unwrap().replay_id = None;
            }
        }
        due
    }

    fn first_free_moment(&self, id: ReplayId, at: Timestamp) -> Timestamp {
        let of_run = self.deliveries.values();
        let of_run = of_run.filter(|kept| kept.replay_id == Some(id));
        let last = of_run.filter_map(|kept| kept.delivery.next_attempt).max();
        last.map_or(at, |last| at.max(last + ms(1)))
    }

    /// Says whether it did.
    fn send_again(
        &mut self,
        id: DeliveryId,
        run: ReplayId,
        from: Timestamp,
        lanes: &mut Vec<(IntegrationId, WebhookId)>,
    ) -> bool {
        let webhook = self.deliveries[&id].delivery.webhook_id;
        let is_gone = self.webhook(webhook).is_none();
        let kept = self.deliveries.get_mut(&id).unwrap();
        let lane = (kept.delivery.integration_id, webhook);
        let due = from + ms(lanes.iter().filter(|each| **each == lane).count());
        if kept.delivery.state == DeliveryState::Pending {
            match kept.delivery.next_attempt {
                Some(next) if next > due && !is_gone => {
                    kept.planned.get_or_insert(next);
                }
                _ => return false,
            }
        } else if is_gone {
            return false;
        }
        lanes.push(lane);
        kept.delivery.next_attempt = Some(due);
        kept.replay_id = Some(run);
        true
    }

    pub fn step_replay(&mut self, step: &ReplayStep, at: Timestamp) -> Outcome {
        let run = self.replays.get(&step.id);
        let mut run = run.ok_or(missing(Noun::Replay, step.id.0))?.clone();
        if run.state != ReplayState::Running || run.position != step.from {
            return Ok(self.replay_written(step.id, false, vec![]));
        }
        let before = run.clone();
        let from = match run.selection {
            Selection::Deliveries(_) => self.first_free_moment(run.id, at),
            Selection::History { .. } => at,
        };
        let (mut due, mut lanes) = (vec![], vec![]);
        let mut stopped = None;
        for candidate in &step.candidates {
            let webhook_id = candidate.position.webhook_id;
            match self.take_up(candidate, &run, (from, at), &mut lanes) {
                Ok(true) if !due.contains(&webhook_id) => due.push(webhook_id),
                Ok(_) => {}
                Err(held_by) => {
                    stopped = Some(held_by);
                    break;
                }
            }
            let key = |at: Position| (at.integration_id, at.sequence);
            let has_webhook = self.webhook(webhook_id).is_some();
            if has_webhook && self.erased.contains_key(&key(candidate.position)) {
                run.erased += 1;
            }
            run.passed += 1;
            run.position = Some(candidate.position);
        }
        if stopped.is_none() {
            (run.position, run.is_exhausted) = (step.to, step.is_last);
        }
        let is_waiting = self.waiting(run.id) > 0;
        run.held_by = match stopped {
            Some(held_by) => held_by,
            None if run.passed == before.passed && is_waiting => self.held(run.id),
            None => None,
        };
        if run.is_exhausted && !is_waiting {
            (run.state, run.ended) = (ReplayState::Completed, Some(at));
        }
        let changed = run != before;
        self.replays.insert(run.id, run);
        Ok(self.replay_written(step.id, changed, due))
    }

    /// Whether it made the candidate due; or, if that has to wait, the webhook that holds it.
    fn take_up(
        &mut self,
        candidate: &Candidate,
        run: &Replay,
        (from, at): (Timestamp, Timestamp),
        lanes: &mut Vec<(IntegrationId, WebhookId)>,
    ) -> Result<bool, Option<WebhookId>> {
        let webhook_id = candidate.position.webhook_id;
        let Some(webhook) = self.webhook(webhook_id).cloned() else {
            return Ok(false);
        };
        let position = candidate.position;
        if self
            .erased
            .contains_key(&(position.integration_id, position.sequence))
        {
            return Ok(false);
        }
        if webhook.state != WebhookState::Enabled {
            return Err(Some(webhook_id));
        }
        let is_full = self.waiting(run.id) >= MAX_WAITING
            || self.due_soon(webhook_id, from + ms(MAX_DUE)) >= MAX_DUE;
        let is_busy = candidate.delivery_id.is_none()
            && self
                .lane(webhook_id, candidate.position.integration_id)
                .any(|kept| self.claims.contains_key(&kept.delivery.id));
        if is_full || is_busy {
            return Err(None);
        }
        let Some(id) = candidate.delivery_id else {
            return Ok(self.insert_before(&webhook, candidate.position, run.id, at));
        };
        let kept = &self.deliveries[&id];
        let ended = kept.delivery.ended;
        let fits = kept.replay_id.is_none()
            && ended.is_none_or(|ended| ended <= run.counted.at)
            && !self.claims.contains_key(&id);
        Ok(fits && self.send_again(id, run.id, from, lanes))
    }

    fn due_soon(&self, webhook: WebhookId, until: Timestamp) -> usize {
        let of_webhook = self.deliveries.values();
        of_webhook
            .filter(|kept| kept.delivery.webhook_id == webhook)
            .filter(|kept| kept.delivery.next_attempt.is_some_and(|next| next <= until))
            .count()
    }

    fn held(&self, run: ReplayId) -> Option<WebhookId> {
        let waiting = self.deliveries.values();
        let waiting = waiting.filter(|kept| kept.replay_id == Some(run));
        let mut webhooks: Vec<_> = waiting.map(|kept| kept.delivery.webhook_id).collect();
        webhooks.sort();
        let is_held = |id: &WebhookId| {
            self.webhook(*id)
                .is_some_and(|webhook| webhook.state != WebhookState::Enabled)
        };
        webhooks.into_iter().find(is_held)
    }

    /// Makes a delivery of a message at its place in the lane. Says whether it is due.
    fn insert_before(
        &mut self,
        webhook: &Webhook,
        at: Position,
        run: ReplayId,
        now: Timestamp,
    ) -> bool {
        let message = &self.messages[&(at.integration_id, at.sequence)];
        let integration = &self.integrations[&at.integration_id];
        let lane: Vec<Delivery> = self
            .lane(webhook.id, at.integration_id)
            .map(|kept| kept.delivery.clone())
            .collect();
        let is_there = lane.iter().any(|each| each.sequence == at.sequence);
        let is_wanted = webhook.subscription().wants(message.action);
        if is_there || !is_wanted || integration.deleted.is_some() {
            return false;
        }
        let end = self.lane_ends.get(&(webhook.id, at.integration_id));
        let end = end.copied().filter(|end| *end < at.sequence).unwrap_or(0);
        let (earlier, rest): (Vec<_>, Vec<_>) =
            lane.iter().partition(|each| each.sequence < at.sequence);
        let is_behind = earlier
            .iter()
            .any(|each| each.state == DeliveryState::Pending);
        let bytes_2025 = message.body.bytes_2025.as_ref();
        let bytes = bytes_2025.filter(|_| webhook.profile == Profile::V2025);
        let delivery = Delivery {
            id: self.ids.next(now),
            webhook_id: webhook.id,
            application_id: integration.application_id,
            integration_id: at.integration_id,
            sequence: at.sequence,
            previous: earlier.last().map_or(end, |each| each.sequence.max(end)),
            action: message.action,
            state: DeliveryState::Pending,
            cause: None,
            reason: None,
            attempt_count: 0,
            tries: 0,
            next_attempt: (!is_behind).then(|| later(now, webhook.retry_schedule.first_wait())),
            created: now,
            ended: None,
            is_stale: false,
        };
        let kept = KeptDelivery {
            planned: None,
            replay_id: Some(run),
            body: Bytes::from(bytes.unwrap_or(&message.body.bytes).clone()),
            attempts: Vec::new(),
            delivery: delivery.clone(),
        };
        let is_pending = |each: &&&Delivery| each.state == DeliveryState::Pending;
        if let Some(head) = rest.iter().find(is_pending).map(|head| head.id) {
            let head = self.deliveries.get_mut(&head).unwrap();
            if let Some(next) = head.delivery.next_attempt.take() {
                head.planned.get_or_insert(next);
                head.replay_id = head.replay_id.filter(|id| *id == run);
            }
        }
        if let Some(next) = rest.first().map(|next| next.id) {
            let next = &mut self.deliveries.get_mut(&next).unwrap().delivery;
            if next.state == DeliveryState::Pending && next.attempt_count == 0 {
                next.previous = at.sequence;
            }
        }
        self.deliveries.insert(delivery.id, kept);
        !is_behind
    }
}
