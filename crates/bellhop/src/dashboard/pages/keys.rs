//! API keys: the operator's alone.

use maud::{Markup, html};
use serde_json::Value;

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, hidden, hidden_once},
            moments::{ago, both, full},
        },
        form::{Form, number},
        pages::webhook_secrets::OVERLAPS,
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
    let answer = visit.post("/v1/keys").with(document).once().send().await;
    let done = |made: &Value| key_once(made, "The key is made", "It works from now on.");
    let again = async |filled: &Filled| listed(&visit, filled).await;
    visit.settle(answer, done, again).await
}

/// Asks how a key is to be rotated.
pub async fn ask_rotation(visit: Visit) -> Result<Page, Wrong> {
    let key = find(&visit).await?;
    let values = Form::default().with("OverlapSeconds", "86400");
    Ok(rotating(&visit, &key, &Filled::with(values)))
}

/// Puts another key in its place, which is shown once.
pub async fn rotate(visit: Visit) -> Result<Done, Wrong> {
    let key = find(&visit).await?;
    let mut document = visit.form().document(&["ExpiresUtc"]);
    let overlap = visit.form().text("OverlapSeconds");
    if let Some(overlap) = overlap {
        document.insert("OverlapSeconds".to_owned(), number(overlap));
    }
    let asking = visit.post(format!("/v1/keys/{}/rotate", key.id));
    let answer = asking.with(document).once().send().await;
    let said = if overlap == Some("0") {
        "It works from now on, and the former one no longer."
    } else {
        "It works from now on; the former one as well, until the overlap ends."
    };
    let done = |made: &Value| key_once(made, "The key is another now", said);
    let again = async |filled: &Filled| Ok(rotating(&visit, &key, filled));
    visit.settle(answer, done, again).await
}

/// A key, which nobody sees again.
fn key_once(made: &Value, title: &str, said: &str) -> Done {
    let body = html! {
        section.panel.once {
            p { "The key is shown now and never again. " (said) }
            p { (copyable(made["Key"].as_str().unwrap_or_default(), "the key")) }
            p { a.button.primary href="/dashboard/keys" { "All keys" } }
        }
    };
    Done::page(Page::new("Keys", title, body).below("Keys", "/dashboard/keys"))
}

fn rotating(visit: &Visit, key: &ApiKey, filled: &Filled) -> Page {
    let body = html! {
        (filled.summary())
        section.panel {
            p { "A new key is made and shown once. Id, name and scope stay. Until the overlap ends both work, so that programs can \
                change over one by one." }
            form.stack method="post" action=(format!("/dashboard/keys/{}/rotate", key.id)) {
                (hidden_once(visit))
                (filled.choice(Field { name: "OverlapSeconds", label: "The former key works as well for",
                    hint: "If it was given away: not at all.", kind: "" }, OVERLAPS))
                (filled.field(Field { name: "ExpiresUtc", label: "Works until (optional)",
                    hint: "As in 2027-01-31T00:00:00Z. Empty: as before.", kind: "text" }))
                div.actions {
                    button.danger type="submit" { "Rotate the key" }
                    a.button href="/dashboard/keys" { "Leave it as it is" }
                }
            }
        }
    };
    let page = Page::new("Keys", format!("Rotate: {}", named(key)), body);
    page.below("Keys", "/dashboard/keys")
}

/// The key in the path.
async fn find(visit: &Visit) -> Result<ApiKey, Wrong> {
    visit.operator()?;
    let id: KeyId = visit.id(Noun::Key)?;
    let found = visit.store().key(id).await?;
    found.ok_or_else(|| Wrong::missing(Noun::Key, id))
}

/// Asks once more.
pub async fn ask(visit: Visit) -> Result<Page, Wrong> {
    let key = find(&visit).await?;
    let (id, name) = (key.id, named(&key));
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
    let known = visit.known_applications().await?;
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
                (filled.id(Field { name: "ApplicationId", label: "Application’s id", hint: "For scope application.", kind: "" }, &known))
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
                    th scope="col" { "Name" } th scope="col" { "Scope" } th scope="col" { "Made" } th scope="col" { "Last used" }
                    th scope="col" { "Works until" } th scope="col" { span.unseen { "Change" } }
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
                        td data-label="Last used" {
                            @match key.last_used { Some(at) => (ago(at, now)), None => span.quiet { "not yet" } }
                        }
                        td data-label="Works until" {
                            @match key.expires { Some(at) => (both(at, now)), None => "it is deleted" }
                            @if let Some((_, until)) = key.previous.filter(|(_, until)| *until > now) {
                                br; span.quiet { "the former key until " (full(until)) }
                            }
                        }
                        td data-label="" {
                            span.links {
                                a href=(format!("/dashboard/keys/{}/rotate", key.id)) { "Rotate…" span.unseen { " " (named(key)) } }
                                a href=(format!("/dashboard/keys/{}/delete", key.id)) { "Delete…" span.unseen { " " (named(key)) } }
                            }
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
