//! `bellhop webhook`.

use std::path::PathBuf;

use anstream::eprintln;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{One, Shared, members, webhook_document::Settings};
use crate::cli::{
    Code, Failure,
    remote::{Column, Desk, Paging, column},
    secret_input::read_text,
    style::DIM,
};

const COLUMNS: &[Column] = &[
    column("ID", "Id"),
    column("STATE", "State"),
    column("CIRCUIT", "Health.Circuit"),
    column("ACTIONS", "Actions"),
    column("URL", "Url"),
];

/// Webhooks: endpoints of applications.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop webhook create --application ID --url https://hooks.example.com/bellhop
  bellhop webhook test ID                          send a test message and see what comes of it
  bellhop webhook update ID --timeout-seconds 30
  bellhop webhook pause ID --reason 'deployment'   what happens meanwhile is kept
  bellhop webhook rotate-secret ID > new-secret    both sign for a day")]
pub enum Command {
    /// List them.
    List(List),
    /// Show one.
    Get(One),
    /// Create one. Its secret is shown once.
    Create(Create),
    /// Change the settings of one.
    Update(Update),
    /// Delete one. What it had still to send is discarded.
    Delete(One),
    /// Hold one: what happens meanwhile is kept and sent later, in order.
    Pause(Pause),
    /// Enable one that is paused or disabled: everything held is sent, in order.
    Resume(One),
    /// Send a test message, now, and wait for what comes of it; exit code 7 if it was not taken.
    Test(Test),
    /// Give one another secret, shown once. The former ones sign as well until the overlap ends.
    RotateSecret(Rotate),
    /// Send one the history of its application's integrations that it has not.
    Backfill(Backfill),
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// Of this application.
    #[arg(long, value_name = "ID")]
    application: Option<Uuid>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The application that owns it.
    #[arg(long, value_name = "ID")]
    application: Uuid,
    #[command(flatten)]
    settings: Settings,
    /// A file with the secret (whsec_... or whsk_...); one is made unless given.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Update {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Pause {
    /// Its id.
    id: Uuid,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Test {
    /// Its id.
    id: Uuid,
    /// Let the newest secret alone sign: so a receiver shows that it has it.
    #[arg(long)]
    newest_secret_only: bool,
    /// How long to wait for the outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait: u64,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Its id.
    id: Uuid,
    /// A file with the new secret; one is made unless given.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// For how long the former ones sign as well, a day unless given; 0 if one is in wrong hands.
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u32>,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
pub struct Backfill {
    /// Its id.
    id: Uuid,
    /// Of these integrations alone, with commas between.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    integrations: Option<Vec<Uuid>>,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shared: Shared,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.shared.run(async |desk| {
            let of = args.application.map(|id| id.to_string());
            let query = [("ApplicationId", of)];
            desk.list("/v1/webhooks", &query, &args.paging, COLUMNS)
                .await
        }),
        Command::Get(args) => (args.shared).run(async |desk| desk.show(&path(args.id)).await),
        Command::Create(args) => create(args),
        Command::Update(args) => {
            let body = args.settings.document()?;
            if body.is_empty() {
                let cause = "there is nothing to change";
                return Err(Failure::new(Code::Usage, cause).hint("bellhop webhook update --help"));
            }
            send(&args.shared, Method::PATCH, &path(args.id), body.into())
        }
        Command::Delete(args) => send(&args.shared, Method::DELETE, &path(args.id), Value::Null),
        Command::Pause(args) => {
            let body = members([("Reason", args.reason.as_ref().map(|it| json!(it)))]);
            send(&args.shared, Method::POST, &at(args.id, "pause"), body)
        }
        Command::Resume(args) => send(
            &args.shared,
            Method::POST,
            &at(args.id, "resume"),
            json!({}),
        ),
        Command::Test(args) => (args.shared).run(async |desk| test(desk, args).await),
        Command::RotateSecret(args) => {
            let body = members([
                ("Secret", secret(args.secret_file.as_ref())?),
                ("OverlapSeconds", args.overlap_seconds.map(|it| json!(it))),
            ]);
            send(
                &args.shared,
                Method::POST,
                &at(args.id, "rotate-secret"),
                body,
            )
        }
        Command::Backfill(args) => {
            let body = members([
                (
                    "IntegrationIds",
                    args.integrations.as_ref().map(|it| json!(it)),
                ),
                ("DryRun", args.dry_run.then_some(json!(true))),
            ]);
            send(&args.shared, Method::POST, &at(args.id, "backfill"), body)
        }
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    let mut body = args.settings.document()?;
    if let Some(secret) = secret(args.secret_file.as_ref())? {
        body.insert("Secret".into(), secret);
    }
    if !body.contains_key("Url") {
        let cause = "a webhook needs a URL";
        return Err(
            Failure::new(Code::Usage, cause).hint("--url https://hooks.example.com/bellhop")
        );
    }
    args.shared.run(async |desk| {
        let path = format!("/v1/applications/{}/webhooks", args.application);
        let made = desk.send(Method::POST, &path, body.into()).await?;
        if made["Secret"].is_string() {
            eprintln!("{DIM}The Secret is shown once: keep it.{DIM:#}");
        }
        Ok(())
    })
}

async fn test(desk: &Desk, args: &Test) -> Result<(), Failure> {
    let body = json!({ "NewestSecretOnly": args.newest_secret_only });
    let asking = desk
        .client
        .ask(Method::POST, at(args.id, "test"))
        .json(body);
    let asking = asking.header("prefer", format!("wait={}", args.wait));
    let answered = asking.send().await?;
    desk.output.one(&answered.text)?;
    let tested = answered.document;
    let attempt = &tested["Attempt"];
    if attempt.is_null() {
        let cause = format!("the receiver has not answered within {} s", args.wait);
        return Err(Failure::new(Code::TimedOut, cause)
            .hint(format!("bellhop webhook test {} --wait 60", args.id)));
    }
    taken(attempt)
}

/// Whether an attempt arrived; if not, why.
pub fn taken(attempt: &Value) -> Result<(), Failure> {
    if attempt["Outcome"] == "Succeeded" {
        return Ok(());
    }
    let cause = attempt["Cause"].as_str().unwrap_or("unknown");
    let detail = attempt["Detail"]
        .as_str()
        .unwrap_or("the receiver did not take it");
    let known = crate::domain::cause::Cause::ALL
        .iter()
        .find(|known| known.as_str() == cause);
    let failure = Failure::new(Code::CheckFailed, format_args!("{cause}: {detail}"));
    Err(match known {
        Some(known) => failure.hint(known.next_step()),
        None => failure,
    })
}

fn send(shared: &Shared, method: Method, path: &str, body: Value) -> Result<(), Failure> {
    shared.run(async |desk| desk.send(method, path, body).await.map(drop))
}

fn secret(file: Option<&PathBuf>) -> Result<Option<Value>, Failure> {
    let text = file.map(|path| read_text(path)).transpose()?;
    Ok(text.map(|text| json!(text.trim())))
}

fn path(id: Uuid) -> String {
    format!("/v1/webhooks/{id}")
}

fn at(id: Uuid, command: &str) -> String {
    format!("/v1/webhooks/{id}/{command}")
}
