//! What is around every page: head, navigation, search, theme, the way out.

use http::HeaderMap;
use maud::{DOCTYPE, Markup, html};

use super::controls::hidden;
use crate::dashboard::{
    Page, Visit, assets,
    session::{self, Theme},
};

/// An entry of the navigation: name, path, whether it is the operator's alone.
const ENTRIES: &[(&str, &str, bool)] = &[
    ("Overview", "/dashboard", false),
    ("Deliveries", "/dashboard/deliveries", false),
    ("Integrations", "/dashboard/integrations", false),
    ("Webhooks", "/dashboard/webhooks", false),
    ("Applications", "/dashboard/applications", false),
    ("Enterprises", "/dashboard/enterprises", true),
    ("Replays", "/dashboard/replays", false),
    ("Catalogue", "/dashboard/catalogue", false),
    ("Receiver", "/dashboard/play", false),
    ("Keys", "/dashboard/keys", true),
    ("Audit", "/dashboard/audit", true),
    (
        "Operational messages",
        "/dashboard/operational-messages",
        true,
    ),
];

/// What was done, by the word in the query that says so. A closed set: nothing that a link says is shown.
const DONE: &[(&str, &str)] = &[
    ("replay", "It will be sent again now."),
    ("discard", "The delivery is discarded. Its lane goes on."),
    ("command", "Done. The message is on its way."),
    ("unchanged", "Nothing changed: it was so already."),
    ("created", "Created."),
    ("saved", "Saved."),
    ("deleted", "Deleted."),
    (
        "paused",
        "Paused. What happens meanwhile is held, and sent in order when you resume.",
    ),
    ("resumed", "Enabled. What was held is sent now, in order."),
    (
        "started",
        "Started. It goes on by itself, also after a restart.",
    ),
];

/// A whole document. Without a visit, nobody is signed in.
pub fn whole(visit: Option<&Visit>, page: Page) -> Markup {
    let theme = visit.map_or(Theme::System, Visit::theme);
    let body = html! {
        a.skip href="#main" { "Skip to content" }
        @if let Some(visit) = visit { (head(visit, page.section)) }
        @if visit.is_some_and(|visit| visit.state().options.is_sample) {
            p.sample { strong { "Sample data." } " The week until now is made up; what happens from here on is real. All of it is gone when the \
                demo ends. " a href="/docs" { "To begin in earnest" } ": " code { "bellhop serve" } "." }
        }
        main #main tabindex="-1" {
            @if !page.crumbs.is_empty() {
                nav.crumbs aria-label="Breadcrumbs" {
                    ol {
                        @for (name, path) in &page.crumbs {
                            li { a href=(path) { (name) } }
                        }
                    }
                }
            }
            div.title {
                h1 { (page.title) }
                @if let Some(beside) = &page.beside { div.beside { (beside) } }
            }
            @if let Some(said) = visit.and_then(said) {
                p.notice.good role="status" { (said) }
            }
            (page.body)
        }
        @if let Some(visit) = visit { (foot(visit)) }
    };
    document(theme, &page.title, body)
}

/// A document with one panel, for whoever is not signed in.
pub fn alone(headers: &HeaderMap, title: &str, body: Markup) -> Markup {
    let body = html! {
        main #main.alone {
            p.brand { (bell()) "Bellhop" }
            div.panel {
                h1 { (title) }
                (body)
            }
        }
    };
    document(session::theme(headers), title, body)
}

fn document(theme: Theme, title: &str, body: Markup) -> Markup {
    let theme = match theme {
        Theme::System => None,
        Theme::Light => Some("light"),
        Theme::Dark => Some("dark"),
    };
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Bellhop" }
                link rel="icon" type="image/svg+xml" href=(assets::path("bell.svg"));
                link rel="stylesheet" href=(assets::path("base.css"));
                link rel="stylesheet" href=(assets::path("parts.css"));
                script src=(assets::path("vendor/htmx.min.js")) defer {}
                script src=(assets::path("vendor/htmx-sse.min.js")) defer {}
                script type="module" src=(assets::path("dashboard.js")) {}
                script type="module" src=(assets::path("palette.js")) {}
            }
            body { (body) }
        }
    }
}

/// Nothing inline, nothing evaluated, nothing from elsewhere.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;

fn head(visit: &Visit, section: &str) -> Markup {
    html! {
        header.top {
            a.brand href="/dashboard" { (bell()) "Bellhop" }
            form.search role="search" method="get" action="/dashboard/search" {
                label.unseen for="Search" { "Search" }
                input #Search type="search" name="Text" placeholder="An id, or a name" autocomplete="off" spellcheck="false"
                    value=(visit.query().text("Text").unwrap_or_default());
                button type="submit" { "Search" }
            }
        }
        nav.main aria-label="Dashboard" {
            ul {
                @for (name, path, is_operators) in ENTRIES {
                    @let is_there = *path != "/dashboard/play" || visit.state().options.play.is_some();
                    @if is_there && (visit.is_operator() || !is_operators) {
                        li {
                            a href=(path) aria-current=[(*name == section).then_some("page")] { (name) }
                        }
                    }
                }
            }
        }
    }
}

fn foot(visit: &Visit) -> Markup {
    let next = match visit.theme() {
        Theme::System => ("dark", "Dark"),
        Theme::Dark => ("light", "Light"),
        Theme::Light => ("system", "As the system"),
    };
    html! {
        footer.foot {
            p {
                @if visit.is_operator() { "Signed in as the operator." } @else { "Signed in for one application." }
                " All times are UTC."
            }
            div.actions {
                a href="/docs" { "API" }
                form method="post" action="/dashboard/theme" {
                    (hidden(visit))
                    input type="hidden" name="Back" value=(visit.address());
                    button.plain type="submit" name="Theme" value=(next.0) { "Colours: " (next.1) }
                }
                form method="post" action="/dashboard/sign-out" {
                    (hidden(visit))
                    button.plain type="submit" { "Sign out" }
                }
            }
        }
    }
}

fn said(visit: &Visit) -> Option<&'static str> {
    let word = visit.query().text("Done")?;
    let found = DONE.iter().find(|(known, _)| *known == word);
    found.map(|(_, said)| *said)
}

fn bell() -> Markup {
    html! {
        svg.bell viewBox="0 0 24 24" aria-hidden="true" focusable="false" {
            path d="M12 4a7 7 0 0 1 7 7v4H5v-4a7 7 0 0 1 7-7z" {}
            rect x="3" y="16.5" width="18" height="2.5" rx="1.25" {}
            circle cx="12" cy="3" r="1.6" {}
        }
    }
}
