//! PostgreSQL: each test gets a database of its own in the cluster that `TEST_POSTGRES_URL` names. `cargo xtask test`
//! starts one. Without it the tests that need it are skipped, and say so.

use std::sync::{Arc, Once};

use bellhop::{
    domain::{operational::Destination, secret_text::SecretText},
    random::{SystemRandom, bytes},
    store::{
        Census, Store, StoreError,
        postgres::{self, Address, Hints, PostgresOptions, PostgresStore},
    },
    vault::Vault,
};
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::databases::{Database, Keyed, Unobserved};
use crate::support::random::SeededRandom;

/// Names the cluster: its databases are made and dropped.
const CLUSTER: &str = "TEST_POSTGRES_URL";

/// What a variable of the tests names.
#[expect(
    clippy::disallowed_methods,
    reason = "it tells tests where they run, and is no setting of the server"
)]
pub fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The URL of the cluster, without a database; `None` if there is none.
pub fn cluster() -> Option<String> {
    static SAID: Once = Once::new();
    let url = named(CLUSTER);
    if url.is_none() {
        SAID.call_once(|| {
            eprintln!(
                "skipped: {CLUSTER} is not set. `cargo xtask test` starts PostgreSQL and sets it; or name a cluster \
                 whose databases may be made and dropped, as in postgres://postgres@127.0.0.1:5432"
            );
        });
    }
    url
}

/// A database of a test, dropped with it.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: String,
    name: String,
}

impl TestDatabase {
    /// An empty one.
    pub async fn new() -> Self {
        let random: [u8; 16] = bytes(&SystemRandom);
        let database = Self {
            cluster: cluster().expect("the test was not skipped"),
            name: format!("bellhop_test_{}", Uuid::from_bytes(random).simple()),
        };
        let make = format!("CREATE DATABASE {} TEMPLATE template0", database.name);
        execute(&database.cluster, &make).await;
        database
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.url_at(&self.cluster, "sslmode=disable")
    }

    /// The same by another way to the cluster.
    pub fn url_at(&self, cluster: &str, words: &str) -> String {
        format!("{cluster}/{}?{words}", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let cluster = self.cluster.clone();
        // A test may end in a runtime that is shutting down.
        let dropping = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(execute(&cluster, &drop));
        });
        let _ = dropping.join();
    }
}

/// Runs one statement in the cluster's own database.
pub async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    let _ = connection.await;
}

/// What a query with a text and a number finds.
pub async fn rows(url: &str, sql: &str) -> Vec<(String, i64)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let found = client.query(sql, &[]).await.unwrap();
    drop(client);
    let _ = connection.await;
    found.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The store of several replicas, as one of them has it.
pub struct Postgres {
    store: Option<Arc<PostgresStore>>,
    database: TestDatabase,
}

impl Database for Postgres {
    fn is_there() -> bool {
        cluster().is_some()
    }

    async fn fresh() -> Self {
        let database = TestDatabase::new().await;
        let store = Some(Arc::new(open(&database.url(), 1).await));
        Self { store, database }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) {
        let store = self.store.take().unwrap();
        store.close().await.unwrap();
        drop(store);
        self.store = Some(Arc::new(open(&self.database.url(), 1).await));
    }
}

impl Keyed for Postgres {
    async fn reopen_with(&mut self, keys: &[[u8; 32]]) -> Result<(), StoreError> {
        if let Some(store) = self.store.take() {
            store.close().await.unwrap();
        }
        let opened = try_open_with(&self.database.url(), 1, keys).await?;
        self.store = Some(Arc::new(opened));
        Ok(())
    }

    async fn census(&self) -> Census {
        let address = Address::parse(&SecretText::new(self.url())).unwrap();
        postgres::census(&address).await.unwrap()
    }
}

impl Postgres {
    /// Where it is.
    pub fn url(&self) -> String {
        self.database.url()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.database.name()
    }
}

/// A pooler in transaction mode in front of the cluster, as `cargo xtask test` starts one.
pub fn pooler() -> Option<String> {
    named("TEST_POSTGRES_POOLER")
}

/// The same store behind a pooler in transaction mode.
pub struct Pooled(Postgres);

impl Pooled {
    fn url_of(database: &TestDatabase) -> String {
        database.url_at(&pooler().unwrap(), "prepared_statements=off")
    }
}

impl Database for Pooled {
    fn is_there() -> bool {
        cluster().is_some() && pooler().is_some()
    }

    async fn fresh() -> Self {
        let database = TestDatabase::new().await;
        let store = Some(Arc::new(open(&Self::url_of(&database), 1).await));
        Self(Postgres { store, database })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    async fn reopen(&mut self) {
        let store = self.0.store.take().unwrap();
        store.close().await.unwrap();
        drop(store);
        let url = Self::url_of(&self.0.database);
        self.0.store = Some(Arc::new(open(&url, 1).await));
    }
}

/// Opens the store on a database.
pub async fn open(url: &str, seed: u64) -> PostgresStore {
    try_open(url, seed, [7; 32]).await.unwrap()
}

/// The same with a key that may not be the database's.
pub async fn try_open(url: &str, seed: u64, key: [u8; 32]) -> Result<PostgresStore, StoreError> {
    try_open_with(url, seed, &[key]).await
}

/// The same with several keys, newest first.
pub async fn try_open_with(
    url: &str,
    seed: u64,
    keys: &[[u8; 32]],
) -> Result<PostgresStore, StoreError> {
    let options = PostgresOptions {
        address: Address::parse(&SecretText::new(url)).unwrap(),
        vault: Arc::new(Vault::new(keys).unwrap()),
        random: Arc::new(SeededRandom::new(seed)),
        destinations: Destination::ALL.to_vec(),
        observer: Arc::new(Unobserved),
        hints: Arc::new(NoHints),
    };
    PostgresStore::open(options).await
}

/// Nobody wants to know what others commit.
struct NoHints;

impl Hints for NoHints {
    fn due(&self, _: Vec<bellhop::id::WebhookId>) {}

    fn missed(&self) {}
}
