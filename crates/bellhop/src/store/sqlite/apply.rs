//! One write, applied inside the writer's transaction. Each looks before it writes: a write that is
//! refused has changed nothing, so the others of its group need no savepoint.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    audit, batch::Batch, health, lifecycle, operational, registry, replays, rows, sign_ins,
};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        audit::Fact,
        delivery::{Delivery, DeliveryState},
        retry::later,
    },
    id::DeliveryId,
    store::{
        Answer, Commit, CommitError, Noun, Receipt, Remember, Shown, Write, Written,
        audit::{Before, fact},
    },
    vault::{Place, Vault},
};

/// What applying needs.
pub struct Apply<'a> {
    pub connection: &'a Connection,
    pub vault: &'a Vault,
    pub batch: &'a mut Batch,
    /// What the write has found, if the audit log says what became of it.
    pub before: Option<Before>,
}

impl Apply<'_> {
    /// Applies one write, with its idempotency record.
    pub fn commit(&mut self, commit: &Commit) -> Result<Receipt, CommitError> {
        if let Some(remember) = &commit.remember
            && let Some(answer) = self.remembered(remember, commit.at)?
        {
            self.note(commit, (remember.shows)(&answer).map(Shown::again))?;
            return Ok(Receipt::Repeated(answer));
        }
        let (written, due) = self.write(commit)?;
        if let Some(remember) = &commit.remember {
            self.remember(remember, &written)?;
        }
        let fact = fact(&commit.write, &written, self.before.take());
        self.note(commit, fact)?;
        Ok(Receipt::Done { written, due })
    }

    fn note(&mut self, commit: &Commit, fact: Option<Fact>) -> Result<(), CommitError> {
        match fact {
            Some(fact) => audit::note(self.connection, self.batch, fact, commit.at, &commit.by)
                .map_err(database),
            None => Ok(()),
        }
    }

    fn write(
        &mut self,
        commit: &Commit,
    ) -> Result<(Written, Vec<crate::id::WebhookId>), CommitError> {
        // The first two say what they make due, the others make nothing due. All others are rare: what lies ready is read
        // again after them.
        if !matches!(
            commit.write,
            Write::CreateIntegration { .. }
                | Write::Command { .. }
                | Write::NoteKeyUses(_)
                | Write::TellCertificate { .. }
                | Write::SignIn(_)
                | Write::Note(_)
        ) {
            self.batch.ready.forget_all();
            self.batch.claims.doubt();
        }
        let at = commit.at;
        let alone = |written| (written, Vec::new());
        match &commit.write {
            Write::PutEnterprise { id, name } => {
                registry::put_enterprise(self, *id, name, at).map(alone)
            }
            Write::CreateApplication { id, name } => {
                registry::create_application(self, *id, name, at).map(alone)
            }
            Write::RenameApplication { id, name } => {
                registry::rename_application(self, *id, name).map(alone)
            }
            Write::CreateWebhook(new) => registry::create_webhook(self, new, at).map(alone),
            Write::UpdateWebhook {
                id,
                if_revision,
                patch,
            } => {
                let written = registry::update_webhook(self, *id, *if_revision, patch)?;
                Ok((written, vec![*id]))
            }
            Write::DeleteWebhook { id } => registry::delete_webhook(self, *id, at).map(alone),
            Write::RotateSecret {
                id,
                secret,
                overlap_until,
            } => {
                let rotated = registry::rotate_secret(self, *id, secret, *overlap_until, at)?;
                Ok((rotated, vec![*id]))
            }
            Write::CreateIntegration { new, requestor } => {
                lifecycle::create(self, new, requestor.as_ref(), at)
            }
            Write::Command {
                id,
                command,
                requestor,
            } => lifecycle::command(self, *id, command, requestor.as_ref(), at),
            Write::Replay { id } => self.replay(*id, at),
            Write::Discard { id, reason } => self.discard(*id, reason, at),
            Write::StartReplay(new) => replays::start(self, new, at),
            Write::StepReplay(step) => replays::step(self, step, at),
            Write::CommandReplay { id, command } => replays::command(self, *id, *command, at),
            Write::CreateKey(key) => registry::create_key(self, key).map(alone),
            Write::DeleteKey { id } => registry::delete_key(self, *id).map(alone),
            Write::RotateKey { id, to } => registry::rotate_key(self, *id, *to, at).map(alone),
            Write::NoteKeyUses(uses) => registry::note_key_uses(self, uses).map(alone),
            Write::TellCertificate { id } => {
                operational::tell_certificate(self, *id, at).map(alone)
            }
            Write::SignIn(write) => sign_ins::write(self, write, at).map(alone),
            Write::Note(_) => Ok(alone(Written::Noted)),
        }
    }

    /// Makes a delivery due now, once more. One that is pending keeps its planned try.
    fn replay(
        &mut self,
        id: DeliveryId,
        at: jiff::Timestamp,
    ) -> Result<(Written, Vec<crate::id::WebhookId>), CommitError> {
        let mut delivery = self.delivery(id)?;
        let gate = self
            .batch
            .webhooks
            .gate(self.connection, delivery.webhook_id);
        if gate.map_err(database)?.is_none() {
            return Err(CommitError::NotNow(
                "The webhook of this delivery was deleted: there is nowhere to send it.".into(),
            ));
        }
        if let Some(at) = self.erased(&delivery).map_err(database)? {
            let integration_id = delivery.integration_id;
            return Err(CommitError::Erased { integration_id, at });
        }
        if delivery.state == DeliveryState::Pending && delivery.next_attempt.is_none() {
            return Err(CommitError::NotNow(
                "This delivery waits behind an earlier one of its lane. Replay or discard that one first.".into(),
            ));
        }
        let planned = (delivery.state == DeliveryState::Pending)
            .then_some(delivery.next_attempt)
            .flatten();
        delivery.next_attempt = Some(at);
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET next_attempt_ms = ?2, planned_ms = COALESCE(planned_ms, ?3) WHERE id = ?1",
            )
            .and_then(|mut update| update.execute(params![id, to_ms(at), planned.map(to_ms)]))
            .map_err(database)?;
        self.batch
            .claims
            .wait_for_lane(delivery.webhook_id, delivery.integration_id);
        // As it is shown to whoever reads it.
        let shown = std::slice::from_mut(&mut delivery);
        health::defer(self.connection, shown).map_err(database)?;
        let due = vec![delivery.webhook_id];
        Ok((Written::Delivery(Box::new(delivery)), due))
    }

    fn discard(
        &mut self,
        id: DeliveryId,
        reason: &str,
        at: jiff::Timestamp,
    ) -> Result<(Written, Vec<crate::id::WebhookId>), CommitError> {
        let mut delivery = self.delivery(id)?;
        if delivery.state != DeliveryState::Pending {
            return Err(CommitError::NotNow(format!(
                "This delivery is {} and not Pending: there is nothing to discard.",
                delivery.state
            )));
        }
        let was_head = delivery.next_attempt.is_some();
        delivery.state = DeliveryState::Discarded;
        (delivery.next_attempt, delivery.ended, delivery.reason) =
            (None, Some(at), Some(reason.to_owned()));
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET state = 'Discarded', reason = ?2, ended_ms = ?3, next_attempt_ms = NULL, \
                 planned_ms = NULL, replay_id = NULL WHERE id = ?1",
            )
            .and_then(|mut update| update.execute(params![id, reason, to_ms(at)]))
            .map_err(database)?;
        self.batch
            .counts
            .moved(DeliveryState::Pending, DeliveryState::Discarded);
        let goes_on = was_head && self.advance_lane(&delivery, at).map_err(database)?;
        let due = if goes_on {
            vec![delivery.webhook_id]
        } else {
            Vec::new()
        };
        Ok((Written::Delivery(Box::new(delivery)), due))
    }

    /// When the bytes that a delivery sends were erased, if they were.
    fn erased(&self, delivery: &Delivery) -> rusqlite::Result<Option<jiff::Timestamp>> {
        if !delivery.action.carries_secret() {
            return Ok(None);
        }
        let erased: Option<Option<i64>> = self
            .connection
            .prepare_cached(
                "SELECT erased_ms FROM messages WHERE integration_id = ?1 AND sequence = ?2",
            )?
            .query_row(params![delivery.integration_id, delivery.sequence], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(erased.flatten().map(from_ms))
    }

    /// The delivery, unless it is missing or an attempt of it is under way.
    fn delivery(&self, id: DeliveryId) -> Result<Delivery, CommitError> {
        if self.batch.claims.holds(id) {
            return Err(CommitError::NotNow(
                "An attempt of this delivery is under way. Try again when it has ended.".into(),
            ));
        }
        let sql = format!("SELECT {} FROM deliveries WHERE id = ?1", rows::DELIVERY);
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut select| select.query_row([id], rows::delivery).optional())
            .map_err(database)?
            .ok_or(CommitError::NotFound {
                noun: Noun::Delivery,
                id: id.0,
            })
    }

    /// Makes the next pending delivery of a lane due. Says whether there is one.
    pub fn advance_lane(
        &mut self,
        ended: &Delivery,
        at: jiff::Timestamp,
    ) -> rusqlite::Result<bool> {
        advance_lane(
            self.connection,
            self.batch,
            ended.integration_id,
            ended.webhook_id,
            ended.sequence,
            at,
        )
    }

    fn remembered(
        &self,
        remember: &Remember,
        at: jiff::Timestamp,
    ) -> Result<Option<Answer>, CommitError> {
        let found = self
            .connection
            .prepare_cached("SELECT fingerprint, answer_sealed FROM idempotency WHERE key = ?1 AND until_ms > ?2")
            .and_then(|mut select| {
                select
                    .query_row(params![remember.key, to_ms(at)], |row| {
                        Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?))
                    })
                    .optional()
            })
            .map_err(database)?;
        let Some((fingerprint, sealed)) = found else {
            return Ok(None);
        };
        if fingerprint != remember.fingerprint {
            return Err(CommitError::KeyReused);
        }
        let place = Place {
            column: "idempotency.answer",
            row: &remember.key,
        };
        let answer = self.vault.open(place, &sealed);
        let answer =
            answer.map_err(|error| crate::store::StoreError::Corrupt(error.to_string()))?;
        Ok(Some(Answer(answer)))
    }

    fn remember(&self, remember: &Remember, written: &Written) -> Result<(), CommitError> {
        let Answer(answer) = (remember.render)(written);
        let place = Place {
            column: "idempotency.answer",
            row: &remember.key,
        };
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut insert| {
                let sealed = self.vault.seal(place, &answer);
                insert.execute(params![
                    remember.key,
                    remember.fingerprint,
                    sealed,
                    to_ms(remember.until)
                ])
            })
            .map_err(database)?;
        Ok(())
    }
}

