//! What a group of transitions has made, as columns: each table gets all of its rows with one statement.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::LazyLock,
};

use jiff::Timestamp;
use tokio::try_join;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Shared,
    at_once::AtOnce,
    audit::{self, Noted},
    connect::Failed,
    connection::{Transaction, execute},
    counts::{Counts, Writer},
    erasure::Left,
};
use crate::{
    clock::to_ms,
    domain::{
        delivery::DeliveryState,
        integration::{Integration, NewMessage},
        webhook::Subscription,
    },
    id::{DeliveryId, IntegrationId},
    store::{Fence, Remember, sealed::body_row},
    vault::{Place, Vault},
};

/// Rows to write.
#[derive(Default)]
pub struct Made {
    /// Which integrations are new.
    pub created: HashSet<IntegrationId>,
    /// Integrations that are new or changed, as they are after.
    pub changed: BTreeMap<IntegrationId, Integration>,
    /// Entries of the audit log.
    pub noted: Noted,
    messages: Messages,
    deliveries: Deliveries,
    answers: Answers,
    left: Left,
    counts: Counts,
}

#[derive(Default)]
struct Messages {
    integration_ids: Vec<Uuid>,
    sequences: Vec<i64>,
    application_ids: Vec<Uuid>,
    actions: Vec<&'static str>,
    created_ms: Vec<i64>,
    requestors: Vec<Option<String>>,
    are_sealed: Vec<bool>,
    bodies: Vec<Vec<u8>>,
    bodies_2025: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
struct Deliveries {
    ids: Vec<Uuid>,
    webhook_ids: Vec<Uuid>,
    application_ids: Vec<Uuid>,
    integration_ids: Vec<Uuid>,
    sequences: Vec<i64>,
    previous: Vec<i64>,
    actions: Vec<&'static str>,
    profiles: Vec<&'static str>,
    next_attempt_ms: Vec<Option<i64>>,
    created_ms: Vec<i64>,
}

#[derive(Default)]
struct Answers {
    /// Those that have expired and go before.
    replaced: Vec<[u8; 32]>,
    keys: Vec<[u8; 32]>,
    fingerprints: Vec<[u8; 32]>,
    sealed: Vec<Vec<u8>>,
    until_ms: Vec<i64>,
}

impl Made {
    /// A delivery at the end of its lane.
    pub fn delivery(
        &mut self,
        id: DeliveryId,
        integration: &Integration,
        message: &NewMessage,
        to: &Subscription,
        previous: u64,
        next_attempt: Option<Timestamp>,
    ) {
        let made = &mut self.deliveries;
        made.ids.push(id.0);
        made.webhook_ids.push(to.webhook_id.0);
        made.application_ids.push(integration.application_id.0);
        made.integration_ids.push(integration.id.0);
        made.sequences.push(message.sequence as i64);
        made.previous.push(previous as i64);
        made.actions.push(message.action.as_str());
        made.profiles.push(to.profile.as_str());
        made.next_attempt_ms.push(next_attempt.map(to_ms));
        made.created_ms.push(to_ms(message.at));
        self.counts.added(DeliveryState::Pending);
    }

    /// A message. A body that carries an access token is sealed.
    pub fn message(
        &mut self,
        vault: &Vault,
        integration: &Integration,
        message: &NewMessage,
        is_wanted: bool,
    ) {
        let is_sealed = message.action.carries_secret();
        let row = body_row(integration.id, message.sequence);
        let place = Place {
            column: "messages.body",
            row: &row,
        };
        let kept = |bytes: &Vec<u8>| {
            if is_sealed {
                vault.seal(place, bytes)
            } else {
                bytes.clone()
            }
        };
        let requestor = message.requestor.as_ref();
        if is_sealed && !is_wanted {
            self.left.push(integration, message.sequence);
        }
        let made = &mut self.messages;
        made.integration_ids.push(integration.id.0);
        made.sequences.push(message.sequence as i64);
        made.application_ids.push(integration.application_id.0);
        made.actions.push(message.action.as_str());
        made.created_ms.push(to_ms(message.at));
        made.requestors
            .push(requestor.map(|by| serde_json::to_string(by).expect("text is JSON")));
        made.are_sealed.push(is_sealed);
        made.bodies.push(kept(&message.body.bytes));
        made.bodies_2025
            .push(message.body.bytes_2025.as_ref().map(kept));
    }

