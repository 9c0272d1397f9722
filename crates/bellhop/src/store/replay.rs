//! Runs: replays in bulk and backfills. A run goes in steps. Each step is read beside the writer, and is then
//! one commit that makes deliveries due and moves the run on, so that a process that died goes on where it was.

use jiff::Timestamp;

use super::DeliveryFilter;
use crate::{
    domain::{delivery::DeliveryState, replay::ReplayState},
    id::{ApplicationId, DeliveryId, IntegrationId, ReplayId, WebhookId},
};

/// Most that one step takes up.
pub const MAX_STEP: usize = 256;
/// Most rows that one step looks at, so that a filter that fits little does not keep a reader for long.
pub const MAX_SCANNED: usize = 8192;
/// A webhook with so many deliveries that are due gets no more of a run: first tries and retries come before
/// replays, and what comes meanwhile waits for so many at most.
pub const MAX_DUE: usize = 64;
/// Most deliveries of a run that are made and have not ended.
pub const MAX_WAITING: usize = 1024;
/// Most that a run may be about.
pub const MAX_TOTAL: u64 = 1_000_000;
/// Most runs of one application that have not ended.
pub const MAX_OPEN: usize = 20;
/// Most webhooks that are counted apart; what else there is is in the total alone.
pub const MAX_COUNTED_WEBHOOKS: usize = 100;

/// What a run is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// Deliveries that there are: a replay.
    Deliveries(DeliveryFilter),
    /// Messages that a webhook wants and has no delivery of: a backfill.
    History {
        /// Which webhook.
        webhook_id: WebhookId,
        /// Of these integrations; without it, of all of the application that are not deleted.
        integrations: Option<Vec<IntegrationId>>,
    },
}

/// The moment of a count: what came or ended later is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// The newest delivery then.
    pub newest: DeliveryId,
}

/// What a run would be about.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayCount {
    /// When it was counted.
    pub counted: Counted,
    /// How many fit.
    pub total: u64,
    /// How many of them are in each state, in the order of `DeliveryState::ALL`.
    pub by_state: [u64; DeliveryState::ALL.len()],
    /// How many go to each webhook, the most first.
    pub by_webhook: Vec<(WebhookId, u64)>,
    /// Of how many the integration has a later message.
    pub stale: u64,
    /// How many cannot be sent, because their bytes were erased.
    pub erased: u64,
    /// How many cannot be sent, because their webhook was deleted.
    pub without_webhook: u64,
    /// How many are not sent, because they wait behind an earlier one of their lane.
    pub behind: u64,
    /// Says which they are: another set has another digest.
    pub digest: [u8; 32],
}

/// A run that is to be started.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Its id.
    pub id: ReplayId,
    /// What it is about.
    pub selection: Selection,
    /// The application that it keeps to.
    pub application_id: Option<ApplicationId>,
    /// What it comes to, counted again just now.
    pub count: ReplayCount,
    /// What it came to when a person looked at it; another digest is refused. `None` if nobody had to.
    pub previewed: Option<[u8; 32]>,
    /// Until when that may be started.
    pub expires: Option<Timestamp>,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// What it is about.
    pub selection: Selection,
    /// The application that it keeps to.
    pub application_id: Option<ApplicationId>,
    /// When it was counted.
    pub counted: Counted,
    /// Where it stands.
    pub state: ReplayState,
    /// What it has passed last.
    pub position: Option<Position>,
    /// Whether it has passed everything.
    pub is_exhausted: bool,
    /// How many it is about.
    pub total: u64,
    /// How many it has passed.
    pub passed: u64,
    /// How many of them have not ended.
    pub waiting: u64,
    /// How many arrived.
    pub succeeded: u64,
    /// How many did not.
    pub failed: u64,
    /// How many it has passed over because their bytes were erased.
    pub erased: u64,
    /// The webhook that it waits for, because that is not enabled.
    pub held_by: Option<WebhookId>,
    /// When it was started.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// A place in the order in which a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// First by integration,
    pub integration_id: IntegrationId,
    /// then by webhook,
    pub webhook_id: WebhookId,
    /// then by sequence: the order of a lane.
    pub sequence: u64,
}

/// What a run takes up next.
#[derive(Debug, Clone)]
pub struct ReplayStep {
    /// Which run.
    pub id: ReplayId,
    /// Where it was; a run that is elsewhere by now takes no step.
    pub from: Option<Position>,
    /// What it takes up, in order.
    pub candidates: Vec<Candidate>,
    /// Where it is then.
    pub to: Option<Position>,
    /// Whether nothing comes after.
    pub is_last: bool,
}

/// One delivery or message that a run takes up.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Where it is.
    pub position: Position,
    /// The delivery; `None` if one is to be made.
    pub delivery_id: Option<DeliveryId>,
    /// Whether its bytes are gone.
    pub is_erased: bool,
}

impl Selection {
    /// `Replay` or `Backfill`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deliveries(_) => "Replay",
            Self::History { .. } => "Backfill",
        }
    }

    /// The webhook that it keeps to.
    pub fn webhook_id(&self) -> Option<WebhookId> {
        match self {
            Self::Deliveries(filter) => filter.webhook_id,
            Self::History { webhook_id, .. } => Some(*webhook_id),
        }
    }
}

impl Replay {
    /// How many are settled, one way or another.
    pub fn done(&self) -> u64 {
        if self.state.has_ended() && self.is_exhausted {
            // What no longer fitted when its turn came was never passed.
            self.total.max(self.passed) - self.waiting
        } else {
            self.passed.saturating_sub(self.waiting)
        }
    }

    /// How many were not sent: they could not be, or were settled in another way meanwhile.
    pub fn skipped(&self) -> u64 {
        self.done().saturating_sub(self.succeeded + self.failed)
    }
}
