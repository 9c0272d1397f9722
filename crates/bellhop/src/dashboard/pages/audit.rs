//! The audit log: what was done, by whom, from where; and whether its newest part is what was written. The operator's
//! alone.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    dashboard::{
        Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, empty, pager},
            figures::count,
            marks,
            moments::{ago, both},
        },
        seen::{Names, ROWS, short},
    },
    domain::audit::AuditAction,
    store::audit::{Newest, verify_newest},
};

/// The members of a filter, as the API names them.
const MEMBERS: &[&str] = &[
    "Action",
    "ActorId",
    "SubjectId",
    "ApplicationId",
    "FromUtc",
    "ToUtc",
];
/// So many of the newest entries are hashed again for the page. All of them are `bellhop audit verify`'s.
const VERIFIED: u64 = 1000;
/// Most members of an entry's details that are shown at once.
const MOST_SHOWN: usize = 4;

/// The page.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    visit.operator()?;
    let kept = visit.query().query_with(MEMBERS);
    let cursor = visit
        .query()
        .text("Cursor")
        .map_or(String::new(), |text| format!("&Cursor={}", percent(text)));
    let path = format!("/v1/audit?Limit={ROWS}{cursor}&{kept}");
    let asked = visit
        .ask(http::Method::GET, path.trim_end_matches('&'))
        .send()
        .await;
    let (found, filled, status) = match asked {
        Ok(found) => (
            found,
            Filled::with(visit.query().clone()),
            http::StatusCode::OK,
        ),
        Err(Wrong::Problem(problem)) => {
            let status = problem.status;
            (
                Value::Null,
                Filled::refused(visit.query().clone(), problem),
                status,
            )
        }
        Err(wrong) => return Err(wrong),
    };
    let items = found["Items"].as_array().cloned().unwrap_or_default();
    let next = found["NextCursor"].as_str();
    let body = html! {
        (chain(&visit).await?)
        (filled.summary())
        (filters(&filled))
        @if !items.is_empty() {
            (rows(&visit, &items).await?)
        } @else if next.is_some() {
            p { "Nothing in this part of the log fits. Older parts are on the next page." }
        } @else if status.is_success() {
            (empty("Nothing fits", "No entry of the log fits all of these filters.", Some(("/dashboard/audit", "Clear the filters"))))
        }
        (pager(&visit, next.map(percent)))
        p.quiet { "The whole log with its hashes, for those who keep it elsewhere: " code { "bellhop audit export" } "." }
    };
    Ok(Page::new("Audit", "Audit log", body).status(status))
}

/// What the newest entries say of the chain.
async fn chain(visit: &Visit) -> Result<Markup, Wrong> {
    let Some(log) = &visit.state().options.audit else {
        return Ok(html! {});
    };
    let Some(newest) = verify_newest(&**log, VERIFIED).await? else {
        return Ok(html! { p.quiet { "Nothing is in the log yet." } });
    };
    let now = visit.now();
    let Newest {
        link,
        hashed,
        verdict,
    } = newest;
    Ok(html! {
        section.panel aria-labelledby="chain" {
            div.title {
                h2 #chain { "The chain" }
                div.beside { (marks::verdict(verdict.is_ok(), if verdict.is_ok() { "Holds" } else { "Broken" })) }
            }
            @match &verdict {
                Ok(_) => p {
                    "The newest " (count(hashed)) " entries were hashed again for this page: they lead to the hash that was written \
                     down with them, so none was changed, left out or put in."
                },
                Err(broken) => p { strong { (broken) "." } " Compare it with an export or a backup that was kept elsewhere." },
            }
            p { "Position " (count(link.chain.position)) ", written "
                @match Timestamp::from_millisecond(link.at_ms) { Ok(at) => (both(at, now)), Err(_) => {} } ": "
                (copyable(&link.chain.head.to_string(), "the hash"))
            }
            p.quiet { "Who can write to the database can rewrite all of it. Keep this hash somewhere else, and ask later whether the log \
                still has it: " code { "bellhop audit verify --head " (link.chain.head.to_string().get(..8).unwrap_or_default()) "…" } "." }
        }
    })
}

fn filters(filled: &Filled) -> Markup {
    let mut actions = vec![("", "Any")];
    actions.extend(
        AuditAction::ALL
            .iter()
            .map(|each| (each.as_str(), each.as_str())),
    );
    let text = |name, label, hint| {
        filled.field(Field {
            name,
            label,
            hint,
            kind: "text",
        })
    };
    html! {
        form.filters method="get" action="/dashboard/audit" aria-label="Filters" {
            (filled.choice(Field { name: "Action", label: "Action", hint: "", kind: "" }, &actions))
            (text("SubjectId", "Done to (id)", ""))
            (text("ActorId", "Done by (id)", ""))
            (text("ApplicationId", "Of application (id)", ""))
            (text("FromUtc", "From (UTC)", ""))
            (text("ToUtc", "Before (UTC)", ""))
            button type="submit" { "Filter" }
        }
    }
}

