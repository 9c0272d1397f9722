//! Deliveries as rows.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{marks, moments::ago};
use crate::{
    dashboard::{
        Visit, Wrong,
        seen::{Names, short},
    },
    domain::{
        delivery::{Delivery, DeliveryState},
        health::Circuit,
        webhook::WebhookState,
    },
};

/// Deliveries as a table; on a narrow screen each row is a card.
pub async fn rows(visit: &Visit, deliveries: &[Delivery]) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let integration = names.of_integration(visit, delivery.integration_id).await?;
        let now = visit.now();
        let webhook = names.webhook(visit, delivery.webhook_id).await?;
        let is_held = webhook.is_some_and(|webhook| {
            webhook.state != WebhookState::Enabled || webhook.health.circuit(now) != Circuit::Closed
        });
        let next = next(delivery, is_held, now);
        let webhook = names.of_webhook(visit, delivery.webhook_id).await?;
        rows.push(row(delivery, &integration, &webhook, &next, now));
    }
    Ok(html! {
        table.cards {
            caption.unseen { "Deliveries, newest first" }
            thead {
                tr {
                    th scope="col" { "State" }
                    th scope="col" { "Message" }
                    th scope="col" { "Integration" }
                    th scope="col" { "Webhook" }
                    th scope="col" { "Newest result" }
                    th.number scope="col" { "Attempts" }
                    th scope="col" { "Next" }
                    th scope="col" { "Made" }
                }
            }
            tbody { @for row in rows { (row) } }
        }
    })
}

fn row(
    delivery: &Delivery,
    integration: &str,
    webhook: &str,
    next: &Markup,
    now: Timestamp,
) -> Markup {
    html! {
        tr {
            td data-label="State" { (marks::delivery(delivery)) }
            th.whole scope="row" data-label="Message" {
                a href=(format!("/dashboard/deliveries/{}", delivery.id)) { (delivery.action) }
                " " span.quiet { "#" (delivery.sequence) span.unseen { " delivery " (short_end(delivery)) } }
            }
            td data-label="Integration" {
                a href=(format!("/dashboard/integrations/{}", delivery.integration_id)) { (integration) }
            }
            td.named data-label="Webhook" {
                a href=(format!("/dashboard/webhooks/{}", delivery.webhook_id)) { (webhook) }
            }
            td.whole data-label="Newest result" { (result(delivery)) }
            td.number data-label="Attempts" { (delivery.attempt_count) }
            td data-label="Next" { (next) }
            td data-label="Made" { (ago(delivery.created, now)) }
        }
    }
}

/// Ids of deliveries begin with their time, so the end tells them apart.
fn short_end(delivery: &Delivery) -> String {
    let id = delivery.id.0.simple().to_string();
    id[id.len() - short(delivery.id.0).len()..].to_owned()
}

fn result(delivery: &Delivery) -> Markup {
    html! {
        @match (delivery.cause, delivery.state) {
            (Some(cause), _) => code { (cause) },
            (None, DeliveryState::Delivered) => span.quiet { "2xx" },
            (None, _) => span.quiet { "–" },
        }
    }
}

fn next(delivery: &Delivery, is_held: bool, now: Timestamp) -> Markup {
    html! {
        @match (delivery.next_attempt, delivery.state) {
            (Some(_), _) if is_held => span.quiet { "held" },
            (Some(at), _) if at <= now => "now",
            (Some(at), _) => (ago(at, now)),
            (None, DeliveryState::Pending) => span.quiet.words { "behind another" },
            (None, _) => span.quiet { "–" },
        }
    }
}
