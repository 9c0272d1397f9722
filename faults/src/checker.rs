//! The judge: reads the two logs, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use standardwebhooks::Webhook;

use self::server_clock::ServerClock;
use crate::{
    log::{Acknowledged, Arrival, Evidence, Fault, Parts, STOPPED, Subscribed},
    report::Verdict,
};

mod explained;
mod promises;
mod server_clock;

/// How far `webhook-timestamp` may be from the arrival: a busy machine is slow, not wrong.
const TIMESTAMP_TOLERANCE_S: u64 = 5;
/// A server counts its waits in whole milliseconds, on another clock than ours.
const EARLY_TOLERANCE_US: u64 = 50_000;
/// Requests that were on their way when a receiver asked for a pause arrive within this.
const PAUSE_GRACE_US: u64 = 1_000_000;
/// Requests that were on their way when the server was killed are still read and answered within this.
const AFTERGLOW_US: u64 = 1_000_000;
/// An answer is recorded within this, or it was the fault that prevented it.
const RECORD_WITHIN_US: u64 = 5_000_000;

/// Judges a run that has ended.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict {
        faults: evidence.faults.len() as u64,
        messages: evidence.acknowledged.len() as u64,
        bound: explaining(evidence) * in_flight(evidence),
        ..Verdict::default()
    };
    judge_histories(evidence, &mut verdict);
    promises::judge_introspections(evidence, &mut verdict);
    promises::judge_isolation(evidence, &mut verdict);
    for webhook in &evidence.webhooks {
        Lanes::of(webhook, evidence).judge(&mut verdict);
    }
    verdict
}

/// What has not arrived yet, as `webhook message-id`.
pub fn missing(evidence: &Evidence) -> Vec<String> {
    let missing = evidence.webhooks.iter().flat_map(|webhook| {
        let arrivals = evidence.arrivals.get(&webhook.name).into_iter().flatten();
        let delivered: BTreeSet<&str> = arrivals
            .filter(|arrival| arrival.is_delivered())
            .map(|arrival| arrival.header("webhook-id"))
            .collect();
        let wanted = wanted(webhook, evidence).map(Acknowledged::message_id);
        wanted
            .filter(move |id| !delivered.contains(id.as_str()))
            .map(|id| format!("{} {id}", webhook.name))
    });
    missing.collect()
}

/// How many faults can make the server send again what was taken.
fn explaining(evidence: &Evidence) -> u64 {
    let faults = evidence.faults.iter();
    faults.filter(|fault| fault.parts > Parts::Nothing).count() as u64
}

/// Most requests that may be under way at a moment.
fn in_flight(evidence: &Evidence) -> u64 {
    evidence
        .webhooks
        .iter()
        .map(|each| each.max_in_flight)
        .sum()
}

fn wanted<'a>(
    webhook: &'a Subscribed,
    evidence: &'a Evidence,
) -> impl Iterator<Item = &'a Acknowledged> {
    evidence
        .acknowledged
        .iter()
        .filter(|message| webhook.actions.contains(&message.action))
}

/// What was acknowledged must itself be gapless: 1, 2, 3 … in each integration, each once.
fn judge_histories(evidence: &Evidence, verdict: &mut Verdict) {
    let mut histories: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for message in &evidence.acknowledged {
        let history = histories.entry(&message.integration).or_default();
        history.push(message.sequence);
    }
    for (integration, mut sequences) in histories {
        sequences.sort_unstable();
        for (position, sequence) in sequences.iter().enumerate() {
            let expected = position as u64 + 1;
            if *sequence != expected {
                verdict.order_violations += 1;
                verdict.notes.push(format!(
                    "order: integration {integration} has sequence {sequence} where {expected} should be"
                ));
                break;
            }
        }
    }
}

/// The lanes of one webhook, and where each of them stands while the log is read.
struct Lanes<'a> {
    webhook: &'a Subscribed,
    verifier: Option<Webhook>,
    arrivals: &'a [Arrival],
    faults: &'a [Fault],
    clock: ServerClock<'a>,
    messages: HashMap<String, Expected<'a>>,
    /// The pauses that the receiver asked for: from when until when nothing may arrive.
    pauses: Vec<(u64, u64)>,
    duplicates_at: BTreeMap<u64, u64>,
}

