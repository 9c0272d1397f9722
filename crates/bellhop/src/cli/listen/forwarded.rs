//! What has been forwarded, so that each message comes once: when it is new, and when somebody replays it.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::{Failure, client::Client};

/// After so many it forgets, and begins anew.
const MOST: usize = 65_536;
/// How many of the newest deliveries are looked at before it begins.
const NEWEST: u32 = 1000;

/// What has been forwarded.
#[derive(Debug)]
pub struct Forwarded {
    /// Older messages were there before: only their replays are forwarded.
    since_second: i64,
    /// Deliveries, each with 0 for the message itself and the number of the attempt for a replay.
    seen: HashSet<(String, u64)>,
}

impl Forwarded {
    /// Nothing yet, and nothing of what this webhook was sent before. To be asked before the stream is opened: what is
    /// made in between is new.
    pub async fn before(client: &Client, webhook: &str) -> Result<Self, Failure> {
        let path = format!("/v1/deliveries?WebhookId={webhook}&Limit={NEWEST}");
        let page: Value = client.get(&path).await?;
        let items = page["Items"].as_array().into_iter().flatten();
        Ok(Self {
            since_second: 0,
            seen: items.map(|delivery| (id_of(delivery), 0)).collect(),
        })
    }

    /// Nothing that was made before this moment, by the server's clock, is new.
    pub fn since(&mut self, opened: SystemTime) {
        let since = opened.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.since_second = i64::try_from(since.as_secs()).unwrap_or(0);
    }

    /// Whether it is to be forwarded, by what the stream says of it.
    pub async fn wants(&mut self, client: &Client, delivery: &Value) -> Result<bool, Failure> {
        if self.seen.len() >= MOST {
            self.seen.clear();
        }
        let id = id_of(delivery);
        let created = delivery["CreatedUtc"]
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok());
        let is_new = created.is_some_and(|at| at.as_second() >= self.since_second);
        if is_new && self.seen.insert((id.clone(), 0)) {
            return Ok(true);
        }
        if delivery["AttemptCount"] == 0 || delivery["State"] == "Discarded" {
            return Ok(false);
        }
        // Another attempt: of the schedule, or because somebody asked.
        let whole: Value = client.get(&format!("/v1/deliveries/{id}")).await?;
        let last = whole["Attempts"]
            .as_array()
            .and_then(|attempts| attempts.last());
        let replayed = last.filter(|attempt| attempt["IsReplay"] == true);
        let number = replayed.and_then(|attempt| attempt["Number"].as_u64());
        Ok(number.is_some_and(|number| self.seen.insert((id, number))))
    }
}

fn id_of(delivery: &Value) -> String {
    delivery["Id"].as_str().unwrap_or_default().to_owned()
}
