//! Webhooks: the list.

use maud::{Markup, html};

use crate::{
    dashboard::{
        Page, Visit, Wrong,
        components::{
            controls::{empty, pager},
            marks,
            moments::ago,
        },
        seen::{Names, webhook_name},
    },
    domain::{masked::masked_url, webhook::Webhook},
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    let found = visit
        .webhooks(visit.query().id("ApplicationId"), visit.page())
        .await?;
    let body = html! {
        @if found.items.is_empty() {
            (nothing(&visit))
        } @else {
            (rows(&visit, &found.items).await?)
        }
        (pager(&visit, found.next))
    };
    let page = Page::new("Webhooks", "Webhooks", body);
    Ok(match visit.only() {
        Some(own) => page.beside(html! {
            a.button.primary href=(format!("/dashboard/applications/{own}/webhooks/new")) { "New webhook" }
        }),
        None => page,
    })
}

/// Webhooks as a table.
pub async fn rows(visit: &Visit, webhooks: &[Webhook]) -> Result<Markup, Wrong> {
    let now = visit.now();
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(webhooks.len());
    for webhook in webhooks {
        let application = names.of_application(visit, webhook.application_id).await?;
        rows.push((webhook, application));
    }
    Ok(html! {
        table.cards {
            caption.unseen { "Webhooks" }
            thead {
                tr {
                    th scope="col" { "State" } th scope="col" { "Webhook" } th scope="col" { "Application" }
                    th scope="col" { "Actions" } th.number scope="col" { "Failures in a row" } th scope="col" { "Created" }
                }
            }
            tbody {
                @for (webhook, application) in rows {
                    tr {
                        td data-label="State" { (marks::webhook(webhook.state, webhook.health.circuit(now))) }
                        th scope="row" data-label="Webhook" {
                            a href=(format!("/dashboard/webhooks/{}", webhook.id)) { (webhook_name(webhook)) }
                            @if !webhook.description.is_empty() {
                                div.quiet { code { (masked_url(webhook.url.expose())) } }
                            }
                        }
                        td data-label="Application" {
                            a href=(format!("/dashboard/applications/{}", webhook.application_id)) { (application) }
                        }
                        td.words data-label="Actions" { (actions(webhook)) }
                        td.number data-label="Failures in a row" { (webhook.health.failures) }
                        td data-label="Created" { (ago(webhook.created, now)) }
                    }
                }
            }
        }
    })
}

/// What it wants, in a word or two.
fn actions(webhook: &Webhook) -> String {
    match webhook.actions.actions().as_slice() {
        [] => "All".to_owned(),
        [one] => one.to_string(),
        some => format!("{} of them", some.len()),
    }
}

fn nothing(visit: &Visit) -> Markup {
    let next = match visit.only() {
        Some(own) => (
            format!("/dashboard/applications/{own}/webhooks/new"),
            "New webhook",
        ),
        None => (
            "/dashboard/applications".to_owned(),
            "Choose an application",
        ),
    };
    empty(
        "No webhooks yet",
        "A webhook is where an application is told what happens to its integrations: a URL, a secret that signs, and how \
         often to try again.",
        Some((&next.0, next.1)),
    )
}
