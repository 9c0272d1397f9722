//! Many deliveries: counted, confirmed, started with what was counted, and followed to the end.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use anstream::{eprint, eprintln};
use http::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::{Args, count, shown};
use crate::cli::{
    Code, Failure,
    client::Answered,
    filter::Member,
    remote::Desk,
    style::{BAD, DIM, GOOD, HEAD, WARN},
};

/// How long to wait between looks.
const LOOK: Duration = Duration::from_millis(250);
/// How often a line is printed where no bar can be.
const EVERY: Duration = Duration::from_secs(10);

/// Counts, asks, starts, follows.
pub async fn run(desk: &Desk, args: &Args, filter: &[Member]) -> Result<(), Failure> {
    let mut wanted: Map<String, Value> = Map::new();
    for (name, value) in filter {
        wanted.insert((*name).to_owned(), json!(value));
    }
    wanted.insert("DryRun".to_owned(), json!(true));
    let preview: Value = desk.client.post("/v1/replays", &wanted.into()).await?;
    if args.dry_run {
        return Ok(desk.output.one(&without_token(preview).to_string())?);
    }
    show(&preview, filter);
    let left_out = &preview["NotReplayable"];
    let left_out =
        ["BodyErased", "WebhookDeleted", "BehindAnother"].map(|why| count(left_out, why));
    let total = count(&preview, "Total");
    if total == left_out.iter().sum::<u64>() {
        eprintln!("Nothing fits that can be sent again.");
        return Ok(());
    }
    confirm(args.yes, total)?;
    let token = json!({ "Token": preview["Token"] });
    let started = desk.ask(Method::POST, "/v1/replays", token).await?;
    if args.detach {
        desk.output.one(&started.text)?;
        let id = started.document["Id"].as_str().unwrap_or_default();
        eprintln!("{DIM}It runs. How far it is: bellhop replay get {id}{DIM:#}");
        return Ok(());
    }
    let ended = follow(desk, started, args.wait.map(Duration::from_secs)).await?;
    desk.output.one(&ended.text)?;
    verdict(&ended.document)
}

/// The token starts the run: it is of no use to anybody who only counts.
fn without_token(mut preview: Value) -> Value {
    if let Some(members) = preview.as_object_mut() {
        members.remove("Token");
        members.remove("ExpiresUtc");
    }
    preview
}

fn show(preview: &Value, filter: &[Member]) {
    let by_state = &preview["ByState"];
    let of = |member: &str| count(by_state, member);
    eprintln!(
        "{HEAD}{} deliveries{HEAD:#} fit {}",
        count(preview, "Total"),
        shown(filter)
    );
    eprintln!(
        "  {BAD}{} failed{BAD:#}, {} delivered, {} pending, {} discarded",
        of("Failed"),
        of("Delivered"),
        of("Pending"),
        of("Discarded")
    );
    for webhook in preview["ByWebhook"].as_array().into_iter().flatten() {
        let id = webhook["WebhookId"].as_str().unwrap_or_default();
        eprintln!("  {DIM}{id}{DIM:#}  {}", count(webhook, "Total"));
    }
    let stale = count(preview, "Stale");
    if stale > 0 {
        eprintln!(
            "  {WARN}{stale} are stale{WARN:#}: their integrations have later messages, and these come after them"
        );
    }
    let left_out = &preview["NotReplayable"];
    for (member, why) in [
        ("BodyErased", "carried an access token and were erased"),
        ("WebhookDeleted", "are of webhooks that were deleted"),
        (
            "BehindAnother",
            "wait behind an earlier one, and are sent after it anyway",
        ),
    ] {
        let number = count(left_out, member);
        if number > 0 {
            eprintln!("  {WARN}{number} are left out{WARN:#}: they {why}");
        }
    }
}

fn confirm(is_meant: bool, total: u64) -> Result<(), Failure> {
    if is_meant {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let cause = "nobody is here to say whether that is meant";
        return Err(Failure::new(Code::Usage, cause).hint("--yes says so; --dry-run only counts"));
    }
    eprint!("Send {total} again? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    eprintln!("Nothing was sent.");
    Err(Failure::told(Code::Other))
}

/// Waits for the end of a run, with a bar on a terminal and a line now and then elsewhere.
async fn follow(
    desk: &Desk,
    mut seen: Answered,
    within: Option<Duration>,
) -> Result<Answered, Failure> {
    let run = &seen.document;
    let id = run["Id"].as_str().unwrap_or_default().to_owned();
    let bar = bar(count(run, "Total"));
    let began = Instant::now();
    let (mut told, mut held) = (began, false);
    while seen.document["State"] == "Running" {
        let run = &seen.document;
        if within.is_some_and(|within| began.elapsed() >= within) {
            bar.finish_and_clear();
            let cause = format!("the run {id} has not ended in time; it goes on");
            return Err(
                Failure::new(Code::TimedOut, cause).hint(format!("bellhop replay get {id}"))
            );
        }
        if let Some(by) = run["HeldBy"]["WebhookId"].as_str()
            && !held
        {
            held = true;
            let state = run["HeldBy"]["State"].as_str().unwrap_or_default();
            let line = format!(
                "{WARN}It waits:{WARN:#} the webhook {by} is {state}. bellhop webhook resume {by}"
            );
            bar.suspend(|| eprintln!("{line}"));
        }
        bar.set_position(count(run, "Done"));
        bar.set_message(format!("{} failed", count(run, "Failed")));
        if bar.is_hidden() && told.elapsed() >= EVERY {
            told = Instant::now();
            eprintln!(
                "{DIM}{} of {} done{DIM:#}",
                count(run, "Done"),
                count(run, "Total")
            );
        }
        sleep(LOOK).await;
        let asking = desk.client.ask(Method::GET, format!("/v1/replays/{id}"));
        seen = asking.send().await?;
    }
    bar.finish_and_clear();
    Ok(seen)
}

fn bar(total: u64) -> ProgressBar {
    // On stderr, and hidden where that is no terminal.
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template(
        "{bar:24.green} {human_pos} of {human_len}  {msg:.dim}  {eta:.dim}",
    )
    .expect("the template is right");
    bar.set_style(style.progress_chars("━╸─"));
    bar
}

fn verdict(run: &Value) -> Result<(), Failure> {
    let (succeeded, failed) = (count(run, "Succeeded"), count(run, "Failed"));
    let skipped = count(run, "Skipped");
    if run["State"] != "Completed" {
        let state = run["State"].as_str().unwrap_or_default();
        return Err(Failure::new(
            Code::Other,
            format_args!("the run is {state}"),
        ));
    }
    eprintln!("{GOOD}ok{GOOD:#}    {succeeded} arrived, {failed} failed, {skipped} skipped");
    if failed > 0 {
        return Err(
            Failure::new(Code::CheckFailed, format_args!("{failed} did not arrive"))
                .hint("bellhop delivery list --state Failed says why"),
        );
    }
    Ok(())
}
