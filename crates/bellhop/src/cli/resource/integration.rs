//! `bellhop integration`.

use anstream::eprintln;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{One, Shared, members};
use crate::cli::{
    Failure,
    remote::{Column, Desk, Paging, column},
    style::DIM,
    wait::{Waiting, until_ended},
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("STATE", "State"),
    column("SEQUENCE", "Sequence"),
    column("APPLICATION", "ApplicationId"),
    column("NAME", "Name"),
];
const MESSAGES: &[Column] = &[
    column("SEQUENCE", "Sequence"),
    column("ACTION", "Action"),
    column("CREATED (UTC)", "CreatedUtc"),
    column("REQUESTOR", "Requestor.Email"),
];

/// Integrations: the connection of one enterprise to one application.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop integration create --application ID --enterprise ID --name 'Front desk'
  bellhop integration disable ID --wait            and wait until every webhook has it
  bellhop integration messages ID                  what happened to it, in order
  bellhop integration list --state Disabled -o jsonl | jq -r .Id")]
pub enum Command {
    /// List them.
    List(List),
    /// Show one.
    Get(One),
    /// Create one. Its access token is shown once.
    Create(Create),
    /// Let its access token work again.
    Enable(Commanded),
    /// Let its access token not work for now.
    Disable(Commanded),
    /// Its subscription was canceled.
    Cancel(Commanded),
    /// Take the cancellation back.
    Reinstate(Commanded),
    /// Delete one, for good: its access token never works again.
    Delete(Commanded),
    /// Give one a new access token, shown once.
    RegenerateAccessToken(Regenerate),
    /// Show the history of one, in order; access tokens are masked.
    Messages(Messages),
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// Of this application.
    #[arg(long, value_name = "ID")]
    application: Option<Uuid>,
    /// Of this enterprise.
    #[arg(long, value_name = "ID")]
    enterprise: Option<Uuid>,
    /// In this state: Enabled, Disabled, Canceled or Deleted.
    #[arg(long)]
    state: Option<String>,
    /// The deleted too.
    #[arg(long)]
    with_deleted: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The application to connect.
    #[arg(long, value_name = "ID")]
    application: Uuid,
    /// The enterprise to connect it to.
    #[arg(long, value_name = "ID")]
    enterprise: Uuid,
    /// Its name, as messages carry it.
    #[arg(long)]
    name: String,
    /// Your own id of it; a new one unless given.
    #[arg(long)]
    id: Option<Uuid>,
    /// Let it start disabled.
    #[arg(long)]
    disabled: bool,
    /// The service of the enterprise, for messages of profile 2025: its id.
    #[arg(long, value_name = "ID", requires = "service_name")]
    service_id: Option<Uuid>,
    /// Its name.
    #[arg(long, value_name = "NAME", requires = "service_id")]
    service_name: Option<String>,
    #[command(flatten)]
    requestor: Requestor,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    shared: Shared,
}

/// The person who asks.
#[derive(Debug, clap::Args)]
struct Requestor {
    /// Who asks for it: a name.
    #[arg(long, value_name = "NAME", requires = "requestor_email")]
    requestor_name: Option<String>,
    /// And an address.
    #[arg(long, value_name = "ADDRESS", requires = "requestor_name")]
    requestor_email: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Commanded {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    requestor: Requestor,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Regenerate {
    /// Its id.
    id: Uuid,
    /// For how long the former token works as well; as the server is set unless given, and 0 if it is in wrong hands.
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u32>,
    #[command(flatten)]
    requestor: Requestor,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Messages {
    /// Of this integration.
    id: Uuid,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| list(desk, args).await),
        Command::Get(args) => (args.shared).run(async |desk| desk.show(&path(args.id)).await),
        Command::Create(args) => (args.shared).run(async |desk| create(desk, args).await),
        Command::Enable(args) => commanded(args, Method::POST, &at(args.id, "enable")),
        Command::Disable(args) => commanded(args, Method::POST, &at(args.id, "disable")),
        Command::Cancel(args) => commanded(args, Method::POST, &at(args.id, "cancel")),
        Command::Reinstate(args) => commanded(args, Method::POST, &at(args.id, "reinstate")),
        Command::Delete(args) => commanded(args, Method::DELETE, &path(args.id)),
        Command::RegenerateAccessToken(args) => args.shared.run(async |desk| {
            let body = members([
                ("Requestor", args.requestor.document()),
                ("OverlapSeconds", args.overlap_seconds.map(|it| json!(it))),
            ]);
            let path = at(args.id, "regenerate-access-token");
            let made = desk.send(Method::POST, &path, body).await?;
            token_is_shown_once(&made);
            Ok(())
        }),
        Command::Messages(args) => args.shared.run(async |desk| {
            let path = at(args.id, "messages");
            desk.list(&path, &[], &args.paging, MESSAGES).await
        }),
    }
}

async fn list(desk: &Desk, args: &List) -> Result<(), Failure> {
    let query = [
        ("ApplicationId", args.application.map(|id| id.to_string())),
        ("EnterpriseId", args.enterprise.map(|id| id.to_string())),
        ("State", args.state.clone()),
        ("WithDeleted", args.with_deleted.then(|| "true".to_owned())),
    ];
    desk.list("/v1/integrations", &query, &args.paging, COLUMNS)
        .await
}

async fn create(desk: &Desk, args: &Create) -> Result<(), Failure> {
    let service = args.service_id.zip(args.service_name.as_ref());
    let body = members([
        ("ApplicationId", Some(json!(args.application))),
        ("EnterpriseId", Some(json!(args.enterprise))),
        ("Name", Some(json!(args.name))),
        ("Id", args.id.map(|id| json!(id))),
        ("IsEnabled", args.disabled.then_some(json!(false))),
        (
            "Service",
            service.map(|(id, name)| json!({ "Id": id, "Name": name })),
        ),
        ("Requestor", args.requestor.document()),
    ]);
    let made = desk.send(Method::POST, "/v1/integrations", body).await?;
    token_is_shown_once(&made);
    until_ended(desk, &args.waiting, &made).await
}

fn commanded(args: &Commanded, method: Method, path: &str) -> Result<(), Failure> {
    let body = members([("Requestor", args.requestor.document())]);
    args.shared.run(async |desk| {
        let done = desk.send(method, path, body).await?;
        if done["Changed"] == json!(false) {
            eprintln!("{DIM}Nothing changed: nothing is sent.{DIM:#}");
        }
        until_ended(desk, &args.waiting, &done).await
    })
}

fn token_is_shown_once(made: &Value) {
    if made["AccessToken"].is_string() {
        eprintln!("{DIM}The AccessToken is shown once: keep it.{DIM:#}");
    }
}

impl Requestor {
    fn document(&self) -> Option<Value> {
        let (name, email) = (&self.requestor_name, &self.requestor_email);
        let given = name.as_ref().zip(email.as_ref());
        given.map(|(name, email)| json!({ "Name": name, "Email": email }))
    }
}

fn path(id: Uuid) -> String {
    format!("/v1/integrations/{id}")
}

fn at(id: Uuid, command: &str) -> String {
    format!("/v1/integrations/{id}/{command}")
}
