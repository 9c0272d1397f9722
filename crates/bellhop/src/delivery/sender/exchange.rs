//! What came of one POST, as data.

use std::{fmt, net::IpAddr};

use bytes::Bytes;

use super::RetryAfter;
use crate::domain::cause::Cause;

/// One POST and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `Ok` exactly if the receiver has the message: a 2xx within the time and within the limits.
    pub outcome: Result<Response, SendFailure>,
    /// Where the time went.
    pub timings: Timings,
    /// Which redirects were followed, for people, if any were. No secrets.
    pub followed: Option<String>,
    /// The receiver's address, if a connection was made.
    pub remote: Option<IpAddr>,
    /// Whether an earlier connection carried the request.
    pub connection_reused: bool,
    /// What the receiver asked to wait; present only with 429 and 503.
    pub retry_after: Option<RetryAfter>,
}

/// A response, or as much as came of it.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status, 200 to 599 unless the failure is a protocol error.
    pub status: u16,
    /// Its headers, at most 64 and 8 KiB, without secrets.
    pub headers: KeptHeaders,
    /// The beginning of its body, without secrets.
    pub body: Bytes,
    /// Whether the body was longer than `body`, or ended before its end.
    pub truncated: bool,
    /// The bytes of body that were read.
    pub body_len: usize,
}

/// Why the receiver does not have the message, as far as the sender can tell.
#[derive(Debug, Clone)]
pub struct SendFailure {
    /// The class.
    pub cause: Cause,
    /// What exactly, for people. No secrets.
    pub detail: String,
    /// What the receiver answered, if it did.
    pub response: Option<Response>,
}

/// Where the time of an exchange went, in microseconds. What did not happen is `None`: a reused connection has no
/// `dns_us`, `connect_us` and `tls_us`. Where redirects were followed, each is the sum over the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the name.
    pub dns_us: Option<u64>,
    /// The TCP connection.
    pub connect_us: Option<u64>,
    /// The TLS handshake.
    pub tls_us: Option<u64>,
    /// Writing the request.
    pub send_us: Option<u64>,
    /// From the request's last byte to the response's first.
    pub wait_us: Option<u64>,
    /// From the response's first byte to its end.
    pub receive_us: Option<u64>,
    /// All of it.
    pub total_us: u64,
}

impl Exchange {
    /// Why it failed; `None` if the receiver has the message.
    pub fn cause(&self) -> Option<Cause> {
        self.outcome.as_ref().err().map(|failure| failure.cause)
    }

    /// What the receiver answered, success or not.
    pub fn response(&self) -> Option<&Response> {
        match &self.outcome {
            Ok(response) => Some(response),
            Err(failure) => failure.response.as_ref(),
        }
    }
}

/// A response's headers in one allocation: a line each, in the order they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    /// `name: value\n`; neither a name nor a value can contain a line break.
    pub(super) lines: String,
}

impl KeptHeaders {
    /// Names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.lines().filter_map(|line| line.split_once(": "))
    }

    /// The first value of a header; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Owned pairs, for a record.
    pub fn to_pairs(&self) -> Vec<(String, String)> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl fmt::Debug for KeptHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
