//! `bellhop replay list|get|pause|resume|cancel`: runs.

use http::Method;
use serde_json::json;
use uuid::Uuid;

use crate::cli::{
    Failure,
    remote::{Column, column},
    resource::{List, One, Shared},
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("KIND", "Kind"),
    column("STATE", "State"),
    column("DONE", "Done"),
    column("TOTAL", "Total"),
    column("FAILED", "Failed"),
    column("CREATED (UTC)", "CreatedUtc"),
];

/// What can be done with a run.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the runs, newest first.
    List(List),
    /// Show how far one is.
    Get(One),
    /// Stop one for a while.
    Pause(One),
    /// Let one go on.
    Resume(One),
    /// End one; what is due already is sent.
    Cancel(One),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args
            .shared
            .run(async |desk| desk.list("/v1/replays", &[], &args.paging, COLUMNS).await),
        Command::Get(args) => {
            let path = format!("/v1/replays/{}", args.id);
            args.shared.run(async |desk| desk.show(&path).await)
        }
        Command::Pause(args) => told(&args.shared, args.id, "pause"),
        Command::Resume(args) => told(&args.shared, args.id, "resume"),
        Command::Cancel(args) => told(&args.shared, args.id, "cancel"),
    }
}

fn told(shared: &Shared, id: Uuid, command: &str) -> Result<(), Failure> {
    let path = format!("/v1/replays/{id}/{command}");
    shared.run(async |desk| desk.send(Method::POST, &path, json!({})).await.map(drop))
}
