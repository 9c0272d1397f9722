//! An answer: status, headers, bytes.

use aws_lc_rs::digest;
use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::store::Answer;

const JSON: &str = "application/json";

/// An answer on its way out. May hold a secret that is shown once, so Debug shows no bytes.
#[derive(Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// The part of an [`Answer`] before the body.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Reply {
    /// With these bytes.
    pub fn of(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body,
        }
    }

    /// 200 with a JSON document.
    pub fn ok(document: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, document)
    }

    /// A JSON document.
    pub fn json(status: StatusCode, document: &impl Serialize) -> Self {
        let body = serde_json::to_vec(document).expect("our documents have text keys only");
        Self::of(status, JSON, body.into())
    }

    /// 204.
    pub fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// 500: the store answered a write with something else. A bug, and never a panic inside the store.
    pub fn unexpected() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// With a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With the path of what was created.
    pub fn with_location(self, path: &str) -> Self {
        match HeaderValue::from_str(path) {
            Ok(value) => self.with_header(header::LOCATION, value),
            Err(_) => self,
        }
    }

    /// With a version (RFC 9110 section 8.8.3), without its quotes.
    pub fn with_version(self, version: impl std::fmt::Display) -> Self {
        match HeaderValue::try_from(format!("\"{version}\"")) {
            Ok(value) => self.with_header(header::ETAG, value),
            Err(_) => self,
        }
    }

    /// With a version made of the bytes.
    pub fn with_version_of_body(self) -> Self {
        let version = version_of(&self.body);
        self.with_version(version)
    }

    /// Its ETag, quotes included.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find_map(|(name, value)| (name == header::ETAG).then_some(value))
    }

    /// 304 with the same headers.
    pub fn not_modified(mut self) -> Self {
        self.status = StatusCode::NOT_MODIFIED;
        self.headers
            .retain(|(name, _)| name != header::CONTENT_TYPE);
        self.body = Bytes::new();
        self
    }

    /// Its bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// In the form in which it is remembered: the head as JSON, a line feed, the body.
    pub fn to_answer(&self) -> Answer {
        let head = Head {
            status: self.status.as_u16(),
            headers: self
                .headers
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
                })
                .collect(),
        };
        let mut bytes = serde_json::to_vec(&head).expect("texts and numbers always serialise");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        Answer(bytes)
    }

    /// From the form in which it is remembered. `None` if it is damaged.
    pub fn from_answer(answer: &Answer) -> Option<Self> {
        let end = answer.0.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = answer.0.split_at(end);
        let head: Head = serde_json::from_slice(head).ok()?;
        let headers = head
            .headers
            .into_iter()
            .map(|(name, value)| {
                Some((
                    HeaderName::try_from(name).ok()?,
                    HeaderValue::try_from(value).ok()?,
                ))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            status: StatusCode::from_u16(head.status).ok()?,
            headers,
            body: Bytes::copy_from_slice(&body[1..]),
        })
    }

    /// The response of the HTTP library.
    pub fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// A version of these bytes: the beginning of their SHA-256.
pub fn version_of(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}
