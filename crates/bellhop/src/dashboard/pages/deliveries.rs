//! Deliveries, filtered by the query.

use bellhop_webhook::Action;
use maud::{Markup, html};

use crate::{
    dashboard::{
        Page, Visit, Wrong,
        components::{
            controls::{empty, pager, tail},
            deliveries::rows,
            figures::count,
        },
        form::Form,
        seen::Names,
    },
    domain::{cause::Cause, delivery::DeliveryState},
    id::WebhookId,
    store::{DeliveryFilter, MOST_LEAFED},
};

/// The members of a filter, as the API names them.
pub const MEMBERS: &[&str] = &[
    "WebhookId",
    "ApplicationId",
    "IntegrationId",
    "EnterpriseId",
    "Action",
    "State",
    "Cause",
    "FromUtc",
    "ToUtc",
];

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    let (filter, wrong) = filter(visit.query());
    let found = visit.deliveries(filter.clone(), visit.page()).await?;
    let is_filtered = filter != DeliveryFilter::default();
    let query = visit.query().query_without(&["Cursor", "Done"]);
    let is_first = visit.query().text("Cursor").is_none();
    let rows = if found.items.is_empty() && found.is_cut {
        html! { p { "None of the newest " (count(MOST_LEAFED.into())) " fits. Look further back for older ones." } }
    } else if found.items.is_empty() {
        nothing(is_filtered)
    } else {
        rows(&visit, &found.items).await?
    };
    let body = html! {
        (filters(&visit, &filter).await?)
        @if !wrong.is_empty() {
            div.notice.bad role="alert" {
                p { "Not understood, and left out: " }
                ul { @for wrong in &wrong { li { (wrong) } } }
            }
        }
        @if is_first { (tail(&format!("/dashboard/deliveries?{query}"), "sse:deliveries, refresh")) }
        div #rows tabindex="-1" {
            (rows)
            @if found.is_cut && !found.items.is_empty() {
                p.quiet { "Among the newest " (count(MOST_LEAFED.into())) ". There may be more further back." }
            }
            (pager(&visit, found.next))
        }
    };
    let page = Page::new("Deliveries", "Deliveries", body);
    Ok(if is_filtered && !found.items.is_empty() {
        page.beside(html! {
            a.button href=(format!("/dashboard/replays/new?{query}")) { "Replay these" }
        })
    } else {
        page
    })
}

/// Reads a filter; what cannot be read is left out and said.
pub fn filter(form: &Form) -> (DeliveryFilter, Vec<String>) {
    let mut wrong = Vec::new();
    for (name, is_read) in [
        (
            "WebhookId",
            form.parsed::<uuid::Uuid>("WebhookId").is_some(),
        ),
        (
            "ApplicationId",
            form.parsed::<uuid::Uuid>("ApplicationId").is_some(),
        ),
        (
            "IntegrationId",
            form.parsed::<uuid::Uuid>("IntegrationId").is_some(),
        ),
        (
            "EnterpriseId",
            form.parsed::<uuid::Uuid>("EnterpriseId").is_some(),
        ),
        ("Action", form.parsed::<Action>("Action").is_some()),
        ("State", form.parsed::<DeliveryState>("State").is_some()),
        ("Cause", form.parsed::<Cause>("Cause").is_some()),
        (
            "FromUtc",
            form.parsed::<jiff::Timestamp>("FromUtc").is_some(),
        ),
        ("ToUtc", form.parsed::<jiff::Timestamp>("ToUtc").is_some()),
    ] {
        if !is_read && form.text(name).is_some() {
            wrong.push(match name {
                "FromUtc" | "ToUtc" => {
                    format!("{name}: expected a moment such as 2026-01-31T09:30:00Z.")
                }
                "Action" | "State" | "Cause" => format!("{name}: choose one of the list."),
                _ => format!("{name}: expected an id (UUID)."),
            });
        }
    }
    let filter = DeliveryFilter {
        webhook_id: form.id("WebhookId"),
        application_id: form.id("ApplicationId"),
        integration_id: form.id("IntegrationId"),
        enterprise_id: form.id("EnterpriseId"),
        action: form.parsed("Action"),
        state: form.parsed("State"),
        cause: form.parsed("Cause"),
        from: form.parsed("FromUtc"),
        to: form.parsed("ToUtc"),
    };
    (filter, wrong)
}

