//! `bellhop enterprise`.

use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{List, One, Shared};
use crate::{
    cli::{
        Failure,
        remote::{Column, column},
    },
    clock::{Clock as _, SystemClock},
    id::Ids,
    random::SystemRandom,
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("NAME", "Name"),
    column("CREATED (UTC)", "CreatedUtc"),
];

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
    Create(Create),
    /// Rename one.
    Update(Update),
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// Your own id of it; a new one unless given.
    #[arg(long)]
    id: Option<Uuid>,
    /// Its name, as messages carry it.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Update {
    /// Its id.
    id: Uuid,
    /// Its new name; messages that were made keep the former one.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| {
            desk.list("/v1/enterprises", &[], &args.paging, COLUMNS)
                .await
        }),
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

async fn put(desk: &super::Desk, id: Uuid, name: &str) -> Result<(), Failure> {
    let body = json!({ "Name": name });
    desk.send(Method::PUT, &path(id), body).await.map(drop)
}

fn path(id: Uuid) -> String {
    format!("/v1/enterprises/{id}")
}

fn new_id() -> Uuid {
    Ids::new(std::sync::Arc::new(SystemRandom)).next(SystemClock.now())
}
