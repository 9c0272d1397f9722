//! `bellhop application`.

use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{List, One, Shared, members};
use crate::cli::{
    Failure,
    remote::{Column, column},
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("NAME", "Name"),
    column("CREATED (UTC)", "CreatedUtc"),
];

/// Applications: partners' products. They own webhooks and integrations.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop application create --name 'Booking engine'
  bellhop api-key create --scope application --application ID    a key for the partner")]
pub enum Command {
    /// List them.
    List(List),
    /// Show one.
    Get(One),
    /// Create one.
    Create(Create),
    /// Rename one.
    Update(Update),
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// Your own id of it; a new one unless given.
    #[arg(long)]
    id: Option<Uuid>,
    /// Its name.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Update {
    /// Its id.
    id: Uuid,
    /// Its new name.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| {
            desk.list("/v1/applications", &[], &args.paging, COLUMNS)
                .await
        }),
        Command::Get(args) => (args.shared).run(async |desk| desk.show(&path(args.id)).await),
        Command::Create(args) => {
            let body = members([
                ("Name", Some(json!(args.name))),
                ("Id", args.id.map(|id| json!(id))),
            ]);
            args.shared.run(async |desk| {
                desk.send(Method::POST, "/v1/applications", body)
                    .await
                    .map(drop)
            })
        }
        Command::Update(args) => args.shared.run(async |desk| {
            let body = json!({ "Name": args.name });
            desk.send(Method::PATCH, &path(args.id), body)
                .await
                .map(drop)
        }),
    }
}

fn path(id: Uuid) -> String {
    format!("/v1/applications/{id}")
}
