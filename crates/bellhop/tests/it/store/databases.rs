//! The databases that must hold the contract.

use std::{path::Path, sync::Arc, time::Duration};

use bellhop::{
    domain::operational::Destination,
    store::{
        Store, StoreError,
        sqlite::{SqliteOptions, SqliteStore, StoreObserver},
    },
    vault::Vault,
};
use tempfile::TempDir;

use super::model::ModelStore;
use crate::support::random::SeededRandom;

/// A database that can be closed and opened again.
pub trait Database {
    /// Whether tests can have one here. Says why not.
    fn is_there() -> bool {
        true
    }
    /// An empty one.
    async fn fresh() -> Self;
    /// The store on it, as it is open now.
    fn store(&self) -> Arc<dyn Store>;
    /// Closes it and opens it again, as a restart of the process does.
    async fn reopen(&mut self);
}

/// The embedded database, in a folder of its own.
pub struct Sqlite {
    folder: TempDir,
    store: Option<Arc<SqliteStore>>,
}

impl Database for Sqlite {
    async fn fresh() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) {
        let store = self.store.take().unwrap();
        store.close().await.unwrap();
        assert_eq!(
            Arc::strong_count(&store),
            1,
            "nobody else may hold the store while it is reopened"
        );
        drop(store);
        self.open();
    }
}

impl Sqlite {
    /// The one that is in a folder.
    pub fn in_folder(folder: TempDir) -> Self {
        let mut database = Self {
            folder,
            store: None,
        };
        database.open();
        database
    }

    /// Opens what is in a folder, or says why not.
    pub fn try_open(folder: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(SqliteOptions {
            path: folder.join("bellhop.db"),
            vault: Arc::new(Vault::new(&[[7; 32]]).unwrap()),
            random: Arc::new(SeededRandom::new(1)),
            destinations: Destination::ALL.to_vec(),
            observer: Arc::new(Unobserved),
        })
    }

    /// Closes it; its folder stays.
    pub async fn close(mut self) -> TempDir {
        self.store.take().unwrap().close().await.unwrap();
        self.folder
    }

    fn open(&mut self) {
        self.store = Some(Arc::new(Self::try_open(self.folder.path()).unwrap()));
    }
}

/// Nobody looks at the writer.
#[derive(Debug)]
pub struct Unobserved;

impl StoreObserver for Unobserved {
    fn wrote(&self, _: usize, _: Duration) {}
}

/// The model.
pub struct InMemory(Arc<ModelStore>);

impl Database for InMemory {
    async fn fresh() -> Self {
        Self(Arc::new(ModelStore::new(Arc::new(SeededRandom::new(1)))))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn reopen(&mut self) {
        self.0.reopen();
    }
}
