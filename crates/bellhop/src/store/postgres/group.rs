//! Transitions of a group: what they need is read and locked at once, they are applied in memory, and what they make is
//! written at once. Integrations are locked in the order of their ids by everybody who changes a lane, before anything
//! else of it: that orders commands, keeps sequences without gaps, and lets nobody wait in a circle.

use std::collections::{BTreeSet, HashMap};

use bellhop_webhook::Requestor;
use jiff::Timestamp;
use tokio::try_join;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    Shared,
    at_once::AtOnce,
    connect::Failed,
    connection::{Transaction, Values, query},
    made::Made,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        audit::Fact,
        integration::{Change, Command, Decision, Integration, NewIntegration, Refused},
        retry::later,
        webhook::Subscription,
    },
    id::{ApplicationId, EnterpriseId, IntegrationId, WebhookId},
    store::{
        Answer, Commit, CommitError, Noun, Receipt, Remember, Shown, StoreError, Write, Written,
        audit::fact,
    },
    vault::Place,
};

/// What a group of transitions knows and makes.
pub struct Group<'a> {
    shared: &'a Shared,
    remembered: HashMap<[u8; 32], Remembered>,
    enterprises: HashMap<EnterpriseId, String>,
    /// The webhooks of the applications that exist.
    subscriptions: HashMap<ApplicationId, Vec<Subscription>>,
    integrations: HashMap<IntegrationId, Integration>,
    tails: HashMap<(IntegrationId, WebhookId), Tail>,
    made: Made,
    at_once: AtOnce<'a>,
}

/// An answer that was given.
struct Remembered {
    fingerprint: [u8; 32],
    answer: Known,
    until_ms: i64,
}

enum Known {
    Sealed(Vec<u8>),
    Plain(Answer),
}

/// The end of a lane.
#[derive(Clone, Copy, Default)]
struct Tail {
    /// The sequence of its newest delivery, 0 if there was none.
    previous: u64,
    /// Whether a delivery of it is pending.
    is_waiting: bool,
}

/// The ids that a group names.
#[derive(Default)]
struct Named<'a> {
    keys: BTreeSet<&'a [u8]>,
    integrations: BTreeSet<Uuid>,
    enterprises: BTreeSet<Uuid>,
    applications: BTreeSet<Uuid>,
}

/// Why one write of a group is refused, or the whole group fails.
enum Stop {
    Refused(CommitError),
    Failed(StoreError),
}

type Outcome = Result<(Written, Vec<WebhookId>), Stop>;

const REMEMBERED: &str = "SELECT key, fingerprint, answer_sealed, until_ms FROM idempotency \
    WHERE key = ANY($1) ORDER BY key FOR UPDATE";

/// Shared: who deletes a webhook waits for those who make deliveries for it.
const WEBHOOKS: &str = "SELECT application_id, id, actions, profile, retry_schedule[1] FROM webhooks \
    WHERE application_id = ANY($1) AND deleted_ms IS NULL ORDER BY id FOR KEY SHARE";

/// The newest delivery of each lane. Deliveries end in order, but for those that a person discards (and perhaps sends
/// again later): only behind such a one may an earlier one be pending. Where a backfill has put deliveries before others
/// that had ended, all of the lane is looked at; what it has made may also be earlier than what was purged.
const TAILS: &str = "SELECT l.integration_id, h.id, GREATEST(t.sequence, CASE WHEN t.sequence IS NULL OR b.is_filled \
    THEN (SELECT e.sequence FROM lane_ends e WHERE e.integration_id = l.integration_id AND e.webhook_id = h.id) END, 0), \
    CASE WHEN t.state = 'Pending' THEN true WHEN t.state IS NULL OR (t.reason IS NULL AND NOT b.is_filled) THEN false \
    ELSE EXISTS (SELECT 1 FROM deliveries p WHERE p.integration_id = l.integration_id \
    AND p.webhook_id = h.id AND p.state = 'Pending') END \
    FROM unnest($1::uuid[], $2::uuid[]) AS l (integration_id, application_id) \
    JOIN webhooks h ON h.application_id = l.application_id AND h.deleted_ms IS NULL \
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM replays r WHERE r.webhook_id = h.id AND r.kind = 'Backfill') \
    AS is_filled) b \
    LEFT JOIN LATERAL (SELECT d.sequence, d.state, d.reason FROM deliveries d \
    WHERE d.integration_id = l.integration_id AND d.webhook_id = h.id \
    ORDER BY d.sequence DESC LIMIT 1) t ON true";

