//! From what is due to what was recorded: claim, guard, sign, POST, record.

pub mod attempt;
pub mod audit_links;
pub mod certificates;
mod credentials;
pub mod dispatcher;
pub mod egress;
pub mod erasure;
mod line;
mod lines;
mod oauth;
pub mod operational;
mod pace;
pub mod prepared;
pub mod replays;
pub mod resealing;
pub mod retention;
pub mod retired;
mod room;
pub mod sender;
mod steps;
mod turns;
mod under_way;

use std::time::Duration;

use crate::domain::cause::Cause;

/// Who counts what is sent.
pub trait DeliveryObserver: Send + Sync + std::fmt::Debug {
    /// An attempt has ended.
    fn attempted(&self, cause: Option<Cause>, took: Duration);
    /// The first attempt of a delivery begins, so long after its commit.
    fn first_attempt(&self, after_commit: Duration);
}
