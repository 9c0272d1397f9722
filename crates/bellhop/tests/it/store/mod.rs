//! The store's contract: one suite for every database, and a model that is compared with each.

mod as_a_whole;
mod at_once;
mod audit_purging;
mod auditing;
mod conformance;
mod connecting;
mod copying;
mod databases;
mod migrating;
mod model;
mod operating;
mod overwriting;
pub mod postgres;
mod properties;
mod resealing;
mod sealed_columns;
mod sharing;
mod steps;
mod world;

conformance::conformance!(sqlite, crate::store::databases::Sqlite);
conformance::conformance!(on_postgres, crate::store::postgres::Postgres);
conformance::conformance!(in_memory, crate::store::databases::InMemory);
