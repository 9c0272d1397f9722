//! Writes. Each looks before it changes anything, so that a refusal changes nothing.

use bellhop::{
    domain::retry::later,
    domain::{
        api_key::ApiKey,
        delivery::{Delivery, DeliveryState},
        enterprise::{Application, Enterprise},
        integration::{Change, Decision, NewIntegration},
        webhook::{Webhook, WebhookSecret},
    },
    id::{DeliveryId, WebhookId},
    store::{Commit, CommitError, Noun, Receipt, Shown, Write, Written, audit::fact},
};
use bellhop_webhook::{Profile, Requestor};
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{KeptDelivery, KeptWebhook, Remembered, State};

pub type Outcome = Result<(Written, Vec<WebhookId>), CommitError>;

pub fn missing(noun: Noun, id: impl Into<Uuid>) -> CommitError {
    CommitError::NotFound {
        noun,
        id: id.into(),
    }
}

fn taken(noun: Noun, id: Uuid) -> CommitError {
    CommitError::Exists { noun, id }
}

impl State {
    pub fn commit(&mut self, commit: &Commit) -> Result<Receipt, CommitError> {
        if let Some(remember) = &commit.remember
            && let Some(before) = self.remembered.get(&remember.key)
            && commit.at < before.until
        {
            if before.fingerprint != remember.fingerprint {
                return Err(CommitError::KeyReused);
            }
            let answer = before.answer.clone();
            self.note(commit, (remember.shows)(&answer).map(Shown::again));
            return Ok(Receipt::Repeated(answer));
        }
        let before = self.before(&commit.write);
        let (written, due) = self.write(&commit.write, commit.at)?;
        if let Some(remember) = &commit.remember {
            let remembered = Remembered {
                fingerprint: remember.fingerprint,
                answer: (remember.render)(&written),
                until: remember.until,
            };
            self.remembered.insert(remember.key, remembered);
        }
        self.note(commit, fact(&commit.write, &written, before));
        Ok(Receipt::Done { written, due })
    }

    fn write(&mut self, write: &Write, at: Timestamp) -> Outcome {
        match write {
            Write::CreateIntegration { new, requestor } => {
                self.create_integration(new, requestor.as_ref(), at)
            }
            Write::Command {
                id,
                command,
                requestor,
            } => {
                let before = self.integrations.get(id);
                let before = before.ok_or(missing(Noun::Integration, id.0))?.clone();
                match before.apply(command, requestor.as_ref(), at)? {
                    Decision::Changed(change) => Ok(self.tell(*change)),
                    Decision::Unchanged => {
                        let integration = Box::new(before);
                        let changed = false;
                        let written = Written::Integration {
                            integration,
                            changed,
                        };
                        Ok((written, vec![]))
                    }
                }
            }
            Write::UpdateWebhook {
                id,
                if_revision,
                patch,
            } => {
                let webhook = self.webhook_mut(*id).ok_or(missing(Noun::Webhook, id.0))?;
                if if_revision.is_some_and(|revision| revision != webhook.revision) {
                    return Err(CommitError::Changed);
                }
                patch.clone().apply_to(webhook);
                Ok((Written::Webhook(Box::new(webhook.clone())), vec![*id]))
            }
            Write::RotateSecret {
                id,
                secret,
                overlap_until,
            } => {
                let webhook = self.webhook_mut(*id).ok_or(missing(Noun::Webhook, id.0))?;
                let newest = WebhookSecret {
                    text: secret.clone(),
                    created: at,
                    expires: None,
                };
                rotate(webhook, newest, *overlap_until, at);
                Ok((Written::Webhook(Box::new(webhook.clone())), vec![*id]))
            }
            Write::StartReplay(new) => self.start_replay(new, at),
            Write::StepReplay(step) => self.step_replay(step, at),
            Write::CommandReplay { id, command } => self.command_replay(*id, *command, at),
            Write::Replay { id } => self.replay(*id, at),
            Write::Discard { id, reason } => self.discard(*id, reason, at),
            other => Ok((self.write_registry(other, at)?, vec![])),
        }
    }

