//! What records mean for their webhooks: their health, their pauses, and what people must learn of it. Circuits hold for
//! a webhook as a whole: its row is what all replicas read and lock.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Shared,
    audit::Noted,
    connect::Failed,
    connection::{Transaction, execute, query},
    operational, rows,
};
use crate::{
    clock::to_ms,
    domain::{
        audit::By,
        delivery::WebhookEffect,
        health::{Diagnosis, Health, Observed},
        webhook::WebhookState,
    },
    id::{ApplicationId, WebhookId},
    store::{Attempted, audit::disabled},
};

/// Columns of [`rows::health`].
pub const HEALTH: &str = "failures, failing_since_ms, opened, open_until_ms, ramp";

/// A webhook that fails or has failed. Its row is locked.
pub struct Patient {
    application_id: ApplicationId,
    state: WebhookState,
    max_in_flight: u32,
    /// As the row has it.
    before: Health,
    health: Health,
    /// Until when the receiver asked for a pause, and when it did.
    pause: Option<(Timestamp, Timestamp)>,
    disabled: Option<String>,
}

/// The webhooks that fail or have failed.
pub type Patients = HashMap<WebhookId, Patient>;

/// Locks those of these webhooks that have failed before, and those that fail now, in the order of their ids. Of a healthy
/// one that succeeds, nothing is locked and nothing written.
pub async fn lock(
    on: &Transaction<'_>,
    all: &[Uuid],
    failing: &[Uuid],
) -> Result<Patients, Failed> {
    let sql = format!(
        "SELECT id, state, max_in_flight, {HEALTH}, application_id FROM webhooks WHERE id = ANY($1) AND deleted_ms IS NULL \
         AND (id = ANY($2) OR failures > 0 OR failing_since_ms IS NOT NULL OR opened > 0 \
         OR open_until_ms IS NOT NULL OR ramp IS NOT NULL) ORDER BY id FOR NO KEY UPDATE"
    );
    let found = query(on, &sql, &[&all, &failing]).await?;
    let patients = rows::all(&found, |row| {
        let health = rows::health(row, 3)?;
        let patient = Patient {
            application_id: rows::id(row, 8)?,
            state: rows::text(row, 1)?,
            max_in_flight: rows::number(row, 2)?,
            before: health,
            health,
            pause: None,
            disabled: None,
        };
        Ok((rows::id(row, 0)?, patient))
    })?;
    Ok(patients.into_iter().collect())
}

/// Writes what attempts mean for their webhooks: each in turn, as if they were recorded one after the other.
pub async fn affect<'a>(
    on: &Transaction<'_>,
    shared: &Shared,
    mut patients: Patients,
    recorded: impl Iterator<Item = (WebhookId, &'a Attempted)>,
) -> Result<(), Failed> {
    if patients.is_empty() {
        return Ok(());
    }
    let mut noted = Noted::default();
    for (id, attempted) in recorded {
        if let Some(patient) = patients.get_mut(&id) {
            let diagnosis = patient.examine(attempted);
            if let Some(reason) = &diagnosis.disabled {
                let fact = disabled(id, patient.application_id, reason);
                noted.add(shared, fact, attempted.at, &By::system());
            }
            operational::attempted(on, shared, id, attempted, &diagnosis.events).await?;
        }
    }
    for (id, patient) in &patients {
        patient.write(on, *id).await?;
    }
    noted.write(on, shared.audit_base).await
}

impl Patient {
    fn examine(&mut self, attempted: &Attempted) -> Diagnosis {
        let observed = Observed {
            cause: attempted.attempt.cause,
            started: attempted.attempt.started,
            ended: attempted.at,
            max_in_flight: self.max_in_flight,
            state: self.state,
            unit: attempted.unit,
        };
        let diagnosis = self
            .health
            .after(observed, attempted.next, attempted.effect.as_ref());
        self.health = diagnosis.health;
        if let Some(WebhookEffect::NotBefore(at)) = attempted.effect {
            self.pause = self.pause.max(Some((at, attempted.at)));
        }
        if let Some(reason) = &diagnosis.disabled {
            self.state = WebhookState::Disabled;
            self.disabled = Some(reason.clone());
        }
        diagnosis
    }

    async fn write(&self, on: &Transaction<'_>, id: WebhookId) -> Result<(), Failed> {
        if self.health == self.before && self.pause.is_none() && self.disabled.is_none() {
            return Ok(());
        }
        execute(
            on,
            "UPDATE webhooks SET failures = $2, failing_since_ms = $3, opened = $4, open_until_ms = $5, ramp = $6, \
             asked_ms = CASE WHEN $7 > COALESCE(not_before_ms, 0) THEN $9 ELSE asked_ms END, \
             not_before_ms = GREATEST(not_before_ms, $7), \
             state = CASE WHEN $8::text IS NULL THEN state ELSE 'Disabled' END, \
             state_reason = COALESCE($8, state_reason), \
             revision = revision + CASE WHEN $8 IS NULL THEN 0 ELSE 1 END WHERE id = $1",
            &[
                &id.0,
                &i64::from(self.health.failures),
                &self.health.failing_since.map(to_ms),
                &i64::from(self.health.opened),
                &self.health.open_until.map(to_ms),
                &self.health.ramp.map(i64::from),
                &self.pause.map(|(until, _)| to_ms(until)),
                &self.disabled,
                &self.pause.map(|(_, asked)| to_ms(asked)),
            ],
        )
        .await?;
        Ok(())
    }
}
