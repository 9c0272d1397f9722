//! What applications and enterprises have in common: a name, an id, integrations.

use jiff::Timestamp;
use maud::{Markup, html};
use uuid::Uuid;

use super::integrations;
use crate::{
    dashboard::{
        Done, Visit, Wrong,
        components::{
            controls::{Field, Filled, empty, hidden},
            moments::ago,
        },
        form::Form,
        seen::first_page,
    },
    store::IntegrationFilter,
};

/// One of them, as a row.
#[derive(Debug)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
    pub created: Timestamp,
}

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// `Applications`.
    pub title: &'static str,
    /// `applications`, as in paths.
    pub path: &'static str,
    /// What its first moment is called.
    pub created: &'static str,
    /// The member of a filter that keeps to one of them.
    pub member: &'static str,
    /// What a new name means.
    pub renamed: &'static str,
    /// What it means that it has no integrations.
    pub alone: &'static str,
}

impl Kind {
    /// Where one of them is.
    pub fn path(self, id: impl std::fmt::Display) -> String {
        format!("/dashboard/{}/{id}", self.path)
    }

    /// Some of them as a table.
    pub fn rows(self, visit: &Visit, rows: &[Named]) -> Markup {
        html! {
            table.cards {
                caption.unseen { (self.title) }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Id" } th scope="col" { (self.created) } } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" data-label="Name" { a href=(self.path(row.id)) { (row.name) } }
                            td data-label="Id" { code { (row.id) } }
                            td data-label=(self.created) { (ago(row.created, visit.now())) }
                        }
                    }
                }
            }
        }
    }

    /// The integrations of one of them.
    pub async fn integrations(
        self,
        visit: &Visit,
        id: Uuid,
        of: IntegrationFilter,
    ) -> Result<Markup, Wrong> {
        let found = visit.integrations(of, first_page()).await?;
        let new = format!("/dashboard/integrations/new?{}={id}", self.member);
        let new = visit
            .is_operator()
            .then_some((new.as_str(), "New integration"));
        Ok(html! {
            section aria-labelledby="integrations" {
                h2 #integrations { "Integrations" }
                @if found.items.is_empty() {
                    (empty("Not connected yet", self.alone, new))
                } @else {
                    (integrations::rows(visit, &found.items).await?)
                    @if found.next.is_some() {
                        p { a.button href=(format!("/dashboard/integrations?{}={id}", self.member)) { "All its integrations" } }
                    }
                }
            }
        })
    }

    /// The form that renames one of them.
    pub fn renaming(self, visit: &Visit, id: Uuid, name: &str) -> Markup {
        let filled = Filled::with(Form::default().with("Name", name));
        html! {
            section aria-labelledby="rename" {
                h2 #rename { "Rename" }
                form.inline method="post" action=(self.path(id)) {
                    (hidden(visit))
                    (filled.field(Field { name: "Name", label: "Name", hint: self.renamed, kind: "text" }))
                    button type="submit" { "Rename" }
                }
            }
        }
    }

    /// Renames the one in the path.
    pub async fn rename(
        self,
        visit: &Visit,
        method: http::Method,
        id: Uuid,
    ) -> Result<Done, Wrong> {
        visit.operator()?;
        let document = visit.form().document(&["Name"]);
        let asking = visit.ask(method, format!("/v1/{}/{id}", self.path));
        asking.with(document).send().await?;
        Ok(Done::see(self.path(id), "saved"))
    }
}
