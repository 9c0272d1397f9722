//! Reads a response within its limits and keeps what is worth recording.

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode, Version,
    header::{CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    exchange::{KeptHeaders, Response},
    failure,
    scrub::Scrubber,
};

const MOST_HEADERS: usize = 64;
const MOST_HEADER_BYTES: usize = 8 * 1024;

/// A response while it is read. Lives outside the deadline, so that what came before it is kept.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: KeptHeaders,
    /// The beginning of the body, not yet scrubbed.
    received: Vec<u8>,
    body_len: usize,
    complete: bool,
}

/// How reading a body ended, if within the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// As it should.
    Complete,
    /// The connection ended, or what came was not a body.
    Cut,
    /// There was more than is read.
    TooLong,
}

/// What to read and keep of a response.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// The longest body.
    pub response_limit: usize,
    /// How much of it is kept.
    pub kept: usize,
    /// What must not be kept.
    pub scrubber: &'a Scrubber<'a>,
}

impl Answer {
    pub fn begin(head: &http::response::Parts, limits: Limits<'_>) -> Self {
        Self {
            status: head.status,
            headers: keep_headers(&head.headers, limits.scrubber),
            received: Vec::new(),
            body_len: 0,
            complete: false,
        }
    }

    /// What makes the head no valid one, though the HTTP library let it pass.
    pub fn flaw(head: &http::response::Parts) -> Option<&'static str> {
        let headers = &head.headers;
        if !(200..=599).contains(&head.status.as_u16()) {
            return Some("the status is not one from 200 to 599");
        }
        // RFC 9112, 6.3: a sign of request or response smuggling.
        if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
            return Some("the response has both a content-length and a transfer-encoding");
        }
        (head.version < Version::HTTP_10).then_some("the response is older than HTTP/1.0")
    }

    /// Reads the body up to the limit.
    pub async fn read(&mut self, mut body: Incoming, limits: Limits<'_>) -> BodyEnd {
        let window = limits.scrubber.window(limits.kept);
        while let Some(frame) = body.frame().await {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) if failure::is_wire_limit(&error) => return BodyEnd::TooLong,
                Err(_) => return BodyEnd::Cut,
            };
            self.body_len += data.len();
            let wanted = window.saturating_sub(self.received.len()).min(data.len());
            self.received.extend_from_slice(&data[..wanted]);
            if self.body_len > limits.response_limit {
                return BodyEnd::TooLong;
            }
        }
        self.complete = true;
        BodyEnd::Complete
    }

    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What is recorded of it.
    pub fn into_response(self, limits: Limits<'_>) -> Response {
        let fits = self.received.len() <= limits.kept;
        let body = if fits && limits.scrubber.is_clean(&self.received) {
            Bytes::from(self.received)
        } else {
            Bytes::from(limits.scrubber.scrub(&self.received, limits.kept))
        };
        Response {
            status: self.status.as_u16(),
            headers: self.headers,
            body,
            truncated: !self.complete || self.body_len > limits.kept,
            body_len: self.body_len,
        }
    }
}

fn keep_headers(headers: &HeaderMap, scrubber: &Scrubber<'_>) -> KeptHeaders {
    let mut lines = String::with_capacity(headers.len() * 48);
    for (name, value) in headers.iter().take(MOST_HEADERS) {
        let room = MOST_HEADER_BYTES.saturating_sub(lines.len() + name.as_str().len() + 3);
        if room == 0 {
            break;
        }
        lines.push_str(name.as_str());
        lines.push_str(": ");
        if name == SET_COOKIE {
            // The receiver's own secret.
            lines.push_str("[redacted]");
        } else if scrubber.is_clean(value.as_bytes()) {
            push_text(&mut lines, value.as_bytes(), room);
        } else {
            push_text(&mut lines, &scrubber.scrub(value.as_bytes(), room), room);
        }
        lines.push('\n');
    }
    KeptHeaders { lines }
}

fn push_text(lines: &mut String, value: &[u8], room: usize) {
    let text = String::from_utf8_lossy(value);
    lines.push_str(&text[..text.floor_char_boundary(room)]);
}
