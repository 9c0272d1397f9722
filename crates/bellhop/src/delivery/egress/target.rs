//! A webhook's URL after it was judged: parsed once, used for everything.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use http::{HeaderValue, Uri};

/// A webhook's URL that the policy accepted. Made by [`EgressPolicy::judge_url`](super::EgressPolicy::judge_url) only.
///
/// Its query is a secret: `Debug` shows the masked form, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl {
    pub(super) full: Box<str>,
    /// Where the path begins in `full`.
    pub(super) path_at: usize,
    /// Where the question mark is in `full`.
    pub(super) query_at: Option<usize>,
    pub(super) https: bool,
    pub(super) host: TargetHost,
    pub(super) port: u16,
    pub(super) uri: Uri,
    pub(super) host_header: HeaderValue,
    pub(super) query_values: Vec<Vec<u8>>,
}

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHost {
    /// A lower-case ASCII name (punycode for international ones) without trailing dot.
    Name(Box<str>),
    /// An IP literal.
    Ip(IpAddr),
}

impl TargetUrl {
    /// The whole URL, secret query included: for the store and for the one who may see it, never for a log.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The URL for people and logs: a query is shown as `?…`.
    pub fn masked(&self) -> String {
        match self.query_at {
            Some(at) => format!("{}?…", &self.full[..at]),
            None => self.full.to_string(),
        }
    }

    /// Scheme, host and port: `https://hooks.example.com:8443`.
    pub fn origin(&self) -> &str {
        &self.full[..self.path_at]
    }

    /// Whether the request is encrypted on the way.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host.
    pub const fn host(&self) -> &TargetHost {
        &self.host
    }

    /// The port, the scheme's default if the URL names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same URL as the HTTP library wants it.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The value of the `Host` header.
    pub const fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// The values in the query, decoded and as written, which no stored response may contain.
    pub(in crate::delivery) fn query_values(&self) -> &[Vec<u8>] {
        &self.query_values
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TargetUrl").field(&self.masked()).finish()
    }
}

impl TargetHost {
    /// Reads the host of a `Uri`, where IPv6 literals are in brackets.
    pub(super) fn of_uri(host: &str) -> Self {
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let literal = match bracketed {
            Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
            None => host.parse::<IpAddr>(),
        };
        literal.map_or_else(|_| Self::Name(host.into()), Self::Ip)
    }
}

impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Ip(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}
