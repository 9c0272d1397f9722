//! Replays in bulk: counted first, then run.

use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::deliveries::{MEMBERS, filter, kept_to};
use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{button, copyable, empty, fact, hidden_once, pager},
            figures::{count, figure},
            marks,
            moments::{ago, both},
        },
        form::Form,
        seen::{Names, Rows},
    },
    domain::replay::{ReplayCommand, ReplayState},
    id::{ReplayId, WebhookId},
    store::{DeliveryFilter, Noun, Replay, Selection},
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    let found = visit.store().replays(visit.only(), visit.page()).await?;
    let found = Rows::new(found, |each| each.id.0);
    let body = html! {
        @if found.items.is_empty() {
            (empty("No replays yet", "A replay sends deliveries again that fit a filter: those that failed for one cause, say. Filter the \
                deliveries, then choose “Replay these”: you see how many it is about before anything is sent.",
                Some(("/dashboard/deliveries?State=Failed", "Deliveries that failed"))))
        } @else {
            (rows(&visit, &found.items))
        }
        (pager(&visit, found.next))
    };
    Ok(Page::new("Replays", "Replays", body))
}

/// One run.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let replay = visit.replay(visit.id(Noun::Replay)?).await?;
    let now = visit.now();
    let held = match replay.held_by.filter(|_| !replay.state.has_ended()) {
        Some(id) => Some((id, Names::default().of_webhook(&visit, id).await?)),
        None => None,
    };
    let body = html! {
        section.panel.sentence {
            progress max=(replay.total.max(1)) value=(replay.done().min(replay.total)) aria-label="Progress" {}
            p.state { (count(replay.done())) " of " (count(replay.total)) " are settled." }
            @if let Some((id, name)) = held {
                p { "It waits for " a href=(format!("/dashboard/webhooks/{id}")) { (name) } ", which is not enabled." }
            }
            (commands(&visit, &replay))
        }
        dl.figures {
            (figure("Arrived", &count(replay.succeeded), "good", html! {}))
            (figure("Failed", &count(replay.failed), if replay.failed > 0 { "bad" } else { "" }, html! {}))
            (figure("On the way", &count(replay.waiting), "", html! {}))
            (figure("Not sent", &count(replay.skipped()), "", html! { "settled in another way, or erased" }))
        }
        dl.facts {
            (fact("Started", both(replay.created, now)))
            @if let Some(ended) = replay.ended { (fact("Ended", both(ended, now))) }
            (fact("About", about(&visit, &replay).await?))
            (fact("Id", copyable(&replay.id.to_string(), "the replay’s id")))
        }
        @if !replay.state.has_ended() {
            p { a.button href=(visit.path()) { "Look again" } }
        }
    };
    let page =
        Page::new("Replays", replay.selection.kind(), body).below("Replays", "/dashboard/replays");
    Ok(page.beside(marks::replay(replay.state)))
}

/// Pauses, resumes or cancels it.
pub async fn command(visit: Visit) -> Result<Done, Wrong> {
    let id: ReplayId = visit.id(Noun::Replay)?;
    let known = [
        ReplayCommand::Pause,
        ReplayCommand::Resume,
        ReplayCommand::Cancel,
    ];
    let found = known
        .into_iter()
        .find(|command| command.as_str() == visit.part("Command"));
    let command = found.ok_or_else(|| Wrong::NotFound("There is no such command.".to_owned()))?;
    visit
        .post(format!("/v1/replays/{id}/{}", command.as_str()))
        .send()
        .await?;
    Ok(Done::see(format_args!("/dashboard/replays/{id}"), "saved"))
}

/// Counts what fits the filter, and asks whether to start.
pub async fn preview(visit: Visit) -> Result<Page, Wrong> {
    let (wanted, _) = filter(visit.query());
    counted(&visit, visit.query(), &wanted).await
}

/// Starts what was counted.
pub async fn start(visit: Visit) -> Result<Done, Wrong> {
    let token = visit.form().text("Token").unwrap_or_default();
    match visit
        .post("/v1/replays")
        .with(json!({ "Token": token }))
        .once()
        .send()
        .await
    {
        Ok(started) => {
            let id = started["Id"].as_str().unwrap_or_default();
            Ok(Done::see(
                format_args!("/dashboard/replays/{id}"),
                "started",
            ))
        }
        // What fits has changed since: count again, and say so.
        Err(Wrong::Problem(problem)) if problem.status == StatusCode::CONFLICT => {
            let (wanted, _) = filter(visit.form());
            let page = counted(&visit, visit.form(), &wanted).await?;
            let body = html! {
                div.notice.bad role="alert" { p { strong { (problem.title) ". " } (problem.detail) } }
                (page.body)
            };
            Ok(Done::Page(Box::new(
                Page { body, ..page }.status(problem.status),
            )))
        }
        Err(wrong) => Err(wrong),
    }
}

