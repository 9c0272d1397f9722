//! Connections and transactions, as the store uses them: statements are kept prepared, or never prepared, and sent one
//! behind the other without waiting; a connection whose state is not known is thrown away.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use deadpool_postgres::{Object, Pool, PoolError, TimeoutType};
use tokio::sync::Notify;
use tokio_postgres::{
    Row,
    types::{IsNull, ToSql, Type},
};

use super::connect::{Address, Failed};
use crate::store::StoreError;

/// How long all statements of one transaction may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for groups and claims, which take milliseconds, and behind which others wait.
const SOON: Duration = Duration::from_secs(10);
/// After connecting has failed, nobody tries again for so long: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How connections begin that write and claim. Each statement of theirs has one way, along an index, whatever is known of
/// the tables: it is planned once, and not by what they were when they were small. A transaction in which nothing is asked
/// for two seconds is that of a replica which is stopped or cut off: the database ends it, or all would wait for its locks.
pub const WRITE: &str = "SET idle_in_transaction_session_timeout = 2000; SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off";
/// How connections begin that read.
pub const READ: &str = "SET jit = off";

/// A statement's values.
pub type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pool.
pub struct Connections {
    pool: Pool,
    keeps: bool,
    away: Mutex<Away>,
}

/// Whether the database is away.
#[derive(Default)]
struct Away {
    until: Option<Instant>,
    pause: Duration,
}

/// A connection of the pool.
pub struct Connection {
    object: Option<Object>,
    /// Whether statements are kept prepared.
    keeps: bool,
    is_in_transaction: AtomicBool,
    unsent: Unsent,
}

/// How many statements were asked for and are not sent yet: what ends their transaction waits for it.
#[derive(Default)]
struct Unsent {
    count: AtomicUsize,
    sent: Notify,
}

/// A transaction. It begins with its first statement, on the same way there. One that is not ended costs the
/// connection.
pub struct Transaction<'a> {
    on: &'a Connection,
    begin: &'static str,
}

/// What statements are sent on.
pub trait Ask: Sync {
    /// The connection.
    fn connection(&self) -> &Connection;
    /// How a transaction begins, if it has to. Asked once: it does then.
    fn begins(&self) -> Option<&'static str>;
}

impl Connections {
    /// At most so many.
    pub fn new(address: &Address, most: usize, settings: &'static str) -> Result<Self, StoreError> {
        let keeps = address.keeps_statements();
        Ok(Self {
            // A connection that is not one's own is left as it is.
            pool: address.pool(most, if keeps { settings } else { "" })?,
            keeps,
            away: Mutex::default(),
        })
    }

    /// One that is free, or a new one.
    pub async fn get(&self) -> Result<Connection, StoreError> {
        if self.pool.status().available == 0 && self.is_away() {
            let text = "it could not be reached a moment ago";
            return Err(StoreError::Database(text.into()));
        }
        let got = self.pool.get().await;
        self.note(got.as_ref().err());
        Ok(Connection {
            object: Some(got?),
            keeps: self.keeps,
            is_in_transaction: AtomicBool::new(false),
            unsent: Unsent::default(),
        })
    }

    /// Closes all that are free, and gives out none any more.
    pub fn close(&self) {
        self.pool.close();
    }

    fn is_away(&self) -> bool {
        let away = self.away.lock().expect("no holder panics");
        away.until.is_some_and(|until| Instant::now() < until)
    }

    fn note(&self, failed: Option<&PoolError>) {
        let is_away = matches!(
            failed,
            Some(PoolError::Backend(_) | PoolError::Timeout(TimeoutType::Create))
        );
        let mut away = self.away.lock().expect("no holder panics");
        if is_away {
            away.pause = (away.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            away.until = Some(Instant::now() + away.pause);
        } else if failed.is_none() {
            *away = Away::default();
        }
    }
}

impl Connection {
    /// The client underneath.
    pub fn client(&self) -> &Object {
        self.object.as_ref().expect("it is taken only when dropped")
    }

    /// A transaction that has yet to begin.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction {
            on: self,
            begin: "BEGIN",
        }
    }

    /// One that does not wait until it is on the disk. A crash of the database may lose it, and whatever was lost then
    /// must be as if it had never been.
    pub fn loose_transaction(&self) -> Transaction<'_> {
        Transaction {
            on: self,
            begin: "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }

    /// Has these prepared, so that they are sent in the order in which they are asked together.
    pub async fn know(&self, statements: &[&str]) -> Result<(), Failed> {
        if self.keeps {
            for sql in statements {
                self.client().prepare_cached(sql).await?;
            }
        }
        Ok(())
    }

    fn throw_away(&mut self) {
        drop(self.object.take().map(Object::take));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_in_transaction.load(Ordering::Relaxed) {
            self.throw_away();
        }
    }
}

