//! Replays in bulk and backfills, as the API shows them.

use bellhop_webhook::UtcSecond;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::times::second;
use crate::{
    domain::{
        cause::Cause,
        delivery::DeliveryState,
        webhook::{Webhook, WebhookState},
    },
    id::{ApplicationId, IntegrationId, ReplayId, WebhookId},
    store::{DeliveryFilter, Replay, ReplayCount, Selection},
};
use bellhop_webhook::Action;

/// Which deliveries: the parameters of their list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReplayFilter {
    /// To this webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<Uuid>,
    /// Of this application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<Uuid>,
    /// Of this integration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration_id: Option<Uuid>,
    /// Of this enterprise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enterprise_id: Option<Uuid>,
    /// Of this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whose newest attempt failed so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Made at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from_utc: Option<String>,
    /// Made before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to_utc: Option<String>,
}

/// What a replay would be about.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReplayCounts {
    /// How many deliveries fit the filter.
    total: u64,
    /// How many of them are in each state.
    by_state: ByState,
    /// How many go to each webhook, the most first; at most 100 webhooks.
    by_webhook: Vec<OfWebhook>,
    /// How many are stale: their integration has a later message.
    stale: u64,
    /// How many of them cannot be sent, and why.
    not_replayable: NotReplayable,
}

/// Deliveries by their state.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ByState {
    pending: u64,
    delivered: u64,
    failed: u64,
    discarded: u64,
}

/// Deliveries to one webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OfWebhook {
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    total: u64,
}

/// Deliveries that a replay skips.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NotReplayable {
    /// Their message carried an access token and was erased.
    body_erased: u64,
    /// Their webhook was deleted.
    webhook_deleted: u64,
    /// They are pending behind an earlier one of their lane, and are sent when that has ended.
    behind_another: u64,
}

/// What a dry run answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReplayPreview {
    #[serde(flatten)]
    pub counts: ReplayCounts,
    /// Starts exactly this: `POST /v1/replays` with it.
    pub token: String,
    /// Until when it does.
    #[schema(value_type = String, format = DateTime)]
    pub expires_utc: UtcSecond,
}

/// What the dry run of a backfill answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BackfillPreview {
    /// How many messages the webhook wants and has no delivery of.
    total: u64,
    /// How many of them are left out: they carried an access token and were erased.
    body_erased: u64,
}

/// A replay in bulk, or a backfill.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Replay)]
pub struct ReplayObject {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: ReplayId,
    /// `Replay` or `Backfill`.
    kind: &'static str,
    /// `Running`, `Paused`, `Canceled` or `Completed`.
    state: &'static str,
    /// The webhook that it waits for, because that is not enabled.
    held_by: Option<HeldBy>,
    /// The application that it keeps to; null if it is about several.
    #[schema(value_type = Option<Uuid>)]
    application_id: Option<ApplicationId>,
    /// Which deliveries, for a replay.
    filter: Option<ReplayFilter>,
    /// Which webhook, for a backfill.
    #[schema(value_type = Option<Uuid>)]
    webhook_id: Option<WebhookId>,
    /// Of these integrations alone, for a backfill.
    #[schema(value_type = Option<Vec<Uuid>>)]
    integration_ids: Option<Vec<IntegrationId>>,
    /// How many deliveries it is about.
    total: u64,
    /// How many of them are settled: `Succeeded`, `Failed` and `Skipped` together.
    done: u64,
    /// How many are made due or made, and have not ended.
    waiting: u64,
    /// How many arrived.
    succeeded: u64,
    /// How many did not: of a replay, its one attempt; of a backfill, the whole schedule.
    failed: u64,
    /// How many were not sent: they could not be, or were settled in another way meanwhile.
    skipped: u64,
    /// How many of the skipped carried an access token and were erased.
    body_erased: u64,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    created_utc: UtcSecond,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_utc: Option<UtcSecond>,
}

/// A webhook that holds a replay up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HeldBy {
    /// Which.
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    /// `Paused` or `Disabled`. Resume the webhook, and the replay goes on.
    state: &'static str,
}

