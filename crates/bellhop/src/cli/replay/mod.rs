//! `bellhop replay`: send deliveries again, one or many, and look after the runs.

mod bulk;
mod runs;

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Code, Failure,
    filter::{Filter, Times},
    remote::{Desk, Printed, RemoteArgs},
    resource::webhook::taken,
};

/// Send deliveries again: these, or all that fit a filter, counted first.
///
/// A delivery is sent with the same id and the same bytes, and a fresh timestamp and signature. Many are a run: it goes on in
/// the server, whether anybody looks or not, and survives a restart.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  bellhop replay ID                                one, now
  bellhop replay ID --wait                         and see what comes of it
  bellhop replay --state Failed --since 2h         counts, asks, and shows how far it is
  bellhop replay --webhook ID --cause connect_refused --yes
  bellhop replay --state Failed --dry-run -o json  only count
  bellhop replay list                              the runs; pause, resume or cancel one by its id")]
pub struct Args {
    #[command(subcommand)]
    command: Option<runs::Command>,
    /// These deliveries.
    #[arg(value_name = "DELIVERY")]
    deliveries: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    times: Times,
    /// Only count what fits the filter.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask whether that is meant.
    #[arg(short, long)]
    yes: bool,
    /// For a delivery: wait for its attempt, 30 seconds unless said otherwise. For a run: at most so long.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "30")]
    wait: Option<u64>,
    /// Start the run and do not wait for its end.
    #[arg(long, conflicts_with = "wait")]
    detach: bool,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Does it.
pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(command) = &args.command {
        return runs::run(command);
    }
    let mut filter = args.filter.members().to_vec();
    filter.extend(args.times.members()?);
    filter.retain(|(_, value)| value.is_some());
    match (args.deliveries.is_empty(), filter.is_empty()) {
        (true, true) => Err(Failure::new(Code::Usage, "which deliveries?")
            .hint("bellhop replay ID, or a filter: bellhop replay --state Failed --since 2h")),
        (false, false) => Err(
            Failure::new(Code::Usage, "ids and a filter do not go together")
                .hint("two commands, one for each"),
        ),
        (false, true) => Desk::open(&args.remote, args.printed)?.run(async |desk| {
            for id in &args.deliveries {
                again(desk, *id, args.wait).await?;
            }
            Ok(())
        }),
        (true, false) => Desk::open(&args.remote, args.printed)?
            .run(async |desk| bulk::run(desk, args, &filter).await),
    }
}

/// Sends one again.
async fn again(desk: &Desk, id: Uuid, wait: Option<u64>) -> Result<(), Failure> {
    let path = format!("/v1/deliveries/{id}/replay");
    let mut asking = desk.client.ask(Method::POST, path).json(json!({}));
    if let Some(seconds) = wait {
        asking = asking.header("prefer", format!("wait={seconds}"));
    }
    let answered = asking.send().await?;
    desk.output.one(&answered.text)?;
    let Some(seconds) = wait else {
        return Ok(());
    };
    if answered.status == http::StatusCode::ACCEPTED {
        let cause = format!("the delivery {id} was not attempted within {seconds} s");
        let hint =
            format!("is its webhook enabled, and its circuit closed? bellhop delivery get {id}");
        return Err(Failure::new(Code::TimedOut, cause).hint(hint));
    }
    let attempts = answered.document["Attempts"].as_array();
    match attempts.and_then(|attempts| attempts.last()) {
        Some(last) => taken(last),
        None => Ok(()),
    }
}

/// A filter as people write it.
fn shown(filter: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in filter {
        if let Some(value) = value {
            let _ = write!(
                text,
                "{}{name} {value}",
                if text.is_empty() { "" } else { ", " }
            );
        }
    }
    text
}

/// How many, of a document of the API.
fn count(document: &Value, member: &str) -> u64 {
    document[member].as_u64().unwrap_or(0)
}
