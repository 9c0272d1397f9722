//! API keys: the operator's alone.

use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, hidden, hidden_once},
            moments::{ago, both},
        },
        seen::Names,
    },
    domain::api_key::ApiKey,
    id::KeyId,
    store::Noun,
};

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    listed(&visit, &Filled::default()).await
}

/// Makes one, which is shown once.
pub async fn create(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let document = visit
        .form()
        .document(&["Name", "Scope", "ApplicationId", "ExpiresUtc"]);
    match visit.post("/v1/keys").with(document).once().send().await {
        Ok(made) => {
            let body = html! {
                section.panel.once {
                    p { "The key is shown now and never again. It works from now on." }
                    p { (copyable(made["Key"].as_str().unwrap_or_default(), "the key")) }
                    p { a.button.primary href="/dashboard/keys" { "All keys" } }
                }
            };
            let page = Page::new("Keys", "The key is made", body).below("Keys", "/dashboard/keys");
            Ok(Done::Page(Box::new(page)))
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

/// Asks once more.
pub async fn ask(visit: Visit) -> Result<Page, Wrong> {
    visit.operator()?;
    let id: KeyId = visit.id(Noun::Key)?;
    let key = visit
        .store()
        .key(id)
        .await?
        .ok_or_else(|| Wrong::missing(Noun::Key, id))?;
    let name = named(&key);
    let body = html! {
        section.panel {
            p { "Whoever uses it is refused from now on. Nothing undoes this." }
            form.actions method="post" action=(format!("/dashboard/keys/{id}/delete")) {
                (hidden(&visit))
                button.danger type="submit" { "Delete the key" }
                a.button href="/dashboard/keys" { "Leave it as it is" }
            }
        }
    };
    let page = Page::new("Keys", format!("Delete: {name}"), body);
    Ok(page.below("Keys", "/dashboard/keys"))
}

/// Ends it.
pub async fn delete(visit: Visit) -> Result<Done, Wrong> {
    visit.operator()?;
    let id: KeyId = visit.id(Noun::Key)?;
    visit
        .ask(http::Method::DELETE, format!("/v1/keys/{id}"))
        .send()
        .await?;
    Ok(Done::see("/dashboard/keys", "deleted"))
}

async fn listed(visit: &Visit, filled: &Filled) -> Result<Page, Wrong> {
    visit.operator()?;
    let mut keys = visit.store().keys().await?;
    keys.sort_unstable_by_key(|key| key.id);
    let body = html! {
        @if keys.is_empty() {
            (empty("No further keys", "The operator’s first key is configured, or in the file that the server names at its start. Make \
                one for each program, so that each can be taken back by itself.", None))
        } @else {
            (rows(visit, &keys).await?)
        }
        section aria-labelledby="new" {
            h2 #new { "New key" }
            (filled.summary())
            form.panel.stack method="post" action="/dashboard/keys" {
                (hidden_once(visit))
                (filled.field(Field { name: "Name", label: "Name", hint: "Who uses it.", kind: "text" }))
                (filled.choice(Field { name: "Scope", label: "Scope",
                    hint: "What it opens.", kind: "" }, &[
                    ("operator", "operator: everything"),
                    ("application", "application: its own webhooks, deliveries and integrations"),
                    ("introspect", "introspect: access tokens only, for a gateway"),
                ]))
                (filled.field(Field { name: "ApplicationId", label: "Application’s id", hint: "For scope application.", kind: "text" }))
                (filled.field(Field { name: "ExpiresUtc", label: "Works until",
                    hint: "As in 2027-01-31T00:00:00Z. Empty: until it is deleted.", kind: "text" }))
                div.actions { button.primary type="submit" { "Make the key" } }
            }
        }
    };
    Ok(Page::new("Keys", "Keys", body))
}

async fn rows(visit: &Visit, keys: &[ApiKey]) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let of = match key.scope.application_id() {
            Some(id) => Some((id, names.of_application(visit, id).await?)),
            None => None,
        };
        rows.push((key, of));
    }
    let now = visit.now();
    Ok(html! {
        table.cards {
            caption.unseen { "API keys" }
            thead {
                tr {
                    th scope="col" { "Name" } th scope="col" { "Scope" } th scope="col" { "Made" } th scope="col" { "Works until" }
                    th scope="col" { span.unseen { "Delete" } }
                }
            }
            tbody {
                @for (key, of) in rows {
                    tr {
                        th scope="row" data-label="Name" { (named(key)) }
                        td data-label="Scope" {
                            (key.scope.as_str())
                            @if let Some((id, name)) = of {
                                " of " a href=(format!("/dashboard/applications/{id}")) { (name) }
                            }
                        }
                        td data-label="Made" { (ago(key.created, now)) }
                        td data-label="Works until" {
                            @match key.expires { Some(at) => (both(at, now)), None => "deleted" }
                        }
                        td data-label="" {
                            a href=(format!("/dashboard/keys/{}/delete", key.id)) { "Delete…" span.unseen { " " (named(key)) } }
                        }
                    }
                }
            }
        }
    })
}

fn named(key: &ApiKey) -> String {
    if key.name.trim().is_empty() {
        format!("Key {}", key.id)
    } else {
        key.name.clone()
    }
}