/// A message in a lane.
struct Expected<'a> {
    message: &'a Acknowledged,
    /// The message before it in the lane.
    before: Option<String>,
    previous: u64,
    /// The arrivals so far: their positions in the log.
    arrivals: Vec<usize>,
    /// When the newest 2xx was answered.
    delivered_us: Option<u64>,
    /// The fault that explained the newest duplicate: it explains no other.
    explained_by: Option<u64>,
}

impl<'a> Lanes<'a> {
    fn of(webhook: &'a Subscribed, evidence: &'a Evidence) -> Self {
        let mut lanes: BTreeMap<&str, BTreeMap<u64, &Acknowledged>> = BTreeMap::new();
        for message in wanted(webhook, evidence) {
            let lane = lanes.entry(&message.integration).or_default();
            lane.insert(message.sequence, message);
        }
        let mut messages = HashMap::new();
        for lane in lanes.values() {
            let mut before: Option<&Acknowledged> = None;
            for message in lane.values() {
                let expected = Expected {
                    message,
                    before: before.map(Acknowledged::message_id),
                    previous: before.map_or(0, |before| before.sequence),
                    arrivals: Vec::new(),
                    delivered_us: None,
                    explained_by: None,
                };
                messages.insert(message.message_id(), expected);
                before = Some(message);
            }
        }
        let mut lanes = Self {
            webhook,
            verifier: Webhook::new(&webhook.secret).ok(),
            arrivals: evidence
                .arrivals
                .get(&webhook.name)
                .map_or(&[], Vec::as_slice),
            faults: &evidence.faults,
            clock: ServerClock(&evidence.clock),
            messages,
            pauses: Vec::new(),
            duplicates_at: BTreeMap::new(),
        };
        lanes.pauses = lanes.pauses();
        lanes
    }

    fn pauses(&self) -> Vec<(u64, u64)> {
        let asked = self.arrivals.iter().filter_map(|arrival| {
            let answered = arrival.answered?;
            Some((answered.at_us, answered.retry_after_s? * 1_000_000))
        });
        asked
            // A fault may have hit before the server kept what it was told.
            .filter(|(asked_us, _)| self.is_surely_known(*asked_us))
            .map(|(asked_us, pause_us)| {
                let ends = asked_us + pause_us.saturating_sub(EARLY_TOLERANCE_US);
                (asked_us + PAUSE_GRACE_US, ends)
            })
            .collect()
    }

    fn judge(mut self, verdict: &mut Verdict) {
        for position in 0..self.arrivals.len() {
            self.judge_signature(&self.arrivals[position], verdict);
            self.judge_pause(&self.arrivals[position], verdict);
            self.judge_end(&self.arrivals[position], verdict);
            self.judge_arrival(position, verdict);
        }
        let name = &self.webhook.name;
        for (id, expected) in &self.messages {
            if expected.delivered_us.is_none() {
                verdict.lost += 1;
                verdict.notes.push(format!("lost: {name} never took {id}"));
            }
        }
        for (fault, count) in &self.duplicates_at {
            if *count > self.webhook.max_in_flight {
                verdict.unexplained_duplicates += count - self.webhook.max_in_flight;
                verdict.notes.push(format!(
                    "duplicates: {count} at {name} for the fault at {fault} us"
                ));
            }
        }
    }

    /// For how long the process that sent it may have been stopped, if it was: what it had signed before, it sends
    /// afterwards, since it cannot know.
    fn stopped_s(&self, arrival: &Arrival) -> u64 {
        let stops = self.faults.iter().filter(|fault| {
            let goes_on_until = fault.ends_us + AFTERGLOW_US;
            fault.kind == STOPPED && (fault.at_us..=goes_on_until).contains(&arrival.at_us)
        });
        let for_us = stops.map(|fault| arrival.at_us - fault.at_us).max();
        for_us.unwrap_or(0).div_ceil(1_000_000)
    }

