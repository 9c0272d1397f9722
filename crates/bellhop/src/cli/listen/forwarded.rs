//! What has been forwarded, so that each message comes once: when it is new, and when somebody replays it.

use std::{collections::HashSet, time::SystemTime};

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::{Failure, client::Client};

/// After so many it forgets, and begins anew.
const MOST: usize = 65_536;

/// What has been forwarded.
#[derive(Debug)]
pub struct Forwarded {
    /// Older messages were there before: only their replays are forwarded.
    since_second: i64,
    /// Deliveries, each with 0 for the message itself and the number of the attempt for a replay.
    seen: HashSet<(String, u64)>,
}

impl Forwarded {
    /// From this moment on, by the server's clock.
    pub fn since(opened: SystemTime) -> Self {
        let since = opened
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            since_second: i64::try_from(since.as_secs()).unwrap_or(0),
            seen: HashSet::new(),
        }
    }

    /// Whether it is to be forwarded, by what the stream says of it.
    pub async fn wants(&mut self, client: &Client, delivery: &Value) -> Result<bool, Failure> {
        if self.seen.len() >= MOST {
            self.seen.clear();
        }
        let id = delivery["Id"].as_str().unwrap_or_default();
        let created = delivery["CreatedUtc"]
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok());
        let is_new = created.is_some_and(|at| at.as_second() >= self.since_second);
        if is_new && self.seen.insert((id.to_owned(), 0)) {
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
        Ok(number.is_some_and(|number| self.seen.insert((id.to_owned(), number))))
    }
}
