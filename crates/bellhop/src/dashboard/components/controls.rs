//! Forms, fields, buttons, pages of a list, and what is shown where there is nothing.

use maud::{Markup, html};
use uuid::Uuid;

use crate::dashboard::{Visit, ask::Problem, form::Form};

/// What every form of a session carries.
pub fn hidden(visit: &Visit) -> Markup {
    html! { input type="hidden" name="Key" value=(visit.form_key()); }
}

/// The same for a form that is to be carried out once.
pub fn hidden_once(visit: &Visit) -> Markup {
    html! {
        (hidden(visit))
        input type="hidden" name="Once" value=(visit.once());
    }
}

/// A command as a button.
pub fn button(visit: &Visit, path: &str, class: &str, name: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            (hidden(visit))
            button class=(class) type="submit" { (name) }
        }
    }
}

/// A field of a form, with what was wrong with it.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The member of the API.
    pub name: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// How it is filled in.
    pub hint: &'a str,
    /// The kind of input: `text`, `url`, `number`.
    pub kind: &'a str,
}

/// What a form shows: the values that were sent, or that are, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Filled {
    pub values: Form,
    pub problem: Option<Box<Problem>>,
}

impl Filled {
    /// As things are.
    pub fn with(values: Form) -> Self {
        Self {
            values,
            problem: None,
        }
    }

    /// As it was sent, and refused.
    pub fn refused(values: Form, problem: Box<Problem>) -> Self {
        Self {
            values,
            problem: Some(problem),
        }
    }

    /// A field.
    pub fn field(&self, field: Field<'_>) -> Markup {
        let value = self.values.text(field.name).unwrap_or_default();
        self.labelled(field, html! {
            input id=(field.name) name=(field.name) type=(field.kind) value=(value) autocomplete="off"
                aria-invalid=[self.has_fault(field.name).then_some("true")]
                aria-describedby=(format!("{}-hint", field.name));
        })
    }

    /// A field for an id of something that may be known: each with its name, to choose from.
    pub fn id(&self, field: Field<'_>, known: &[(Uuid, String)]) -> Markup {
        let value = self.values.text(field.name).unwrap_or_default();
        let list = format!("{}-known", field.name);
        self.labelled(field, html! {
            input id=(field.name) name=(field.name) type="text" value=(value) autocomplete="off" spellcheck="false" list=(list)
                aria-invalid=[self.has_fault(field.name).then_some("true")]
                aria-describedby=(format!("{}-hint", field.name));
            datalist id=(list) { @for (id, name) in known { option value=(id) { (name) } } }
        })
    }

    /// A field for a secret: what was sent is not shown again, whatever became of it.
    pub fn secret(&self, field: Field<'_>) -> Markup {
        self.labelled(field, html! {
            input id=(field.name) name=(field.name) type="password" autocomplete="off" spellcheck="false"
                aria-invalid=[self.has_fault(field.name).then_some("true")]
                aria-describedby=(format!("{}-hint", field.name));
        })
    }

    /// A field of several lines.
    pub fn area(&self, field: Field<'_>) -> Markup {
        self.lines(field, self.values.text(field.name).unwrap_or_default())
    }

    /// A field of several lines for a secret: what was sent is not shown again.
    pub fn blank_area(&self, field: Field<'_>) -> Markup {
        self.lines(field, "")
    }

    fn lines(&self, field: Field<'_>, value: &str) -> Markup {
        self.labelled(field, html! {
            textarea id=(field.name) name=(field.name) rows="5" spellcheck="false" autocomplete="off"
                aria-invalid=[self.has_fault(field.name).then_some("true")]
                aria-describedby=(format!("{}-hint", field.name)) { (value) }
        })
    }

    /// A choice: value and name of each.
    pub fn choice(&self, field: Field<'_>, options: &[(&str, &str)]) -> Markup {
        let value = self.values.text(field.name).unwrap_or_default();
        self.labelled(field, html! {
            select id=(field.name) name=(field.name) aria-describedby=(format!("{}-hint", field.name)) {
                @for (each, name) in options {
                    option value=(each) selected[*each == value] { (name) }
                }
            }
        })
    }

    /// What is wrong with the whole, if anything is.
    pub fn summary(&self) -> Markup {
        html! {
            @if let Some(problem) = &self.problem {
                div.notice.bad role="alert" {
                    p { strong { (problem.title) ". " } (problem.detail) }
                    @if !problem.faults.is_empty() {
                        ul {
                            @for fault in &problem.faults {
                                li { @if !fault.place.is_empty() { code { (fault.place) } ": " } (fault.detail) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn labelled(&self, field: Field<'_>, input: Markup) -> Markup {
        html! {
            div.field {
                label for=(field.name) { (field.label) }
                (input)
                p.hint id=(format!("{}-hint", field.name)) {
                    (field.hint)
                    @for fault in self.faults(field.name) { strong.fault { " " (fault) } }
                }
            }
        }
    }

    fn has_fault(&self, name: &str) -> bool {
        self.faults(name).next().is_some()
    }

    fn faults<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.problem.iter().flat_map(|problem| &problem.faults);
        all.filter(move |fault| {
            let rest = fault.place.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .map(|fault| &*fault.detail)
    }
}

/// The way to the next page of a list.
pub fn pager(visit: &Visit, next: Option<impl std::fmt::Display>) -> Markup {
    let is_later = visit.query().text("Cursor").is_some();
    let query = visit.query().query_without(&["Cursor", "Done"]);
    let and = if query.is_empty() { "" } else { "&" };
    html! {
        @if is_later || next.is_some() {
            nav.pager aria-label="Pages" {
                @if is_later { a.button href=(format!("{}?{query}", visit.path())) { "First page" } }
                @if let Some(next) = next {
                    a.button href=(format!("{}?{query}{and}Cursor={next}", visit.path())) { "Next page" }
                }
            }
        }
    }
}

/// Listens for news and reads the rows (`#rows`) again; a script holds it while somebody reads further down.
pub fn tail(path: &str, when: &str) -> Markup {
    html! {
        div.tail hx-ext="sse" sse-connect="/dashboard/events" {
            div #tail hidden hx-get=(path) hx-trigger=(when) hx-select="#rows" hx-target="#rows" hx-swap="outerHTML" {}
            p.live hidden {
                span.light aria-hidden="true" {}
                span.words role="status" { "Live" }
                button.plain #hold type="button" { "Pause" }
                button #fresh type="button" hidden { "Show what is new" }
            }
        }
    }
}

/// What is shown where there is nothing: what will be here, and what to do.
pub fn empty(title: &str, text: &str, next: Option<(&str, &str)>) -> Markup {
    html! {
        div.empty {
            h2 { (title) }
            p { (text) }
            @if let Some((path, name)) = next {
                p { a.button.primary href=(path) { (name) } }
            }
        }
    }
}

/// A pair of a list of facts.
pub fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Longer than a UUID: among facts it has the room of two.
const LONG: usize = 36;

/// Something that can be copied.
pub fn copyable(text: &str, what: &str) -> Markup {
    html! {
        span.copyable.long[text.len() > LONG] {
            code { (text) }
            button.plain.copy type="button" data-copy=(text) hidden { "Copy" span.unseen { " " (what) } }
        }
    }
}
