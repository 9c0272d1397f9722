//! Moving up: what an embedded database holds, copied into PostgreSQL, whole or not at all.

pub mod filled;
mod interrupted;
pub mod raw;
mod refused;
mod schemas;
mod served;
mod whole;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bellhop::{
    domain::secret_text::SecretText,
    random::SystemRandom,
    store::{
        Store,
        copy::{CopyError, Done, Order, Phase, Progress, copy},
        postgres::{Address, PostgresStore},
    },
    vault::Vault,
};
use jiff::Timestamp;
use tempfile::TempDir;

use super::{
    databases::{Database, Sqlite},
    postgres::{TestDatabase, cluster, open},
};

/// Nobody looks.
pub struct Unseen;

impl Progress for Unseen {
    fn begins(&self, _: Phase, _: &'static str, _: u64) {}
    fn did(&self, _: u64) {}
}

/// Copies with the key of the tests' stores.
pub async fn copied(source: &Path, target: &str) -> Result<Done, CopyError> {
    copied_with(source, target, [7; 32]).await
}

/// The same with another key.
pub async fn copied_with(source: &Path, target: &str, key: [u8; 32]) -> Result<Done, CopyError> {
    let order = Order {
        source: source.to_owned(),
        target: Address::parse(&SecretText::new(target)).unwrap(),
        vault: Arc::new(Vault::new(&[key]).unwrap()),
        now: Timestamp::from_second(1_764_000_000).unwrap(),
    };
    copy(order, &SystemRandom, &Unseen).await
}

/// Two databases from the filled one: where it is, and the empty target.
async fn filled() -> Option<(TempDir, PathBuf, TestDatabase)> {
    cluster()?;
    let (folder, _) = filled::filled().await;
    let path = folder.path().join("bellhop.db");
    Some((folder, path, TestDatabase::new().await))
}

/// A database that begins as a file, and is copied to PostgreSQL when it is opened for the second time.
pub enum Moving {
    File(Option<Sqlite>),
    Copied {
        store: Option<Arc<PostgresStore>>,
        database: TestDatabase,
    },
}

impl Database for Moving {
    fn is_there() -> bool {
        cluster().is_some()
    }

    async fn fresh() -> Self {
        Self::File(Some(Sqlite::fresh().await))
    }

    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::File(sqlite) => sqlite.as_ref().unwrap().store(),
            Self::Copied { store, .. } => store.clone().unwrap(),
        }
    }

    async fn reopen(&mut self) {
        match self {
            Self::File(sqlite) => {
                let folder = sqlite.take().unwrap().close().await;
                let database = TestDatabase::new().await;
                let path = folder.path().join("bellhop.db");
                let done = copied(&path, &database.url()).await.unwrap();
                assert!(matches!(done, Done::Copied(_)), "{done:?}");
                *self = Self::Copied {
                    store: Some(Arc::new(open(&database.url(), 1).await)),
                    database,
                };
            }
            Self::Copied { store, database } => {
                store.take().unwrap().close().await.unwrap();
                *store = Some(Arc::new(open(&database.url(), 1).await));
            }
        }
    }
}
