//! What the dashboard asks beside the rest: who is signed in, what is failing, and how a webhook has fared lately. The
//! last two look at so many rows at most, however many there are.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{DeliveryFilter, Leaf, Page, StoreError};
use crate::{
    domain::{
        access_token::TokenHash,
        cause::Cause,
        delivery::DeliveryState,
        enterprise::{Application, Enterprise},
        sign_in::SignIn,
    },
    id::{ApplicationId, DeliveryId, WebhookId},
};

/// Most lanes that wait, and most deliveries that failed for good, that are looked at for what is failing.
pub const MOST_FAILING: u32 = 5_000;
/// Most deliveries of an application that are looked at for the newest of one webhook.
pub const MOST_LOOKED_AT: u32 = 2_000;
/// Most deliveries whose attempts are shown as the newest of a webhook.
pub const MOST_RECENT: u32 = 200;

/// Most names that are looked through for a part of one.
pub const MOST_NAMES: u32 = 200_000;
/// Most deliveries that are looked at for a page of those that fit a filter.
pub const MOST_LEAFED: u32 = 20_000;
/// Most deliveries of an application that are looked at in one span of a webhook's history.
pub const MOST_OF_SPAN: u32 = 300;
/// And most of them that are the webhook's.
pub const MOST_SAMPLED: u32 = 100;
/// Most attempts of a span.
pub const MOST_ATTEMPTS_OF_SPAN: u32 = 400;

/// What the dashboard asks of a store beside the rest.
#[async_trait]
pub trait Views {
    /// A link or a session of the dashboard; also one that is over and not yet let go of.
    async fn sign_in(&self, hash: TokenHash) -> Result<Option<SignIn>, StoreError>;
    /// What fails, by webhook and cause: lanes that wait after a failure, and deliveries that were made since a moment
    /// and failed for good. Looks at [`MOST_FAILING`] of each at most.
    async fn failing(
        &self,
        of: Option<ApplicationId>,
        since: Timestamp,
    ) -> Result<Vec<Failing>, StoreError>;
    /// The newest attempts at a webhook, newest first, among the newest deliveries of its application.
    async fn recent_attempts(&self, webhook: WebhookId) -> Result<Vec<RecentAttempt>, StoreError>;
    /// A page of the deliveries that fit a filter, newest first. Looks at so many at most where no index finds them.
    async fn leaf(
        &self,
        filter: DeliveryFilter,
        page: Page,
        looked: u32,
    ) -> Result<Leaf, StoreError>;
    /// Enterprises that have this in their names. Looks through [`MOST_NAMES`] at most.
    async fn enterprises_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Enterprise>, StoreError>;
    /// Applications that have this in their names. Looks through [`MOST_NAMES`] at most.
    async fn applications_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError>;
    /// How a webhook has fared in spans of time, each from one of these moments to the next. Of a span the first
    /// deliveries are looked at: 300 of the application, and of those [`MOST_SAMPLED`] of the webhook.
    async fn history(
        &self,
        webhook: WebhookId,
        moments: Vec<Timestamp>,
    ) -> Result<Vec<Span>, StoreError>;
}

/// What fails at one webhook for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Where.
    pub webhook_id: WebhookId,
    /// Why.
    pub cause: Cause,
    /// How many lanes wait for their next attempt after such a failure.
    pub waiting: u64,
    /// How many deliveries have used up their schedule, lately.
    pub failed: u64,
    /// When the oldest of them all was made.
    pub since: Timestamp,
}

/// An attempt in a line of figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentAttempt {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// 1, 2, 3 …
    pub number: u32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed; `None` if it succeeded.
    pub cause: Option<Cause>,
    /// The status that came back.
    pub status: Option<u16>,
}

/// A sample of the deliveries that were made for a webhook in a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// How many stand in each state, in the order of [`DeliveryState::ALL`].
    pub states: [u32; 4],
    /// What their attempts took, and whether they succeeded.
    pub attempts: Vec<(Duration, bool)>,
}

/// One row of a span: a delivery with one of its attempts, if it has any.
pub struct SpanRow {
    pub delivery_id: DeliveryId,
    pub state: DeliveryState,
    pub attempt: Option<(Duration, bool)>,
}

impl Span {
    /// From its rows, those of a delivery after each other.
    pub fn of(rows: impl IntoIterator<Item = SpanRow>) -> Self {
        let mut span = Self::default();
        let mut last = None;
        for row in rows {
            if last != Some(row.delivery_id) {
                last = Some(row.delivery_id);
                let place = DeliveryState::ALL
                    .iter()
                    .position(|state| *state == row.state);
                span.states[place.unwrap_or_default()] += 1;
            }
            span.attempts.extend(row.attempt);
        }
        span
    }
}

/// One row of either count.
pub struct Tally {
    pub webhook_id: WebhookId,
    pub cause: Cause,
    pub count: u64,
    pub since: Timestamp,
}

/// Puts both counts together: what waits first, the most first.
pub fn failing(waiting: Vec<Tally>, failed: Vec<Tally>) -> Vec<Failing> {
    let mut all: BTreeMap<(WebhookId, Cause), Failing> = BTreeMap::new();
    let waiting = waiting.into_iter().map(|tally| (tally, true));
    let failed = failed.into_iter().map(|tally| (tally, false));
    for (tally, is_waiting) in waiting.chain(failed) {
        let group = all
            .entry((tally.webhook_id, tally.cause))
            .or_insert(Failing {
                webhook_id: tally.webhook_id,
                cause: tally.cause,
                waiting: 0,
                failed: 0,
                since: tally.since,
            });
        group.since = group.since.min(tally.since);
        if is_waiting {
            group.waiting += tally.count;
        } else {
            group.failed += tally.count;
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|group| std::cmp::Reverse((group.waiting, group.failed)));
    all
}