async fn counted(visit: &Visit, form: &Form, wanted: &DeliveryFilter) -> Result<Page, Wrong> {
    let kept = kept_to(visit, wanted).await?;
    let mut document: Map<String, Value> = form.document(MEMBERS);
    document.insert("DryRun".to_owned(), true.into());
    let counts = visit.post("/v1/replays").with(document).send().await?;
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let total = number(&counts["Total"]);
    let left_out = &counts["NotReplayable"];
    let left_out = [
        (
            "BodyErased",
            "their bytes carried an access token and were erased",
        ),
        ("WebhookDeleted", "their webhook was deleted"),
        (
            "BehindAnother",
            "they wait behind an earlier one of their lane",
        ),
    ]
    .map(|(member, why)| (number(&left_out[member]), why));
    let body = html! {
        p { "Each is sent once more, with the same id and the same bytes, in order within each integration. Nothing is sent yet." }
        ul.chips aria-label="Filters" { @for (words, _) in &kept { li { (words) } } }
        dl.figures {
            (figure("Fit", &count(total), "", html! {}))
            @for state in ["Pending", "Delivered", "Failed", "Discarded"] {
                (figure(state, &count(number(&counts["ByState"][state])), "", html! {}))
            }
            (figure("Stale", &count(number(&counts["Stale"])), "", html! { "their integration has a later message" }))
        }
        (by_webhook(visit, &counts).await?)
        @if left_out.iter().any(|(number, _)| *number > 0) {
            ul {
                @for (number, why) in left_out { @if number > 0 { li { (count(number)) " are not sent: " (why) "." } } }
            }
        }
        @if total == 0 {
            (empty("Nothing fits", "There is nothing to send again.", Some(("/dashboard/deliveries", "Deliveries"))))
        } @else {
            form.actions method="post" action="/dashboard/replays/new" {
                (hidden_once(visit))
                input type="hidden" name="Token" value=(counts["Token"].as_str().unwrap_or_default());
                @for name in MEMBERS {
                    @if let Some(value) = form.text(name) { input type="hidden" name=(name) value=(value); }
                }
                button.primary type="submit" { "Replay " (count(total)) @if total == 1 { " delivery" } @else { " deliveries" } }
                a.button href=(format!("/dashboard/deliveries?{}", form.query_without(&["Key", "Once", "Token", "Cursor", "Done"]))) { "Back to the deliveries" }
            }
        }
    };
    let page = Page::new("Replays", "Replay: what it comes to", body);
    Ok(page.below("Replays", "/dashboard/replays"))
}

async fn by_webhook(visit: &Visit, counts: &Value) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let mut rows = Vec::new();
    for each in counts["ByWebhook"].as_array().into_iter().flatten() {
        let id = each["WebhookId"]
            .as_str()
            .and_then(|id| id.parse::<WebhookId>().ok());
        if let Some(id) = id {
            let total = each["Total"].as_u64().unwrap_or_default();
            rows.push((id, names.of_webhook(visit, id).await?, total));
        }
    }
    Ok(html! {
        @if !rows.is_empty() {
            table.cards {
                caption { "By webhook" }
                thead { tr { th scope="col" { "Webhook" } th.number scope="col" { "Deliveries" } } }
                tbody {
                    @for (id, name, total) in rows {
                        tr {
                            th scope="row" data-label="Webhook" { a href=(format!("/dashboard/webhooks/{id}")) { (name) } }
                            td.number data-label="Deliveries" { (count(total)) }
                        }
                    }
                }
            }
        }
    })
}

async fn about(visit: &Visit, replay: &Replay) -> Result<Markup, Wrong> {
    Ok(match &replay.selection {
        Selection::Deliveries(filter) => {
            let filter = DeliveryFilter {
                // One that was deleted since has no name any more.
                integration_id: None,
                ..filter.clone()
            };
            let kept = kept_to(visit, &filter).await?;
            html! { ul.chips { @for (words, _) in kept { li { (words) } } } }
        }
        Selection::History {
            webhook_id,
            integrations,
        } => {
            let name = Names::default().of_webhook(visit, *webhook_id).await?;
            html! {
                "The history for " a href=(format!("/dashboard/webhooks/{webhook_id}")) { (name) }
                @if let Some(integrations) = integrations { " of " (integrations.len()) " integrations" }
            }
        }
    })
}

fn commands(visit: &Visit, replay: &Replay) -> Markup {
    let path =
        |command: ReplayCommand| format!("/dashboard/replays/{}/{}", replay.id, command.as_str());
    html! {
        div.actions {
            @match replay.state {
                ReplayState::Running => (button(visit, &path(ReplayCommand::Pause), "", "Pause")),
                ReplayState::Paused => (button(visit, &path(ReplayCommand::Resume), "primary", "Resume")),
                ReplayState::Canceled | ReplayState::Completed => {},
            }
            @if !replay.state.has_ended() {
                (button(visit, &path(ReplayCommand::Cancel), "danger", "Cancel the rest"))
            }
        }
    }
}

fn rows(visit: &Visit, replays: &[Replay]) -> Markup {
    html! {
        table.cards {
            caption.unseen { "Replays, newest first" }
            thead {
                tr {
                    th scope="col" { "State" } th scope="col" { "Kind" } th.number scope="col" { "Settled" }
                    th.number scope="col" { "Arrived" } th.number scope="col" { "Failed" } th scope="col" { "Started" }
                }
            }
            tbody {
                @for replay in replays {
                    tr {
                        td data-label="State" { (marks::replay(replay.state)) }
                        th scope="row" data-label="Kind" {
                            a href=(format!("/dashboard/replays/{}", replay.id)) {
                                (replay.selection.kind()) " of " (count(replay.total))
                                span.unseen { ", " (replay.id) }
                            }
                        }
                        td.number data-label="Settled" { (count(replay.done())) }
                        td.number data-label="Arrived" { (count(replay.succeeded)) }
                        td.number data-label="Failed" { (count(replay.failed)) }
                        td data-label="Started" { (ago(replay.created, visit.now())) }
                    }
                }
            }
        }
    }
}
