//! `bellhop listen`: what a webhook is sent, to where somebody develops as well. No relay but the operator's own server.

mod forwarded;
mod temporary;

use std::io::{self, Write as _};

use anstream::eprintln;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use self::{forwarded::Forwarded, temporary::Temporary};
use super::{
    Failure,
    event_stream::{EventStream, until_stopped},
    local::{Answered, Local, Target},
    receive::print::time_of_day,
    remote::{Desk, Lines, RemoteArgs, clean},
    style::{BAD, DIM, GOOD, HEAD, WARN},
    which_webhook::WhichWebhook,
};
use crate::clock::{Clock as _, SystemClock};

/// Forward what a webhook is sent to this machine, signed, byte for byte.
///
/// The webhook's own deliveries go on as they are: this is a copy, and nothing that happens here changes them. The messages
/// carry live access tokens, so they go to this machine or its network alone, and each is in the server's audit log
/// (DeliveryRevealed).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop listen --forward-to 3000                             the only webhook there is
  bellhop listen --forward-to http://127.0.0.1:3000/hooks --webhook ID
  bellhop listen --forward-to 3000 --temporary ID              an application without a webhook:
                                                               one for as long as this runs
  bellhop replay DELIVERY                                      in another terminal: it comes again

It is signed with the webhook's secret. Ctrl-C ends it.")]
pub struct Args {
    /// A port or a URL of this machine.
    #[arg(long, value_name = "URL|PORT")]
    forward_to: Target,
    #[command(flatten)]
    which: WhichWebhook,
    /// Make a webhook for this application for as long as this runs: paused, so that the server sends it nothing.
    #[arg(long, value_name = "APPLICATION", conflicts_with = "webhook")]
    temporary: Option<Uuid>,
    /// Only this action, as in IntegrationCreated.
    #[arg(long)]
    action: Option<String>,
    /// How to print what is forwarded.
    #[arg(short, long, value_enum, default_value_t)]
    output: Lines,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Forwards until it is stopped.
pub fn run(args: &Args) -> Result<(), Failure> {
    Desk::following(&args.remote)?.run(async |desk| {
        let temporary = match args.temporary {
            Some(application) => Some(Temporary::make(&desk.client, application).await?),
            None => None,
        };
        let webhook = match &temporary {
            Some(temporary) => temporary.webhook.clone(),
            None => args.which.find(&desk.client).await?,
        };
        let done = until_stopped(follow(desk, args, &webhook)).await;
        if let Some(temporary) = temporary {
            temporary.end(&desk.client).await?;
        }
        done
    })
}

async fn follow(desk: &Desk, args: &Args, webhook: &Value) -> Result<(), Failure> {
    let id = webhook["Id"].as_str().unwrap_or_default();
    let query = [
        ("Kind", Some("Delivery".to_owned())),
        ("WebhookId", Some(id.to_owned())),
        ("Action", args.action.clone()),
    ];
    let mut forwarded = Forwarded::before(&desk.client, id).await?;
    let mut events = EventStream::open(&desk.client, &query).await?;
    forwarded.since(events.opened());
    let local = Local::new(args.forward_to.clone());
    eprintln!(
        "{HEAD}Forwarding what {id} is sent to {}{HEAD:#}",
        args.forward_to
    );
    eprintln!(
        "{DIM}Signed with the webhook's secret; its own deliveries go on. Ctrl-C ends it.{DIM:#}"
    );
    while let Some(event) = events.next().await? {
        match event.name.as_str() {
            "delivery" if forwarded.wants(&desk.client, &event.data).await? => {
                forward(desk, args.output, &local, &event.data).await?;
            }
            "gap" => {
                let reason = clean(event.data["Reason"].as_str().unwrap_or_default());
                eprintln!(
                    "{WARN}warning:{WARN:#} some messages may be missing here ({reason}): bellhop delivery list --webhook {id}"
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Forwards one. That nobody takes it is for the one who develops to see, and no end.
async fn forward(
    desk: &Desk,
    lines: Lines,
    local: &Local,
    delivery: &Value,
) -> Result<(), Failure> {
    let id = delivery["Id"].as_str().unwrap_or_default();
    let path = format!("/v1/deliveries/{id}/reveal");
    let revealed = desk
        .client
        .ask(Method::POST, path)
        .json(json!({}))
        .send()
        .await;
    let answered = match revealed {
        Ok(revealed) => {
            let body = revealed.document["Body"].as_str().unwrap_or_default();
            local.post(&revealed.document["Headers"], body).await
        }
        Err(failure) => Err(failure),
    };
    match lines {
        Lines::Table => line(delivery, &answered)?,
        Lines::Jsonl => {
            let done = json!({
                "DeliveryId": id,
                "MessageId": delivery["MessageId"],
                "Action": delivery["Action"],
                "Sequence": delivery["Sequence"],
                "StatusCode": answered.as_ref().ok().map(|answered| answered.status.as_u16()),
                "DurationMs": answered.as_ref().ok().map(|answered| answered.took.as_millis() as u64),
                "Problem": answered.as_ref().err().map(ToString::to_string),
            });
            desk.output.one(&done.to_string())?;
        }
    }
    Ok(())
}

fn line(delivery: &Value, answered: &Result<Answered, Failure>) -> io::Result<()> {
    let text = |member: &str| clean(delivery[member].as_str().unwrap_or("-"));
    let what = match answered {
        Ok(Answered { status, took }) => {
            let style = if status.is_success() { GOOD } else { BAD };
            format!(
                "{style}{}{style:#}  {:>5} ms",
                status.as_u16(),
                took.as_millis()
            )
        }
        Err(failure) => format!("{BAD}{failure}{BAD:#}"),
    };
    let now = time_of_day(SystemClock.now());
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{DIM}{now}{DIM:#}  {:24} {:>4}  {}  {what}",
        text("Action"),
        delivery["Sequence"],
        text("Id")
    )?;
    out.flush()
}
