//! `bellhop enterprise`.

use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{CreateNamed, Desk, List, NAMED, One, Rename};
use crate::{
    cli::Failure,
    clock::{Clock as _, SystemClock},
    id::Ids,
    random::SystemRandom,
};

/// Enterprises: the customers of the platform.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop enterprise create --name 'Sample Chain Hotel 1'
  bellhop enterprise list -o jsonl | jq -r .Id")]
pub enum Command {
    /// List them.
    List(List),
    /// Show one.
    Get(One),
    /// Create one, with your own id or a new one.
    Create(CreateNamed),
    /// Rename one; messages that were made keep the former name.
    Update(Rename),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args
            .shared
            .run(async |desk| desk.list("/v1/enterprises", &[], &args.paging, NAMED).await),
        Command::Get(args) => (args.shared).run(async |desk| desk.show(&path(args.id)).await),
        Command::Create(args) => {
            let id = args.id.unwrap_or_else(new_id);
            args.shared
                .run(async |desk| put(desk, id, &args.name).await)
        }
        Command::Update(args) => args.shared.run(async |desk| {
            // Putting one that is not there would make it.
            let _: serde_json::Value = desk.client.get(&path(args.id)).await?;
            put(desk, args.id, &args.name).await
        }),
    }
}

async fn put(desk: &Desk, id: Uuid, name: &str) -> Result<(), Failure> {
    let body = json!({ "Name": name });
    desk.send(Method::PUT, &path(id), body).await.map(drop)
}

fn path(id: Uuid) -> String {
    format!("/v1/enterprises/{id}")
}

fn new_id() -> Uuid {
    Ids::new(std::sync::Arc::new(SystemRandom)).next(SystemClock.now())
}
