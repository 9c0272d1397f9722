//! The webhooks that the dispatcher knows, and when to look at each of them again.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use jiff::Timestamp;

use super::line::{Line, Turn};
use crate::id::WebhookId;

/// What is known of so many webhooks is kept while they have nothing to do.
const MAX_REMEMBERED: usize = 20_000;

/// What is known of webhooks.
#[derive(Debug)]
pub struct Lines {
    known: HashMap<WebhookId, Line>,
    /// Webhooks that have something due later.
    later: BTreeSet<(Timestamp, WebhookId)>,
    /// When to look whether a request of a webhook takes long.
    watched: BinaryHeap<Reverse<(Timestamp, WebhookId)>>,
    /// Beyond so many, idle ones are forgotten.
    most: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            later: BTreeSet::new(),
            watched: BinaryHeap::new(),
            most: MAX_REMEMBERED,
        }
    }
}

impl Lines {
    /// What is known of a webhook.
    pub fn of(&mut self, webhook: WebhookId) -> &mut Line {
        self.known.entry(webhook).or_default()
    }

    /// The webhook has something due at this moment; only the earliest is remembered.
    pub fn plan(&mut self, webhook: WebhookId, due: Timestamp) {
        let line = self.known.entry(webhook).or_default();
        if line.turn == Turn::Ready || line.later.is_some_and(|planned| planned <= due) {
            return;
        }
        if let Some(planned) = line.later.replace(due) {
            self.later.remove(&(planned, webhook));
        }
        self.later.insert((due, webhook));
    }

    /// A webhook that was planned, and whose time has come.
    pub fn next_due(&mut self, now: Timestamp) -> Option<WebhookId> {
        let (due, webhook) = self.later.first().copied()?;
        if due > now {
            return None;
        }
        self.later.remove(&(due, webhook));
        self.of(webhook).later = None;
        Some(webhook)
    }

    /// Looks at the webhook again when its oldest request may have taken long.
    pub fn watch(&mut self, webhook: WebhookId, now: Timestamp) {
        let line = self.known.entry(webhook).or_default();
        if let Some(at) = line.look_at(now).filter(|_| !line.is_watched) {
            line.is_watched = true;
            self.watched.push(Reverse((at, webhook)));
        }
    }

    /// A webhook that is to be looked at now.
    pub fn next_watched(&mut self, now: Timestamp) -> Option<WebhookId> {
        let Reverse((at, webhook)) = self.watched.peek().copied()?;
        if at > now {
            return None;
        }
        self.watched.pop();
        self.of(webhook).is_watched = false;
        Some(webhook)
    }

    /// When there is something to do, if nothing else happens.
    pub fn next_time(&self) -> Option<Timestamp> {
        let planned = self.later.first().map(|(due, _)| *due);
        let watched = self.watched.peek().map(|Reverse((at, _))| *at);
        planned.into_iter().chain(watched).min()
    }

    /// All times are wrong: the clock was set back.
    pub fn forget_times(&mut self) {
        self.later.clear();
        self.watched.clear();
        for line in self.known.values_mut() {
            line.later = None;
            line.is_watched = false;
        }
    }

    /// Forgets webhooks with nothing under way and nothing planned when there are too many, so that memory follows work.
    pub fn forget_idle(&mut self) {
        if self.known.len() > self.most {
            self.known.retain(|_, line| !line.is_idle());
            // Where most are busy, they are not all looked at again for each that is added.
            self.most = MAX_REMEMBERED.max(self.known.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn webhook(n: usize) -> WebhookId {
        WebhookId(uuid::Uuid::from_u128(n as u128))
    }

    #[test]
    fn the_earliest_plan_of_a_webhook_is_the_one_that_counts() {
        let mut lines = Lines::default();
        lines.plan(webhook(1), at(30));
        lines.plan(webhook(1), at(10));
        lines.plan(webhook(1), at(20));
        assert_eq!(lines.next_due(at(9)), None);
        assert_eq!(lines.next_due(at(10)), Some(webhook(1)));
        assert_eq!(lines.next_due(at(100)), None);
    }

    #[test]
    fn memory_follows_work() {
        let mut lines = Lines::default();
        for n in 0..=MAX_REMEMBERED {
            lines.of(webhook(n));
        }
        lines.plan(webhook(7), at(0));
        lines.of(webhook(8)).in_flight = 1;
        lines.forget_idle();
        assert_eq!(lines.known.len(), 2);
    }
}