/// What a command came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CommandedReplay {
    #[serde(flatten)]
    pub replay: ReplayObject,
    /// Whether anything changed.
    pub changed: bool,
}

impl ReplayFilter {
    /// As the store takes it. `None` if a word or a moment in it is not known.
    pub fn to_filter(&self) -> Option<DeliveryFilter> {
        fn parsed<T: std::str::FromStr>(text: Option<&String>) -> Result<Option<T>, T::Err> {
            text.map(|text| text.parse()).transpose()
        }
        Some(DeliveryFilter {
            webhook_id: self.webhook_id.map(WebhookId),
            application_id: self.application_id.map(ApplicationId),
            integration_id: self.integration_id.map(IntegrationId),
            enterprise_id: self.enterprise_id.map(crate::id::EnterpriseId),
            action: parsed(self.action.as_ref()).ok()?,
            state: parsed(self.state.as_ref()).ok()?,
            cause: parsed(self.cause.as_ref()).ok()?,
            from: parsed(self.from_utc.as_ref()).ok()?,
            to: parsed(self.to_utc.as_ref()).ok()?,
        })
    }
}

impl From<&DeliveryFilter> for ReplayFilter {
    fn from(filter: &DeliveryFilter) -> Self {
        let moment = |at: jiff::Timestamp| format!("{at:.3}");
        Self {
            webhook_id: filter.webhook_id.map(|id| id.0),
            application_id: filter.application_id.map(|id| id.0),
            integration_id: filter.integration_id.map(|id| id.0),
            enterprise_id: filter.enterprise_id.map(|id| id.0),
            action: filter.action.map(Action::as_str).map(str::to_owned),
            state: filter.state.map(DeliveryState::as_str).map(str::to_owned),
            cause: filter.cause.map(Cause::as_str).map(str::to_owned),
            from_utc: filter.from.map(moment),
            to_utc: filter.to.map(moment),
        }
    }
}

impl From<&ReplayCount> for ReplayCounts {
    fn from(count: &ReplayCount) -> Self {
        let [pending, delivered, failed, discarded] = count.by_state;
        let of_webhook = |(webhook_id, total): &(WebhookId, u64)| OfWebhook {
            webhook_id: *webhook_id,
            total: *total,
        };
        Self {
            total: count.total,
            by_state: ByState {
                pending,
                delivered,
                failed,
                discarded,
            },
            by_webhook: count.by_webhook.iter().map(of_webhook).collect(),
            stale: count.stale,
            not_replayable: NotReplayable {
                body_erased: count.erased,
                webhook_deleted: count.without_webhook,
                behind_another: count.behind,
            },
        }
    }
}

impl From<&ReplayCount> for BackfillPreview {
    fn from(count: &ReplayCount) -> Self {
        Self {
            total: count.total,
            body_erased: count.erased,
        }
    }
}

impl ReplayObject {
    /// With the webhook that it waits for.
    pub fn new(replay: &Replay, held_by: Option<&Webhook>) -> Self {
        let (filter, webhook_id, integration_ids) = match &replay.selection {
            Selection::Deliveries(filter) => (Some(ReplayFilter::from(filter)), None, None),
            Selection::History {
                webhook_id,
                integrations,
            } => (None, Some(*webhook_id), integrations.clone()),
        };
        let held_by = held_by.filter(|webhook| webhook.state != WebhookState::Enabled);
        Self {
            id: replay.id,
            kind: replay.selection.kind(),
            state: replay.state.as_str(),
            held_by: held_by.map(|webhook| HeldBy {
                webhook_id: webhook.id,
                state: webhook.state.as_str(),
            }),
            application_id: replay.application_id,
            filter,
            webhook_id,
            integration_ids,
            total: replay.total,
            done: replay.done(),
            waiting: replay.waiting,
            succeeded: replay.succeeded,
            failed: replay.failed,
            skipped: replay.skipped(),
            body_erased: replay.erased,
            created_utc: second(replay.created),
            ended_utc: replay.ended.map(second),
        }
    }
}