/// Makes the next pending delivery after this one due. Says whether there is one.
pub fn advance_lane(
    connection: &Connection,
    batch: &mut Batch,
    integration: crate::id::IntegrationId,
    webhook: crate::id::WebhookId,
    after: u64,
    at: jiff::Timestamp,
) -> rusqlite::Result<bool> {
    let next: Option<(DeliveryId, i64, Option<i64>)> = connection
        .prepare_cached(
            "SELECT id, created_ms, planned_ms FROM deliveries WHERE integration_id = ?1 AND webhook_id = ?2 \
             AND sequence > ?3 AND state = 'Pending' ORDER BY sequence LIMIT 1",
        )?
        .query_row(params![integration, webhook, after], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((next, created_ms, planned_ms)) = next else {
        return Ok(false);
    };
    let gate = batch.webhooks.gate(connection, webhook)?;
    let first_wait = gate.map_or(Duration::ZERO, |gate| gate.first_wait);
    // A commit after now was made before the clock was set back.
    let created = from_ms(created_ms).min(at);
    let at = at.max(later(created, first_wait));
    // A backfill may have put others before it: the try that was planned then is not made earlier.
    let at_ms = to_ms(at).max(planned_ms.unwrap_or(i64::MIN));
    connection
        .prepare_cached(
            "UPDATE deliveries SET next_attempt_ms = ?2, planned_ms = NULL WHERE id = ?1",
        )?
        .execute(params![next, at_ms])?;
    batch.ready.expect(webhook, from_ms(at_ms));
    Ok(true)
}

/// A failure of the database, as the caller of a commit sees it.
pub fn database(error: rusqlite::Error) -> CommitError {
    CommitError::Store(error.into())
}
