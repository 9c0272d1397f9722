//! `bellhop api-key`. The keys of encryption are `bellhop key`.

use anstream::eprintln;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{List, One, Shared, members};
use crate::cli::{
    Failure,
    remote::{Column, column},
    style::DIM,
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("SCOPE", "Scope"),
    column("APPLICATION", "ApplicationId"),
    column("LAST USED (UTC)", "LastUsedUtc"),
    column("EXPIRES (UTC)", "ExpiresUtc"),
    column("NAME", "Name"),
];

/// API keys: who may ask this server for what.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop api-key create --scope application --application ID --name 'Booking engine'
  bellhop api-key rotate ID --overlap-seconds 3600
  bellhop api-key delete ID

The encryption keys of the database are another thing: bellhop key.")]
pub enum Command {
    /// List them; never the keys themselves.
    List(List),
    /// Create one, shown once.
    Create(Create),
    /// Put another in its place, shown once.
    Rotate(Rotate),
    /// End one, at once.
    Delete(One),
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// What it opens: operator (everything), application (its own things) or introspect.
    #[arg(long)]
    scope: String,
    /// The application, for the scope application.
    #[arg(long, value_name = "ID")]
    application: Option<Uuid>,
    /// For people.
    #[arg(long)]
    name: Option<String>,
    /// When it ends; never unless given.
    #[arg(long, value_name = "UTC")]
    expires: Option<Timestamp>,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Its id.
    id: Uuid,
    /// For how long the former one works as well, a day unless given; 0 if it is in wrong hands.
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u32>,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args
            .shared
            .run(async |desk| desk.list("/v1/keys", &[], &args.paging, COLUMNS).await),
        Command::Create(args) => {
            let body = members([
                ("Scope", Some(json!(args.scope))),
                ("ApplicationId", args.application.map(|it| json!(it))),
                ("Name", args.name.as_ref().map(|it| json!(it))),
                ("ExpiresUtc", args.expires.map(|it| json!(it.to_string()))),
            ]);
            make(&args.shared, "/v1/keys", body)
        }
        Command::Rotate(args) => {
            let body = members([("OverlapSeconds", args.overlap_seconds.map(|it| json!(it)))]);
            make(&args.shared, &format!("/v1/keys/{}/rotate", args.id), body)
        }
        Command::Delete(args) => args.shared.run(async |desk| {
            let path = format!("/v1/keys/{}", args.id);
            desk.send(Method::DELETE, &path, Value::Null)
                .await
                .map(drop)
        }),
    }
}

fn make(shared: &Shared, path: &str, body: Value) -> Result<(), Failure> {
    shared.run(async |desk| {
        desk.send(Method::POST, path, body).await?;
        eprintln!("{DIM}The Key is shown once: keep it.{DIM:#}");
        Ok(())
    })
}
