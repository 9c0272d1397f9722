//! `bellhop trigger`: a test message, sent to a webhook or to where somebody develops.

use http::Method;
use serde_json::{Value, json};

use super::{
    Code, Failure,
    local::{Local, Target},
    remote::{Desk, Printed, RemoteArgs},
    resource::webhook::taken,
    which_webhook::WhichWebhook,
};

/// Send a test message of an action, now, signed as every other.
///
/// It is about an integration that does not exist, its id begins with msg_test_, it is outside every lane and recorded nowhere.
/// Exit code 7 says that the receiver has not taken it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop trigger IntegrationCreated                           to the only webhook there is
  bellhop trigger IntegrationDisabled --webhook ID --wait 30
  bellhop trigger IntegrationDeleted --forward-to 3000         to http://127.0.0.1:3000/ from here

Actions: IntegrationCreated, IntegrationEnabled, IntegrationDisabled, IntegrationCanceled,
IntegrationReinstated, IntegrationDeleted; under profile 2025 IntegrationApiKeyCreated as well.")]
pub struct Args {
    /// Which action, as in IntegrationCreated.
    action: String,
    #[command(flatten)]
    which: WhichWebhook,
    /// Post it from here to this port or URL of this machine, in place of the webhook's URL; signed with the webhook's secret.
    #[arg(long, value_name = "URL|PORT")]
    forward_to: Option<Target>,
    /// How long to wait for the outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait: u64,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Sends it.
pub fn run(args: &Args) -> Result<(), Failure> {
    Desk::open(&args.remote, args.printed)?.run(async |desk| trigger(desk, args).await)
}

async fn trigger(desk: &Desk, args: &Args) -> Result<(), Failure> {
    let webhook = args.which.find(&desk.client).await?;
    let id = webhook["Id"].as_str().unwrap_or_default();
    let is_forwarded = args.forward_to.is_some();
    let body = json!({ "Action": args.action, "DryRun": is_forwarded });
    let asking = desk
        .client
        .ask(Method::POST, format!("/v1/webhooks/{id}/test"))
        .json(body);
    let asking = asking.header("prefer", format!("wait={}", args.wait));
    let answered = asking.send().await?;
    let tested = &answered.document;
    if let Some(target) = &args.forward_to {
        return forward(desk, target, tested).await;
    }
    desk.output.one(&answered.text)?;
    let attempt = &tested["Attempt"];
    if attempt.is_null() {
        let cause = format!("the receiver has not answered within {} s", args.wait);
        let hint = format!("bellhop trigger {} --webhook {id} --wait 60", args.action);
        return Err(Failure::new(Code::TimedOut, cause).hint(hint));
    }
    taken(attempt)
}

async fn forward(desk: &Desk, target: &Target, tested: &Value) -> Result<(), Failure> {
    let signed = &tested["Signed"];
    let body = signed["Body"].as_str().unwrap_or_default();
    let answered = Local::new(target.clone())
        .post(&signed["Headers"], body)
        .await?;
    let status = answered.status;
    let done = json!({
        "MessageId": tested["MessageId"],
        "ForwardedTo": target.to_string(),
        "StatusCode": status.as_u16(),
        "DurationMs": u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX),
    });
    desk.output.one(&done.to_string())?;
    if status.is_success() {
        return Ok(());
    }
    let cause = format!("{target} answered {status}");
    Err(Failure::new(Code::CheckFailed, cause)
        .hint("bellhop verify explains a signature that does not verify"))
}
