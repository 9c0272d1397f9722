//! Where the store of a test is: in a folder of its own, or, if `TEST_DATABASE` is `postgres`, in a database of its own in
//! the cluster that `TEST_POSTGRES_URL` names. `cargo xtask test` runs what is sent through the API on both.

use std::{
    sync::{Arc, LazyLock, mpsc},
    time::Duration,
};

use bellhop::{
    domain::{operational::Destination, secret_text::SecretText},
    id::WebhookId,
    store::{
        AuditLog, Store,
        postgres::{Address, Hints, PostgresAuditLog, PostgresOptions, PostgresStore},
        sqlite::{SqliteAuditLog, SqliteOptions, SqliteStore, StoreObserver},
    },
    vault::Vault,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::random::SeededRandom;
use crate::store::postgres::{TestDatabase, execute, rows};

/// Where a store is, and goes away.
#[derive(Debug)]
pub enum Place {
    /// In a file.
    Folder(TempDir),
    /// In a database.
    Cluster(TestDatabase),
}

/// Nobody looks at the writer, or wants to know what others commit.
struct Nobody;

impl Place {
    /// An empty one.
    pub fn fresh() -> Self {
        if is_postgres() {
            Self::Cluster(apart(TestDatabase::new()))
        } else {
            Self::Folder(tempfile::tempdir().unwrap())
        }
    }

    /// Opens the store that is there.
    pub fn open(&self) -> Arc<dyn Store> {
        let vault = Arc::new(Vault::new(&[[7; 32]]).unwrap());
        let random = Arc::new(SeededRandom::new(2));
        let destinations = Destination::ALL.to_vec();
        match self {
            Self::Folder(folder) => Arc::new(
                SqliteStore::open(SqliteOptions {
                    path: folder.path().join("bellhop.db"),
                    vault,
                    random,
                    destinations,
                    observer: Arc::new(Nobody),
                })
                .unwrap(),
            ),
            Self::Cluster(database) => {
                let options = PostgresOptions {
                    address: Address::parse(&SecretText::new(database.url())).unwrap(),
                    vault,
                    random,
                    destinations,
                    observer: Arc::new(Nobody),
                    hints: Arc::new(Nobody),
                };
                Arc::new(apart(PostgresStore::open(options)).unwrap())
            }
        }
    }
}

impl Place {
    /// Opens the audit log of the store that is there.
    pub fn audit_log(&self) -> Arc<dyn AuditLog> {
        match self {
            Self::Folder(folder) => {
                Arc::new(SqliteAuditLog::open(&folder.path().join("bellhop.db")).unwrap())
            }
            Self::Cluster(database) => {
                let address = Address::parse(&SecretText::new(database.url())).unwrap();
                let opening = async move { PostgresAuditLog::open(&address).await };
                Arc::new(apart(opening).unwrap())
            }
        }
    }
}

impl Place {
    /// What somebody does who can write to the database.
    pub fn tamper(&self, sql: &str) {
        match self {
            Self::Folder(folder) => {
                let file = folder.path().join("bellhop.db");
                let connection = rusqlite::Connection::open(file).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Self::Cluster(database) => {
                let (url, sql) = (database.url(), sql.to_owned());
                apart(async move { execute(&url, &sql).await });
            }
        }
    }
}

impl Place {
    /// How many rows there are of one integration or more, in each table that has any.
    pub fn rows_of_integrations(&self) -> Vec<(String, i64)> {
        let count = |table: &str| {
            format!("SELECT '{table}', count(*) FROM {table} WHERE integration_id IS NOT NULL")
        };
        let with = "integration_id";
        let mut rows = match self {
            Self::Folder(folder) => {
                let file = folder.path().join("bellhop.db");
                let connection = rusqlite::Connection::open(file).unwrap();
                let rows = |sql: &str| -> Vec<(String, i64)> {
                    let mut select = connection.prepare(sql).unwrap();
                    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
                    rows.unwrap().map(Result::unwrap).collect()
                };
                let tables = rows(&format!(
                    "SELECT t.name, 0 FROM sqlite_schema t, pragma_table_info(t.name) c \
                     WHERE t.type = 'table' AND c.name = '{with}'"
                ));
                tables
                    .iter()
                    .flat_map(|(table, _)| rows(&count(table)))
                    .collect()
            }
            Self::Cluster(database) => {
                let url = database.url();
                apart(async move {
                    let tables = format!(
                        "SELECT table_name::text, 0::bigint FROM information_schema.columns \
                         WHERE table_schema = 'public' AND column_name = '{with}'"
                    );
                    let mut all = Vec::new();
                    for (table, _) in rows(&url, &tables).await {
                        all.extend(rows(&url, &count(&table)).await);
                    }
                    all
                })
            }
        };
        assert!(rows.len() > 2, "{rows:?}");
        rows.retain(|(_, n)| *n > 0);
        rows
    }
}

/// Whether tests are to run on PostgreSQL.
#[expect(
    clippy::disallowed_methods,
    reason = "it tells tests where they run, and is no setting of the server"
)]
pub fn is_postgres() -> bool {
    std::env::var("TEST_DATABASE").is_ok_and(|named| named == "postgres")
}

/// Does it on threads of its own, so that a test can wait for it without being asynchronous there.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    let (done, wait) = mpsc::channel();
    RUNTIME.spawn(async move {
        // Nobody waits any more if the test was given up.
        let _ = done.send(work.await);
    });
    wait.recv().unwrap()
}

impl StoreObserver for Nobody {
    fn wrote(&self, _: usize, _: Duration) {}
}

impl Hints for Nobody {
    fn due(&self, _: Vec<WebhookId>) {}
    fn missed(&self) {}
}
