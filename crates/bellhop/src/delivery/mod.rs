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

use crate::{
    domain::{cause::Cause, delivery::Attempt},
    id::{DeliveryId, IntegrationId, WebhookId},
};

use egress::TargetUrl;

/// Who counts what is sent.
pub trait DeliveryObserver: Send + Sync + std::fmt::Debug {
    /// An attempt has ended.
    fn attempted(&self, cause: Option<Cause>, took: Duration);
    /// The first attempt of a delivery begins, so long after its commit.
    fn first_attempt(&self, after_commit: Duration);
    /// An attempt was made, and is going to be recorded.
    fn made(&self, _: &MadeAttempt<'_>) {}
}

/// An attempt, and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct MadeAttempt<'a> {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// Of which integration.
    pub integration_id: IntegrationId,
    /// To which webhook.
    pub webhook_id: WebhookId,
    /// Where to, if that is allowed.
    pub target: Option<&'a TargetUrl>,
    /// What was sent and what came back.
    pub attempt: &'a Attempt,
}
