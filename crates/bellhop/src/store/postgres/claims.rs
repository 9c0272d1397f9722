//! Claims: rows under a lease by the database's clock, one for each lane. While a claim is held, nobody else changes the
//! delivery; what this replica holds is in `held.rs`.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Shared,
    connect::Failed,
    connection::{Connection, Values, execute, query, settled_soon},
    held::{Held, HeldClaim},
    presence,
    ready::Ready,
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        health::{Circuit, Health},
        retry::later,
        webhook::WebhookState,
    },
    id::{DeliveryId, WebhookId},
    store::{Claim, ClaimRequest, Fence, StoreError, Want, WebhookClaims, sealed::body_row},
};

/// How much longer a lease is than the time-out of its webhook: time to begin the attempt, and to record its outcome
/// again and again while the database is away. A lease is never renewed.
pub const LEASE_MARGIN_MS: i64 = 30_000;

/// Replicas that claim of one webhook take turns, so that each sees what the one before has in flight. The lock ends with
/// the transaction and belongs to nothing else; a statement of its own, since a statement sees what was there when it
/// began.
const TAKE_TURNS: &str = "SELECT pg_advisory_xact_lock(turn) FROM unnest($1::bigint[]) AS u (turn)";

/// Locks what is due, skips what another replica has locked, and claims the first of each lane. The subqueries are
/// written so that there is one plan for them whatever is known of the tables: a walk along the index of what is due,
/// which passes over the lanes that are busy. Those are read along an index of their own, whose only name is the expression
/// that it is made of, and hashed. A claim whose lease is over is taken over with a new number,
/// unless it is just being recorded: whoever records locks the claim before the delivery, so it is locked first here too, and not waited for. How much of a
/// webhook may be in flight is what `Health::most_in_flight` says, and its settings, if other replicas hold some: what it
/// holds itself, a replica counts for itself. The same with its rate limit: a bucket as in `delivery/pace.rs`, which says when
/// the requests are spent that have been claimed, and keeps back a replica after others have claimed.
const CLAIM: &str = "\
    WITH over AS MATERIALIZED ( \
        SELECT webhook_id, integration_id FROM claims \
        WHERE uuid_send(webhook_id) = ANY(ARRAY(SELECT uuid_send(w) FROM unnest($1::uuid[]) AS u (w))) \
            AND lease_until <= clock_timestamp() FOR UPDATE SKIP LOCKED \
    ), busy AS MATERIALIZED ( \
        SELECT webhook_id, integration_id, holder FROM claims \
        WHERE uuid_send(webhook_id) = ANY(ARRAY(SELECT uuid_send(w) FROM unnest($1::uuid[]) AS u (w))) \
            AND (webhook_id, integration_id) NOT IN (SELECT webhook_id, integration_id FROM over) \
    ), wanted AS MATERIALIZED ( \
        SELECT w.webhook_id, w.since_ms, h.timeout_ms, h.rate_limit, GREATEST(0, LEAST(w.n, h.most - f.held, \
            CASE WHEN f.theirs > 0 THEN h.max_in_flight - f.held END, \
            CASE WHEN h.rate_limit IS NOT NULL THEN (SELECT floor(GREATEST(1, 0.1 * h.rate_limit) - h.rate_limit * \
                GREATEST(0, extract(epoch FROM p.spent_until - now())))::bigint \
                FROM paces p WHERE p.webhook_id = w.webhook_id AND p.holder <> $4) END)) AS n \
        FROM unnest($1::uuid[], $2::bigint[], $6::bigint[]) AS w (webhook_id, n, since_ms) \
        CROSS JOIN LATERAL (SELECT timeout_ms, max_in_flight, rate_limit, \
            CASE WHEN open_until_ms IS NULL THEN ramp WHEN open_until_ms > $3 THEN 0 ELSE 1 END AS most \
            FROM webhooks WHERE id = w.webhook_id AND deleted_ms IS NULL \
            AND state = 'Enabled' AND COALESCE(not_before_ms, 0) <= $3 LIMIT 1) h \
        CROSS JOIN LATERAL (SELECT count(*) AS held, count(*) FILTER (WHERE holder <> $4) AS theirs FROM busy \
            WHERE webhook_id = w.webhook_id) f \
    ), candidates AS MATERIALIZED ( \
        SELECT d.*, w.timeout_ms FROM wanted w CROSS JOIN LATERAL ( \
            SELECT id, application_id, webhook_id, integration_id, next_attempt_ms FROM deliveries \
            WHERE webhook_id = w.webhook_id AND next_attempt_ms >= w.since_ms AND next_attempt_ms <= $3 \
                AND (webhook_id, integration_id) NOT IN (SELECT webhook_id, integration_id FROM busy) \
            ORDER BY next_attempt_ms, id LIMIT w.n FOR NO KEY UPDATE SKIP LOCKED) d \
    ), ranked AS ( \
        SELECT *, row_number() OVER (PARTITION BY webhook_id, integration_id ORDER BY next_attempt_ms, id) AS place, \
            count(*) OVER (PARTITION BY webhook_id, integration_id) AS in_lane FROM candidates \
    ), taken AS ( \
        INSERT INTO claims (webhook_id, integration_id, application_id, delivery_id, fence, holder, lease_until, waits) \
        SELECT webhook_id, integration_id, application_id, id, (SELECT nextval('claim_fences')), $4, \
            clock_timestamp() + (timeout_ms + $5) * interval '1 millisecond', in_lane > 1 \
        FROM ranked WHERE place = 1 \
        ON CONFLICT (webhook_id, integration_id, application_id) DO UPDATE SET delivery_id = excluded.delivery_id, \
            fence = excluded.fence, holder = excluded.holder, lease_until = excluded.lease_until, \
            waits = excluded.waits WHERE claims.lease_until <= clock_timestamp() \
        RETURNING webhook_id, application_id, delivery_id, fence \
    ), spent AS ( \
        INSERT INTO paces AS p (webhook_id, application_id, holder, spent_until) \
        SELECT t.webhook_id, t.application_id, $4, now() + count(*) * interval '1 second' / w.rate_limit \
        FROM taken t JOIN wanted w ON w.webhook_id = t.webhook_id WHERE w.rate_limit IS NOT NULL \
        GROUP BY t.webhook_id, t.application_id, w.rate_limit \
        ON CONFLICT (webhook_id, application_id) DO UPDATE SET holder = excluded.holder, \
            spent_until = GREATEST(p.spent_until, now()) + (excluded.spent_until - now()) \
    ) \
    SELECT d.id, d.webhook_id, d.application_id, d.integration_id, d.sequence, d.previous, d.action, d.state, \
        d.attempt_count, d.tries, d.planned_ms, d.created_ms, m.is_sealed, \
        CASE WHEN d.profile = '2025' THEN COALESCE(m.body_2025, m.body) ELSE m.body END, t.fence, \
        (SELECT n FROM wanted w WHERE w.webhook_id = t.webhook_id), \
        (SELECT count(*) FROM candidates c WHERE c.webhook_id = t.webhook_id), d.replay_id \
    FROM taken t \
    CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id = t.delivery_id LIMIT 1) d \
    CROSS JOIN LATERAL (SELECT is_sealed, body, body_2025 FROM messages \
        WHERE integration_id = d.integration_id AND sequence = d.sequence LIMIT 1) m \
    ORDER BY d.next_attempt_ms, d.id";

