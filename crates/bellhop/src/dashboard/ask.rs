//! Commands: requests to the API, made within the process for the viewer. What is allowed, how values are judged and what a
//! refusal says is decided there, once.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{Done, Page, Visit, Wrong, components::controls::Filled};
use crate::domain::sign_in::Viewer;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The longest answer that is read: the largest is the API's own description.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Why the API refused (RFC 9457).
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// A short text, the same each time.
    pub title: String,
    /// What is wrong.
    pub detail: String,
    /// What is wrong, place by place.
    pub faults: Vec<Fault>,
    /// The commands that would be allowed.
    pub allowed: Vec<String>,
}

/// What is wrong at one place.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The member, as in `Url` or `RetrySchedule/0`.
    pub place: String,
    /// What.
    pub detail: String,
}

/// A request to the API, being made.
#[derive(Debug)]
pub struct Asking<'a> {
    visit: &'a Visit,
    request: http::request::Builder,
    body: Bytes,
}

impl Visit {
    /// Asks the API as the viewer.
    pub fn ask(&self, method: Method, path: impl Into<String>) -> Asking<'_> {
        let request = Request::builder()
            .method(method)
            .uri(path.into())
            .extension(self.viewer());
        Asking {
            visit: self,
            request,
            body: Bytes::new(),
        }
    }

    /// Posts to the API as the viewer.
    pub fn post(&self, path: impl Into<String>) -> Asking<'_> {
        self.ask(Method::POST, path)
    }
}

impl Asking<'_> {
    /// With this document.
    pub fn with(mut self, document: impl Into<Value>) -> Self {
        self.request = self
            .request
            .header(header::CONTENT_TYPE, "application/json");
        self.body = Bytes::from(document.into().to_string());
        self
    }

    /// A form that is sent twice does it once: each has a text of its own.
    pub fn once(mut self) -> Self {
        if let Some(once) = self.visit.form().text("Once") {
            self.request = self.request.header(IDEMPOTENCY_KEY, once);
        }
        self
    }

    /// Waits up to so many seconds for what comes of it.
    pub fn wait(mut self, seconds: u32) -> Self {
        self.request = self.request.header(PREFER, format!("wait={seconds}"));
        self
    }

    /// The document of the answer, or why there is none.
    pub async fn send(self) -> Result<Value, Wrong> {
        // The text of a form that is no header's value, or a path that is none.
        let request = self
            .request
            .body(Body::from(self.body))
            .map_err(|_| Wrong::ForeignForm)?;
        let api = self.visit.state().options.api.clone();
        let (status, document) = answer(api, request).await.ok_or(Wrong::Unexpected)?;
        if status.is_success() {
            Ok(document)
        } else {
            Err(Wrong::Problem(Box::new(Problem::read(status, &document))))
        }
    }
}

async fn answer(api: axum::Router, request: Request<Body>) -> Option<(StatusCode, Value)> {
    let Ok(response) = api.oneshot(request).await;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_BYTES)
        .collect()
        .await
        .ok()?;
    let body = body.to_bytes();
    if body.is_empty() {
        return Some((status, Value::Null));
    }
    Some((status, serde_json::from_slice(&body).ok()?))
}

impl Problem {
    fn read(status: StatusCode, document: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        let faults = list("errors");
        let faults = faults.iter().map(|fault| {
            let place = fault["pointer"].as_str().or(fault["parameter"].as_str());
            Fault {
                place: place.unwrap_or_default().trim_start_matches('/').to_owned(),
                detail: text(&fault["detail"]),
            }
        });
        Self {
            status,
            title: text(&document["title"]),
            detail: text(&document["detail"]),
            faults: faults.collect(),
            allowed: list("AllowedCommands").iter().map(text).collect(),
        }
    }
}

/// Whose request it is, for the API, and what becomes of the answer.
impl Visit {
    /// What a form comes to: `done` says what is shown after it, and a form that was refused is shown `again`, with what
    /// was wrong with it.
    pub async fn settle(
        &self,
        answer: Result<Value, Wrong>,
        done: impl FnOnce(&Value) -> Done,
        again: impl AsyncFnOnce(&Filled) -> Result<Page, Wrong>,
    ) -> Result<Done, Wrong> {
        match answer {
            Ok(document) => Ok(done(&document)),
            Err(Wrong::Problem(problem)) => {
                let status = problem.status;
                let filled = Filled::refused(self.form().clone(), problem);
                Ok(Done::page(again(&filled).await?.status(status)))
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn viewer(&self) -> Viewer {
        *self.who()
    }
}
