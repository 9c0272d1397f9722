//! The HTTP API: the only place that knows status codes. `docs/api-design.md` says what it promises.
//!
//! A request meets, in this order: the route (`routes`), the key (`callers`), the table of scopes
//! (`access`), the limits, its handler (a file per resource), and on the way out the problem document or
//! the answer. Handlers get a `Call` and give a `Reply`; everything that all of them need is in
//! `serve`.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bellhop_webhook::{Action, MessageId};
use bytes::Bytes;

use crate::{
    domain::{delivery::Attempt, webhook::Webhook},
    id::WebhookId,
};

mod access;
mod applications;
mod attempts;
mod audit;
mod body;
mod call;
mod callers;
mod checks;
mod client_certificate;
mod code;
mod cursor;
mod deliveries;
mod delivery_commands;
mod docs;
mod enterprises;
mod error;
mod event_objects;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod idempotency;
mod integration_commands;
mod integrations;
mod introspect;
mod keys;
mod messages;
mod objects;
mod openapi;
mod openapi_limits;
mod openapi_messages;
mod operational_messages;
mod overlap;
mod page;
mod preconditions;
mod probes;
mod public_keys;
mod query;
mod rate;
mod refusals;
mod replay_objects;
mod replay_token;
mod replays;
mod reply;
mod reveal;
mod routes;
mod serve;
mod state;
mod streams;
mod times;
mod webhook_commands;
mod webhook_credentials;
mod webhook_settings;
mod webhook_signatures;
mod webhooks;

pub use access::{Access, Operation};
pub use openapi::openapi_json;
pub use rate::Rates;
pub use routes::{RouteInfo, list, router};
pub use state::{ApiOptions, ApiState};

use call::Call;
use checks::Checks;
use error::ApiError;
use reply::Reply;

/// The longest request body in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Says whether a webhook may have a URL. The egress guard's part at configuration; it judges again at
/// every attempt.
pub trait JudgeUrl: Send + Sync + fmt::Debug {
    /// The URL as it is kept, or why it is refused, for people.
    fn judge(&self, url: &str) -> Result<String, String>;
}

/// Sends test messages: outside every lane, recorded nowhere. Signs what others send.
#[async_trait]
pub trait TestSender: Send + Sync + fmt::Debug {
    /// Sends one test message of this action to the webhook. Comes back when the attempt has ended, or after `wait`
    /// without its outcome.
    async fn send_test(&self, webhook: &Webhook, action: Action, wait: Duration) -> TestResult;

    /// Makes one, and does not send it.
    fn make_test(&self, webhook: &Webhook, action: Action) -> Unsent;

    /// The headers with which a message would be sent to the webhook now, signature included, without any that the webhook
    /// proves itself with. `None` if its secrets were retired this moment.
    fn sign(&self, webhook: &Webhook, message: &Unsent) -> Option<Vec<(String, String)>>;
}

/// A message that this server does not send.
#[derive(Clone)]
pub struct Unsent {
    /// Its id.
    pub message_id: MessageId,
    /// What happened.
    pub action: Action,
    /// Its position; 0 for a test message.
    pub sequence: u64,
    /// The one before it in its lane.
    pub previous: u64,
    /// Which attempt it is made to be.
    pub number: u32,
    /// Its exact bytes. They may carry an access token.
    pub body: Bytes,
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} bytes]", self.message_id, self.body.len())
    }
}

/// Stops signing with what was replaced.
pub trait RetireSecrets: Send + Sync + fmt::Debug {
    /// When this returns, nothing is signed any more, by this process, with what the webhook had before this revision.
    fn retire(&self, webhook: WebhookId, before: u64);
}

/// What came of a test message.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// Its id.
    pub message_id: MessageId,
    /// The action that it pretends.
    pub action: Action,
    /// Its bytes.
    pub body: Bytes,
    /// The attempt, if it ended in time.
    pub attempt: Option<Attempt>,
}

/// A [`JudgeUrl`] that many parts share.
pub type SharedJudge = Arc<dyn JudgeUrl>;
