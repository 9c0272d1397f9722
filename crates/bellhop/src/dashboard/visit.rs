//! A request to a page or a command, by somebody who is signed in.

use std::sync::Arc;

use axum::extract::RawPathParams;
use http::Uri;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    DashboardState, Wrong,
    form::Form,
    session::{Session, Theme},
};
use crate::{
    domain::sign_in::{Viewer, generate},
    id::ApplicationId,
    store::{Noun, Store},
};

/// A request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Visit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: DashboardState,
    session: Session,
    theme: Theme,
    uri: Uri,
    parts: Vec<(String, String)>,
    query: Form,
    form: Form,
    now: Timestamp,
}

impl Visit {
    pub fn new(
        state: DashboardState,
        session: Session,
        theme: Theme,
        uri: Uri,
        parts: Option<&RawPathParams>,
        form: Form,
    ) -> Self {
        let parts = parts.into_iter().flat_map(RawPathParams::iter);
        Self(Arc::new(Inner {
            now: state.options.lifecycle.now(),
            query: Form::read(uri.query().unwrap_or_default().as_bytes()),
            parts: parts
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            state,
            session,
            theme,
            uri,
            form,
        }))
    }

    /// What all pages share.
    pub fn state(&self) -> &DashboardState {
        &self.0.state
    }

    /// Who looks.
    pub fn who(&self) -> &Viewer {
        &self.0.session.viewer
    }

    /// The application to which everything is narrowed; `None` for the operator.
    pub fn only(&self) -> Option<ApplicationId> {
        self.who().scope.application_id()
    }

    /// Whether it is the operator.
    pub fn is_operator(&self) -> bool {
        self.only().is_none()
    }

    /// Refuses everybody but the operator.
    pub fn operator(&self) -> Result<(), Wrong> {
        if self.is_operator() {
            Ok(())
        } else {
            Err(Wrong::Forbidden)
        }
    }

    /// The store, for reading.
    pub fn store(&self) -> &dyn Store {
        &**self.0.state.options.lifecycle.store()
    }

    /// The moment of the request.
    pub fn now(&self) -> Timestamp {
        self.0.now
    }

    /// How the dashboard looks for this browser.
    pub fn theme(&self) -> Theme {
        self.0.theme
    }

    /// What the query says.
    pub fn query(&self) -> &Form {
        &self.0.query
    }

    /// What the form says.
    pub fn form(&self) -> &Form {
        &self.0.form
    }

    /// The path of the page.
    pub fn path(&self) -> &str {
        self.0.uri.path()
    }

    /// Path and query of the page.
    pub fn address(&self) -> &str {
        let whole = self.0.uri.path_and_query();
        whole.map_or("/dashboard", http::uri::PathAndQuery::as_str)
    }

    /// What each form carries.
    pub fn form_key(&self) -> &str {
        &self.0.session.form_key
    }

    /// A text for a form that is to be carried out once, however often it is sent.
    pub fn once(&self) -> String {
        generate(&*self.state().options.random).expose()[..32].to_owned()
    }

    /// A part of the path that varies.
    pub fn part(&self, name: &str) -> &str {
        let found = self.0.parts.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The id in the path.
    pub fn id<Id: From<Uuid>>(&self, noun: Noun) -> Result<Id, Wrong> {
        let id = self.part("Id").parse::<Uuid>();
        id.map(Id::from).map_err(|_| Wrong::no_id(noun))
    }
}