async fn rows(visit: &Visit, items: &[Value]) -> Result<Markup, Wrong> {
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let subject = subject(visit, &mut names, &item["Subject"]).await?;
        rows.push(row(visit, item, &subject));
    }
    Ok(html! {
        table.cards {
            caption.unseen { "Entries, newest first" }
            thead {
                tr {
                    th scope="col" { "Action" } th scope="col" { "Done to" } th scope="col" { "Done by" } th scope="col" { "From" }
                    th scope="col" { "More" } th scope="col" { "When" }
                }
            }
            tbody { @for row in rows { (row) } }
        }
    })
}

fn row(visit: &Visit, item: &Value, subject: &Markup) -> Markup {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let actor = &item["Actor"];
    let at = text(&item["AtUtc"]).parse::<Timestamp>().ok();
    html! {
        tr {
            th.whole scope="row" data-label="Action" { (text(&item["Action"])) span.unseen { " " (text(&item["Id"])) } }
            td data-label="Done to" { (subject) }
            td data-label="Done by" {
                @match actor["Id"].as_str() {
                    Some(id) => a href=(format!("/dashboard/audit?ActorId={}", percent(id))) {
                        (actor["Name"].as_str().filter(|name| !name.is_empty()).map_or_else(|| text(&actor["Kind"]), str::to_owned))
                    },
                    None => span.whole { (spelt(&text(&actor["Kind"]))) }
                }
            }
            td.whole data-label="From" { (item["FromAddress"].as_str().unwrap_or("–")) }
            td data-label="More" {
                @if item["Details"].is_object() { (details(&item["Details"])) } @else { span.quiet { "–" } }
            }
            td data-label="When" { @if let Some(at) = at { (ago(at, visit.now())) } }
        }
    }
}

/// What is said of it, member by member: `Name: Acme Keys`. Many members are folded away.
fn details(details: &Value) -> Markup {
    let is_said = |value: &&Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let members = details.as_object().into_iter().flatten();
    let members: Vec<_> = members.filter(|(_, value)| is_said(value)).collect();
    let list = html! {
        dl.small {
            @for (name, value) in &members {
                div { dt { (name) } " " dd { (said(value)) } }
            }
        }
    };
    html! {
        @if members.len() > MOST_SHOWN {
            details.raw { summary { (members.len()) " members" } (list) }
        } @else if members.is_empty() {
            span.quiet { "–" }
        } @else {
            (list)
        }
    }
}

/// A value for people: what changed as `Enabled → Paused`, members without their braces.
fn said(value: &Value) -> Markup {
    let nothing = Value::Null;
    let members = value.as_object();
    let change = members.and_then(|members| members.get("Old").zip(members.get("New")));
    html! {
        @match (change, members, value) {
            (Some((old, new)), _, _) => { (said(old)) " → " (said(new)) },
            (None, Some(members), _) => ul {
                @for (name, value) in members.iter().filter(|(_, value)| **value != nothing) {
                    li { span.quiet { (name) } " " (said(value)) }
                }
            },
            (None, None, Value::Null) => span.quiet { "–" },
            (None, None, Value::String(text)) => (text),
            (None, None, other) => code { (other.to_string()) },
        }
    }
}

fn spelt(kind: &str) -> &str {
    match kind {
        "OperatorKey" => "the operator’s key",
        "CommandLine" => "the command line",
        "System" => "Bellhop itself",
        "Stranger" => "somebody unknown",
        other => other,
    }
}

/// What it was done to, with the way there.
async fn subject(visit: &Visit, names: &mut Names, subject: &Value) -> Result<Markup, Wrong> {
    let kind = subject["Kind"].as_str().unwrap_or_default();
    let Some(id) = subject["Id"]
        .as_str()
        .and_then(|id| id.parse::<Uuid>().ok())
    else {
        return Ok(html! { (kind) });
    };
    let (path, name) = match kind {
        "Enterprise" => ("enterprises", names.of_enterprise(visit, id.into()).await?),
        "Application" => (
            "applications",
            names.of_application(visit, id.into()).await?,
        ),
        "Webhook" => ("webhooks", names.of_webhook(visit, id.into()).await?),
        "Integration" => (
            "integrations",
            names.of_integration(visit, id.into()).await?,
        ),
        "Delivery" => ("deliveries", short(id)),
        "Replay" => ("replays", short(id)),
        _ => return Ok(html! { (kind) " " code { (short(id)) } }),
    };
    Ok(html! { (kind) " " a href=(format!("/dashboard/{path}/{id}")) { (name) } })
}

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