    /// An answer to remember, in the place of one that has expired or not.
    pub fn answer(&mut self, remember: &Remember, sealed: Vec<u8>, until_ms: i64, replaces: bool) {
        if replaces {
            self.answers.replaced.push(remember.key);
        }
        self.answers.keys.push(remember.key);
        self.answers.fingerprints.push(remember.fingerprint);
        self.answers.sealed.push(sealed);
        self.answers.until_ms.push(until_ms);
    }

    /// Writes all of it, and makes it durable: one way there and back. Says what was claimed by it.
    pub async fn write(
        self,
        on: &Transaction<'_>,
        shared: &Shared,
        at_once: &AtOnce<'_>,
    ) -> Result<HashMap<DeliveryId, Fence>, Failed> {
        let (new, old): (Vec<_>, Vec<_>) = self
            .changed
            .values()
            .partition(|each| self.created.contains(&each.id));
        // First: what is joined with the commit asks once.
        self.answers.forget_replaced(on).await?;
        if !self.left.is_empty() {
            // Seldom: the future of a group need not have room for it.
            Box::pin(self.left.insert(on)).await?;
        }
        at_once.prepare(on).await?;
        let ((), (), (), (), (), (), claimed, ()) = try_join!(
            insert_integrations(on, &new),
            update_integrations(on, &old),
            insert_told(on, shared, &self.messages, &self.deliveries, &self.noted),
            self.answers.insert(on),
            self.counts.write(on, shared.holder, Writer::Lifecycle),
            at_once.take_turns(on),
            at_once.claim(on),
            on.commit(),
        )?;
        Ok(claimed)
    }
}

fn column<T>(of: &[&Integration], value: impl Fn(&Integration) -> T) -> Vec<T> {
    of.iter().map(|each| value(each)).collect()
}

fn token(of: &Integration) -> Option<Vec<u8>> {
    of.tokens.as_ref().map(|tokens| tokens.current.0.to_vec())
}

fn previous_token(of: &Integration) -> Option<(Vec<u8>, i64)> {
    let previous = of.tokens.as_ref()?.previous?;
    Some((previous.0.0.to_vec(), to_ms(previous.1)))
}

async fn insert_integrations(on: &Transaction<'_>, new: &[&Integration]) -> Result<(), Failed> {
    if new.is_empty() {
        return Ok(());
    }
    execute(
        on,
        "INSERT INTO integrations (id, application_id, enterprise_id, name, is_enabled, created_ms, canceled_ms, \
         deleted_ms, sequence, service_id, service_name, token_hash, previous_token_hash, previous_token_until_ms) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::boolean[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::bigint[], $10::uuid[], $11::text[], $12::bytea[], $13::bytea[], \
         $14::bigint[])",
        &[
            &column(new, |each| each.id.0),
            &column(new, |each| each.application_id.0),
            &column(new, |each| each.enterprise_id.0),
            &column(new, |each| each.name.clone()),
            &column(new, |each| each.is_enabled),
            &column(new, |each| to_ms(each.created)),
            &column(new, |each| each.canceled.map(to_ms)),
            &column(new, |each| each.deleted.map(to_ms)),
            &column(new, |each| each.sequence as i64),
            &column(new, |each| each.service.as_ref().map(|service| service.id)),
            &column(new, |each| each.service.as_ref().map(|service| service.name.clone())),
            &column(new, token),
            &column(new, |each| previous_token(each).map(|(hash, _)| hash)),
            &column(new, |each| previous_token(each).map(|(_, until)| until)),
        ],
    )
    .await?;
    Ok(())
}

async fn update_integrations(on: &Transaction<'_>, changed: &[&Integration]) -> Result<(), Failed> {
    if changed.is_empty() {
        return Ok(());
    }
    execute(
        on,
        "UPDATE integrations i SET is_enabled = u.is_enabled, canceled_ms = u.canceled_ms, \
         deleted_ms = u.deleted_ms, sequence = u.sequence, token_hash = u.token_hash, \
         previous_token_hash = u.previous_token_hash, previous_token_until_ms = u.previous_token_until_ms \
         FROM unnest($1::uuid[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[], \
         $8::bigint[]) AS u (id, is_enabled, canceled_ms, deleted_ms, sequence, token_hash, previous_token_hash, \
         previous_token_until_ms) WHERE i.id = u.id",
        &[
            &column(changed, |each| each.id.0),
            &column(changed, |each| each.is_enabled),
            &column(changed, |each| each.canceled.map(to_ms)),
            &column(changed, |each| each.deleted.map(to_ms)),
            &column(changed, |each| each.sequence as i64),
            &column(changed, token),
            &column(changed, |each| previous_token(each).map(|(hash, _)| hash)),
            &column(changed, |each| previous_token(each).map(|(_, until)| until)),
        ],
    )
    .await?;
    Ok(())
}

/// Messages, their deliveries and what the audit log says of them, with one statement: each costs a way there and back of
/// its own, and the answer to it.
static TOLD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH told AS (INSERT INTO messages (integration_id, sequence, application_id, action, created_ms, requestor, \
         is_sealed, body, body_2025) SELECT * FROM unnest($11::uuid[], $12::bigint[], $13::uuid[], $14::text[], \
         $15::bigint[], $16::text[], $17::boolean[], $18::bytea[], $19::bytea[])), noted AS ({}) \
         INSERT INTO deliveries (id, webhook_id, application_id, integration_id, sequence, previous, action, \
         profile, state, attempt_count, tries, next_attempt_ms, created_ms) \
         SELECT id, webhook_id, application_id, integration_id, sequence, previous, action, profile, 'Pending', \
         0, 0, next_attempt_ms, created_ms FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], \
         $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::bigint[]) AS u (id, webhook_id, \
         application_id, integration_id, sequence, previous, action, profile, next_attempt_ms, created_ms)",
        audit::insert_from(20)
    )
});

