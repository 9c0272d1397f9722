//! The rules for a webhook's URL, judged without DNS.
//!
//! Parsers disagree about hostile strings, so the text must already be plain where they differ (no backslash, no
//! white space, no user info, a canonical IPv4 literal); then `url` parses it, `http::Uri` parses what `url` wrote,
//! and both must name the same host and port.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Uri};
use url::{Host, Position, Url};

use super::{
    AddressKind, EgressPolicy, TargetHost, TargetUrl, UrlRefused, address::embedded_v4,
    names::judge_name,
};

/// Values in a query that are shorter than this are not taken for secrets.
const SECRET_MIN_LENGTH: usize = 6;

pub(super) fn judge_url(text: &str, policy: &EgressPolicy) -> Result<TargetUrl, UrlRefused> {
    judge_characters(text)?;
    let rest = judge_scheme(text)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (written_host, written_port) = split_authority(authority)?;
    if let Some(port) = written_port {
        judge_written_port(port)?;
    }
    if text.contains('#') {
        return Err(UrlRefused::Fragment);
    }

    let mut url = Url::parse(text).map_err(|error| match error {
        url::ParseError::InvalidPort => UrlRefused::PortMalformed,
        url::ParseError::RelativeUrlWithoutBase => UrlRefused::NoScheme,
        _ => UrlRefused::HostName,
    })?;
    let https = url.scheme() == "https";
    let host = judge_host(&mut url, written_host, policy)?;
    let port = url
        .port_or_known_default()
        .ok_or(UrlRefused::PortMalformed)?;
    if policy.inside_of(&host).is_some() {
        // One way to write it: nothing of the network is meant by it.
        let is_plain = !https && written_port.is_none();
        return if is_plain {
            prepare(&url, host, port)
        } else {
            Err(UrlRefused::Inside)
        };
    }
    judge_place(&host, port, https, policy)?;
    if !policy.allows_port(port) {
        let allowed = policy
            .ports
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        return Err(UrlRefused::Port { port, allowed });
    }
    prepare(&url, host, port)
}

fn judge_characters(text: &str) -> Result<(), UrlRefused> {
    if text.is_empty() {
        return Err(UrlRefused::Empty);
    }
    if text.len() > UrlRefused::MAX_LENGTH {
        return Err(UrlRefused::TooLong { length: text.len() });
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlRefused::Whitespace);
    }
    if text.contains('\\') {
        return Err(UrlRefused::Backslash);
    }
    Ok(())
}

/// What follows `https://`.
fn judge_scheme(text: &str) -> Result<&str, UrlRefused> {
    let (scheme, rest) = text.split_once(':').ok_or(UrlRefused::NoScheme)?;
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    match rest.strip_prefix("//") {
        Some(rest) if is_web && !rest.is_empty() && !rest.starts_with(['/', '?', '#']) => Ok(rest),
        Some(_) | None if is_web => Err(UrlRefused::NoSlashes),
        Some(_) if !scheme.is_empty() => Err(UrlRefused::Scheme),
        _ => Err(UrlRefused::NoScheme),
    }
}

/// Host and port as written. Brackets stay on an IPv6 literal.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlRefused> {
    if authority.contains('@') {
        return Err(UrlRefused::UserInfo);
    }
    if authority.contains('%') {
        return Err(UrlRefused::PercentInHost);
    }
    let host_end = if authority.starts_with('[') {
        authority.find(']').ok_or(UrlRefused::HostName)? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(UrlRefused::HostName),
    }
}

fn judge_written_port(port: &str) -> Result<(), UrlRefused> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    if plain && port.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err(UrlRefused::PortMalformed)
    }
}

/// Judges the host's form, and takes one trailing dot off a name.
fn judge_host(
    url: &mut Url,
    written: &str,
    policy: &EgressPolicy,
) -> Result<TargetHost, UrlRefused> {
    match url.host().ok_or(UrlRefused::HostName)? {
        Host::Ipv4(meant) if written == meant.to_string() => Ok(TargetHost::Ip(IpAddr::V4(meant))),
        Host::Ipv4(meant) => Err(UrlRefused::Ipv4Notation { meant }),
        Host::Ipv6(v6) if !embedded_v4(v6).is_empty() => Err(UrlRefused::Ipv6Form),
        Host::Ipv6(v6) => Ok(TargetHost::Ip(IpAddr::V6(v6))),
        Host::Domain(name) => {
            let name: Box<str> = name.strip_suffix('.').unwrap_or(name).into();
            let host = TargetHost::Name(name);
            if policy.inside_of(&host).is_none() {
                judge_name(&host.to_string())?;
            }
            url.set_host(Some(&host.to_string()))
                .map_err(|_| UrlRefused::HostName)?;
            Ok(host)
        }
    }
}

/// Judges where a literal leads, and whether plain http may go there.
fn judge_place(
    host: &TargetHost,
    port: u16,
    https: bool,
    policy: &EgressPolicy,
) -> Result<(), UrlRefused> {
    let plain_allowed = match host {
        TargetHost::Ip(ip) => {
            policy
                .judge_socket(SocketAddr::new(*ip, port))
                .map_err(|refused| match refused.kind {
                    AddressKind::Own => UrlRefused::OwnAddress,
                    AddressKind::Metadata => UrlRefused::MetadataName {
                        name: ip.to_string(),
                    },
                    _ => UrlRefused::Address(refused),
                })?;
            policy.allows(*ip)
        }
        TargetHost::Name(_) => policy.allows_http_names(),
    };
    if https || plain_allowed {
        Ok(())
    } else {
        Err(UrlRefused::PlainHttp)
    }
}

/// Everything that a request needs, made once.
fn prepare(url: &Url, host: TargetHost, port: u16) -> Result<TargetUrl, UrlRefused> {
    let full = url.as_str();
    if full.len() > UrlRefused::MAX_LENGTH {
        return Err(UrlRefused::TooLong { length: full.len() });
    }
    let uri: Uri = full.parse().map_err(|_| UrlRefused::Malformed)?;
    let same_path = uri.path() == url.path() && uri.query() == url.query();
    let same_place = uri.host() == url.host_str()
        && uri.port_u16() == url.port()
        && uri.scheme_str() == Some(url.scheme());
    if !same_path || !same_place {
        return Err(UrlRefused::Malformed);
    }
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let path_at = url[..Position::BeforePath].len();
    Ok(TargetUrl {
        path_at,
        query_at: full.find('?'),
        https: url.scheme() == "https",
        port,
        host_header: HeaderValue::from_str(authority).map_err(|_| UrlRefused::Malformed)?,
        query_values: query_values(url),
        uri,
        host,
        full: full.into(),
    })
}

fn query_values(url: &Url) -> Vec<Vec<u8>> {
    let Some(query) = url.query() else {
        return Vec::new();
    };
    let as_written = query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let decoded = url
        .query_pairs()
        .map(|(name, value)| if value.is_empty() { name } else { value });
    let mut values: Vec<Vec<u8>> = as_written
        .map(|value| value.as_bytes().to_vec())
        .chain(decoded.map(|value| value.as_bytes().to_vec()))
        .filter(|value| value.len() >= SECRET_MIN_LENGTH)
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}
