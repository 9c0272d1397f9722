//! `bellhop application`.

use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{CreateNamed, List, NAMED, One, Rename, members};
use crate::cli::Failure;

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
    Create(CreateNamed),
    /// Rename one.
    Update(Rename),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| {
            desk.list("/v1/applications", &[], &args.paging, NAMED)
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
