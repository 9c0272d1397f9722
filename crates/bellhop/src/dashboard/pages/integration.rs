//! One integration: its life as a line of messages with their deliveries, and the commands that are allowed now.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Filled, copyable, empty, fact, hidden, hidden_once},
            marks,
            moments::{both, full, iso, relative},
        },
        pages::integrations::{requestor, requestor_fields, shown_once},
        seen::Names,
    },
    domain::{
        delivery::Delivery,
        integration::{CommandName, Integration},
    },
    id::IntegrationId,
    store::{self, DeliveryFilter, Noun, StoredMessage},
};

/// Messages that are shown.
const NEWEST: u64 = 50;
/// Deliveries that are looked at for them.
const DELIVERIES: u32 = 200;

/// A command as people read it.
struct Shown {
    command: CommandName,
    name: &'static str,
    /// What comes of it.
    consequence: &'static str,
    /// It is asked once more before it is done.
    is_grave: bool,
}

const COMMANDS: &[Shown] = &[
    Shown {
        command: CommandName::Enable,
        name: "Enable",
        consequence: "Its access token works again. Webhooks are told IntegrationEnabled.",
        is_grave: false,
    },
    Shown {
        command: CommandName::Disable,
        name: "Disable",
        consequence: "Its access token opens nothing until it is enabled. Webhooks are told IntegrationDisabled.",
        is_grave: false,
    },
    Shown {
        command: CommandName::Reinstate,
        name: "Reinstate",
        consequence: "The subscription is taken up again, enabled or disabled as it was. Webhooks are told \
                      IntegrationReinstated.",
        is_grave: false,
    },
    Shown {
        command: CommandName::RegenerateAccessToken,
        name: "Regenerate the access token",
        consequence: "A new token is shown once. The present one works as well for a while (a day unless configured).",
        is_grave: true,
    },
    Shown {
        command: CommandName::Cancel,
        name: "Cancel",
        consequence: "The subscription ends, and the access token opens nothing. It can be reinstated. Webhooks are told \
                      IntegrationCanceled.",
        is_grave: true,
    },
    Shown {
        command: CommandName::Delete,
        name: "Delete",
        consequence: "It ends for good, and its access token with it. Nothing undoes this. Webhooks are told \
                      IntegrationDeleted.",
        is_grave: true,
    },
];

/// The page.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let integration = visit.integration(visit.id(Noun::Integration)?).await?;
    let body = html! {
        (facts(&visit, &integration).await?)
        @if visit.is_operator() { (commands(&visit, &integration)) }
        section aria-labelledby="life" {
            h2 #life { "Its life" }
            (life(&visit, &integration).await?)
        }
    };
    let page = Page::new("Integrations", integration.name.clone(), body)
        .below("Integrations", "/dashboard/integrations");
    Ok(page.beside(marks::integration(integration.state())))
}

/// Asks once more, and who asks.
pub async fn ask(visit: Visit) -> Result<Page, Wrong> {
    visit.operator()?;
    form(&visit, find(&visit)?, &Filled::default()).await
}

async fn form(visit: &Visit, shown: &Shown, filled: &Filled) -> Result<Page, Wrong> {
    let integration = visit.integration(visit.id(Noun::Integration)?).await?;
    let path = format!("/dashboard/integrations/{}", integration.id);
    let is_allowed = integration.state().allowed().contains(&shown.command);
    let body = html! {
        section.panel {
            @if is_allowed {
                (filled.summary())
                p { (shown.consequence) }
                form.stack method="post" action=(format!("{path}/{}", shown.command.as_str())) {
                    (hidden_once(visit))
                    (requestor_fields(filled))
                    div.actions {
                        button.(if shown.is_grave { "danger" } else { "primary" }) type="submit" { (shown.name) }
                        a.button href=(path) { "Leave it as it is" }
                    }
                }
            } @else {
                p { "The integration is " (integration.state().as_str()) ", and this would change nothing." }
                a.button href=(path) { "Back to it" }
            }
        }
    };
    let title = format!("{}: {}", shown.name, integration.name);
    let page =
        Page::new("Integrations", title, body).below("Integrations", "/dashboard/integrations");
    Ok(page.below(integration.name, path))
}

/// Commands it.
pub async fn command(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let id: IntegrationId = visit.id(Noun::Integration)?;
    let shown = find(&visit)?;
    let path = format!("/v1/integrations/{id}");
    let asking = match shown.command {
        CommandName::Delete => visit.ask(Method::DELETE, path),
        other => visit.post(format!("{path}/{}", other.as_str())).once(),
    };
    let asking = match requestor(&visit) {
        Some(requestor) => asking.with(serde_json::json!({ "Requestor": requestor })),
        None => asking,
    };
    let done = match asking.send().await {
        // Who asks is not named as it must be.
        Err(Wrong::Problem(problem)) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let status = problem.status;
            let filled = Filled::refused(visit.form().clone(), problem);
            let page = form(&visit, shown, &filled).await?;
            return Ok(Done::Page(Box::new(page.status(status))));
        }
        done => done?,
    };
    if shown.command == CommandName::RegenerateAccessToken {
        return Ok(Done::Page(Box::new(shown_once(
            &done,
            "The access token is another now",
        ))));
    }
    let said = if done["Changed"] == false {
        "unchanged"
    } else {
        "command"
    };
    Ok(Done::see(
        format_args!("/dashboard/integrations/{id}"),
        said,
    ))
}

