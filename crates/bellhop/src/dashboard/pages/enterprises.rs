//! Enterprises: the operator's alone.

use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, fact, hidden, pager},
            moments::{ago, both},
        },
        form::Form,
        pages::integrations,
        seen::{ROWS, Rows},
    },
    domain::enterprise::Enterprise,
    id::EnterpriseId,
    store::{self, IntegrationFilter, Noun},
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    listed(&visit, &Filled::default()).await
}

/// Makes or renames one.
pub async fn put(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    // The operator has ids of its own; without one, a fresh one does.
    let id = match visit.form().text("Id") {
        Some(id) => id.trim().to_owned(),
        None => visit
            .state()
            .options
            .lifecycle
            .id::<EnterpriseId>()
            .to_string(),
    };
    let is_id = id.parse::<EnterpriseId>().is_ok();
    // What is no id must not become another path.
    let path = if is_id { id.clone() } else { "-".to_owned() };
    let document = visit.form().document(&["Name"]);
    let put = visit.ask(http::Method::PUT, format!("/v1/enterprises/{path}"));
    match put.with(document).send().await {
        Ok(_) => Ok(Done::see(
            format_args!("/dashboard/enterprises/{path}"),
            "saved",
        )),
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

/// One enterprise.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let enterprise = visit.enterprise(visit.id(Noun::Enterprise)?).await?;
    let page = store::Page {
        after: None,
        limit: ROWS + 1,
    };
    let of = IntegrationFilter {
        enterprise_id: Some(enterprise.id),
        ..IntegrationFilter::default()
    };
    let integrations = visit.integrations(of, page).await?;
    let filled = Filled::with(Form::default().with("Name", enterprise.name.clone()));
    let new = format!("/dashboard/integrations/new?EnterpriseId={}", enterprise.id);
    let body = html! {
        dl.facts {
            (fact("First put here", both(enterprise.created, visit.now())))
            (fact("Id", copyable(&enterprise.id.to_string(), "the enterprise’s id")))
            (fact("Deliveries", html! {
                a href=(format!("/dashboard/deliveries?EnterpriseId={}", enterprise.id)) { "All of its integrations" }
            }))
        }
        section aria-labelledby="integrations" {
            h2 #integrations { "Integrations" }
            @if integrations.items.is_empty() {
                (empty("Not connected yet", "No application is connected to this enterprise.", Some((&new, "New integration"))))
            } @else {
                (integrations::rows(&visit, &integrations.items).await?)
                @if integrations.next.is_some() {
                    p { a.button href=(format!("/dashboard/integrations?EnterpriseId={}", enterprise.id)) { "All its integrations" } }
                }
            }
        }
        section aria-labelledby="rename" {
            h2 #rename { "Rename" }
            form.inline method="post" action=(format!("/dashboard/enterprises/{}", enterprise.id)) {
                (hidden(&visit))
                (filled.field(Field { name: "Name", label: "Name", hint: "Messages from now on carry the new name.", kind: "text" }))
                button type="submit" { "Rename" }
            }
        }
    };
    let page = Page::new("Enterprises", enterprise.name, body);
    Ok(page.below("Enterprises", "/dashboard/enterprises"))
}

/// Renames one.
pub async fn rename(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let id: EnterpriseId = visit.id(Noun::Enterprise)?;
    let document = visit.form().document(&["Name"]);
    visit
        .ask(http::Method::PUT, format!("/v1/enterprises/{id}"))
        .with(document)
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/enterprises/{id}"),
        "saved",
    ))
}

async fn listed(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    visit.operator()?;
    let found = visit.store().enterprises(visit.page()).await?;
    let found = Rows::new(found, |each| each.id.0);
    let body = html! {
        @if found.items.is_empty() {
            (empty("No enterprises yet", "An enterprise is a customer of the platform: a property, or a chain of them. Your platform \
                puts them here under its own ids (PUT /v1/enterprises/{Id}), or you add one below.", None))
        } @else {
            (rows(visit, &found.items))
        }
        (pager(visit, found.next))
        section aria-labelledby="new" {
            h2 #new { "New enterprise" }
            (filled.summary())
            form.inline method="post" action="/dashboard/enterprises" {
                (hidden(visit))
                (filled.field(Field { name: "Name", label: "Name", hint: "As messages carry it.", kind: "text" }))
                (filled.field(Field { name: "Id", label: "Id", hint: "Your platform’s own (UUID). Empty: one is made.", kind: "text" }))
                button.primary type="submit" { "Add" }
            }
        }
    };
    Ok(Page::new("Enterprises", "Enterprises", body))
}

fn rows(visit: &Visit, enterprises: &[Enterprise]) -> Markup {
    html! {
        table.cards {
            caption.unseen { "Enterprises" }
            thead { tr { th scope="col" { "Name" } th scope="col" { "Id" } th scope="col" { "First put here" } } }
            tbody {
                @for enterprise in enterprises {
                    tr {
                        th scope="row" data-label="Name" {
                            a href=(format!("/dashboard/enterprises/{}", enterprise.id)) { (enterprise.name) }
                        }
                        td data-label="Id" { code { (enterprise.id) } }
                        td data-label="First put here" { (ago(enterprise.created, visit.now())) }
                    }
                }
            }
        }
    }
}