impl<'a> Group<'a> {
    /// Reads and locks what these commits need.
    pub async fn load(
        on: &Transaction<'_>,
        shared: &'a Shared,
        commits: &[Commit],
    ) -> Result<Self, Failed> {
        let named = Named::of(commits);
        let (keys, integrations) = (
            named.keys.into_iter().collect::<Vec<_>>(),
            named.integrations.into_iter().collect::<Vec<_>>(),
        );
        let enterprises: Vec<Uuid> = named.enterprises.into_iter().collect();
        let mut applications = named.applications;
        let created: Vec<Uuid> = applications.iter().copied().collect();
        let find = format!(
            "SELECT {} FROM integrations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
            rows::INTEGRATION
        );
        // One way there and back; the database works on them in this order.
        let (remembered, found, names, exist, webhooks) = try_join!(
            some(on, REMEMBERED, &keys),
            some(on, &find, &integrations),
            some(
                on,
                "SELECT id, name FROM enterprises WHERE id = ANY($1)",
                &enterprises
            ),
            some(
                on,
                "SELECT id FROM applications WHERE id = ANY($1)",
                &created
            ),
            some(on, WEBHOOKS, &created),
        )?;
        let mut group = Self {
            shared,
            remembered: HashMap::new(),
            enterprises: HashMap::new(),
            subscriptions: HashMap::new(),
            integrations: HashMap::new(),
            tails: HashMap::new(),
            made: Made::default(),
            at_once: AtOnce::new(shared),
        };
        for row in &remembered {
            let known = Remembered {
                fingerprint: rows::hash(row, 1)?,
                answer: Known::Sealed(rows::get(row, 2)?),
                until_ms: rows::get(row, 3)?,
            };
            group.remembered.insert(rows::hash(row, 0)?, known);
        }
        for row in &names {
            group
                .enterprises
                .insert(rows::id(row, 0)?, rows::get(row, 1)?);
        }
        for row in &exist {
            group.subscriptions.insert(rows::id(row, 0)?, Vec::new());
        }
        group.subscribe(&webhooks)?;
        for row in &found {
            let integration = rows::integration(row)?;
            applications.insert(integration.application_id.0);
            group
                .subscriptions
                .entry(integration.application_id)
                .or_default();
            group.integrations.insert(integration.id, integration);
        }
        let of_commands = applications.into_iter().filter(|id| !created.contains(id));
        group.load_lanes(on, of_commands.collect()).await?;
        Ok(group)
    }

    /// The webhooks, which may not be deleted meanwhile, and the ends of the lanes to them.
    async fn load_lanes(
        &mut self,
        on: &Transaction<'_>,
        applications: Vec<Uuid>,
    ) -> Result<(), Failed> {
        if self.integrations.is_empty() {
            return Ok(());
        }
        let (ids, of): (Vec<Uuid>, Vec<Uuid>) = self
            .integrations
            .values()
            .map(|each| (each.id.0, each.application_id.0))
            .unzip();
        let of_lanes: Values<'_> = &[&ids, &of];
        let (webhooks, tails) = try_join!(
            some(on, WEBHOOKS, &applications),
            query(on, TAILS, of_lanes)
        )?;
        self.subscribe(&webhooks)?;
        for row in &tails {
            let tail = Tail {
                previous: rows::number(row, 2)?,
                is_waiting: rows::get(row, 3)?,
            };
            self.tails
                .insert((rows::id(row, 0)?, rows::id(row, 1)?), tail);
        }
        Ok(())
    }

