//! What the dispatcher knows of one webhook: how much it may be sent, and when.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{pace::Pace, prepared::Prepared, room::Standing};
use crate::domain::retry::later;

/// A request that takes longer holds room that others may need.
pub const LONG: Duration = Duration::from_secs(1);
/// How many requests a webhook of which nothing is known may have in flight. Each that succeeds lets one more go, so
/// that their number doubles in the time of one.
const FIRST_WINDOW: usize = 4;

/// What is known of a webhook's work.
#[derive(Debug)]
pub struct Line {
    pub standing: Standing,
    /// Requests in flight, and room that was given for some.
    pub in_flight: usize,
    /// When those in flight began, the oldest first.
    begun: VecDeque<Timestamp>,
    /// How many may be in flight by what its requests have shown.
    window: usize,
    /// How many of its requests may be in flight by its settings; unknown until it was made ready.
    pub limit: Option<usize>,
    /// The same, as its health has it and other replicas leave it, if that is fewer.
    pub most: Option<usize>,
    /// Other replicas had all that may be in flight: the store is not asked again before this moment.
    pub refused_until: Option<Timestamp>,
    /// Where its requests go. `None` if it is unknown, or its URL is refused.
    pub host: Option<Arc<str>>,
    pub pace: Option<Pace>,
    pub turn: Turn,
    /// It had more to send than room, and is ready again when one of its attempts ends.
    pub has_more: bool,
    /// Somebody will look whether its oldest request takes long.
    pub is_watched: bool,
    pub later: Option<Timestamp>,
}

/// What a webhook that may have something due waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is known to be due now.
    None,
    /// For its turn.
    Ready,
    /// For being read.
    Prepares,
    /// For room of its host.
    WaitsForHost,
}

/// Whether a webhook may be sent more.
pub enum Room {
    /// So many requests.
    For(usize),
    /// Not before one under way has ended.
    WhenOneEnds,
    /// Not before this moment: its rate limit, or others have all that may be in flight.
    At(Timestamp),
}

/// What an attempt has shown of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It took the message.
    Success,
    /// It did not.
    Failure,
    /// Nothing: no request was made.
    Nothing,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            standing: Standing::New,
            in_flight: 0,
            begun: VecDeque::new(),
            window: FIRST_WINDOW,
            limit: None,
            most: None,
            refused_until: None,
            host: None,
            pace: None,
            turn: Turn::None,
            has_more: false,
            is_watched: false,
            later: None,
        }
    }
}

impl Line {
    /// Takes the webhook's limits over.
    pub fn settle(&mut self, webhook: &Prepared, now: Timestamp) {
        self.limit = Some(webhook.max_in_flight);
        let former = self.pace;
        self.pace = webhook.rate_limit.map(|limit| {
            former.map_or_else(|| Pace::new(limit, now), |pace| pace.limited(limit, now))
        });
    }

