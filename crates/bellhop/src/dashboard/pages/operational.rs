//! What the operator was told, and whether it arrived.

use maud::{Markup, html};

use crate::{
    dashboard::{
        Page, Visit, Wrong,
        components::{
            body::body,
            controls::{empty, pager},
            marks,
            moments::ago,
        },
        seen::{Names, Rows},
    },
    domain::operational::{OperationalSend, SendState},
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    visit.operator()?;
    let found = visit.store().operational_messages(visit.page()).await?;
    let found = Rows::new(found, |each| each.id.0);
    let mut names = Names::default();
    let mut shown = Vec::with_capacity(found.items.len());
    for message in &found.items {
        let webhook = names.of_webhook(&visit, message.webhook_id).await?;
        shown.push((message, webhook));
    }
    let body = html! {
        p.quiet { "When a webhook fails again and again, is disabled, or works again, when deliveries fail for good, and when a client \
            certificate ends, Bellhop tells you: by the webhook and the mail that are configured (operator_webhook_url, smtp_url)." }
        @if shown.is_empty() {
            (empty("Nothing to tell so far", "No webhook has failed for long, and no delivery for good.", Some(("/dashboard", "Overview"))))
        }
        ul.groups {
            @for (message, webhook) in shown {
                li.group {
                    div.what {
                        h2 { code { (message.about.as_str()) } }
                        p { a href=(format!("/dashboard/webhooks/{}", message.webhook_id)) { (webhook) } " " span.quiet { (ago(message.created, visit.now())) } }
                        (sends(&message.sends))
                    }
                    details.raw {
                        summary { "What was told" span.unseen { " by " (message.id) } }
                        (body(&format!("Message {}", message.id), &message.body))
                    }
                }
            }
        }
        (pager(&visit, found.next))
    };
    Ok(Page::new(
        "Operational messages",
        "Operational messages",
        body,
    ))
}

fn sends(sends: &[OperationalSend]) -> Markup {
    html! {
        @if sends.is_empty() {
            p.quiet { "Not sent: nothing was configured to send it to." }
        }
        @for send in sends {
            p {
                (send.destination.as_str()) ": "
                @match send.state {
                    SendState::Delivered => (marks::verdict(true, "Delivered")),
                    SendState::Failed => (marks::verdict(false, "Failed")),
                    SendState::Pending => { "pending, " (send.attempt_count) " attempts so far" },
                }
                @if let Some(cause) = send.cause { " " code { (cause) } " " span.quiet { (cause.next_step()) } }
            }
        }
    }
}
