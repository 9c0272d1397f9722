//! Bellhop: the registry of integrations and the sender of their webhooks.
//!
//! `ARCHITECTURE.md` in the repository says how the modules fit together and which of them may know which.
#![forbid(unsafe_code)]

#[macro_use]
mod fault_points;

pub mod api;
pub mod app;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod delivery;
pub mod domain;
pub mod feed;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod id;
pub mod lifecycle;
pub mod live;
pub mod random;
pub mod receiving;
pub mod store;
pub mod telemetry;
pub mod vault;