    /// The writes that make nothing due.
    fn write_registry(&mut self, write: &Write, at: Timestamp) -> Result<Written, CommitError> {
        match write {
            Write::PutEnterprise { id, name } => {
                let is_new = !self.enterprises.contains_key(id);
                let enterprise = self.enterprises.entry(*id).or_insert(Enterprise {
                    id: *id,
                    name: String::new(),
                    created: at,
                });
                enterprise.name.clone_from(name);
                let enterprise = enterprise.clone();
                Ok(Written::Enterprise { enterprise, is_new })
            }
            Write::CreateApplication { id, name } => {
                if self.applications.contains_key(id) {
                    return Err(taken(Noun::Application, id.0));
                }
                let (name, created) = (name.clone(), at);
                let application = Application {
                    id: *id,
                    name,
                    created,
                };
                self.applications.insert(*id, application.clone());
                Ok(Written::Application(application))
            }
            Write::RenameApplication { id, name } => {
                let application = self.applications.get_mut(id);
                let application = application.ok_or(missing(Noun::Application, id.0))?;
                application.name.clone_from(name);
                Ok(Written::Application(application.clone()))
            }
            Write::CreateWebhook(new) => {
                if !self.applications.contains_key(&new.application_id) {
                    return Err(missing(Noun::Application, new.application_id.0));
                }
                if self.webhooks.contains_key(&new.id) {
                    return Err(taken(Noun::Webhook, new.id.0));
                }
                let webhook = new.as_ref().clone().into_webhook(at);
                let kept = KeptWebhook {
                    webhook: webhook.clone(),
                    deleted: None,
                    asked: None,
                };
                self.webhooks.insert(webhook.id, kept);
                Ok(Written::Webhook(Box::new(webhook)))
            }
            Write::DeleteWebhook { id } => self.delete_webhook(*id, at),
            other => self.write_key(other, at),
        }
    }

    fn write_key(&mut self, write: &Write, at: Timestamp) -> Result<Written, CommitError> {
        match write {
            Write::CreateKey(key) => self.create_key(key),
            Write::Note(_) => Ok(Written::Noted),
            Write::DeleteKey { id } => {
                let key = self.keys.remove(id);
                key.ok_or(missing(Noun::Key, id.0))
                    .map(|_| Written::Deleted)
            }
            Write::RotateKey { id, to } => {
                let key = self.keys.get_mut(id).ok_or(missing(Noun::Key, id.0))?;
                if key.first.is_none() {
                    key.first = Some(key.hash);
                }
                let former = std::mem::replace(&mut key.hash, to.hash);
                key.previous = None;
                if to.overlap_until > at {
                    key.previous = Some((former, to.overlap_until));
                }
                if to.expires.is_some() {
                    key.expires = to.expires;
                }
                Ok(Written::Key(Box::new(key.clone())))
            }
            Write::NoteKeyUses(uses) => {
                for (id, used) in uses {
                    if let Some(key) = self.keys.get_mut(id) {
                        key.last_used = key.last_used.max(Some(*used));
                    }
                }
                Ok(Written::Noted)
            }
            Write::TellCertificate { id } => self.tell_certificate(*id, at),
            Write::SignIn(write) => self.write_sign_in(write, at),
            _ => unreachable!("the other writes may make something due"),
        }
    }

    fn create_key(&mut self, key: &ApiKey) -> Result<Written, CommitError> {
        if let Some(id) = key.scope.application_id()
            && !self.applications.contains_key(&id)
        {
            return Err(missing(Noun::Application, id.0));
        }
        if self.keys.contains_key(&key.id) {
            return Err(taken(Noun::Key, key.id.0));
        }
        self.keys.insert(key.id, key.clone());
        Ok(Written::Key(Box::new(key.clone())))
    }

    fn delete_webhook(&mut self, id: WebhookId, at: Timestamp) -> Result<Written, CommitError> {
        self.webhook(id).ok_or(missing(Noun::Webhook, id.0))?;
        self.webhooks.get_mut(&id).unwrap().deleted = Some(at);
        for kept in self.deliveries.values_mut() {
            let delivery = &mut kept.delivery;
            if delivery.webhook_id != id {
                continue;
            }
            self.claims.remove(&delivery.id);
            if delivery.next_attempt.is_some() || delivery.state == DeliveryState::Pending {
                kept.replay_id = None;
            }
            (delivery.next_attempt, kept.planned) = (None, None);
            if delivery.state == DeliveryState::Pending {
                delivery.state = DeliveryState::Discarded;
                delivery.reason = Some("The webhook was deleted.".into());
                delivery.ended = Some(at);
            }
        }
        Ok(Written::Deleted)
    }

    fn create_integration(
        &mut self,
        new: &NewIntegration,
        by: Option<&Requestor>,
        at: Timestamp,
    ) -> Outcome {
        if !self.applications.contains_key(&new.application_id) {
            return Err(missing(Noun::Application, new.application_id.0));
        }
        let enterprise = self.enterprises.get(&new.enterprise_id);
        let enterprise = enterprise.ok_or(missing(Noun::Enterprise, new.enterprise_id.0))?;
        if self.integrations.contains_key(&new.id) {
            return Err(taken(Noun::Integration, new.id.0));
        }
        let change = new.create(&enterprise.name, by, at);
        Ok(self.tell(change))
    }

