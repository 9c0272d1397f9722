//! Promises that are not about a single lane: tokens that were revoked (I9), and receivers that are sick (I8).

use std::collections::{BTreeMap, HashMap};

use crate::{
    log::{Evidence, Stretch, Subscribed},
    report::Verdict,
};

/// Below this a busy machine decides, and not who else is sick.
const UNREMARKABLE_US: u64 = 50_000;
/// A 99th percentile of fewer is chance.
const FEWEST: usize = 100;

/// I9: the token of an integration whose deletion was acknowledged is not active when somebody asks after it.
pub fn judge_introspections(evidence: &Evidence, verdict: &mut Verdict) {
    let deleted: BTreeMap<&str, u64> = evidence
        .acknowledged
        .iter()
        .filter(|message| message.action == "IntegrationDeleted")
        .map(|message| (message.integration.as_str(), message.at_us))
        .collect();
    for asked in &evidence.introspected {
        let revoked_us = deleted.get(asked.integration.as_str());
        if asked.active && revoked_us.is_some_and(|revoked_us| *revoked_us <= asked.asked_us) {
            verdict.active_after_revocation += 1;
            verdict.notes.push(format!(
                "token: that of {} is active after its deletion was acknowledged",
                asked.integration
            ));
        }
    }
}

/// I8: sick receivers move no healthy webhook's p99 by more than a factor of two.
pub fn judge_isolation(evidence: &Evidence, verdict: &mut Verdict) {
    let of = |with_sick| {
        let mut stretches = evidence.stretches.iter();
        stretches.find(|stretch| stretch.with_sick == with_sick)
    };
    let (Some(alone), Some(with_sick)) = (of(false), of(true)) else {
        return;
    };
    for webhook in &evidence.webhooks {
        let name = &webhook.name;
        let p99s = (
            p99_us(evidence, webhook, alone),
            p99_us(evidence, webhook, with_sick),
        );
        let (Some(alone_us), Some(with_sick_us)) = p99s else {
            verdict.slowed += 1;
            let note = format!("slowed: too few messages at {name} to tell");
            verdict.notes.push(note);
            continue;
        };
        if with_sick_us > (2 * alone_us).max(UNREMARKABLE_US) {
            verdict.slowed += 1;
            verdict.notes.push(format!(
                "slowed: {name} has a p99 of {with_sick_us} us beside sick receivers, and {alone_us} us without"
            ));
        }
    }
}

/// The 99th percentile from a command to its first arrival, over the commands of a stretch.
pub fn p99_us(evidence: &Evidence, webhook: &Subscribed, stretch: &Stretch) -> Option<u64> {
    let mut first: HashMap<&str, u64> = HashMap::new();
    for arrival in evidence.arrivals.get(&webhook.name).into_iter().flatten() {
        first
            .entry(arrival.header("webhook-id"))
            .or_insert(arrival.at_us);
    }
    let asked = evidence.acknowledged.iter().filter(|message| {
        (stretch.from_us..stretch.until_us).contains(&message.asked_us)
            && webhook.actions.contains(&message.action)
    });
    let mut waits: Vec<u64> = asked
        .filter_map(|message| {
            let arrived_us = first.get(message.message_id().as_str())?;
            Some(arrived_us.saturating_sub(message.asked_us))
        })
        .collect();
    waits.sort_unstable();
    let place = (waits.len() * 99).div_ceil(100).checked_sub(1)?;
    (waits.len() >= FEWEST).then(|| waits[place])
}