impl Transaction<'_> {
    /// Makes it durable. May be the last of several futures that are awaited together: it is sent behind the statements of
    /// the others, of which each asks one. If one of them fails, the database ends the transaction without effect.
    pub async fn commit(&self) -> Result<(), Failed> {
        fault_point!("commit-before");
        self.end("COMMIT").await?;
        fault_point!("commit-after");
        Ok(())
    }

    /// Ends it without effect.
    pub async fn rollback(&self) -> Result<(), Failed> {
        self.end("ROLLBACK").await
    }

    async fn end(&self, how: &str) -> Result<(), Failed> {
        self.on.unsent.none().await;
        if self.on.is_in_transaction.load(Ordering::Relaxed) {
            self.on.client().batch_execute(how).await?;
            self.on.is_in_transaction.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Unsent {
    fn one(&self) -> OneUnsent<'_> {
        self.count.fetch_add(1, Ordering::Relaxed);
        OneUnsent(self)
    }

    /// Waits until all are sent.
    async fn none(&self) {
        loop {
            let sent = self.sent.notified();
            if self.count.load(Ordering::Relaxed) == 0 {
                return;
            }
            sent.await;
        }
    }
}

/// It is sent, or never will be, when this is dropped.
struct OneUnsent<'a>(&'a Unsent);

impl Drop for OneUnsent<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.sent.notify_waiters();
    }
}

impl Ask for Connection {
    fn connection(&self) -> &Connection {
        self
    }

    fn begins(&self) -> Option<&'static str> {
        None
    }
}

impl Ask for Transaction<'_> {
    fn connection(&self) -> &Connection {
        self.on
    }

    fn begins(&self) -> Option<&'static str> {
        let has_begun = self.on.is_in_transaction.swap(true, Ordering::Relaxed);
        (!has_begun).then_some(self.begin)
    }
}

async fn begin(on: &impl Ask) -> Result<(), tokio_postgres::Error> {
    if let Some(how) = on.begins() {
        on.connection().client().batch_execute(how).await?;
    }
    Ok(())
}

/// Asks. The statement is kept prepared, where that is possible.
pub async fn query(on: &impl Ask, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failed> {
    let Connection { keeps, unsent, .. } = on.connection();
    let client = on.connection().client();
    let unsent = unsent.one();
    // Futures that are joined are polled in this order, and what they send is sent then.
    let (begun, found, ()) = if *keeps {
        let statement = client.prepare_cached(sql).await?;
        tokio::join!(begin(on), client.query(&statement, values), async {
            drop(unsent);
        })
    } else {
        let typed = typed(values)?;
        tokio::join!(begin(on), client.query_typed(sql, &typed), async {
            drop(unsent);
        })
    };
    begun?;
    Ok(found?)
}

/// The same for at most one row.
pub async fn query_opt(
    on: &impl Ask,
    sql: &str,
    values: Values<'_>,
) -> Result<Option<Row>, Failed> {
    Ok(query(on, sql, values).await?.into_iter().next())
}

/// The same for a statement that answers with nothing. Says how many rows it changed.
pub async fn execute(on: &impl Ask, sql: &str, values: Values<'_>) -> Result<u64, Failed> {
    let Connection { keeps, unsent, .. } = on.connection();
    let client = on.connection().client();
    let unsent = unsent.one();
    let (begun, changed, ()) = if *keeps {
        let statement = client.prepare_cached(sql).await?;
        tokio::join!(begin(on), client.execute(&statement, values), async {
            drop(unsent);
        })
    } else {
        let typed = typed(values)?;
        tokio::join!(begin(on), client.execute_typed(sql, &typed), async {
            drop(unsent);
        })
    };
    begun?;
    Ok(changed?)
}

/// Several statements without values.
pub async fn batch(on: &impl Ask, sql: &str) -> Result<(), Failed> {
    let client = on.connection().client();
    let (begun, done) = tokio::join!(begin(on), client.batch_execute(sql));
    begun?;
    Ok(done?)
}

/// All types that values of the store have.
const TYPES: [Type; 12] = [
    Type::UUID,
    Type::INT8,
    Type::TEXT,
    Type::BYTEA,
    Type::BOOL,
    Type::INT2,
    Type::FLOAT8,
    Type::UUID_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::BYTEA_ARRAY,
    Type::BOOL_ARRAY,
];

/// Values with their types: a statement that is not prepared has to name them.
fn typed(values: Values<'_>) -> Result<Vec<(&(dyn ToSql + Sync), Type)>, Failed> {
    let mut scratch = BytesMut::new();
    let mut typed = Vec::with_capacity(values.len());
    for value in values {
        let fits = |kind: &&Type| {
            scratch.clear();
            let written: Result<IsNull, _> = value.to_sql_checked(kind, &mut scratch);
            written.is_ok()
        };
        let kind = TYPES.iter().find(fits).ok_or_else(|| {
            StoreError::Database("a value has no type that the store knows".into())
        })?;
        typed.push((*value, kind.clone()));
    }
    Ok(typed)
}

/// Waits for an answer of the database, but not for ever: one that was stopped keeps its connections open. Throws the
/// connection away if its state is not known any more, or its server is not what it was; and with it all of the pool that
/// are free, which most likely are no better, and of which each would have to be waited for in turn.
pub async fn settled<T>(
    connection: Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, Failed>,
) -> Result<T, Failed> {
    settled_within(ANSWER_TIMEOUT, connection, work).await
}

/// The same for what is quick.
pub async fn settled_soon<T>(
    connection: Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, Failed>,
) -> Result<T, Failed> {
    settled_within(SOON, connection, work).await
}

async fn settled_within<T>(
    longest: Duration,
    mut connection: Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let done = tokio::time::timeout(longest, work(&connection)).await;
    let done =
        done.unwrap_or_else(|_| Err(StoreError::Database("no answer in time".into()).into()));
    if let Err(failed) = &done
        && !failed.is_refusal
    {
        if let Some(pool) = Object::pool(connection.client()) {
            pool.retain(|_, _| false);
        }
        connection.throw_away();
    }
    done
}
