//! Opening the database that is configured.

use std::sync::Arc;

use anyhow::Context as _;

use super::observe::Observe;
use crate::{
    config::Database,
    domain::operational::Destination,
    feed::{Event, Feed},
    id::WebhookId,
    random::SharedRandom,
    store::{
        AuditLog, Store,
        postgres::{Address, Hints, PostgresAuditLog, PostgresOptions, PostgresStore},
        sqlite::{SqliteAuditLog, SqliteOptions, SqliteStore},
    },
    vault::Vault,
};

/// What a store is given.
pub struct Shared {
    pub vault: Arc<Vault>,
    pub random: SharedRandom,
    pub destinations: Vec<Destination>,
    pub observer: Arc<Observe>,
    pub feed: Arc<Feed>,
}

/// Opens it.
pub async fn open(database: &Database, shared: Shared) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Database::Sqlite { path } => Ok(Arc::new(SqliteStore::open(SqliteOptions {
            path: path.clone(),
            vault: shared.vault,
            random: shared.random,
            destinations: shared.destinations,
            observer: shared.observer,
        })?)),
        Database::Postgres { url } => {
            let address = Address::parse(url)?;
            let named = address.shown();
            let opened = PostgresStore::open(PostgresOptions {
                address,
                vault: shared.vault,
                random: shared.random,
                destinations: shared.destinations,
                observer: shared.observer,
                hints: Arc::new(ToFeed(shared.feed)),
            });
            let opened = opened.await.with_context(|| {
                format!("cannot open the database at {named} (BELLHOP_DATABASE_URL)")
            })?;
            Ok(Arc::new(opened))
        }
    }
}

/// Opens the audit log of the same database, to be verified beside the server.
pub async fn audit_log(database: &Database) -> anyhow::Result<Arc<dyn AuditLog>> {
    Ok(match database {
        Database::Sqlite { path } => Arc::new(SqliteAuditLog::open(path)?),
        Database::Postgres { url } => {
            Arc::new(PostgresAuditLog::open(&Address::parse(url)?).await?)
        }
    })
}

/// Hints of other replicas go where this one's own go.
struct ToFeed(Arc<Feed>);

impl Hints for ToFeed {
    fn due(&self, webhooks: Vec<WebhookId>) {
        self.0.due(webhooks);
    }

    /// The dispatcher asks the store every second, whatever it was told. Live views say that something is missing.
    fn missed(&self) {
        self.0.missed();
    }

    fn happened(&self, at_ms: i64, event: Event) {
        self.0.hear(at_ms, event);
    }

    fn deaf(&self) {
        self.0.deafen();
    }
}