    fn subscribe(&mut self, webhooks: &[Row]) -> Result<(), StoreError> {
        for row in webhooks {
            let subscription = rows::subscription(row, 1)?;
            let of: ApplicationId = rows::id(row, 0)?;
            self.subscriptions.entry(of).or_default().push(subscription);
        }
        Ok(())
    }

    /// Applies one commit. One that is refused changes nothing; an error is the whole group's.
    pub fn apply(&mut self, commit: &Commit) -> Result<Result<Receipt, CommitError>, StoreError> {
        match self.try_apply(commit) {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(Stop::Refused(why)) => Ok(Err(why)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn try_apply(&mut self, commit: &Commit) -> Result<Receipt, Stop> {
        if let Some(remember) = &commit.remember
            && let Some(answer) = self.repeated(remember, commit.at)?
        {
            self.note(commit, (remember.shows)(&answer).map(Shown::again));
            return Ok(Receipt::Repeated(answer));
        }
        let (written, due) = match &commit.write {
            Write::CreateIntegration { new, requestor } => {
                self.create(new, requestor.as_ref(), commit.at)?
            }
            Write::Command {
                id,
                command,
                requestor,
            } => self.command(*id, command, requestor.as_ref(), commit.at)?,
            _ => unreachable!("other writes do not go in groups"),
        };
        if let Some(remember) = &commit.remember {
            self.remember(remember, &written);
        }
        self.note(commit, fact(&commit.write, &written, None));
        Ok(Receipt::Done { written, due })
    }

    fn note(&mut self, commit: &Commit, fact: Option<Fact>) {
        if let Some(fact) = fact {
            let noted = &mut self.made.noted;
            noted.add(self.shared, fact, commit.at, &commit.by);
        }
    }

    fn repeated(&self, remember: &Remember, at: Timestamp) -> Result<Option<Answer>, Stop> {
        let known = self.remembered.get(&remember.key);
        let Some(known) = known.filter(|known| to_ms(at) < known.until_ms) else {
            return Ok(None);
        };
        if known.fingerprint != remember.fingerprint {
            return Err(Stop::Refused(CommitError::KeyReused));
        }
        match &known.answer {
            Known::Plain(answer) => Ok(Some(answer.clone())),
            Known::Sealed(sealed) => {
                let opened = self.shared.vault.open(answer_place(&remember.key), sealed);
                let opened =
                    opened.map_err(|error| Stop::Failed(StoreError::Corrupt(error.to_string())))?;
                Ok(Some(Answer(opened)))
            }
        }
    }

    fn remember(&mut self, remember: &Remember, written: &Written) {
        let answer = (remember.render)(written);
        let until_ms = to_ms(remember.until);
        let sealed = self
            .shared
            .vault
            .seal(answer_place(&remember.key), &answer.0);
        let replaces = self.remembered.contains_key(&remember.key);
        self.made.answer(remember, sealed, until_ms, replaces);
        let known = Remembered {
            fingerprint: remember.fingerprint,
            answer: Known::Plain(answer),
            until_ms,
        };
        self.remembered.insert(remember.key, known);
    }

    fn create(&mut self, new: &NewIntegration, by: Option<&Requestor>, at: Timestamp) -> Outcome {
        if !self.subscriptions.contains_key(&new.application_id) {
            return Err(missing(Noun::Application, new.application_id.0));
        }
        let Some(enterprise) = self.enterprises.get(&new.enterprise_id) else {
            return Err(missing(Noun::Enterprise, new.enterprise_id.0));
        };
        if self.integrations.contains_key(&new.id) {
            let (noun, id) = (Noun::Integration, new.id.0);
            return Err(Stop::Refused(CommitError::Exists { noun, id }));
        }
        let change = new.create(enterprise, by, at);
        self.made.created.insert(new.id);
        Ok(self.tell(change))
    }

    fn command(
        &mut self,
        id: IntegrationId,
        command: &Command,
        by: Option<&Requestor>,
        at: Timestamp,
    ) -> Outcome {
        let Some(before) = self.integrations.get(&id) else {
            return Err(missing(Noun::Integration, id.0));
        };
        match before.apply(command, by, at)? {
            Decision::Changed(change) => Ok(self.tell(*change)),
            Decision::Unchanged => {
                let integration = Box::new(before.clone());
                let changed = false;
                Ok((
                    Written::Integration {
                        integration,
                        changed,
                    },
                    Vec::new(),
                ))
            }
        }
    }

    /// Makes the message, and a delivery for each webhook that wants it.
    fn tell(&mut self, change: Change) -> (Written, Vec<WebhookId>) {
        let Change {
            integration,
            message,
        } = change;
        let wanted = self
            .subscriptions
            .get(&integration.application_id)
            .into_iter()
            .flatten()
            .filter(|each| each.wants(message.action));
        let mut due = Vec::new();
        let mut is_wanted = false;
        for subscription in wanted {
            is_wanted = true;
            let lane = (integration.id, subscription.webhook_id);
            let tail = self.tails.entry(lane).or_default();
            let first_try = later(message.at, subscription.first_wait);
            let next_attempt = (!tail.is_waiting).then_some(first_try);
            if next_attempt.is_some() {
                due.push(subscription.webhook_id);
            }
            let id = self.shared.ids.next(message.at);
            let previous = tail.previous;
            self.made.delivery(
                id,
                &integration,
                &message,
                subscription,
                previous,
                next_attempt,
            );
            if let Some(due) = next_attempt {
                self.at_once
                    .head(id, &integration, &message, subscription, previous, due);
            }
            *tail = Tail {
                previous: message.sequence,
                is_waiting: true,
            };
        }
        self.made
            .message(&self.shared.vault, &integration, &message, is_wanted);
        self.integrations
            .insert(integration.id, integration.clone());
        self.made
            .changed
            .insert(integration.id, integration.clone());
        let integration = Box::new(integration);
        (
            Written::Integration {
                integration,
                changed: true,
            },
            due,
        )
    }

    /// Writes what was made, and makes it durable.
    pub async fn write(self, on: &Transaction<'_>) -> Result<(), Failed> {
        let claimed = self.made.write(on, self.shared, &self.at_once).await?;
        self.at_once.settle(&claimed);
        Ok(())
    }
}

impl<'a> Named<'a> {
    fn of(commits: &'a [Commit]) -> Self {
        let mut named = Self::default();
        for commit in commits {
            if let Some(remember) = &commit.remember {
                named.keys.insert(&remember.key);
            }
            match &commit.write {
                Write::CreateIntegration { new, .. } => {
                    named.integrations.insert(new.id.0);
                    named.enterprises.insert(new.enterprise_id.0);
                    named.applications.insert(new.application_id.0);
                }
                Write::Command { id, .. } => {
                    named.integrations.insert(id.0);
                }
                _ => {}
            }
        }
        named
    }
}

/// Asks only if there is something to ask for.
async fn some<T>(on: &Transaction<'_>, sql: &str, wanted: &Vec<T>) -> Result<Vec<Row>, Failed>
where
    Vec<T>: ToSql + Sync,
{
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    query(on, sql, &[wanted]).await
}

/// Where a remembered answer is sealed.
pub fn answer_place(key: &[u8; 32]) -> Place<'_> {
    Place {
        column: "idempotency.answer",
        row: key,
    }
}

fn missing(noun: Noun, id: Uuid) -> Stop {
    Stop::Refused(CommitError::NotFound { noun, id })
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.into())
    }
}