/// Both begin their walk where the last one that saw all of it found the first, `since_ms`: what was due before is delivered,
/// and its dead entries are in the index until it is vacuumed, a million of them after a million deliveries.
///
/// What a webhook is now, what other replicas have in flight of it, for how long they have spent its rate, and when the first delivery is due whose lane has no
/// attempt under way.
const GATES: &str = "\
    WITH busy AS MATERIALIZED ( \
        SELECT webhook_id, integration_id, holder FROM claims \
        WHERE uuid_send(webhook_id) = ANY(ARRAY(SELECT uuid_send(w) FROM unnest($1::uuid[]) AS u (w))) \
            AND lease_until > clock_timestamp() \
    ) \
    SELECT w.webhook_id, h.revision, h.state, h.not_before_ms, h.max_in_flight, h.failures, h.failing_since_ms, \
        h.opened, h.open_until_ms, h.ramp, (SELECT count(*) FROM busy \
            WHERE webhook_id = w.webhook_id AND holder <> $2), CASE WHEN h.rate_limit IS NOT NULL THEN ( \
            SELECT ceil(GREATEST(0, 1000 * (extract(epoch FROM p.spent_until - now()) \
                - (GREATEST(1, 0.1 * h.rate_limit) - 1) / h.rate_limit)))::bigint \
            FROM paces p WHERE p.webhook_id = w.webhook_id AND p.holder <> $2) END, CASE WHEN h.state = 'Enabled' THEN ( \
        SELECT d.next_attempt_ms FROM deliveries d WHERE d.webhook_id = w.webhook_id \
            AND d.next_attempt_ms >= w.since_ms \
            AND (d.webhook_id, d.integration_id) NOT IN (SELECT webhook_id, integration_id FROM busy) \
        ORDER BY d.next_attempt_ms, d.id LIMIT 1) END, h.rate_limit IS NULL, ( \
        SELECT d.next_attempt_ms FROM deliveries d WHERE d.webhook_id = w.webhook_id \
            AND d.next_attempt_ms >= w.since_ms ORDER BY d.next_attempt_ms, d.id LIMIT 1) \
    FROM unnest($1::uuid[], $3::bigint[]) AS w (webhook_id, since_ms) \
    CROSS JOIN LATERAL (SELECT * FROM webhooks \
        WHERE id = w.webhook_id AND deleted_ms IS NULL LIMIT 1) h";

