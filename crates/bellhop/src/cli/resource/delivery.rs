//! `bellhop delivery`. Sending again is `bellhop replay`.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{One, Shared};
use crate::cli::{
    Failure,
    filter::{Filter, Times},
    remote::{Column, Paging, column},
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("STATE", "State"),
    column("ACTION", "Action"),
    column("SEQ", "Sequence"),
    column("TRIES", "AttemptCount"),
    column("CAUSE", "Cause"),
    column("NEXT ATTEMPT (UTC)", "NextAttemptUtc"),
    column("CREATED (UTC)", "CreatedUtc"),
];

/// Deliveries: messages on their way to webhooks.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop delivery list --state Failed
  bellhop delivery get ID -o json                  with every attempt: what was sent, what came back
  bellhop delivery discard ID --reason 'unwanted'  its lane goes on
  bellhop replay ID                                send it again")]
pub enum Command {
    /// List them, newest first.
    List(Box<List>),
    /// Show one with its attempts; access tokens are masked.
    Get(One),
    /// Give one up that is pending; its lane goes on.
    Discard(Discard),
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Discard {
    /// Its id.
    id: Uuid,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| {
            let mut query = args.filter.members().to_vec();
            query.extend(args.times.members()?);
            desk.list("/v1/deliveries", &query, &args.paging, COLUMNS)
                .await
        }),
        Command::Get(args) => args
            .shared
            .run(async |desk| desk.show(&format!("/v1/deliveries/{}", args.id)).await),
        Command::Discard(args) => args.shared.run(async |desk| {
            let path = format!("/v1/deliveries/{}/discard", args.id);
            let body: Value = json!({ "Reason": args.reason });
            desk.send(Method::POST, &path, body).await.map(drop)
        }),
    }
}
