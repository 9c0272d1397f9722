//! Applications: the list, and one with what it owns.

use maud::html;
use serde_json::Value;

use super::named::{Kind, Named};
use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, button, copyable, empty, fact, hidden_once, pager},
            moments::both,
        },
        pages::webhooks,
        seen::first_page,
        session::LINK_PATH,
    },
    domain::{api_key::Scope, enterprise::Application},
    id::ApplicationId,
    store::{CommitError, IntegrationFilter, Noun},
};

const KIND: Kind = Kind {
    title: "Applications",
    path: "applications",
    created: "Created",
    member: "ApplicationId",
    renamed: "Integrations and webhooks stay as they are.",
    alone: "No enterprise is connected to this application.",
};

impl From<Application> for Named {
    fn from(application: Application) -> Self {
        Self {
            id: application.id.0,
            name: application.name,
            created: application.created,
        }
    }
}

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    listed(&visit, &Filled::default()).await
}

/// Makes one.
pub async fn create(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let document = visit.form().document(&["Name"]);
    let asking = visit.post("/v1/applications").with(document).once();
    let done = |made: &Value| {
        let id = made["Id"].as_str().unwrap_or_default();
        Done::see(KIND.path(id), "created")
    };
    let again = async |filled: &Filled| listed(&visit, filled).await;
    visit.settle(asking.send().await, done, again).await
}

/// One application.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let application = visit.application(visit.id(Noun::Application)?).await?;
    let webhooks = visit.webhooks(Some(application.id), first_page()).await?;
    let of = IntegrationFilter {
        application_id: Some(application.id),
        ..IntegrationFilter::default()
    };
    let integrations = KIND.integrations(&visit, application.id.0, of).await?;
    let path = KIND.path(application.id);
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
                div.beside {
                    a.button.primary href=(format!("{path}/webhooks/new")) { "New webhook" }
                    @if visit.state().options.play.is_some() {
                        (button(&visit, &format!("{path}/play"), "", "Try with the built-in receiver"))
                    }
                }
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
        (integrations)
        @if visit.is_operator() {
            section aria-labelledby="partner" {
                h2 #partner { "The partner’s view" }
                p { "A link signs the partner’s people in to these pages, narrowed to this application: its webhooks, deliveries and \
                    integrations." }
                (button(&visit, &format!("{path}/sign-in-link"), "", "Make a link for the partner"))
            }
            (KIND.renaming(&visit, application.id.0, &application.name))
        }
    };
    let page = Page::new("Applications", application.name, body);
    Ok(page.below("Applications", "/dashboard/applications"))
}

/// Renames one.
pub async fn rename(visit: Visit) -> Result<Done, Wrong> {
    let id: ApplicationId = visit.id(Noun::Application)?;
    KIND.rename(&visit, http::Method::PATCH, id.0).await
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
    let rows: Vec<_> = found.items.into_iter().map(Named::from).collect();
    let body = html! {
        @if rows.is_empty() {
            (empty("No applications yet", "An application is a partner’s product. It owns webhooks, and enterprises are connected \
                to it by integrations. Add the first one below.", None))
        } @else {
            (KIND.rows(visit, &rows))
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