/// What is taken of one webhook.
struct Taking {
    of: WebhookClaims,
    /// How many it may be at most.
    limit: usize,
    /// Whether there may be more: as many were found as it may have.
    may_go_on: bool,
    /// Whether nothing holds it back, but how much may be in flight of it.
    is_free: bool,
    /// From when on it is looked for.
    since_ms: i64,
    /// When the first is due, whoever has it; nothing if there is none.
    first_ms: Option<i64>,
}

/// What the database is asked for of one webhook.
struct Asked {
    webhook_id: Uuid,
    limit: i64,
    since_ms: i64,
}

/// Takes what is due. A replica does so once at a time: what it holds and does not know of is ended.
pub async fn claim(
    connection: &Connection,
    shared: &Shared,
    request: &ClaimRequest,
) -> Result<Vec<WebhookClaims>, Failed> {
    connection.know(&[TAKE_TURNS, CLAIM, GATES]).await?;
    // Before it claims: whoever goes on without it has ended then, or sees it.
    presence::tell(connection, shared).await?;
    let mut unsure = Unsure::new(&shared.held);
    if unsure.has_strays {
        end_strays(connection, shared).await?;
    }
    release_unwanted(connection, shared).await?;
    let mut all: Vec<Taking> = request.wants.iter().map(Taking::of).collect();
    let mut is_first = true;
    // What is due of a lane that was just claimed used up a place: its webhook is asked again, and skips the lane.
    while is_first || all.iter().any(|taking| taking.may_go_on) {
        let open = all.iter_mut().filter(|taking| is_first || taking.may_go_on);
        let asked: Vec<Asked> = open
            .map(|taking| taking.ask(&shared.ready, request.now))
            .collect();
        is_first = false;
        let (taken, gates) = ask(connection, shared, &asked, request.now).await?;
        for row in &taken {
            let (claim, ours) = take(row, shared)?;
            unsure.claims.push((claim.delivery_id, ours));
            let (allowed, found) = (rows::number(row, 15)?, rows::number(row, 16)?);
            let asked = |taking: &&mut Taking| taking.of.webhook_id == claim.webhook_id;
            if let Some(taking) = all.iter_mut().find(asked) {
                taking.found(claim, allowed, found);
            }
        }
        for row in &gates {
            let webhook: WebhookId = rows::id(row, 0)?;
            for taking in all
                .iter_mut()
                .filter(|taking| taking.of.webhook_id == webhook)
            {
                taking.is_free = gate(row, request.now, &mut taking.of)?;
                taking.first_ms = rows::get(row, 14)?;
            }
        }
    }
    shared.held.hold(&unsure.claims);
    unsure.is_sure = true;
    for (taking, want) in all.iter().zip(&request.wants) {
        let ready = &shared.ready;
        ready.asked(&taking.of, want.limit, taking.is_free);
        ready.saw(taking.of.webhook_id, taking.since_ms, taking.first_ms);
    }
    Ok(all.into_iter().map(|taking| taking.of).collect())
}