    /// I4: the signature is that of these bytes, and of this moment.
    fn judge_signature(&self, arrival: &Arrival, verdict: &mut Verdict) {
        let id = arrival.header("webhook-id");
        let timestamp: Option<i64> = arrival.header("webhook-timestamp").parse().ok();
        let mut moments = self.clock.moments(arrival);
        let tolerance_s = TIMESTAMP_TOLERANCE_S + self.stopped_s(arrival);
        let is_now = timestamp.is_some_and(|s| moments.any(|now| s.abs_diff(now) <= tolerance_s));
        let expected = self
            .verifier
            .as_ref()
            .zip(timestamp)
            .and_then(|(verifier, s)| verifier.sign(id, s, arrival.body.as_bytes()).ok());
        let is_signed = expected.is_some_and(|expected| {
            let mut items = arrival.header("webhook-signature").split(' ');
            items.any(|item| item == expected)
        });
        if !is_signed || !is_now {
            verdict.bad_signatures += 1;
            verdict.notes.push(format!(
                "signature: {id} at {}, signed={is_signed} timely={is_now}",
                self.webhook.name
            ));
        }
    }

    /// I7: nothing arrives while the receiver's pause lasts, but what was on its way.
    fn judge_pause(&self, arrival: &Arrival, verdict: &mut Verdict) {
        let at = arrival.at_us;
        let is_paused = self.pauses.iter().any(|(from, until)| {
            // A clock that was put forward meanwhile has the pause end sooner.
            let forward_us = self.clock.moved_forward_us(*from, at);
            (*from..until.saturating_sub(forward_us)).contains(&at)
        });
        if is_paused {
            verdict.early += 1;
            verdict.notes.push(format!(
                "early: {} arrived at {} during a pause",
                arrival.header("webhook-id"),
                self.webhook.name
            ));
        }
    }

    /// I5: a request that was begun is waited for and recorded, if no fault prevents it.
    fn judge_end(&self, arrival: &Arrival, verdict: &mut Verdict) {
        if arrival.answered.is_some() || arrival.hung_up {
            return;
        }
        let mut faults = self.faults_near(arrival.at_us, RECORD_WITHIN_US);
        if faults.next().is_none() {
            verdict.cut_off += 1;
            verdict.notes.push(format!(
                "cut off: {} at {} was not waited for",
                arrival.header("webhook-id"),
                self.webhook.name
            ));
        }
    }

    fn judge_arrival(&mut self, position: usize, verdict: &mut Verdict) {
        let arrival = &self.arrivals[position];
        let (id, name) = (arrival.header("webhook-id"), &self.webhook.name);
        // I2
        let Some(expected) = self.messages.get(id) else {
            verdict.phantom += 1;
            verdict.notes.push(format!("phantom: {id} at {name}"));
            return;
        };
        // I3
        if arrival.body != expected.message.body {
            verdict.phantom += 1;
            verdict.notes.push(format!(
                "bytes: {id} arrived at {name} with other bytes than the command caused"
            ));
        }
        if self.is_signed_before_its_time(arrival, expected) {
            verdict.bad_signatures += 1;
            verdict.notes.push(format!(
                "signature: {id} at {name} bears the time of an attempt before it"
            ));
        }
        let mut violations = self.order(arrival, expected);
        verdict.order_violations += violations.len() as u64;
        verdict.notes.append(&mut violations);
        if let Some(note) = self.early(arrival, expected) {
            verdict.early += 1;
            verdict.notes.push(note);
        }
        let mut explained_by = expected.explained_by;
        // What follows from the failure of a duplicate is no further one: the server knows of no 2xx.
        let last = expected
            .arrivals
            .last()
            .map(|position| &self.arrivals[*position]);
        if expected.delivered_us.is_some() && last.is_some_and(Arrival::is_delivered) {
            verdict.duplicates += 1;
            if let Some(fault_us) = self.explanation(expected, arrival) {
                *self.duplicates_at.entry(fault_us).or_default() += 1;
                explained_by = Some(fault_us);
            } else {
                verdict.unexplained_duplicates += 1;
                verdict.notes.push(format!(
                    "duplicate: {id} at {name} without a fault before it"
                ));
            }
        }
        let expected = self.messages.get_mut(id).expect("it was found above");
        expected.arrivals.push(position);
        expected.explained_by = explained_by;
        if let Some(answered) = arrival.answered.filter(|_| arrival.is_delivered()) {
            expected.delivered_us = Some(answered.at_us);
        }
    }

