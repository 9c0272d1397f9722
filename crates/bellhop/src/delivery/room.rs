//! How much room there is: most requests at a time over all webhooks, and most for one host. Receivers that hold
//! requests for long, and those of which nothing is known, never use up the room of those that answer soon.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::id::WebhookId;

/// How long a webhook holds the room that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Its newest request succeeded, or was over soon, and none under way takes long.
    Quick,
    /// Nothing is known of it.
    #[default]
    New,
    /// Its newest request took long and failed, or one under way takes long.
    Slow,
}

/// Room of which so much is in use.
#[derive(Debug)]
pub struct Quota {
    cap: usize,
    in_flight: [usize; 3],
}

/// The room of each host that has requests in flight, or webhooks that wait for room.
#[derive(Debug)]
pub struct Hosts {
    cap: usize,
    known: HashMap<Arc<str>, Host>,
}

#[derive(Debug)]
struct Host {
    quota: Quota,
    /// Webhooks that have something due and found no room, each once.
    waiting: [VecDeque<WebhookId>; 3],
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quick, Self::New, Self::Slow];
}

impl Quota {
    /// Room for so many requests.
    pub const fn new(cap: usize) -> Self {
        Self {
            cap,
            in_flight: [0; 3],
        }
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// How many more a webhook of this standing may begin. The slow get no more while they hold a quarter of all room,
    /// nor the new while both hold half. The last quarter is for webhooks that have nothing else under way: when many
    /// that were quick begin to hang at once, the others still have their turn.
    pub fn room(&self, standing: Standing, has_more_under_way: bool) -> usize {
        let [_, new, slow] = self.in_flight;
        let used = self.in_flight();
        let up_to = |quarters: usize, used: usize| {
            let part = (self.cap * quarters / 4).max(1);
            part.saturating_sub(used)
        };
        let room = match standing {
            Standing::Quick if has_more_under_way => up_to(3, used),
            Standing::Quick => up_to(4, used),
            Standing::New => up_to(2, new + slow),
            Standing::Slow => up_to(2, new + slow).min(up_to(1, slow)),
        };
        room.min(self.cap.saturating_sub(used))
    }

    /// So many requests began.
    pub fn began(&mut self, standing: Standing, requests: usize) {
        self.in_flight[standing as usize] += requests;
    }

    /// So many ended.
    pub fn ended(&mut self, standing: Standing, requests: usize) {
        self.in_flight[standing as usize] -= requests;
    }
}

impl Hosts {
    /// Room for so many requests for each.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            known: HashMap::new(),
        }
    }

    /// See [`Quota::room`].
    pub fn room(&self, host: &str, standing: Standing, has_more_under_way: bool) -> usize {
        self.known.get(host).map_or(self.cap, |host| {
            host.quota.room(standing, has_more_under_way)
        })
    }

    /// So many requests to it began.
    pub fn began(&mut self, host: &Arc<str>, standing: Standing, requests: usize) {
        self.of(host).quota.began(standing, requests);
    }

    /// So many requests to it ended.
    pub fn ended(&mut self, host: &str, standing: Standing, requests: usize) {
        if let Some(of) = self.known.get_mut(host) {
            of.quota.ended(standing, requests);
        }
    }

    /// The webhook waits until the host has room.
    pub fn wait(&mut self, host: &Arc<str>, standing: Standing, webhook: WebhookId) {
        self.of(host).waiting[standing as usize].push_back(webhook);
    }

    /// The webhooks that find room now: they wait no longer. Forgets a host with nothing to remember.
    pub fn found_room(&mut self, host: &str) -> Vec<WebhookId> {
        let Some(of) = self.known.get_mut(host) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for standing in Standing::ALL {
            let waiting = &mut of.waiting[standing as usize];
            let room = of.quota.room(standing, false).min(waiting.len());
            found.extend(waiting.drain(..room));
        }
        if of.quota.in_flight() == 0 && of.waiting.iter().all(VecDeque::is_empty) {
            self.known.remove(host);
        }
        found
    }

    fn of(&mut self, host: &Arc<str>) -> &mut Host {
        // Looked for by reference first: almost always it is there, and the name need not be counted.
        if !self.known.contains_key(host) {
            let new = Host {
                quota: Quota::new(self.cap),
                waiting: Default::default(),
            };
            self.known.insert(host.clone(), new);
        }
        self.known.get_mut(host).expect("inserted above")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(n: u128) -> WebhookId {
        WebhookId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn the_slow_and_the_new_leave_room_for_those_that_answer() {
        let mut quota = Quota::new(16);
        quota.began(Standing::Slow, 4);
        assert_eq!(quota.room(Standing::Slow, false), 0);
        assert_eq!(quota.room(Standing::New, false), 4);
        quota.began(Standing::New, 4);
        assert_eq!(quota.room(Standing::New, false), 0);
        assert_eq!(quota.room(Standing::Quick, true), 4);
        quota.began(Standing::Quick, 4);
        assert_eq!(quota.room(Standing::Quick, true), 0);
        assert_eq!(quota.room(Standing::Quick, false), 4);
        quota.began(Standing::Quick, 4);
        assert_eq!(quota.room(Standing::Quick, false), 0);
        quota.ended(Standing::Slow, 4);
        assert_eq!(quota.room(Standing::Slow, false), 4);
    }

    #[test]
    fn a_server_with_room_for_one_sends_to_everybody() {
        let quota = Quota::new(1);
        for standing in Standing::ALL {
            assert_eq!(quota.room(standing, false), 1);
        }
    }

    #[test]
    fn webhooks_of_one_host_share_its_room_and_get_it_in_turn() {
        let mut hosts = Hosts::new(4);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        hosts.began(&one, Standing::Quick, 4);
        let room = |hosts: &Hosts, host: &str| hosts.room(host, Standing::Quick, false);
        assert_eq!((room(&hosts, &one), room(&hosts, &other)), (0, 4));
        hosts.wait(&one, Standing::Quick, webhook(1));
        hosts.wait(&one, Standing::Quick, webhook(2));
        assert_eq!(hosts.found_room(&one), []);
        hosts.ended(&one, Standing::Quick, 1);
        assert_eq!(hosts.found_room(&one), [webhook(1)]);
        // It did not need it: the next one is not forgotten.
        assert_eq!(hosts.found_room(&one), [webhook(2)]);
        hosts.ended(&one, Standing::Quick, 3);
        assert_eq!(hosts.found_room(&one), []);
        assert!(hosts.known.is_empty(), "memory follows work");
    }
}
