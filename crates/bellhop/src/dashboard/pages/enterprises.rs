//! Enterprises: the operator's alone.

use maud::html;
use serde_json::Value;

use super::named::{Kind, Named};
use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, fact, hidden, pager},
            moments::both,
        },
        seen::Rows,
    },
    domain::enterprise::Enterprise,
    id::EnterpriseId,
    store::{IntegrationFilter, Noun},
};

const KIND: Kind = Kind {
    title: "Enterprises",
    path: "enterprises",
    created: "First put here",
    member: "EnterpriseId",
    renamed: "Messages from now on carry the new name.",
    alone: "No application is connected to this enterprise.",
};

impl From<Enterprise> for Named {
    fn from(enterprise: Enterprise) -> Self {
        Self {
            id: enterprise.id.0,
            name: enterprise.name,
            created: enterprise.created,
        }
    }
}

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
    let done = |_: &Value| Done::see(KIND.path(&path), "saved");
    let again = async |filled: &Filled| listed(&visit, filled).await;
    visit
        .settle(put.with(document).send().await, done, again)
        .await
}

/// One enterprise.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let enterprise = visit.enterprise(visit.id(Noun::Enterprise)?).await?;
    let of = IntegrationFilter {
        enterprise_id: Some(enterprise.id),
        ..IntegrationFilter::default()
    };
    let integrations = KIND.integrations(&visit, enterprise.id.0, of).await?;
    let body = html! {
        dl.facts {
            (fact("First put here", both(enterprise.created, visit.now())))
            (fact("Id", copyable(&enterprise.id.to_string(), "the enterprise’s id")))
            (fact("Deliveries", html! {
                a href=(format!("/dashboard/deliveries?EnterpriseId={}", enterprise.id)) { "All of its integrations" }
            }))
        }
        (integrations)
        (KIND.renaming(&visit, enterprise.id.0, &enterprise.name))
    };
    let page = Page::new("Enterprises", enterprise.name, body);
    Ok(page.below("Enterprises", "/dashboard/enterprises"))
}

/// Renames one.
pub async fn rename(visit: Visit) -> Result<Done, Wrong> {
    let id: EnterpriseId = visit.id(Noun::Enterprise)?;
    KIND.rename(&visit, http::Method::PUT, id.0).await
}

async fn listed(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    visit.operator()?;
    let found = visit.store().enterprises(visit.page()).await?;
    let found = Rows::new(found, |each| each.id.0);
    let rows: Vec<_> = found.items.into_iter().map(Named::from).collect();
    let body = html! {
        @if rows.is_empty() {
            (empty("No enterprises yet", "An enterprise is a customer of the platform: a property, or a chain of them. Your platform \
                puts them here under its own ids (PUT /v1/enterprises/{Id}), or you add one below.", None))
        } @else {
            (KIND.rows(visit, &rows))
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
