//! A problem on its way to its document (RFC 9457).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    code::{Code, Flaw},
    replay_objects::ReplayCounts,
    reply::Reply,
    times::second,
};
use crate::{
    domain::integration::{Refused, State},
    store::{CommitError, Noun, StoreError},
};

/// Seconds after which a caller may try again when the store is away.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    state: Option<&'static str>,
    allowed_commands: Option<Vec<&'static str>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    missing: Option<Noun>,
    counts: Option<ReplayCounts>,
}

/// What is wrong at one place of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// For programs: `unknown`, `missing`, `wrong_type`, `invalid`, `duplicate`, `not_found`, `url_refused`.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Where the page about this kind of problem is.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of problem it is, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// What kind of problem it is, for programs.
    code: &'static str,
    /// The request's id, also in the header `x-request-id` and in the server's log.
    request_id: String,
    /// What is wrong where, if the request's content is.
    errors: Vec<FieldError>,
    /// The state that forbids a command.
    #[serde(rename = "State", skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// The commands that would change something in that state.
    #[serde(rename = "AllowedCommands", skip_serializing_if = "Option::is_none")]
    allowed_commands: Option<Vec<&'static str>>,
    /// What a replay would be about now.
    #[serde(rename = "Counts", skip_serializing_if = "Option::is_none")]
    counts: Option<ReplayCounts>,
}

impl ApiError {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            state: None,
            allowed_commands: None,
            headers: Vec::new(),
            missing: None,
            counts: None,
        }))
    }

    /// Values that are not acceptable.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.place(), one.detail),
            _ => format!("{} values are not acceptable; see errors.", errors.len()),
        };
        let mut error = Self::new(Code::InvalidValue, detail);
        error.0.errors = errors;
        error
    }

    /// Nothing with this id that the caller may see.
    pub fn not_found(noun: Noun, id: impl std::fmt::Display) -> Self {
        let why = match noun {
            Noun::Delivery => {
                " A delivery is purged some time after it has ended (delivery_retention_seconds)."
            }
            Noun::Replay => {
                " A replay is purged some time after it has ended (delivery_retention_seconds)."
            }
            _ => "",
        };
        let mut error = Self::new(Code::NotFound, format!("There is no {noun} {id}.{why}"));
        error.0.missing = Some(noun);
        error
    }

    /// The state forbids something that is not a command of an integration.
    pub fn not_now(detail: impl Into<String>) -> Self {
        Self::new(Code::NotAllowedInState, detail)
    }

    /// With what a replay would be about now, if it is that the preview was outdated.
    pub fn with_counts(mut self, counts: ReplayCounts) -> Self {
        if self.0.code == Code::PreviewOutdated {
            self.0.counts = Some(counts);
        }
        self
    }

    /// With a header on the answer.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// With the number of seconds to wait.
    pub fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// If it is that nothing has an id that the body named: a value at this pointer that is not acceptable.
    pub fn blame(self, noun: Noun, pointer: &'static str) -> Self {
        if self.0.missing == Some(noun) {
            return Self::invalid(vec![FieldError::at(
                pointer,
                Flaw::NoSuchThing,
                self.0.detail,
            )]);
        }
        self
    }

    /// What kind it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The answer.
    pub fn into_reply(self, request_id: &str) -> Reply {
        let inner = *self.0;
        let status = inner.code.status();
        let problem = Problem {
            kind: format!("/problems/{}", inner.code.as_str()),
            title: inner.code.title(),
            status: status.as_u16(),
            detail: inner.detail,
            code: inner.code.as_str(),
            request_id: request_id.to_owned(),
            errors: inner.errors,
            state: inner.state,
            allowed_commands: inner.allowed_commands,
            counts: inner.counts,
        };
        let body = serde_json::to_vec(&problem).expect("texts and numbers always serialise");
        let mut reply = Reply::of(status, "application/problem+json", Bytes::from(body));
        for (name, value) in inner.headers {
            reply = reply.with_header(name, value);
        }
        reply
    }
}

impl FieldError {
    /// Something wrong at a place in the body.
    pub fn at(pointer: impl Into<String>, flaw: Flaw, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            code: flaw.as_str(),
            detail: detail.into(),
        }
    }

    /// Something wrong with a parameter of the query.
    pub fn in_query(name: impl Into<String>, flaw: Flaw, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.into()),
            code: flaw.as_str(),
            detail: detail.into(),
        }
    }

    fn place(&self) -> &str {
        match (&self.pointer, &self.parameter) {
            (Some(pointer), _) if pointer.is_empty() => "the body",
            (Some(place), _) | (None, Some(place)) => place,
            (None, None) => "the request",
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let allowed: Vec<_> = refused
            .state
            .allowed()
            .iter()
            .map(|command| command.as_str())
            .collect();
        let what_now = match refused.state {
            State::Deleted => " It is gone for good: create another integration.".to_owned(),
            _ => format!(" What would change something now: {}.", allowed.join(", ")),
        };
        let mut error = Self::new(
            Code::NotAllowedInState,
            format!(
                "The integration is {}, and that does not allow {}.{what_now}",
                refused.state.as_str(),
                refused.command.as_str(),
            ),
        );
        error.0.state = Some(refused.state.as_str());
        error.0.allowed_commands = Some(allowed);
        error
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotFound { noun, id } => Self::not_found(noun, id),
            CommitError::Exists { noun, id } => Self::new(
                Code::ExistsAlready,
                format!("There is already {} {noun} {id}.", article(noun)),
            ),
            CommitError::Refused(refused) => refused.into(),
            CommitError::NotNow(detail) => Self::not_now(detail),
            CommitError::Erased { integration_id, at } => Self::new(
                Code::BodyErased,
                format!(
                    "The message carried an access token. Its body was erased at {}, when every delivery of it had \
                     ended and erasure_grace_seconds were over, and cannot be sent again. To give the partner a new \
                     token: POST /v1/integrations/{integration_id}/regenerate-access-token.",
                    second(at),
                ),
            ),
            CommitError::Changed => Self::new(
                Code::PreconditionFailed,
                "It was changed since you read it: If-Match names an older version.",
            ),
            CommitError::Outdated => Self::new(
                Code::PreviewOutdated,
                "What this replay is about has changed since the dry run, or the dry run is more than an hour old. \
                 Look at Counts, and make another dry run.",
            ),
            CommitError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key was used within the last 24 hours for another request.",
            ),
            CommitError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::new(
                Code::Unavailable,
                "More writes are waiting than the store takes. Nothing was changed.",
            )
            .with_retry_after(RETRY_AFTER_SECONDS),
            StoreError::Database(_) | StoreError::Closed => {
                tracing::error!(%error, "the store does not answer");
                Self::new(
                    Code::Unavailable,
                    "The database does not answer; it is unknown whether a change was made.",
                )
                .with_retry_after(RETRY_AFTER_SECONDS)
            }
            StoreError::Corrupt(_)
            | StoreError::OtherKey
            | StoreError::InUse(_)
            | StoreError::Moved { .. }
            | StoreError::Older { .. }
            | StoreError::Newer { .. } => {
                tracing::error!(%error, "the store cannot be read");
                Self::new(Code::Internal, "The server cannot read its database.")
            }
        }
    }
}

fn article(noun: Noun) -> &'static str {
    match noun {
        Noun::Enterprise | Noun::Application | Noun::Integration | Noun::Key => "an",
        Noun::Webhook | Noun::Delivery | Noun::Replay => "a",
    }
}