fn find(visit: &Visit) -> Result<&'static Shown, Wrong> {
    let name = visit.part("Command");
    let found = COMMANDS.iter().find(|shown| shown.command.as_str() == name);
    found.ok_or_else(|| Wrong::NotFound("There is no such command.".to_owned()))
}

fn commands(visit: &Visit, integration: &Integration) -> Markup {
    let allowed = integration.state().allowed();
    let path = format!("/dashboard/integrations/{}", integration.id);
    html! {
        section.commands aria-labelledby="commands" {
            h2 #commands { "Commands" }
            @if allowed.is_empty() {
                p.quiet { "It is gone for good: no command is left. Create another integration instead." }
            }
            ul {
                @for shown in COMMANDS.iter().filter(|shown| allowed.contains(&shown.command)) {
                    li {
                        @if shown.is_grave {
                            a.button.danger href=(format!("{path}/{}", shown.command.as_str())) { (shown.name) "…" }
                        } @else {
                            form method="post" action=(format!("{path}/{}", shown.command.as_str())) {
                                (hidden(visit))
                                button type="submit" { (shown.name) }
                            }
                        }
                        p.quiet {
                            (shown.consequence)
                            @if !shown.is_grave {
                                " " a href=(format!("{path}/{}", shown.command.as_str())) { "With a requestor" }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn facts(visit: &Visit, integration: &Integration) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let application = names
        .of_application(visit, integration.application_id)
        .await?;
    let enterprise = names
        .of_enterprise(visit, integration.enterprise_id)
        .await?;
    let now = visit.now();
    let tokens = integration.tokens.as_ref();
    let previous = tokens
        .and_then(|tokens| tokens.previous.as_ref())
        .filter(|(_, until)| *until > now);
    Ok(html! {
        dl.facts {
            (fact("Enterprise", html! {
                @if visit.is_operator() {
                    a href=(format!("/dashboard/enterprises/{}", integration.enterprise_id)) { (enterprise) }
                } @else { (enterprise) }
            }))
            (fact("Application", html! {
                a href=(format!("/dashboard/applications/{}", integration.application_id)) { (application) }
            }))
            (fact("Created", both(integration.created, now)))
            @if let Some(canceled) = integration.canceled { (fact("Canceled", both(canceled, now))) }
            @if let Some(deleted) = integration.deleted { (fact("Deleted", both(deleted, now))) }
            (fact("Access token", html! {
                @if tokens.is_none() { "Revoked for good" } @else { "Kept as a hash; shown once when it is made" }
                @if let Some((_, until)) = previous { ". The former one works until " (both(*until, now)) }
            }))
            (fact("Id", copyable(&integration.id.to_string(), "the integration’s id")))
        }
    })
}

async fn life(visit: &Visit, integration: &Integration) -> Result<Markup, Wrong> {
    let after = integration.sequence.saturating_sub(NEWEST);
    let store = visit.store();
    let messages = store.messages(integration.id, after, NEWEST as u32).await?;
    let filter = DeliveryFilter {
        integration_id: Some(integration.id),
        ..DeliveryFilter::default()
    };
    let page = store::Page {
        after: None,
        limit: DELIVERIES,
    };
    let mut of: BTreeMap<u64, Vec<(Delivery, String)>> = BTreeMap::new();
    let mut names = Names::default();
    for delivery in store.deliveries(filter, page).await? {
        let webhook = names.of_webhook(visit, delivery.webhook_id).await?;
        of.entry(delivery.sequence)
            .or_default()
            .push((delivery, webhook));
    }
    if messages.is_empty() {
        return Ok(empty(
            "No message is kept",
            "Its messages were let go of with its tombstone.",
            None,
        ));
    }
    Ok(html! {
        @if after > 0 { p.quiet { "The newest " (NEWEST) " of " (integration.sequence) " messages." } }
        ol.life {
            @for message in messages.iter().rev() {
                (step(message, of.get(&message.sequence).map_or(&[][..], Vec::as_slice), visit))
            }
        }
    })
}

fn step(message: &StoredMessage, deliveries: &[(Delivery, String)], visit: &Visit) -> Markup {
    let now = visit.now();
    html! {
        li {
            div.when {
                time datetime=(iso(message.created)) { (full(message.created)) }
                span.quiet { (relative(message.created, now)) }
            }
            div.what {
                h3 {
                    a href=(format!("/dashboard/catalogue/{}", message.action)) { (message.action) }
                    " " span.quiet { "#" (message.sequence) }
                }
                @if let Some(requestor) = &message.requestor {
                    p.quiet { "Asked for by " (requestor.name) ", " (requestor.email) }
                }
                @if deliveries.is_empty() {
                    p.quiet { "No delivery: no webhook wanted it then, or its retention is over." }
                } @else {
                    ul.beside {
                        @for (delivery, webhook) in deliveries {
                            li {
                                (marks::delivery(delivery))
                                " " a href=(format!("/dashboard/deliveries/{}", delivery.id)) { "to " (webhook) }
                                @if let Some(ended) = delivery.ended {
                                    " " span.quiet { "after " (super::super::components::moments::took(
                                        ended.duration_since(delivery.created).unsigned_abs())) }
                                }
                                @if let Some(cause) = delivery.cause { " " code { (cause) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