/// One transaction, which has ended when the attempts begin. All of it goes one way there and back. It does not wait for
/// the disk: a claim that a crash of the database loses was never there, and its attempt is made again.
async fn ask(
    connection: &Connection,
    shared: &Shared,
    asked: &[Asked],
    now: Timestamp,
) -> Result<(Vec<Row>, Vec<Row>), Failed> {
    let transaction = connection.loose_transaction();
    let webhooks: Vec<Uuid> = asked.iter().map(|each| each.webhook_id).collect();
    let limits: Vec<i64> = asked.iter().map(|each| each.limit).collect();
    let since: Vec<i64> = asked.iter().map(|each| each.since_ms).collect();
    let turns: BTreeSet<i64> = webhooks.iter().map(turn).collect();
    let turns: Vec<i64> = turns.into_iter().collect();
    let (now, margin) = (to_ms(now), lease_margin_ms!(LEASE_MARGIN_MS));
    let claim: Values<'_> = &[&webhooks, &limits, &now, &shared.holder, &margin, &since];
    let take_turns: Values<'_> = &[&turns];
    let gates: Values<'_> = &[&webhooks, &shared.holder, &since];
    let (turned, taken, gates, committed) = tokio::join!(
        query(&transaction, TAKE_TURNS, take_turns),
        query(&transaction, CLAIM, claim),
        query(&transaction, GATES, gates),
        transaction.commit(),
    );
    turned?;
    let found = (taken?, gates?);
    committed?;
    Ok(found)
}

/// Claims that are not known to be durable. If nobody finds out, they are held no longer, and the next claim ends what the
/// database may have of them.
struct Unsure<'a> {
    held: &'a Held,
    claims: Vec<(DeliveryId, HeldClaim)>,
    has_strays: bool,
    is_sure: bool,
}

impl<'a> Unsure<'a> {
    fn new(held: &'a Held) -> Self {
        Self {
            held,
            claims: Vec::new(),
            has_strays: held.take_strays(),
            is_sure: false,
        }
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if !self.is_sure {
            for (id, claim) in &self.claims {
                self.held.end(*id, claim.fence);
            }
            self.held.have_strays();
        }
    }
}

/// Ends the claims that this replica has and does not know of: nobody will record them, and their lanes would wait until
/// the leases are over. What is being claimed as it is made is not known yet: it is waited for, by the next claim.
async fn end_strays(on: &Connection, shared: &Shared) -> Result<(), Failed> {
    if shared.ready.hold_off() {
        shared.held.have_strays();
        return Ok(());
    }
    let sql = "DELETE FROM claims WHERE holder = $1 AND fence <> ALL($2)";
    execute(on, sql, &[&shared.holder, &shared.held.fences()]).await?;
    shared.ready.go_on();
    Ok(())
}

