//! `--wait`: until what was asked for has come to an end at every webhook.

use std::time::Duration;

use anstream::eprintln;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Code, Failure,
    remote::{Column, Desk, column, row},
};

/// How long to wait between looks.
const LOOK: Duration = Duration::from_millis(200);

const SHOWN: &[(Column, usize)] = &[
    (column("", "WebhookId"), 36),
    (column("", "State"), 9),
    (column("", "AttemptCount"), 3),
    (column("", "Cause"), 0),
];

/// How long to wait.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Waiting {
    /// Wait until every webhook has it, or so many seconds; exit code 8 if that is too short, 7 if one has not taken it.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "30")]
    wait: Option<u64>,
}

impl Waiting {
    /// How long, if at all.
    pub fn duration(self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }
}

/// Waits until every delivery of the newest message of this integration has ended.
pub async fn until_ended(
    desk: &Desk,
    waiting: &Waiting,
    integration: &Value,
) -> Result<(), Failure> {
    let Some(wait) = waiting.duration() else {
        return Ok(());
    };
    if integration["Changed"] == Value::Bool(false) {
        return Ok(());
    }
    let (id, sequence) = (
        integration["Id"].as_str().unwrap_or_default(),
        &integration["Sequence"],
    );
    let path = format!("/v1/deliveries?IntegrationId={id}&Limit=1000");
    let until = Instant::now() + wait;
    loop {
        let mut page: Value = desk.client.get(&path).await?;
        let mut all = match page["Items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        all.retain(|delivery| delivery["Sequence"] == *sequence);
        let pending = all
            .iter()
            .filter(|delivery| delivery["State"] == "Pending")
            .count();
        if pending == 0 {
            return ended(&all);
        }
        if Instant::now() >= until {
            show(&all);
            let cause = format!(
                "{pending} of {} deliveries have not ended within {} s",
                all.len(),
                wait.as_secs()
            );
            let hint = format!("bellhop delivery list --integration {id}");
            return Err(Failure::new(Code::TimedOut, cause).hint(hint));
        }
        sleep(LOOK).await;
    }
}

fn ended(all: &[Value]) -> Result<(), Failure> {
    show(all);
    if all.is_empty() {
        eprintln!("No webhook wants it.");
    }
    match all.iter().find(|delivery| delivery["State"] != "Delivered") {
        None => Ok(()),
        Some(failed) => {
            let state = failed["State"].as_str().unwrap_or_default();
            let id = failed["Id"].as_str().unwrap_or_default();
            let cause = format!("the delivery {id} is {state}");
            Err(Failure::new(Code::CheckFailed, cause).hint(format!("bellhop delivery get {id}")))
        }
    }
}

fn show(all: &[Value]) {
    for delivery in all {
        eprintln!("{}", row(delivery, SHOWN));
    }
}
