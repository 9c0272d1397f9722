//! Applications: the list, and one with what it owns.

use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, button, copyable, empty, fact, hidden, hidden_once, pager},
            moments::{ago, both},
        },
        form::Form,
        pages::{integrations, webhooks},
        seen::ROWS,
        session::LINK_PATH,
    },
    domain::api_key::Scope,
    id::ApplicationId,
    store::{self, CommitError, IntegrationFilter, Noun},
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    listed(&visit, &Filled::default()).await
}

/// Makes one.
pub async fn create(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let document = visit.form().document(&["Name"]);
    match visit
        .post("/v1/applications")
        .with(document)
        .once()
        .send()
        .await
    {
        Ok(made) => {
            let id = made["Id"].as_str().unwrap_or_default();
            Ok(Done::see(
                format_args!("/dashboard/applications/{id}"),
                "created",
            ))
        }
        Err(Wrong::Problem(problem)) => {
            let status = problem.status;
            let filled = Filled::refused(visit.form().clone(), problem);
            Ok(Done::Page(Box::new(
                listed(&visit, &filled).await?.status(status),
            )))
        }
        Err(wrong) => Err(wrong),
    }
}

/// One application.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let application = visit.application(visit.id(Noun::Application)?).await?;
    let first = store::Page {
        after: None,
        limit: ROWS + 1,
    };
    let of = IntegrationFilter {
        application_id: Some(application.id),
        ..IntegrationFilter::default()
    };
    let webhooks = visit.webhooks(Some(application.id), first).await?;
    let integrations = visit.integrations(of, first).await?;
    let path = format!("/dashboard/applications/{}", application.id);
    let values = Form::default().with("Name", application.name.clone());
    let filled = Filled::with(values);
    let body = html! {
        dl.facts {
            (fact("Created", both(application.created, visit.now())))
            (fact("Id", copyable(&application.id.to_string(), "the application’s id")))
            (fact("Deliveries", html! {
                a href=(format!("/dashboard/deliveries?ApplicationId={}", application.id)) { "All of this application" }
            }))
        }
        section aria-labelledby="webhooks" {
            div.title {
                h2 #webhooks { "Webhooks" }
                div.beside { a.button.primary href=(format!("{path}/webhooks/new")) { "New webhook" } }
            }
            @if webhooks.items.is_empty() {
                (empty("No webhook yet", "Without one, nobody is told what happens to its integrations. History can be sent later \
                    (a backfill).", Some((&format!("{path}/webhooks/new"), "New webhook"))))
            } @else {
                (webhooks::rows(&visit, &webhooks.items).await?)
                @if webhooks.next.is_some() {
                    p { a.button href=(format!("/dashboard/webhooks?ApplicationId={}", application.id)) { "All its webhooks" } }
                }
            }
        }
        section aria-labelledby="integrations" {
            h2 #integrations { "Integrations" }
            @if integrations.items.is_empty() {
                (empty("Not connected yet", "No enterprise is connected to this application.", visit.is_operator().then_some((
                    &*format!("/dashboard/integrations/new?ApplicationId={}", application.id), "New integration"))))
            } @else {
                (integrations::rows(&visit, &integrations.items).await?)
                @if integrations.next.is_some() {
                    p { a.button href=(format!("/dashboard/integrations?ApplicationId={}", application.id)) { "All its integrations" } }
                }
            }
        }
        @if visit.is_operator() {
            section aria-labelledby="partner" {
                h2 #partner { "The partner’s view" }
                p { "A link signs the partner’s people in to these pages, narrowed to this application: its webhooks, deliveries and \
                    integrations." }
                (button(&visit, &format!("{path}/sign-in-link"), "", "Make a link for the partner"))
            }
            section aria-labelledby="rename" {
                h2 #rename { "Rename" }
                form.inline method="post" action=(path) {
                    (hidden(&visit))
                    (filled.field(Field { name: "Name", label: "Name", hint: "Integrations and webhooks stay as they are.", kind: "text" }))
                    button type="submit" { "Rename" }
                }
            }
        }
    };
    let page = Page::new("Applications", application.name, body);
    Ok(page.below("Applications", "/dashboard/applications"))
}

/// Renames one.
pub async fn rename(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let id: ApplicationId = visit.id(Noun::Application)?;
    let document = visit.form().document(&["Name"]);
    visit
        .ask(http::Method::PATCH, format!("/v1/applications/{id}"))
        .with(document)
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/applications/{id}"),
        "saved",
    ))
}

/// Makes a link that signs the partner in, to see this application alone. It is shown once.
pub async fn link(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let application = visit.application(visit.id(Noun::Application)?).await?;
    let made = visit
        .state()
        .link(Scope::Application(application.id), None, visit.who().by())
        .await;
    let text = made.map_err(|error| match error {
        CommitError::Store(error) => Wrong::Store(error),
        _ => Wrong::Unexpected,
    })?;
    let path = format!("/dashboard/applications/{}", application.id);
    let body = html! {
        section.panel.once {
            p { "Whoever opens it sees and does what belongs to " strong { (application.name) } ", and nothing else. It works once, within \
                30 minutes. Put the address before it from which the partner reaches this server." }
            p { (copyable(&format!("{LINK_PATH}{}", text.expose()), "the link")) }
            p { a.button.primary href=(path) { "To the application" } }
        }
    };
    let page = Page::new("Applications", "A link for the partner", body);
    Ok(Done::Page(Box::new(
        page.below("Applications", "/dashboard/applications")
            .below(application.name, path),
    )))
}

async fn listed(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    let found = visit.applications().await?;
    let body = html! {
        @if found.items.is_empty() {
            (empty("No applications yet", "An application is a partner’s product. It owns webhooks, and enterprises are connected \
                to it by integrations. Add the first one below.", None))
        } @else {
            (rows(visit, &found.items))
        }
        (pager(visit, found.next))
        @if visit.is_operator() {
            section aria-labelledby="new" {
                h2 #new { "New application" }
                (filled.summary())
                form.inline method="post" action="/dashboard/applications" {
                    (hidden_once(visit))
                    (filled.field(Field { name: "Name", label: "Name", hint: "The partner’s product, as people call it.", kind: "text" }))
                    button.primary type="submit" { "Add" }
                }
            }
        }
    };
    Ok(Page::new("Applications", "Applications", body))
}

fn rows(visit: &Visit, applications: &[crate::domain::enterprise::Application]) -> Markup {
    html! {
        table.cards {
            caption.unseen { "Applications" }
            thead { tr { th scope="col" { "Name" } th scope="col" { "Id" } th scope="col" { "Created" } } }
            tbody {
                @for application in applications {
                    tr {
                        th scope="row" data-label="Name" {
                            a href=(format!("/dashboard/applications/{}", application.id)) { (application.name) }
                        }
                        td data-label="Id" { code { (application.id) } }
                        td data-label="Created" { (ago(application.created, visit.now())) }
                    }
                }
            }
        }
    }
}
