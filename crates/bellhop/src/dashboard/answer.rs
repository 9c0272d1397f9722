//! What a page or a command comes to, and the headers that every answer has.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::Markup;

/// No script, style, picture or request but our own; nothing inline; in no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// A page, without its frame.
#[derive(Debug)]
pub struct Page {
    /// Its title, also its first heading.
    pub title: String,
    /// Which entry of the navigation it belongs to.
    pub section: &'static str,
    /// The pages above it: name and path.
    pub crumbs: Vec<(String, String)>,
    /// Further of its head, beside the title.
    pub beside: Option<Markup>,
    /// What it shows.
    pub body: Markup,
    /// Its status.
    pub status: StatusCode,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Done {
    /// Look there.
    See(String),
    /// Look at this: it is shown once.
    Page(Box<Page>),
}

impl Page {
    /// A page of this section.
    pub fn new(section: &'static str, title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            section,
            crumbs: Vec::new(),
            beside: None,
            body,
            status: StatusCode::OK,
        }
    }

    /// Below another page.
    pub fn below(mut self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.crumbs.push((name.into(), path.into()));
        self
    }

    /// With something beside its title.
    pub fn beside(mut self, markup: Markup) -> Self {
        self.beside = Some(markup);
        self
    }

    /// With this status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl Done {
    /// Look at this.
    pub fn page(page: Page) -> Self {
        Self::Page(Box::new(page))
    }

    /// Look there, and read what was done.
    pub fn see(path: impl std::fmt::Display, said: &str) -> Self {
        Self::See(format!("{path}?Done={said}"))
    }
}

/// A whole document.
pub fn document(status: StatusCode, markup: Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let body = Body::from(markup.into_string());
    guarded((status, [(header::CONTENT_TYPE, html)], body).into_response())
}

/// Look there. The answer to a command that was carried out.
pub fn see_other(path: &str) -> Response {
    // What is not a header's value came from a query: the front page is better than none.
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/dashboard"));
    guarded((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// Adds what keeps a page from doing what it should not, whatever gets into it.
pub fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // Not `no-referrer`: browsers would then send `Origin: null` with forms, which the guard against foreign forms
        // could not tell from a foreign one.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
    ];
    headers.extend(fixed);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