    /// Keeps the integration and its message, and makes a delivery for each webhook that wants it.
    fn tell(&mut self, change: Change) -> (Written, Vec<WebhookId>) {
        let Change {
            integration,
            message,
        } = change;
        let webhooks: Vec<Webhook> = self
            .webhooks
            .values()
            .filter(|kept| kept.deleted.is_none())
            .map(|kept| kept.webhook.clone())
            .filter(|webhook| webhook.application_id == integration.application_id)
            .filter(|webhook| webhook.subscription().wants(message.action))
            .collect();
        let mut due = Vec::new();
        for webhook in webhooks {
            let lane: Vec<_> = self.lane(webhook.id, integration.id).collect();
            let end = self.lane_ends.get(&(webhook.id, integration.id));
            let end = end.copied().unwrap_or(0);
            let previous = lane
                .last()
                .map_or(end, |kept| kept.delivery.sequence.max(end));
            let is_waiting = lane
                .iter()
                .any(|kept| kept.delivery.state == DeliveryState::Pending);
            let bytes_2025 = message.body.bytes_2025.as_ref();
            let bytes = bytes_2025.filter(|_| webhook.profile == Profile::V2025);
            let delivery = Delivery {
                id: self.ids.next(message.at),
                webhook_id: webhook.id,
                application_id: integration.application_id,
                integration_id: integration.id,
                sequence: message.sequence,
                previous,
                action: message.action,
                state: DeliveryState::Pending,
                cause: None,
                reason: None,
                attempt_count: 0,
                tries: 0,
                next_attempt: (!is_waiting)
                    .then(|| later(message.at, webhook.retry_schedule.first_wait())),
                created: message.at,
                ended: None,
                is_stale: false,
            };
            if !is_waiting {
                due.push(webhook.id);
            }
            let kept = KeptDelivery {
                planned: None,
                replay_id: None,
                body: Bytes::from(bytes.unwrap_or(&message.body.bytes).clone()),
                attempts: Vec::new(),
                delivery: delivery.clone(),
            };
            self.deliveries.insert(delivery.id, kept);
        }
        self.messages
            .insert((integration.id, message.sequence), message);
        self.integrations
            .insert(integration.id, integration.clone());
        let integration = Box::new(integration);
        let changed = true;
        (
            Written::Integration {
                integration,
                changed,
            },
            due,
        )
    }

    fn replay(&mut self, id: DeliveryId, at: Timestamp) -> Outcome {
        let webhook = self.free_delivery(id)?.delivery.webhook_id;
        if self.webhook(webhook).is_none() {
            return Err(CommitError::NotNow("the webhook was deleted".into()));
        }
        let kept = self.deliveries.get_mut(&id).unwrap();
        let (integration_id, sequence) = (kept.delivery.integration_id, kept.delivery.sequence);
        if let Some(at) = self.erased.get(&(integration_id, sequence)).copied() {
            return Err(CommitError::Erased { integration_id, at });
        }
        if kept.delivery.state == DeliveryState::Pending {
            let Some(next) = kept.delivery.next_attempt else {
                return Err(CommitError::NotNow("it waits".into()));
            };
            kept.planned.get_or_insert(next);
        }
        kept.delivery.next_attempt = Some(at);
        let delivery = Box::new(self.shown(&self.deliveries[&id]));
        Ok((Written::Delivery(delivery), vec![webhook]))
    }

    fn discard(&mut self, id: DeliveryId, reason: &str, at: Timestamp) -> Outcome {
        let state = self.free_delivery(id)?.delivery.state;
        if state != DeliveryState::Pending {
            return Err(CommitError::NotNow("it has ended".into()));
        }
        let kept = self.deliveries.get_mut(&id).unwrap();
        let was_head = kept.delivery.next_attempt.is_some();
        (kept.planned, kept.replay_id) = (None, None);
        kept.delivery.state = DeliveryState::Discarded;
        kept.delivery.reason = Some(reason.to_owned());
        kept.delivery.ended = Some(at);
        kept.delivery.next_attempt = None;
        let delivery = self.shown(&self.deliveries[&id]);
        let (webhook, integration) = (delivery.webhook_id, delivery.integration_id);
        let goes_on = was_head && self.advance(webhook, integration, at);
        let due = if goes_on { vec![webhook] } else { vec![] };
        Ok((Written::Delivery(Box::new(delivery)), due))
    }

    /// A delivery that no attempt is under way of.
    fn free_delivery(&self, id: DeliveryId) -> Result<&KeptDelivery, CommitError> {
        if self.claims.contains_key(&id) {
            return Err(CommitError::NotNow("an attempt is under way".into()));
        }
        let kept = self.deliveries.get(&id);
        kept.ok_or(missing(Noun::Delivery, id.0))
    }
}

fn rotate(webhook: &mut Webhook, newest: WebhookSecret, overlap_until: Timestamp, at: Timestamp) {
    let former = std::mem::take(&mut webhook.secrets);
    let is_pair = newest.text.expose().starts_with("whsk_");
    webhook.secrets.push(newest);
    for mut secret in former {
        if secret.expires.is_some_and(|until| until <= at) {
            continue;
        }
        if secret.text.expose().starts_with("whsk_") == is_pair {
            let until = secret.expires.unwrap_or(overlap_until);
            secret.expires = Some(until.min(overlap_until));
        }
        if secret.expires.is_none_or(|until| until > at) {
            webhook.secrets.push(secret);
        }
    }
    webhook.revision += 1;
}
