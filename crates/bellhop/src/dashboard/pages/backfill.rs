//! Giving a webhook the history that it has not: counted first, then run.

use maud::html;
use serde_json::{Value, json};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, empty, hidden_once},
            figures::{count, figure},
        },
        form::Form,
        seen::webhook_name,
    },
    store::Noun,
};

/// Counts what it would come to, and asks whether to start.
pub async fn preview(visit: Visit) -> Result<Page, Wrong> {
    counted(&visit, visit.query().clone()).await
}

/// Starts it.
pub async fn start(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let mut document = named(visit.form());
    document["DryRun"] = false.into();
    let path = format!("/v1/webhooks/{}/backfill", webhook.id);
    let started = visit.post(path).with(document).once().send().await?;
    let id = started["Id"].as_str().unwrap_or_default();
    Ok(Done::see(
        format_args!("/dashboard/replays/{id}"),
        "started",
    ))
}

/// The integrations that a form names, one a line; none for all.
fn named(form: &Form) -> Value {
    let text = form.text("IntegrationIds").unwrap_or_default();
    let ids: Vec<_> = text
        .split([',', ' ', '\n', '\r', '\t'])
        .filter(|id| !id.is_empty())
        .collect();
    if ids.is_empty() {
        json!({})
    } else {
        json!({ "IntegrationIds": ids })
    }
}

async fn counted(visit: &Visit, form: Form) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let mut document = named(&form);
    document["DryRun"] = true.into();
    let asked = visit.post(format!("/v1/webhooks/{}/backfill", webhook.id));
    let (counts, filled, status) = match asked.with(document).send().await {
        Ok(counts) => (Some(counts), Filled::with(form), http::StatusCode::OK),
        Err(Wrong::Problem(problem)) => {
            let status = problem.status;
            (None, Filled::refused(form, problem), status)
        }
        Err(wrong) => return Err(wrong),
    };
    let ids = filled.values.text("IntegrationIds").unwrap_or_default();
    let body = html! {
        p { "The webhook gets a delivery for each message of its application’s integrations that it wants and has none of: the \
            history from before it was there. Deleted integrations are left out. Order within each integration holds." }
        (filled.summary())
        form.panel.stack method="get" action=(format!("{path}/backfill")) {
            (filled.area(Field { name: "IntegrationIds", label: "Of these integrations alone (optional)",
                hint: "Ids, one a line, at most 100. Empty: all of them.", kind: "" }))
            div.actions { button type="submit" { "Count again" } }
        }
        @if let Some(counts) = counts {
            @let total = counts["Total"].as_u64().unwrap_or_default();
            @let erased = counts["BodyErased"].as_u64().unwrap_or_default();
            dl.figures {
                (figure("Messages that it has not", &count(total), "", html! { "nothing is sent yet" }))
                (figure("Left out", &count(erased), "", html! { "carried an access token, and were erased" }))
            }
            @if total == 0 {
                (empty("Nothing is missing", "The webhook has a delivery of every message that it wants.", Some((&path, "To the webhook"))))
            } @else {
                form.actions method="post" action=(format!("{path}/backfill")) {
                    (hidden_once(visit))
                    input type="hidden" name="IntegrationIds" value=(ids);
                    button.primary type="submit" { "Send " (count(total)) @if total == 1 { " message" } @else { " messages" } }
                    a.button href=(path) { "Leave it as it is" }
                }
            }
        }
    };
    let page = Page::new("Webhooks", "Backfill: what it comes to", body)
        .below("Webhooks", "/dashboard/webhooks");
    Ok(page.below(webhook_name(&webhook), path).status(status))
}