    /// How much may be sent now, as far as the webhook alone is concerned.
    pub fn room(&mut self, now: Timestamp) -> Room {
        let limit = self.limit.unwrap_or(1).min(self.window);
        let most = match self.most {
            // None of ours will end and tell that it has changed: only who asks again learns it.
            Some(0) if self.in_flight == 0 => match self.refused_until {
                Some(at) if now < at => return Room::At(at),
                _ => limit,
            },
            most => most.map_or(limit, |most| most.min(limit)),
        };
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

    /// So many requests begin.
    pub fn begin(&mut self, requests: usize, now: Timestamp) {
        self.begun.extend(std::iter::repeat_n(now, requests));
        if let Some(pace) = &mut self.pace {
            pace.took(requests);
        }
    }

    /// A request that began at this moment has ended. Says how the webhook stands now.
    pub fn end(&mut self, begun: Timestamp, shown: Shown, now: Timestamp) -> Standing {
        // It is among the first, unless those before it hang.
        if let Some(at) = self.begun.iter().position(|other| *other == begun) {
            self.begun.remove(at);
        }
        // What took long and succeeded was perhaps held up here: it is not for that put behind receivers that hang.
        let has_hung = match shown {
            Shown::Success => {
                self.window = (self.window + 1).min(self.limit.unwrap_or(FIRST_WINDOW));
                false
            }
            Shown::Failure => {
                self.window = (self.window / 2).max(1);
                takes_long(begun, now)
            }
            Shown::Nothing => return self.standing,
        };
        if has_hung || self.oldest_takes_long(now) {
            Standing::Slow
        } else {
            Standing::Quick
        }
    }

    /// Whether a request in flight has begun long ago.
    pub fn oldest_takes_long(&self, now: Timestamp) -> bool {
        let oldest = self.begun.front();
        oldest.is_some_and(|begun| takes_long(*begun, now))
    }

    /// When to look whether a request takes long; `None` if none is in flight.
    pub fn look_at(&self, now: Timestamp) -> Option<Timestamp> {
        let oldest = later(*self.begun.front()?, LONG);
        Some(if oldest <= now {
            later(now, LONG)
        } else {
            oldest
        })
    }

    /// Whether nothing is under way and nothing planned.
    pub fn is_idle(&self) -> bool {
        let waits = self.turn != Turn::None || self.has_more || self.later.is_some();
        self.in_flight == 0 && !waits
    }
}

fn takes_long(begun: Timestamp, now: Timestamp) -> bool {
    later(begun, LONG) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn free(line: &mut Line) -> usize {
        match line.room(at(0)) {
            Room::For(room) => room,
            Room::WhenOneEnds | Room::At(_) => 0,
        }
    }

    #[test]
    fn a_window_doubles_in_the_time_of_a_request_and_halves_with_a_failure() {
        let mut line = Line {
            limit: Some(10),
            ..Line::default()
        };
        let mut windows = Vec::new();
        for _ in 0..3 {
            let room = free(&mut line);
            windows.push(room);
            line.begin(room, at(0));
            for _ in 0..room {
                line.end(at(0), Shown::Success, at(5));
            }
        }
        assert_eq!(windows, [4, 8, 10]);
        line.begin(2, at(0));
        line.end(at(0), Shown::Failure, at(5));
        assert_eq!(free(&mut line), 5);
        line.end(at(0), Shown::Nothing, at(5));
        assert_eq!(free(&mut line), 5, "our own fault says nothing of it");
    }

    #[test]
    fn what_others_had_is_asked_for_again_when_nothing_of_ours_would_tell_that_they_have_it_no_longer()
     {
        let mut line = Line {
            limit: Some(10),
            most: Some(0),
            refused_until: Some(at(250)),
            ..Line::default()
        };
        assert!(matches!(line.room(at(249)), Room::At(until) if until == at(250)));
        assert!(matches!(line.room(at(250)), Room::For(FIRST_WINDOW)));
        line.in_flight = 1;
        assert!(matches!(line.room(at(250)), Room::WhenOneEnds));
    }

    #[test]
    fn what_takes_long_makes_slow_while_it_does_and_after_it_has_failed() {
        let mut line = Line::default();
        assert_eq!(line.standing, Standing::New);
        line.begin(2, at(0));
        line.begin(1, at(900));
        assert_eq!(line.look_at(at(0)), Some(at(1000)));
        assert!(!line.oldest_takes_long(at(999)));
        assert!(line.oldest_takes_long(at(1000)));
        assert_eq!(line.end(at(900), Shown::Success, at(1100)), Standing::Slow);
        assert_eq!(line.end(at(0), Shown::Success, at(1100)), Standing::Slow);
        assert_eq!(line.end(at(0), Shown::Success, at(1200)), Standing::Quick);
        line.begin(2, at(2000));
        assert_eq!(line.end(at(2000), Shown::Failure, at(3000)), Standing::Slow);
        line.begin(1, at(3000));
        assert_eq!(line.end(at(2000), Shown::Failure, at(3000)), Standing::Slow);
        assert_eq!(
            line.end(at(3000), Shown::Failure, at(3010)),
            Standing::Quick
        );
        assert_eq!(line.look_at(at(2010)), None);
    }
}
