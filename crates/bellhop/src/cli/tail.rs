//! `bellhop tail`: what happens, as it happens.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anstream::eprintln;
use serde_json::{Value, json};

use super::{
    Failure,
    event_stream::{Event, EventStream, until_stopped},
    filter::Filter,
    receive::print::time_of_day,
    remote::{Column, Desk, Lines, RemoteArgs, clean, column, row},
    style::{DIM, HEAD, WARN},
};
use crate::clock::{Clock as _, SystemClock};

const DELIVERY: &[(Column, usize)] = &[
    (column("STATE", "State"), 9),
    (column("ACTION", "Action"), 24),
    (column("SEQ", "Sequence"), 4),
    (column("TRIES", "AttemptCount"), 5),
    (column("DELIVERY", "Id"), 36),
    (column("INTEGRATION", "IntegrationId"), 36),
    (column("CAUSE", "Cause"), 0),
];

/// Show deliveries, and changes of webhooks and integrations, as they happen.
///
/// It goes on until Ctrl-C. When the connection breaks, or the server is started anew, it comes again where it was; what is
/// missing is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop tail
  bellhop tail --state Failed
  bellhop tail --webhook ID -o jsonl | jq .Data.Cause
  bellhop tail --kind Webhook                      what becomes of webhooks: paused, disabled, circuit")]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Only this: Delivery, Webhook or Integration.
    #[arg(long)]
    kind: Option<String>,
    /// End after so long.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3600))]
    wait: Option<u64>,
    /// How to print what happens.
    #[arg(short, long, value_enum, default_value_t)]
    output: Lines,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Shows it until it is stopped.
pub fn run(args: &Args) -> Result<(), Failure> {
    Desk::following(&args.remote)?.run(async |desk| until_stopped(follow(desk, args)).await)
}

async fn follow(desk: &Desk, args: &Args) -> Result<(), Failure> {
    let mut query = args.filter.members().to_vec();
    query.push(("Kind", args.kind.clone()));
    query.push(("WaitSeconds", args.wait.map(|seconds| seconds.to_string())));
    let mut events = EventStream::open(&desk.client, &query).await?;
    if args.output == Lines::Table {
        eprintln!(
            "{DIM}Listening at {}. Ctrl-C ends it.{DIM:#}",
            desk.client.base()
        );
        heading()?;
    }
    while let Some(event) = events.next().await? {
        match args.output {
            Lines::Table => table(&event)?,
            Lines::Jsonl => {
                let line = json!({ "Event": event.name, "Data": event.data });
                desk.output.one(&line.to_string())?;
            }
        }
    }
    Ok(())
}

fn heading() -> io::Result<()> {
    let names = [
        "STATE",
        "ACTION",
        "SEQ",
        "TRIES",
        "DELIVERY",
        "INTEGRATION",
        "CAUSE",
    ];
    let mut line = format!("{:12}  ", "TIME (UTC)");
    for (name, (_, width)) in names.iter().zip(DELIVERY) {
        let _ = write!(line, "{name:width$}  ");
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{HEAD}{}{HEAD:#}", line.trim_end())?;
    out.flush()
}

fn table(event: &Event) -> io::Result<()> {
    let data = &event.data;
    let text = |member: &str| clean(data[member].as_str().unwrap_or("-"));
    let what = match event.name.as_str() {
        "delivery" => row(data, DELIVERY),
        "webhook" => format!(
            "{HEAD}webhook{HEAD:#} {} is {}, its circuit {}{}",
            text("Id"),
            text("State"),
            clean(data["Health"]["Circuit"].as_str().unwrap_or("-")),
            reason(&data["StateReason"])
        ),
        "webhook-deleted" => format!("{HEAD}webhook{HEAD:#} {} is deleted", text("Id")),
        "integration" => format!(
            "{HEAD}integration{HEAD:#} {} is {} (sequence {}): {}",
            text("Id"),
            text("State"),
            data["Sequence"],
            text("Name")
        ),
        "gap" => {
            eprintln!(
                "{WARN}warning:{WARN:#} something is missing here ({}): {}",
                text("Reason"),
                text("Detail")
            );
            return Ok(());
        }
        // A later server tells more than this version knows.
        _ => return Ok(()),
    };
    let mut out = anstream::stdout().lock();
    let now = time_of_day(SystemClock.now());
    writeln!(out, "{DIM}{now}{DIM:#}  {what}")?;
    out.flush()
}

fn reason(value: &Value) -> String {
    value
        .as_str()
        .map(|why| format!(": {}", clean(why)))
        .unwrap_or_default()
}
