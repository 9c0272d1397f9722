//! Writes that are seldom asked for: each in a transaction of its own. Each looks before it writes, and what it looks at
//! is locked.

use jiff::Timestamp;

use super::{
    Shared, TRIES,
    audit::Noted,
    claims::release_unwanted,
    connect::Failed,
    connection::{Transaction, execute, query_opt, settled},
    counts::{Counts, Writer},
    group::answer_place,
    operational,
    record::{advance, lock},
    registry, replays, rows, sign_ins,
};
use crate::{
    clock::to_ms,
    domain::{
        audit::Fact,
        delivery::{Delivery, DeliveryState},
    },
    id::{DeliveryId, WebhookId},
    store::{
        Answer, Commit, CommitError, Noun, Receipt, Remember, Shown, StoreError, Write, Written,
        audit::{Before, fact},
    },
};

/// Why nothing was written.
pub enum Stop {
    /// It may not be.
    Refused(CommitError),
    /// The database failed.
    Failed(Failed),
}

/// What came of a write, and which webhooks may have something due by it.
pub type Outcome = Result<(Written, Vec<WebhookId>), Stop>;

/// A write inside its transaction.
pub struct Alone<'a> {
    pub on: &'a Transaction<'a>,
    pub shared: &'a Shared,
    pub counts: Counts,
    /// What the write has found, if the audit log says what became of it.
    pub before: Option<Before>,
    /// Entries of the audit log.
    noted: Noted,
}

/// Makes one write durable.
pub async fn commit(shared: &Shared, commit: &Commit) -> Result<Receipt, CommitError> {
    let mut tries = 0;
    let done = loop {
        tries += 1;
        match try_commit(shared, commit).await {
            Err(failed) if failed.again && tries < TRIES => {}
            done => break done.map_err(|failed| failed.error)?,
        }
    };
    // What was made meanwhile was made by what was there before.
    shared.ready.forget_all();
    done
}

async fn try_commit(
    shared: &Shared,
    commit: &Commit,
) -> Result<Result<Receipt, CommitError>, Failed> {
    let connection = shared.writers.get().await?;
    settled(connection, async |connection| {
        // What lies ready is under way for nobody: a person may do with it what one may with all that is due.
        shared.ready.forget_all();
        release_unwanted(connection, shared).await?;
        let transaction = connection.transaction();
        let mut alone = Alone {
            on: &transaction,
            shared,
            counts: Counts::default(),
            before: None,
            noted: Noted::default(),
        };
        let done = alone.commit(commit).await;
        let (counts, noted) = (alone.counts, alone.noted);
        match done {
            Ok(receipt) => {
                counts
                    .write(&transaction, shared.holder, Writer::Others)
                    .await?;
                noted.write(&transaction, shared.audit_base).await?;
                transaction.commit().await?;
                Ok(Ok(receipt))
            }
            Err(Stop::Refused(why)) => {
                transaction.rollback().await?;
                Ok(Err(why))
            }
            Err(Stop::Failed(failed)) => Err(failed),
        }
    })
    .await
}

