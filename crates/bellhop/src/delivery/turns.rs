//! Whose turn it is: webhooks that may have something due, by how long they hold the room that they get.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{
    line::{Line, Turn},
    prepared::Prepared,
    room::{Hosts, Quota, Standing},
};
use crate::id::WebhookId;

/// Webhooks that may have something due now, each once, and the room that there is.
#[derive(Debug)]
pub struct Turns {
    all: Quota,
    hosts: Hosts,
    ready: [VecDeque<WebhookId>; 3],
    /// Who is first: the three take turns at it.
    first: usize,
}

impl Turns {
    /// For so many requests in all, and so many to one host.
    pub fn new(max_in_flight: usize, per_host: usize) -> Self {
        Self {
            all: Quota::new(max_in_flight),
            hosts: Hosts::new(per_host),
            ready: Default::default(),
            first: 0,
        }
    }

    /// All requests in flight.
    pub fn in_flight(&self) -> usize {
        self.all.in_flight()
    }

    /// The order in which the standings are asked this time.
    pub fn round(&mut self) -> [Standing; 3] {
        self.first = (self.first + 1) % 3;
        [0, 1, 2].map(|after| Standing::ALL[(self.first + after) % 3])
    }

    /// How many webhooks may have their turn now: those that are ready, or none if there is no room for one.
    pub fn ready(&self, standing: Standing) -> usize {
        match self.all.room(standing, false) {
            0 => 0,
            _ => self.ready[standing as usize].len(),
        }
    }

    /// An equal share of the room for each that is ready.
    pub fn share(&self, standing: Standing) -> usize {
        let ready = self.ready[standing as usize].len().max(1);
        (self.all.room(standing, false) / ready).max(1)
    }

    /// The next webhook, unless there is no room for it.
    pub fn next(&mut self, standing: Standing) -> Option<WebhookId> {
        if self.all.room(standing, false) == 0 {
            return None;
        }
        self.ready[standing as usize].pop_front()
    }

    /// A webhook is ready.
    pub fn join(&mut self, standing: Standing, webhook: WebhookId) {
        self.ready[standing as usize].push_back(webhook);
    }

    /// How many requests it may begin now. If none, it is ready again when one of its requests ends, or waits for its
    /// host.
    pub fn room(&mut self, webhook: WebhookId, line: &mut Line) -> usize {
        let has_more_under_way = line.in_flight > 0;
        let all = self.all.room(line.standing, has_more_under_way);
        let room = line.host.as_deref().map_or(all, |host| {
            let of_host = self.hosts.room(host, line.standing, has_more_under_way);
            of_host.min(all)
        });
        if room > 0 {
            return room;
        }
        match &line.host {
            _ if has_more_under_way => line.has_more = true,
            Some(host) if all > 0 => {
                self.hosts.wait(host, line.standing, webhook);
                line.turn = Turn::WaitsForHost;
            }
            // It became slower while it was ready: another turn, among its like.
            _ => {
                line.turn = Turn::Ready;
                self.join(line.standing, webhook);
            }
        }
        0
    }

    /// So many requests of the webhook begin.
    pub fn began(&mut self, line: &mut Line, requests: usize) {
        line.in_flight += requests;
        self.count(line, requests);
    }

    /// So many ended.
    pub fn ended(&mut self, line: &mut Line, requests: usize) {
        line.in_flight -= requests;
        self.discount(line, requests);
    }

    /// The webhook stands like this from now on.
    pub fn stand(&mut self, line: &mut Line, standing: Standing) {
        if line.standing != standing {
            self.discount(line, line.in_flight);
            line.standing = standing;
            self.count(line, line.in_flight);
        }
    }

    /// Takes the settings of a webhook over. What is under way counts for the host that it has now.
    pub fn settle(&mut self, line: &mut Line, webhook: &Prepared, now: Timestamp) {
        if line.host.as_deref() != webhook.host.as_deref() {
            self.discount(line, line.in_flight);
            line.host.clone_from(&webhook.host);
            self.count(line, line.in_flight);
        }
        line.settle(webhook, now);
    }

    /// See [`Hosts::found_room`].
    pub fn found_room(&mut self, host: &str) -> Vec<WebhookId> {
        self.hosts.found_room(host)
    }

    fn count(&mut self, line: &Line, requests: usize) {
        self.all.began(line.standing, requests);
        if let Some(host) = line.host.as_ref().filter(|_| requests > 0) {
            self.hosts.began(host, line.standing, requests);
        }
    }

    fn discount(&mut self, line: &Line, requests: usize) {
        self.all.ended(line.standing, requests);
        if let Some(host) = &line.host {
            self.hosts.ended(host, line.standing, requests);
        }
    }
}
