//! Which replicas claim: each says so every second. What is claimed as it is made (`at_once.rs`) is claimed by several
//! replicas at a time, none of which sees what the others are about to commit. So each keeps to its share of what may be in
//! flight of a webhook, and the number of shares is the number of replicas that are there.
//!
//! One that comes, or comes back, claims nothing of its share before it has claimed in the ordinary way, which waits until
//! no one else's transaction is under way that did not see it yet. One that is gone still counts for as long as a
//! transaction of its may be under way.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    Shared,
    connect::Failed,
    connection::{Connection, execute, query_opt},
    rows,
};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(1);
/// For so long it counts as there.
const LASTS_MS: i64 = 15_000;

/// Comes, and forgets who has been gone for long.
const COME: &str = "\
    WITH gone AS (DELETE FROM replicas WHERE until < clock_timestamp() - interval '1 hour') \
    INSERT INTO replicas (holder, number, until) \
    VALUES ($1, nextval('claim_fences'), clock_timestamp() + $2::bigint * interval '1 millisecond') \
    ON CONFLICT (holder) DO UPDATE SET number = excluded.number, until = excluded.until RETURNING number";
const STAY: &str = "\
    UPDATE replicas SET until = clock_timestamp() + $3::bigint * interval '1 millisecond' \
    WHERE holder = $1 AND number = $2 AND until > clock_timestamp()";
const LEAVE: &str = "DELETE FROM replicas WHERE holder = $1";

/// What this replica has said of itself.
#[derive(Debug, Default)]
pub struct Presence(Mutex<Option<Said>>);

#[derive(Debug, Clone, Copy)]
struct Said {
    number: i64,
    at: Instant,
}

impl Presence {
    /// The number under which it is there; nothing if it never came.
    pub fn number(&self) -> Option<i64> {
        self.said().map(|said| said.number)
    }

    fn said(&self) -> Option<Said> {
        *self.0.lock().expect("no holder panics")
    }

    fn say(&self, number: i64) {
        let at = Instant::now();
        *self.0.lock().expect("no holder panics") = Some(Said { number, at });
    }
}

/// Says that this replica is there, unless it just did. If the others did not count it any longer, it comes anew, and
/// nothing that it knew of webhooks before counts.
pub async fn tell(on: &Connection, shared: &Shared) -> Result<(), Failed> {
    let said = shared.presence.said();
    if said.is_some_and(|said| said.at.elapsed() < EVERY) {
        return Ok(());
    }
    if let Some(Said { number, .. }) = said {
        let stayed = execute(on, STAY, &[&shared.holder, &number, &LASTS_MS]).await?;
        if stayed > 0 {
            shared.presence.say(number);
            return Ok(());
        }
        shared.ready.forget_all();
    }
    if let Some(row) = query_opt(on, COME, &[&shared.holder, &LASTS_MS]).await? {
        shared.presence.say(rows::get(&row, 0)?);
    }
    Ok(())
}

/// It is about to go.
pub async fn leave(on: &Connection, shared: &Shared) -> Result<(), Failed> {
    execute(on, LEAVE, &[&shared.holder]).await?;
    Ok(())
}