impl Alone<'_> {
    async fn commit(&mut self, commit: &Commit) -> Result<Receipt, Stop> {
        if let Some(remember) = &commit.remember
            && let Some(answer) = self.remembered(remember, commit.at).await?
        {
            self.note(commit, (remember.shows)(&answer).map(Shown::again));
            return Ok(Receipt::Repeated(answer));
        }
        let (written, due) = self.write(commit).await?;
        if let Some(remember) = &commit.remember {
            self.remember(remember, &written).await?;
        }
        let fact = fact(&commit.write, &written, self.before.take());
        self.note(commit, fact);
        Ok(Receipt::Done { written, due })
    }

    fn note(&mut self, commit: &Commit, fact: Option<Fact>) {
        if let Some(fact) = fact {
            self.noted.add(self.shared, fact, commit.at, &commit.by);
        }
    }

    async fn write(&mut self, commit: &Commit) -> Outcome {
        let at = commit.at;
        let alone = |written| (written, Vec::new());
        match &commit.write {
            Write::PutEnterprise { id, name } => registry::put_enterprise(self, *id, name, at)
                .await
                .map(alone),
            Write::CreateApplication { id, name } => {
                registry::create_application(self, *id, name, at)
                    .await
                    .map(alone)
            }
            Write::RenameApplication { id, name } => registry::rename_application(self, *id, name)
                .await
                .map(alone),
            Write::CreateWebhook(new) => registry::create_webhook(self, new, at).await.map(alone),
            Write::UpdateWebhook {
                id,
                if_revision,
                patch,
            } => {
                let written = registry::update_webhook(self, *id, *if_revision, patch).await?;
                Ok((written, vec![*id]))
            }
            Write::DeleteWebhook { id } => registry::delete_webhook(self, *id, at).await.map(alone),
            Write::RotateSecret {
                id,
                secret,
                overlap_until,
            } => {
                let rotated = registry::rotate_secret(self, *id, secret, *overlap_until, at);
                // Other replicas are told: they are to sign with the new one as well.
                Ok((rotated.await?, vec![*id]))
            }
            Write::Replay { id } => self.replay(*id, at).await,
            Write::Discard { id, reason } => self.discard(*id, reason, at).await,
            Write::StartReplay(new) => replays::start(self, new, at).await,
            Write::StepReplay(step) => replays::step(self, step, at).await,
            Write::CommandReplay { id, command } => replays::command(self, *id, *command, at).await,
            Write::CreateKey(key) => registry::create_key(self, key).await.map(alone),
            Write::DeleteKey { id } => registry::delete_key(self, *id).await.map(alone),
            Write::RotateKey { id, to } => {
                registry::rotate_key(self, *id, *to, at).await.map(alone)
            }
            Write::NoteKeyUses(uses) => registry::note_key_uses(self, uses).await.map(alone),
            Write::TellCertificate { id } => operational::tell_certificate(self, *id, at)
                .await
                .map(alone),
            Write::SignIn(write) => sign_ins::write(self, write, at).await.map(alone),
            Write::Note(_) => Ok(alone(Written::Noted)),
            Write::CreateIntegration { .. } | Write::Command { .. } => {
                unreachable!("transitions go in groups")
            }
        }
    }

    /// Makes a delivery due now, once more. One that is pending keeps its planned try.
    async fn replay(&mut self, id: DeliveryId, at: Timestamp) -> Outcome {
        let mut delivery = self.free_delivery(id).await?;
        let webhook = delivery.webhook_id;
        let find = "SELECT GREATEST(not_before_ms, open_until_ms) FROM webhooks \
                    WHERE id = $1 AND deleted_ms IS NULL FOR KEY SHARE";
        let Some(found) = query_opt(self.on, find, &[&webhook.0]).await? else {
            return Err(not_now(
                "The webhook of this delivery was deleted: there is nowhere to send it.",
            ));
        };
        let not_before = rows::moment_or_null(&found, 0)?;
        if let Some(at) = self.erased(&delivery).await? {
            let integration_id = delivery.integration_id;
            return Err(Stop::Refused(CommitError::Erased { integration_id, at }));
        }
        if delivery.state == DeliveryState::Pending && delivery.next_attempt.is_none() {
            return Err(not_now(
                "This delivery waits behind an earlier one of its lane. Replay or discard that one first.",
            ));
        }
        let is_pending = delivery.state == DeliveryState::Pending;
        let planned = delivery.next_attempt.filter(|_| is_pending);
        execute(
            self.on,
            "UPDATE deliveries SET next_attempt_ms = $2, planned_ms = COALESCE(planned_ms, $3) WHERE id = $1",
            &[&id.0, &to_ms(at), &planned.map(to_ms)],
        )
        .await?;
        execute(
            self.on,
            "UPDATE claims SET waits = true WHERE webhook_id = $1 AND integration_id = $2",
            &[&webhook.0, &delivery.integration_id.0],
        )
        .await?;
        // As it is shown to whoever reads it.
        delivery.next_attempt = Some(not_before.map_or(at, |until| until.max(at)));
        Ok((Written::Delivery(Box::new(delivery)), vec![webhook]))
    }

    /// When the bytes that a delivery sends were erased, if they were. Its integration is locked, so nobody does it now.
    async fn erased(&self, delivery: &Delivery) -> Result<Option<Timestamp>, Stop> {
        if !delivery.action.carries_secret() {
            return Ok(None);
        }
        let find = "SELECT erased_ms FROM messages WHERE integration_id = $1 AND sequence = $2";
        let key: super::connection::Values<'_> =
            &[&delivery.integration_id.0, &(delivery.sequence as i64)];
        let found = query_opt(self.on, find, key).await?;
        Ok(found.map_or(Ok(None), |row| rows::moment_or_null(&row, 0))?)
    }

    async fn discard(&mut self, id: DeliveryId, reason: &str, at: Timestamp) -> Outcome {
        let mut delivery = self.free_delivery(id).await?;
        if delivery.state != DeliveryState::Pending {
            return Err(not_now(&format!(
                "This delivery is {} and not Pending: there is nothing to discard.",
                delivery.state
            )));
        }
        let was_head = delivery.next_attempt.is_some();
        delivery.state = DeliveryState::Discarded;
        (delivery.next_attempt, delivery.ended, delivery.reason) =
            (None, Some(at), Some(reason.to_owned()));
        execute(
            self.on,
            "UPDATE deliveries SET state = 'Discarded', reason = $2, ended_ms = $3, next_attempt_ms = NULL, \
             planned_ms = NULL, replay_id = NULL WHERE id = $1",
            &[&id.0, &reason, &to_ms(at)],
        )
        .await?;
        self.counts
            .moved(DeliveryState::Pending, DeliveryState::Discarded, 1);
        let (webhook, integration) = (delivery.webhook_id, delivery.integration_id);
        let goes_on = was_head && {
            let (sequences, at) = ([delivery.sequence as i64], [to_ms(at)]);
            !advance(self.on, &[webhook.0], &[integration.0], &sequences, &at)
                .await?
                .is_empty()
        };
        let due = if goes_on { vec![webhook] } else { Vec::new() };
        Ok((Written::Delivery(Box::new(delivery)), due))
    }

    /// The delivery, locked with its lane, unless it is missing or an attempt of it is under way. A claim whose lease
    /// is over is ended: its holder can record nothing any more.
    async fn free_delivery(&self, id: DeliveryId) -> Result<Delivery, Stop> {
        let missing = || {
            Stop::Refused(CommitError::NotFound {
                noun: Noun::Delivery,
                id: id.0,
            })
        };
        let find = "SELECT integration_id FROM deliveries WHERE id = $1";
        let found = query_opt(self.on, find, &[&id.0])
            .await?
            .ok_or_else(missing)?;
        lock(self.on, &[rows::get(&found, 0)?]).await?;
        let find = format!(
            "SELECT {} FROM deliveries WHERE id = $1 FOR NO KEY UPDATE",
            rows::DELIVERY
        );
        let found = query_opt(self.on, &find, &[&id.0])
            .await?
            .ok_or_else(missing)?;
        let delivery = rows::delivery(&found)?;
        let lane: super::connection::Values<'_> =
            &[&delivery.webhook_id.0, &delivery.integration_id.0, &id.0];
        execute(
            self.on,
            "DELETE FROM claims WHERE webhook_id = $1 AND integration_id = $2 AND delivery_id = $3 \
             AND lease_until <= clock_timestamp()",
            lane,
        )
        .await?;
        let held = "SELECT 1 FROM claims WHERE webhook_id = $1 AND integration_id = $2 AND delivery_id = $3";
        if query_opt(self.on, held, lane).await?.is_some() {
            return Err(not_now(
                "An attempt of this delivery is under way. Try again when it has ended.",
            ));
        }
        Ok(delivery)
    }

    async fn remembered(&self, remember: &Remember, at: Timestamp) -> Result<Option<Answer>, Stop> {
        let find = "SELECT fingerprint, answer_sealed FROM idempotency WHERE key = $1 AND until_ms > $2 FOR UPDATE";
        let key: &[u8] = &remember.key;
        let Some(found) = query_opt(self.on, find, &[&key, &to_ms(at)]).await? else {
            return Ok(None);
        };
        if rows::hash(&found, 0)? != remember.fingerprint {
            return Err(Stop::Refused(CommitError::KeyReused));
        }
        let sealed: &[u8] = rows::get(&found, 1)?;
        let answer = self.shared.vault.open(answer_place(&remember.key), sealed);
        let answer = answer.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Some(Answer(answer)))
    }

    /// One that has expired is replaced. One that another replica has just written is a conflict, and the write begins
    /// again.
    async fn remember(&self, remember: &Remember, written: &Written) -> Result<(), Stop> {
        let Answer(answer) = (remember.render)(written);
        let sealed = self.shared.vault.seal(answer_place(&remember.key), &answer);
        let (key, fingerprint): (&[u8], &[u8]) = (&remember.key, &remember.fingerprint);
        execute(self.on, "DELETE FROM idempotency WHERE key = $1", &[&key]).await?;
        execute(
            self.on,
            "INSERT INTO idempotency (key, fingerprint, answer_sealed, until_ms) VALUES ($1, $2, $3, $4)",
            &[&key, &fingerprint, &sealed, &to_ms(remember.until)],
        )
        .await?;
        Ok(())
    }
}

pub fn not_now(why: &str) -> Stop {
    Stop::Refused(CommitError::NotNow(why.into()))
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
