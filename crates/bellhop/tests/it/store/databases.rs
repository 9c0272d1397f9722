//! The databases that must hold the contract.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bellhop::{
    domain::operational::Destination,
    store::{
        Census, Store, StoreError,
        sqlite::{self, SqliteOptions, SqliteStore, StoreObserver},
    },
    vault::Vault,
};
use tempfile::TempDir;

use super::model::ModelStore;
use crate::support::random::SeededRandom;

/// The key that tests seal with.
pub const KEY: [u8; 32] = [7; 32];

/// A database whose keys can be changed, and whose values can be counted by key.
pub trait Keyed: Database {
    /// Closes it and opens it again with these keys, newest first.
    async fn reopen_with(&mut self, keys: &[[u8; 32]]) -> Result<(), StoreError>;
    /// What is sealed in it.
    async fn census(&self) -> Census;
}

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
    keys: Vec<[u8; 32]>,
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

impl Keyed for Sqlite {
    async fn reopen_with(&mut self, keys: &[[u8; 32]]) -> Result<(), StoreError> {
        if let Some(store) = self.store.take() {
            store.close().await.unwrap();
        }
        self.keys = keys.to_vec();
        let opened = Self::try_open_with(self.folder.path(), &self.keys)?;
        self.store = Some(Arc::new(opened));
        Ok(())
    }

    async fn census(&self) -> Census {
        sqlite::census(&self.folder.path().join("bellhop.db")).unwrap()
    }
}

impl Sqlite {
    /// The one that is in a folder.
    pub fn in_folder(folder: TempDir) -> Self {
        let mut database = Self {
            folder,
            keys: vec![KEY],
            store: None,
        };
        database.open();
        database
    }

    /// Opens what is in a folder, or says why not.
    pub fn try_open(folder: &Path) -> Result<SqliteStore, StoreError> {
        Self::try_open_with(folder, &[KEY])
    }

    /// The same with these keys.
    pub fn try_open_with(folder: &Path, keys: &[[u8; 32]]) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(SqliteOptions {
            path: folder.join("bellhop.db"),
            vault: Arc::new(Vault::new(keys).unwrap()),
            random: Arc::new(SeededRandom::new(1)),
            destinations: Destination::ALL.to_vec(),
            observer: Arc::new(Unobserved),
        })
    }

    /// Where the database is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bellhop.db")
    }

    /// Closes it; its folder stays.
    pub async fn close(mut self) -> TempDir {
        self.store.take().unwrap().close().await.unwrap();
        self.folder
    }

    fn open(&mut self) {
        let opened = Self::try_open_with(self.folder.path(), &self.keys);
        self.store = Some(Arc::new(opened.unwrap()));
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
