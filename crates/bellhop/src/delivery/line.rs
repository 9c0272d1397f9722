//! What the dispatcher knows of one webhook: how much it may be sent, and when.

use jiff::Timestamp;

use super::{pace::Pace, prepared::Prepared};

/// What is known of a webhook's work.
#[derive(Debug, Default)]
pub struct Line {
    pub in_flight: usize,
    /// How many of its requests may be in flight; unknown until it was made ready.
    pub limit: Option<usize>,
    /// The same, as the webhook's health has it, if that is fewer.
    pub most: Option<usize>,
    pub pace: Option<Pace>,
    pub is_ready: bool,
    /// It had more to send than room, and is ready again when one of its attempts ends.
    pub has_more: bool,
    pub later: Option<Timestamp>,
}

/// Whether a webhook may be sent more.
pub enum Room {
    /// So many requests.
    For(usize),
    /// Not before one under way has ended.
    WhenOneEnds,
    /// Not before this moment: its rate limit.
    At(Timestamp),
}

impl Line {
    /// Takes the webhook's limits over.
    pub fn settle(&mut self, webhook: &Prepared, now: Timestamp) {
        self.limit = Some(webhook.max_in_flight);
        let former = self.pace;
        self.pace = webhook.rate_limit.map(|limit| {
            former.map_or_else(
                || Pace::after_one(limit, now),
                |pace| pace.limited(limit, now),
            )
        });
    }

    /// How much may be sent now. One request until the limits are known.
    pub fn room(&mut self, now: Timestamp) -> Room {
        let limit = self.limit.unwrap_or(1);
        let most = self.most.map_or(limit, |most| most.min(limit));
        let free = most.saturating_sub(self.in_flight);
        if free == 0 {
            return Room::WhenOneEnds;
        }
        match &mut self.pace {
            None => Room::For(free),
            Some(pace) => match pace.room(now).min(free) {
                0 => Room::At(pace.next()),
                room => Room::For(room),
            },
        }
    }
}
