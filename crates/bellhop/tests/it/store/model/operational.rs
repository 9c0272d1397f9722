//! Operational messages.

use bellhop::{
    domain::{
        cause::Cause,
        health::HealthEvent,
        operational::{
            FailedDeliveries, FailedDelivery, FailureWindow, Named, OperationalEvent,
            OperationalMessage, OperationalNext, OperationalSend, SendState, Subject,
        },
    },
    id::{OperationalMessageId, WebhookId},
    store::{
        Attempted, CommitError, Noun, OperationalAttempted, OperationalClaim, OperationalDue,
        OperationalRequest, Page, Written,
    },
};
use jiff::Timestamp;

use super::{State, commit::missing};

impl State {
    /// What the operator learns of an attempt, before it changes anything.
    pub fn tell_of(&mut self, attempted: &Attempted, events: &[HealthEvent]) {
        let webhook = self.deliveries[&attempted.delivery_id].delivery.webhook_id;
        for event in events {
            if let Some(event) = OperationalEvent::of(event, attempted.attempt.cause) {
                self.tell_operator(webhook, &event, attempted.at);
                continue;
            }
            let failed = self.failed_delivery(attempted);
            if let Some(window) = self.windows.get_mut(&webhook) {
                window.failed.add(failed);
                continue;
            }
            let event = OperationalEvent::DeliveryFailed(FailedDeliveries::one(failed));
            self.tell_operator(webhook, &event, attempted.at);
            self.windows
                .insert(webhook, FailureWindow::opened(attempted.at));
        }
    }

    fn failed_delivery(&self, attempted: &Attempted) -> FailedDelivery {
        let delivery = &self.deliveries[&attempted.delivery_id].delivery;
        FailedDelivery {
            id: delivery.id,
            message_id: delivery.message_id(),
            integration: Named {
                id: delivery.integration_id,
                name: self.integrations[&delivery.integration_id].name.clone(),
            },
            action: delivery.action,
            sequence: delivery.sequence,
            attempt_count: attempted.attempt.number,
            cause: attempted.attempt.cause.unwrap_or(Cause::Internal),
            created_utc: delivery.created.into(),
        }
    }

    fn tell_operator(&mut self, id: WebhookId, event: &OperationalEvent, at: Timestamp) {
        let Some(kept) = self.webhooks.get(&id) else {
            return;
        };
        let webhook = &kept.webhook;
        let subject = Subject {
            application_id: webhook.application_id,
            application_name: &self.applications[&webhook.application_id].name,
            webhook_id: id,
            url: webhook.url.expose(),
            description: &webhook.description,
        };
        let message = OperationalMessage {
            id: self.ids.next(at),
            about: event.about(),
            application_id: webhook.application_id,
            webhook_id: id,
            created: at,
            body: event.to_body(subject, at),
            sends: self
                .destinations
                .iter()
                .map(|destination| OperationalSend::new(*destination, at))
                .collect(),
        };
        self.operational.insert(message.id, message);
    }

    pub fn tell_certificate(
        &mut self,
        id: WebhookId,
        at: Timestamp,
    ) -> Result<Written, CommitError> {
        let kept = self.webhooks.get(&id).filter(|kept| kept.deleted.is_none());
        let webhook = &kept.ok_or_else(|| missing(Noun::Webhook, id.0))?.webhook;
        let certificate = webhook.client_certificate.as_ref();
        let event = certificate.and_then(|it| OperationalEvent::of_certificate(it, at));
        if let Some(event) = event {
            let mut told = self
                .operational
                .values()
                .filter(|told| told.webhook_id == id);
            if !told.any(|told| event.is_told_by(&told.body)) {
                self.tell_operator(id, &event, at);
            }
        }
        Ok(Written::Noted)
    }

    pub fn operational_due(&mut self, request: &OperationalRequest) -> OperationalDue {
        let now = request.now;
        let mut over: Vec<_> = self
            .windows
            .iter()
            .filter(|(_, window)| window.closes <= now)
            .map(|(id, window)| (window.closes, *id))
            .collect();
        over.sort_unstable();
        for (_, id) in over {
            let window = self.windows.remove(&id).unwrap();
            if window.failed.count > 0 {
                self.tell_operator(id, &OperationalEvent::DeliveryFailed(window.failed), now);
                self.windows.insert(id, FailureWindow::opened(now));
            }
        }
        let mut due = OperationalDue {
            claims: Vec::new(),
            next: self.windows.values().map(|window| window.closes).min(),
        };
        for destination in &request.destinations {
            let head = self.operational.values().find_map(|message| {
                let is_pending = |send: &&OperationalSend| {
                    send.destination == *destination && send.state == SendState::Pending
                };
                let send = message.sends.iter().find(is_pending)?;
                Some((message, send))
            });
            let Some((message, send)) = head else {
                continue;
            };
            let at = send.next_attempt.unwrap();
            if at > now {
                due.next = Some(due.next.map_or(at, |next| next.min(at)));
                continue;
            }
            due.claims.push(OperationalClaim {
                id: message.id,
                destination: *destination,
                about: message.about,
                created: message.created,
                number: send.attempt_count + 1,
                body: message.body.clone().into(),
            });
        }
        due
    }

    pub fn record_operational(&mut self, attempted: OperationalAttempted) -> bool {
        let Some(message) = self.operational.get_mut(&attempted.id) else {
            return false;
        };
        let send = message.sends.iter_mut().find(|send| {
            send.destination == attempted.destination
                && send.state == SendState::Pending
                && send.attempt_count + 1 == attempted.number
        });
        let Some(send) = send else {
            return false;
        };
        (send.state, send.next_attempt) = match attempted.next {
            OperationalNext::Delivered => (SendState::Delivered, None),
            OperationalNext::Failed => (SendState::Failed, None),
            OperationalNext::Retry { at } => (SendState::Pending, Some(at)),
        };
        send.ended = (send.state != SendState::Pending).then_some(attempted.at);
        send.attempt_count = attempted.number;
        (send.cause, send.detail) = (attempted.cause, attempted.detail);
        true
    }

    pub fn operational_messages(&self, page: Page) -> Vec<OperationalMessage> {
        self.operational
            .values()
            .rev()
            .filter(|message| page.after.is_none_or(|after| message.id.0 < after))
            .take(page.limit as usize)
            .cloned()
            .collect()
    }

    /// Says how many went.
    pub fn purge_operational(&mut self, until: Timestamp) -> u64 {
        let old: Vec<OperationalMessageId> = self
            .operational
            .values()
            .filter(|message| message.created <= until)
            .map(|message| message.id)
            .collect();
        for id in &old {
            self.operational.remove(id);
        }
        old.len() as u64
    }
}