    /// I6: the message before it was taken, and the headers tell the same history.
    fn order(&self, arrival: &Arrival, expected: &Expected<'_>) -> Vec<String> {
        let id = arrival.header("webhook-id");
        let mut notes = Vec::new();
        let before = expected.before.as_ref().map(|id| &self.messages[id]);
        if before.is_some_and(|before| before.delivered_us.is_none()) {
            notes.push(format!(
                "order: {id} arrived at {} before {} was taken",
                self.webhook.name, expected.previous
            ));
        }
        let told = (
            arrival.number("bellhop-sequence"),
            arrival.number("bellhop-previous"),
        );
        let is_told = told == (Some(expected.message.sequence), Some(expected.previous));
        if !is_told || arrival.header("bellhop-action") != expected.message.action {
            notes.push(format!(
                "order: {id} at {} tells {told:?}, and follows {}",
                self.webhook.name, expected.previous
            ));
        }
        notes
    }

    /// I4: a further try is signed when it begins. Both timestamps are the server's, so there is no tolerance: they
    /// are as far apart as the schedule says, at least. (A clock that was set tells nothing here.)
    fn is_signed_before_its_time(&self, arrival: &Arrival, expected: &Expected<'_>) -> bool {
        let Some(last) = expected.arrivals.last().map(|last| &self.arrivals[*last]) else {
            return false;
        };
        let (before, number) = (
            last.number("bellhop-attempt"),
            arrival.number("bellhop-attempt"),
        );
        let times = (
            last.number("webhook-timestamp"),
            arrival.number("webhook-timestamp"),
        );
        let (Some(before), Some(number), (Some(first), Some(second))) = (before, number, times)
        else {
            return false;
        };
        let wait_s = self.webhook.waits_s.get(before as usize).copied();
        let is_further = number > before && !last.is_delivered();
        is_further && self.clock.0.is_empty() && second < first + wait_s.unwrap_or(0)
    }

    /// The newest attempt so far, by its number. If several bear it and a process was stopped meanwhile, the first: a
    /// process that goes on sends what another has sent for it, and records nothing of that.
    fn newest(&self, expected: &Expected<'_>) -> Option<&'a Arrival> {
        let number = |at: &usize| self.arrivals[*at].number("bellhop-attempt");
        let highest = expected.arrivals.iter().map(number).max()?;
        let bearing = expected.arrivals.iter().filter(|at| number(at) == highest);
        let mut bearing = bearing.map(|at| &self.arrivals[*at]);
        let first = bearing.next()?;
        let last = bearing.next_back().unwrap_or(first);
        Some(if self.stopped_s(last) > 0 {
            first
        } else {
            last
        })
    }

    /// I7: a further try waits as long as the schedule and the receiver said. An attempt whose record
    /// was lost in a fault is made again under the same number, and need not wait.
    fn early(&self, arrival: &Arrival, expected: &Expected<'_>) -> Option<String> {
        let last = self.newest(expected)?;
        let (before, number) = (
            last.number("bellhop-attempt")?,
            arrival.number("bellhop-attempt")?,
        );
        if number <= before || last.is_delivered() {
            return None;
        }
        let scheduled = self.webhook.waits_s.get(before as usize).copied();
        let told = last
            .answered
            .filter(|answered| self.is_surely_known(answered.at_us))
            .and_then(|answered| answered.retry_after_s);
        let wait_us = scheduled.max(told).unwrap_or(0) * 1_000_000;
        let ended_us = last.answered.map_or(last.at_us, |answered| answered.at_us);
        let waited_us = arrival.at_us.saturating_sub(ended_us)
            + self.clock.moved_forward_us(ended_us, arrival.at_us);
        (waited_us + EARLY_TOLERANCE_US < wait_us).then(|| {
            format!(
                "early: attempt {number} of {} at {} came {waited_us} us after attempt {before}, not {wait_us}",
                arrival.header("webhook-id"),
                self.webhook.name
            )
        })
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