/// Gives back what was made already claimed and is not wanted.
pub async fn release_unwanted(on: &Connection, shared: &Shared) -> Result<(), Failed> {
    let unwanted = shared.ready.unwanted();
    if !unwanted.is_empty() {
        release(on, shared, &unwanted).await?;
        shared.ready.gave_back(&unwanted);
    }
    Ok(())
}

impl Taking {
    fn of(want: &Want) -> Self {
        Self {
            of: WebhookClaims {
                webhook_id: want.webhook_id,
                revision: 0,
                claims: Vec::new(),
                next_due: None,
                most_in_flight: None,
            },
            limit: want.limit,
            may_go_on: want.limit > 0,
            is_free: false,
            since_ms: i64::MIN,
            first_ms: None,
        }
    }

    /// Asked for what it may still have. Unless something is found, it is not asked again.
    fn ask(&mut self, ready: &Ready, now: Timestamp) -> Asked {
        self.may_go_on = false;
        self.since_ms = ready.since_ms(self.of.webhook_id, now);
        let left = self.limit.saturating_sub(self.of.claims.len());
        Asked {
            webhook_id: self.of.webhook_id.0,
            limit: left as i64,
            since_ms: self.since_ms,
        }
    }

    /// One more, of so many that were found where so many are allowed.
    fn found(&mut self, claim: Claim, allowed: usize, found: usize) {
        // The first of them decides: it comes when only what was taken before is there.
        self.limit = self.limit.min(self.of.claims.len() + allowed);
        self.of.claims.push(claim);
        self.may_go_on = found == allowed && self.of.claims.len() < self.limit;
    }
}

/// The lock under which a webhook is claimed of. Two that share one wait for each other, no more.
pub fn turn(webhook: &Uuid) -> i64 {
    webhook.as_u64_pair().1 as i64
}

/// Says whether nothing holds the webhook back.
fn gate(row: &Row, now: Timestamp, of: &mut WebhookClaims) -> Result<bool, StoreError> {
    of.revision = rows::number(row, 1)?;
    if rows::text::<WebhookState>(row, 2)? != WebhookState::Enabled {
        return Ok(false);
    }
    let is_healthy = rows::health(row, 5)? == Health::default();
    let mut held_until = rows::moment_or_null(row, 3)?.filter(|not_before| now < *not_before);
    if held_until.is_none() {
        let (max_in_flight, theirs): (u32, u32) = (rows::number(row, 4)?, rows::number(row, 10)?);
        let health = rows::health(row, 5)?;
        match health.circuit(now) {
            Circuit::Open { until } => held_until = Some(until),
            Circuit::HalfOpen | Circuit::Closed => {
                let most = health.most_in_flight(now);
                of.most_in_flight = match theirs {
                    0 => most,
                    _ => Some(most.unwrap_or(max_in_flight).saturating_sub(theirs)),
                };
            }
        }
    }
    let due = rows::moment_or_null(row, 12)?;
    if let Some(spent_ms) = rows::number_or_null(row, 11)?.filter(|ms| *ms > 0) {
        let spent_until = later(now, Duration::from_millis(spent_ms));
        held_until = held_until.max(Some(spent_until));
    }
    of.next_due = due.map(|due| held_until.map_or(due, |until| due.max(until)));
    Ok(is_healthy && held_until.is_none() && rows::get(row, 13)?)
}