async fn insert_told(
    on: &Transaction<'_>,
    shared: &Shared,
    messages: &Messages,
    deliveries: &Deliveries,
    noted: &Noted,
) -> Result<(), Failed> {
    if messages.sequences.is_empty() {
        // An answer may have been given once more that shows a secret.
        return noted.write(on, shared.audit_base).await;
    }
    let noted = noted.columns(shared.audit_base);
    let told: [&(dyn ToSql + Sync); 19] = [
        &deliveries.ids,
        &deliveries.webhook_ids,
        &deliveries.application_ids,
        &deliveries.integration_ids,
        &deliveries.sequences,
        &deliveries.previous,
        &deliveries.actions,
        &deliveries.profiles,
        &deliveries.next_attempt_ms,
        &deliveries.created_ms,
        &messages.integration_ids,
        &messages.sequences,
        &messages.application_ids,
        &messages.actions,
        &messages.created_ms,
        &messages.requestors,
        &messages.are_sealed,
        &messages.bodies,
        &messages.bodies_2025,
    ];
    let values: Vec<_> = told.into_iter().chain(noted.values()).collect();
    execute(on, &TOLD, &values).await?;
    Ok(())
}

fn bytes(hashes: &[[u8; 32]]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

impl Answers {
    async fn forget_replaced(&self, on: &Transaction<'_>) -> Result<(), Failed> {
        if !self.replaced.is_empty() {
            let sql = "DELETE FROM idempotency WHERE key = ANY($1)";
            execute(on, sql, &[&bytes(&self.replaced)]).await?;
        }
        Ok(())
    }

    /// One that another replica has just written is a conflict, and the group begins again.
    async fn insert(&self, on: &Transaction<'_>) -> Result<(), Failed> {
        if self.keys.is_empty() {
            return Ok(());
        }
        execute(
            on,
            "INSERT INTO idempotency (key, fingerprint, answer_sealed, until_ms) \
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])",
            &[
                &bytes(&self.keys),
                &bytes(&self.fingerprints),
                &self.sealed,
                &self.until_ms,
            ],
        )
        .await?;
        Ok(())
    }
}