/// What a filter keeps to, in words.
pub async fn kept_to(
    visit: &Visit,
    filter: &DeliveryFilter,
) -> Result<Vec<(String, &'static str)>, Wrong> {
    let mut names = Names::default();
    let mut kept = Vec::new();
    if let Some(id) = filter.webhook_id {
        kept.push((
            format!("Webhook {}", webhook_name(visit, &mut names, id).await?),
            "WebhookId",
        ));
    }
    if let Some(id) = filter.application_id {
        kept.push((
            format!("Application {}", names.of_application(visit, id).await?),
            "ApplicationId",
        ));
    }
    if let Some(id) = filter.integration_id {
        let integration = visit.integration(id).await?;
        kept.push((format!("Integration {}", integration.name), "IntegrationId"));
    }
    if let Some(id) = filter.enterprise_id {
        // Whoever is narrowed to an application learns no names by asking for ids.
        let name = if visit.is_operator() {
            names.of_enterprise(visit, id).await?
        } else {
            id.to_string()
        };
        kept.push((format!("Enterprise {name}"), "EnterpriseId"));
    }
    if let Some(action) = filter.action {
        kept.push((action.to_string(), "Action"));
    }
    if let Some(state) = filter.state {
        kept.push((state.to_string(), "State"));
    }
    if let Some(cause) = filter.cause {
        kept.push((cause.to_string(), "Cause"));
    }
    if let Some(from) = filter.from {
        kept.push((format!("from {from}"), "FromUtc"));
    }
    if let Some(to) = filter.to {
        kept.push((format!("before {to}"), "ToUtc"));
    }
    Ok(kept)
}

/// Of a webhook that the viewer sees; of one that was deleted nothing is left but its deliveries.
async fn webhook_name(visit: &Visit, names: &mut Names, id: WebhookId) -> Result<String, Wrong> {
    match visit.store().webhook(id).await? {
        Some(webhook) => {
            visit.narrow(Some(webhook.application_id))?;
            names.of_webhook(visit, id).await
        }
        None => Ok("that was deleted".to_owned()),
    }
}

async fn filters(visit: &Visit, filter: &DeliveryFilter) -> Result<Markup, Wrong> {
    let kept = kept_to(visit, filter).await?;
    let text = |name: &str| visit.query().text(name).unwrap_or_default().to_owned();
    let states = DeliveryState::ALL.map(DeliveryState::as_str);
    let actions = Action::ALL.map(Action::as_str);
    let causes: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    let hidden = [
        "WebhookId",
        "ApplicationId",
        "IntegrationId",
        "EnterpriseId",
    ];
    Ok(html! {
        form.filters method="get" action="/dashboard/deliveries" aria-label="Filters" {
            (select("State", "State", &states, &text("State")))
            (select("Action", "Action", &actions, &text("Action")))
            (select("Cause", "Cause", &causes, &text("Cause")))
            (moment("FromUtc", "From (UTC)", &text("FromUtc")))
            (moment("ToUtc", "Before (UTC)", &text("ToUtc")))
            @for name in hidden {
                @if !text(name).is_empty() { input type="hidden" name=(name) value=(text(name)); }
            }
            button type="submit" { "Filter" }
        }
        @if !kept.is_empty() {
            ul.chips aria-label="Filters that hold" {
                @for (words, name) in &kept {
                    li {
                        (words)
                        a href=(format!("/dashboard/deliveries?{}", visit.query().query_without(&[name, "Cursor", "Done"])))
                            aria-label=(format!("Leave out {words}")) { "×" }
                    }
                }
                li.all { a href="/dashboard/deliveries" { "Clear all" } }
            }
        }
    })
}

fn select(name: &str, label: &str, options: &[&str], value: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "Any" }
                @for option in options { option value=(option) selected[*option == value] { (option) } }
            }
        }
    }
}

fn moment(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value) placeholder="2026-01-31T09:30:00Z" autocomplete="off";
        }
    }
}

fn nothing(is_filtered: bool) -> Markup {
    if is_filtered {
        empty(
            "No delivery fits",
            "Nothing that is kept fits all of these filters. Deliveries are kept for 30 days unless configured otherwise.",
            Some(("/dashboard/deliveries", "Clear the filters")),
        )
    } else {
        empty(
            "No deliveries yet",
            "Each message to each webhook will be here, with every attempt: what was sent, what came back, and why it \
             failed if it did. A message is made when something happens to an integration.",
            Some(("/dashboard/webhooks", "See the webhooks")),
        )
    }
}
