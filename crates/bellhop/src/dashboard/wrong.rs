//! What can go wrong with a page or a command, and the page that says what to do then.

use http::StatusCode;
use maud::{Markup, html};

use super::{answer::Page, ask::Problem};
use crate::store::{Noun, StoreError};

/// What went wrong.
#[derive(Debug)]
pub enum Wrong {
    /// Nobody is signed in.
    NotSignedIn,
    /// There is no such thing, or not for this viewer.
    NotFound(String),
    /// The viewer may not see this.
    Forbidden,
    /// The form was not made by this dashboard for this session.
    ForeignForm,
    /// The API refused it.
    Problem(Box<Problem>),
    /// The store does not answer.
    Store(StoreError),
    /// The API answered with something else than it promises.
    Unexpected,
}

impl Wrong {
    /// Nothing of that kind has this id, for this viewer.
    pub fn missing(noun: Noun, id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("There is no {noun} {id}."))
    }

    /// Nothing of that kind has an id that looks like this.
    pub fn no_id(noun: Noun) -> Self {
        Self::NotFound(format!("This is not the id of a {noun}: ids are UUIDs."))
    }

    /// The page that says so. Each has a way on.
    pub fn page(&self) -> Page {
        let (status, title, detail, faults) = match self {
            Self::NotSignedIn => (
                StatusCode::UNAUTHORIZED,
                "Sign in first".to_owned(),
                "You are not signed in, or your session is over.".to_owned(),
                html! {},
            ),
            Self::NotFound(detail) => (
                StatusCode::NOT_FOUND,
                "Not found".to_owned(),
                format!("{detail} It may have been deleted, or its retention is over."),
                html! {},
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Not for you".to_owned(),
                "This page is the operator's. You are signed in for one application.".to_owned(),
                html! {},
            ),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "This form is not known".to_owned(),
                "The form was made for another session, or by another site. Nothing was changed. Go back, reload the \
                 page, and send it again."
                    .to_owned(),
                html! {},
            ),
            Self::Problem(problem) => (
                problem.status,
                problem.title.clone(),
                problem.detail.clone(),
                faults(problem),
            ),
            Self::Store(error) => {
                tracing::error!(%error, "a page could not be read");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The database does not answer".to_owned(),
                    "Nothing was changed. Deliveries go on when it is back. Try again in a moment.".to_owned(),
                    html! {},
                )
            }
            Self::Unexpected => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Bellhop failed".to_owned(),
                "This is a fault of the server; its log has the reason. Look whether the change was made before you try \
                 again."
                    .to_owned(),
                html! {},
            ),
        };
        let next = html! {
            @if matches!(self, Self::NotSignedIn) {
                a.button.primary href="/dashboard/sign-in" { "Sign in" }
            } @else {
                a.button.primary href="/dashboard" { "Overview" }
                a.button href="/dashboard/deliveries" { "Deliveries" }
            }
        };
        let body = html! {
            section.panel.wrong {
                p.status { "Status " (status.as_u16()) }
                p { (detail) }
                (faults)
                p.actions { (next) }
            }
        };
        Page::new("", title, body).status(status)
    }
}

fn faults(problem: &Problem) -> Markup {
    html! {
        @if !problem.faults.is_empty() {
            ul.faults {
                @for fault in &problem.faults {
                    li { @if !fault.place.is_empty() { code { (fault.place) } ": " } (fault.detail) }
                }
            }
        }
        @if !problem.allowed.is_empty() {
            p { "Allowed now: " (problem.allowed.join(", ")) "." }
        }
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
