//! The account of what arrived, and the judgement on it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    life::{STEPS, Sample},
    platform::{Delivery, HistoryMessage},
};
use crate::receiving::{Received, masked};

/// Everything that is known of the show, lane by lane.
#[derive(Debug)]
pub struct Account {
    lanes: Vec<Lane>,
}

/// One integration's way to the webhook.
#[derive(Debug)]
struct Lane {
    sample: Sample,
    /// When each command was given, first to last.
    commanded: Vec<Timestamp>,
    /// Every request, as it came.
    attempts: Vec<Received>,
}

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The position of its lane.
    pub lane: usize,
    /// How long after its command it arrived.
    pub after: Option<Duration>,
}

/// What the show came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Messages that a receiver accepted and the server knows to be delivered.
    pub delivered: Count,
    /// Requests that the receiver got, of those that the server made.
    pub attempts: Count,
    /// Attempts that were not the first of their message.
    pub retried: usize,
    /// Lanes in which each message was accepted once, in order, without gaps.
    pub in_order: Count,
    /// Requests whose signature is right.
    pub verified: Count,
    /// Requests whose body is the stored one, byte for byte outside the masked access token.
    pub bodies: Count,
    /// The median and the longest time from a command to its first attempt, where nothing was in the way.
    pub first_attempts: Option<(Duration, Duration)>,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// As they should be.
    pub good: usize,
    /// All.
    pub all: usize,
}

impl Account {
    /// Of these integrations, before anything happened.
    pub fn new(samples: &[Sample]) -> Self {
        let lane = |sample: &Sample| Lane {
            sample: *sample,
            commanded: Vec::new(),
            attempts: Vec::new(),
        };
        Self {
            lanes: samples.iter().map(lane).collect(),
        }
    }

    /// Notes that the next command is given to the integration of this lane.
    pub fn command(&mut self, lane: usize, at: Timestamp) {
        self.lanes[lane].commanded.push(at);
    }

    /// Notes a request; `None` if it is of another integration.
    pub fn receive(&mut self, received: &Received) -> Option<Placed> {
        let id = received.integration?;
        let index = self.lanes.iter().position(|lane| lane.sample.id.0 == id)?;
        let lane = &mut self.lanes[index];
        let after = lane.after_command(received);
        lane.attempts.push(received.clone());
        Some(Placed { lane: index, after })
    }

    /// How many messages were accepted.
    pub fn accepted(&self) -> usize {
        self.lanes.iter().map(|lane| lane.accepted().count()).sum()
    }

    /// How many messages there are to be.
    pub fn expected(&self) -> usize {
        self.lanes.len() * STEPS.len()
    }

    /// Judges everything against what the server says. `histories` are in the order of the lanes.
    pub fn judge(&self, histories: &[Vec<HistoryMessage>], deliveries: &[Delivery]) -> Judgement {
        let attempts = || self.lanes.iter().flat_map(|lane| &lane.attempts);
        let known = deliveries
            .iter()
            .filter(|delivery| delivery.state == "Delivered")
            .count();
        let in_order = self.lanes.iter().filter(|lane| lane.is_in_order()).count();
        let bodies = self
            .lanes
            .iter()
            .zip(histories)
            .map(|(lane, history)| lane.same_bodies(history))
            .sum();
        let made: u32 = deliveries
            .iter()
            .map(|delivery| delivery.attempt_count)
            .sum();
        Judgement {
            delivered: Count::of(self.accepted().min(known), self.expected()),
            attempts: Count::of(attempts().count(), made as usize),
            retried: attempts().filter(|one| one.attempt > Some(1)).count(),
            in_order: Count::of(in_order, self.lanes.len()),
            verified: Count::of(
                attempts().filter(|one| one.signature.is_verified()).count(),
                attempts().count(),
            ),
            bodies: Count::of(bodies, attempts().count()),
            first_attempts: self.first_attempts(),
        }
    }

    fn first_attempts(&self) -> Option<(Duration, Duration)> {
        let mut times: Vec<Duration> = self.lanes.iter().flat_map(Lane::unhindered).collect();
        times.sort_unstable();
        Some((times.get(times.len() / 2).copied()?, *times.last()?))
    }
}

impl Lane {
    fn accepted(&self) -> impl Iterator<Item = &Received> {
        self.attempts.iter().filter(|one| one.answer.is_success())
    }

    fn after_command(&self, received: &Received) -> Option<Duration> {
        let index = usize::try_from(received.sequence?).ok()?.checked_sub(1)?;
        let commanded = self.commanded.get(index)?;
        Duration::try_from(received.at.duration_since(*commanded)).ok()
    }

    /// Each message accepted once, in the order of the commands, and nothing out of turn before or between.
    fn is_in_order(&self) -> bool {
        let accepted = self
            .accepted()
            .map(|one| (one.sequence, one.action.as_deref()));
        let expected = (1..)
            .zip(STEPS)
            .map(|(sequence, step)| (Some(sequence), Some(step.action.as_str())));
        accepted.eq(expected) && self.attempts.iter().all(|one| one.order.is_good())
    }

    fn same_bodies(&self, history: &[HistoryMessage]) -> usize {
        let is_stored = |one: &&Received| {
            history.iter().any(|message| {
                Some(message.sequence) == one.sequence
                    && Some(message.action.as_str()) == one.action.as_deref()
                    && message.body.get() == masked(&one.body)
            })
        };
        self.attempts.iter().filter(is_stored).count()
    }

    /// How long first attempts took whose message had no other of its lane before it.
    fn unhindered(&self) -> impl Iterator<Item = Duration> {
        self.attempts.iter().enumerate().filter_map(|(index, one)| {
            let commanded = self
                .commanded
                .get(usize::try_from(one.sequence?).ok()?.checked_sub(1)?)?;
            let is_free = self.attempts[..index]
                .iter()
                .all(|earlier| earlier.at < *commanded)
                && index
                    .checked_sub(1)
                    .is_none_or(|before| self.attempts[before].answer.is_success());
            (one.attempt == Some(1) && is_free)
                .then(|| self.after_command(one))
                .flatten()
        })
    }
}

impl Judgement {
    /// Whether nothing at all is other than it should be.
    pub fn is_good(&self) -> bool {
        [
            self.delivered,
            self.attempts,
            self.in_order,
            self.verified,
            self.bodies,
        ]
        .into_iter()
        .all(Count::is_whole)
    }
}

impl Count {
    const fn of(good: usize, all: usize) -> Self {
        Self { good, all }
    }

    /// Whether all are as they should be, and there are any.
    pub const fn is_whole(self) -> bool {
        self.good == self.all && self.all > 0
    }
}