fn take(row: &Row, shared: &Shared) -> Result<(Claim, HeldClaim), StoreError> {
    let (integration_id, sequence) = (rows::id(row, 3)?, rows::number(row, 4)?);
    let place = body_row(integration_id, sequence);
    let claim = Claim {
        delivery_id: rows::id(row, 0)?,
        fence: Fence(rows::number(row, 14)?),
        webhook_id: rows::id(row, 1)?,
        integration_id,
        sequence,
        previous: rows::number(row, 5)?,
        action: rows::text(row, 6)?,
        state: rows::text(row, 7)?,
        number: rows::number::<u32>(row, 8)? + 1,
        tries: rows::number(row, 9)?,
        planned: rows::moment_or_null(row, 10)?,
        created: rows::moment(row, 11)?,
        body: rows::body(row, (12, 13), &shared.vault, &place)?,
        replay_id: rows::id_or_null(row, 17)?,
    };
    let held = HeldClaim {
        fence: claim.fence,
        application_id: rows::id(row, 2)?,
        webhook_id: claim.webhook_id,
        integration_id,
        sequence,
        state: claim.state,
        tries: claim.tries,
        is_replay: claim.planned.is_some(),
        replay_id: claim.replay_id,
    };
    Ok((claim, held))
}

/// Gives claims back.
pub async fn release(
    connection: &Connection,
    shared: &Shared,
    claims: &[(DeliveryId, Fence)],
) -> Result<(), Failed> {
    let held: Vec<_> = claims
        .iter()
        .filter_map(|(id, fence)| shared.held.find(*id, *fence))
        .collect();
    let webhooks: Vec<Uuid> = held.iter().map(|held| held.webhook_id.0).collect();
    let integrations: Vec<Uuid> = held.iter().map(|held| held.integration_id.0).collect();
    let fences: Vec<i64> = held.iter().map(|held| held.fence.0 as i64).collect();
    if !held.is_empty() {
        execute(
            connection,
            "DELETE FROM claims c USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u (webhook_id, \
             integration_id, fence) WHERE c.webhook_id = u.webhook_id AND c.integration_id = u.integration_id \
             AND c.fence = u.fence AND c.holder = $4",
            &[&webhooks, &integrations, &fences, &shared.holder],
        )
        .await?;
    }
    for (id, fence) in claims {
        shared.held.end(*id, *fence);
    }
    Ok(())
}

/// Gives everything back that this replica holds: it is about to go.
pub async fn release_all(shared: &Shared) -> Result<(), Failed> {
    let release = async || {
        let connection = shared.writers.get().await?;
        settled_soon(connection, async |connection| {
            let release = "DELETE FROM claims WHERE holder = $1";
            execute(connection, release, &[&shared.holder]).await?;
            presence::leave(connection, shared).await
        })
        .await
    };
    match release().await {
        // On a connection that fell silent, perhaps. It is gone, and the next one is new.
        Err(_) => release().await,
        done => done,
    }
}

/// Each webhook with something due, and when. One step of the index for each webhook, however much it holds.
pub async fn due(connection: &Connection) -> Result<Vec<(WebhookId, Timestamp)>, Failed> {
    let found = query(
        connection,
        "WITH RECURSIVE heads (webhook_id, next_attempt_ms) AS ( \
         (SELECT webhook_id, next_attempt_ms FROM deliveries WHERE next_attempt_ms IS NOT NULL \
          ORDER BY webhook_id, next_attempt_ms LIMIT 1) \
         UNION ALL SELECT n.webhook_id, n.next_attempt_ms FROM heads h CROSS JOIN LATERAL ( \
          SELECT d.webhook_id, d.next_attempt_ms FROM deliveries d WHERE d.webhook_id > h.webhook_id \
          AND d.next_attempt_ms IS NOT NULL ORDER BY d.webhook_id, d.next_attempt_ms LIMIT 1) n) \
         SELECT h.webhook_id, GREATEST(h.next_attempt_ms, o.open_until_ms) FROM heads h LEFT JOIN webhooks o \
         ON o.id = h.webhook_id AND o.open_until_ms IS NOT NULL AND o.deleted_ms IS NULL",
        &[],
    )
    .await?;
    Ok(rows::all(&found, |row| {
        Ok((rows::id(row, 0)?, rows::moment(row, 1)?))
    })?)
}
