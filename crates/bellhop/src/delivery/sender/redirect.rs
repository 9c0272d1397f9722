//! Redirects within the same origin, for webhooks that opted in: the same request again, elsewhere.
//!
//! Only 307 and 308, which keep the method and the body; only the same scheme, host and port, so that what was signed
//! for a receiver stays with it; three at most; one deadline over all. Each hop passes the egress guard like any other
//! request: its URL is judged here, its addresses where the connection is made.

use std::fmt::Write as _;

use http::HeaderValue;
use tokio::time::Instant;
use url::Url;

use super::{Exchange, PostRequest, Sender, Timings, post::is_redirect, scrub::Scrubber};
use crate::{
    delivery::egress::{EgressPolicy, TargetUrl, UrlRefused},
    domain::cause::Cause,
};

/// The most redirects that are followed in one attempt.
const MOST_REDIRECTS: usize = 3;
/// How much is kept of what is told of redirects, in bytes.
const KEPT: usize = 1024;

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NotFollowed {
    #[error(
        "only 307 and 308 are followed: after another redirect the method and the body may change"
    )]
    Status,
    #[error("it has no Location")]
    NoLocation,
    #[error("it has more than one Location")]
    ManyLocations,
    #[error("its Location is not plain ASCII")]
    NotText,
    #[error("its Location is refused: {0}")]
    Refused(#[from] UrlRefused),
    #[error("{to} is another origin than {from}")]
    OtherOrigin { from: String, to: String },
    #[error("at most {MOST_REDIRECTS} redirects are followed")]
    TooMany,
    #[error("the time was over")]
    Late,
}

impl Sender {
    /// Makes a POST and goes where redirects lead.
    pub(super) async fn post_along(&self, request: PostRequest<'_>, deadline: Instant) -> Exchange {
        // Where redirects have led, in turn.
        let mut followed: Vec<(u16, TargetUrl)> = Vec::new();
        let mut timings = Timings::default();
        loop {
            let target = followed.last().map_or(request.target, |(_, target)| target);
            let secrets = secrets(&request, &followed);
            let hop = PostRequest {
                target,
                headers: request.headers.clone(),
                body: request.body.clone(),
                secrets: &secrets,
                ..request
            };
            let (mut exchange, locations) = self.post_once(hop, deadline).await;
            timings = timings.and(exchange.timings);
            let Some(status) = redirected(&exchange) else {
                return tell(exchange, timings, &followed, None, &secrets);
            };
            let next = if followed.len() == MOST_REDIRECTS {
                Err(NotFollowed::TooMany)
            } else if Instant::now() >= deadline {
                Err(NotFollowed::Late)
            } else {
                follow(status, &locations, target, &self.policy)
            };
            match next {
                Ok(next) => followed.push((status, next)),
                Err(why) => {
                    exchange.retry_after = None;
                    return tell(exchange, timings, &followed, Some(&why), &secrets);
                }
            }
        }
    }
}

/// What no kept response and no text may contain: what is secret in the request, and in every URL on the way.
fn secrets<'a>(request: &'a PostRequest<'_>, followed: &'a [(u16, TargetUrl)]) -> Vec<&'a [u8]> {
    let on_the_way = followed.iter().map(|(_, target)| target);
    let of_queries = std::iter::once(request.target)
        .chain(on_the_way)
        .flat_map(TargetUrl::query_values)
        .map(Vec::as_slice);
    request.secrets.iter().copied().chain(of_queries).collect()
}

/// The status, if the receiver answered with a redirect.
fn redirected(exchange: &Exchange) -> Option<u16> {
    let failure = exchange.outcome.as_ref().err()?;
    let response = failure.response.as_ref()?;
    (failure.cause == Cause::RedirectRefused).then_some(response.status)
}

/// Where a redirect leads, if it may be followed.
fn follow(
    status: u16,
    locations: &[HeaderValue],
    from: &TargetUrl,
    policy: &EgressPolicy,
) -> Result<TargetUrl, NotFollowed> {
    if !http::StatusCode::from_u16(status).is_ok_and(is_redirect) {
        return Err(NotFollowed::Status);
    }
    let location = match locations {
        [] => return Err(NotFollowed::NoLocation),
        [location] => location.to_str().map_err(|_| NotFollowed::NotText)?,
        _ => return Err(NotFollowed::ManyLocations),
    };
    let to = policy.judge_url(&resolve(location, from)?)?;
    let is_same =
        to.is_https() == from.is_https() && to.host() == from.host() && to.port() == from.port();
    if is_same {
        return Ok(to);
    }
    Err(NotFollowed::OtherOrigin {
        from: from.origin().to_owned(),
        to: to.origin().to_owned(),
    })
}

/// The whole URL that a `Location` means (RFC 3986, 5.2). What names a host is left as it was written, for the policy
/// to judge; only a path is put together here.
fn resolve(location: &str, from: &TargetUrl) -> Result<String, UrlRefused> {
    if location.is_empty() {
        return Err(UrlRefused::Empty);
    }
    if location.len() > UrlRefused::MAX_LENGTH {
        let length = location.len();
        return Err(UrlRefused::TooLong { length });
    }
    // Browsers take it for a slash, and `Url::join` does: it could name a host.
    if location.contains('\\') {
        return Err(UrlRefused::Backslash);
    }
    if location.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(UrlRefused::Whitespace);
    }
    if has_scheme(location) {
        return Ok(location.to_owned());
    }
    if location.starts_with("//") {
        let scheme = if from.is_https() { "https" } else { "http" };
        return Ok(format!("{scheme}:{location}"));
    }
    let joined = Url::parse(from.as_str()).and_then(|base| base.join(location));
    joined.map(String::from).map_err(|_| UrlRefused::Malformed)
}

fn has_scheme(location: &str) -> bool {
    let Some((scheme, _)) = location.split_once(':') else {
        return false;
    };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Puts what became of the redirects into what is recorded.
fn tell(
    mut exchange: Exchange,
    timings: Timings,
    followed: &[(u16, TargetUrl)],
    refused: Option<&NotFollowed>,
    secrets: &[&[u8]],
) -> Exchange {
    exchange.timings = timings;
    let way = way(followed);
    let detail = match &mut exchange.outcome {
        Ok(_) => {
            exchange.followed = way.map(|way| clean(&way, secrets));
            return exchange;
        }
        Err(failure) => &mut failure.detail,
    };
    if let Some(why) = refused {
        let _ = write!(detail, "; {why}");
    }
    if let Some(way) = way {
        let _ = write!(detail, "; {way}");
    }
    *detail = clean(detail, secrets);
    exchange
}

/// `followed 307 to https://a.example/b, 308 to https://a.example/c`.
fn way(followed: &[(u16, TargetUrl)]) -> Option<String> {
    let hops: Vec<String> = followed
        .iter()
        .map(|(status, target)| format!("{status} to {}", target.masked()))
        .collect();
    (!hops.is_empty()).then(|| format!("followed {}", hops.join(", ")))
}

/// A receiver may put what it was sent into a `Location`.
fn clean(text: &str, secrets: &[&[u8]]) -> String {
    let scrubber = Scrubber::new(secrets.iter().copied());
    let text = scrubber.scrub(text.as_bytes(), KEPT);
    String::from_utf8_lossy(&text).into_owned()
}

impl Timings {
    /// Both, one after the other.
    fn and(self, next: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Self {
            dns_us: sum(self.dns_us, next.dns_us),
            connect_us: sum(self.connect_us, next.connect_us),
            tls_us: sum(self.tls_us, next.tls_us),
            send_us: sum(self.send_us, next.send_us),
            wait_us: sum(self.wait_us, next.wait_us),
            receive_us: sum(self.receive_us, next.receive_us),
            total_us: self.total_us.saturating_add(next.total_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> EgressPolicy {
        EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()])
    }

    fn led(from: &str, location: &str) -> Result<String, NotFollowed> {
        let from = policy().judge_url(from).unwrap();
        let location = HeaderValue::from_str(location).unwrap();
        follow(307, &[location], &from, &policy()).map(|to| to.as_str().to_owned())
    }

    #[test]
    fn what_stays_in_the_origin_is_followed() {
        for (location, to) in [
            ("/moved", "https://a.example.com/moved"),
            ("/moved?key=1", "https://a.example.com/moved?key=1"),
            ("moved", "https://a.example.com/in/moved"),
            ("../moved", "https://a.example.com/moved"),
            ("?key=2", "https://a.example.com/in/hook?key=2"),
            ("//a.example.com/moved", "https://a.example.com/moved"),
            ("//A.EXAMPLE.com./moved", "https://a.example.com/moved"),
            ("https://a.example.com/moved", "https://a.example.com/moved"),
            ("https://a.example.com:443/x", "https://a.example.com/x"),
            ("HTTPS://a.example.com", "https://a.example.com/"),
        ] {
            let led = led("https://a.example.com/in/hook", location);
            assert_eq!(led.as_deref(), Ok(to), "{location}");
        }
        let on_a_port = led("http://127.0.0.1:8081/hook", "http://127.0.0.1:8081/x");
        assert_eq!(on_a_port.as_deref(), Ok("http://127.0.0.1:8081/x"));
    }

    #[test]
    fn what_leaves_the_origin_is_not() {
        for location in [
            "https://b.example.com/",
            "https://example.com/",
            "https://a.example.com.evil.example.org/",
            "//b.example.com/",
            "https://a.example.com:8443/",
            "https://127.0.0.1/",
            "http://a.example.com/",
        ] {
            let led = led("https://a.example.com/hook", location);
            assert!(
                matches!(led, Err(NotFollowed::OtherOrigin { .. })),
                "{location}: {led:?}"
            );
        }
        let led = led("http://127.0.0.1:8081/hook", "https://127.0.0.1:8081/");
        assert!(
            matches!(led, Err(NotFollowed::OtherOrigin { .. })),
            "{led:?}"
        );
    }

    #[test]
    fn what_the_policy_refuses_is_not() {
        for location in [
            "http://169.254.169.254/latest/meta-data/",
            "//169.254.169.254/latest/meta-data/",
            "https://metadata.google.internal/",
            "https://localhost/",
            "https://10.0.0.1/",
            "https://user:pass@a.example.com/",
            "//user@a.example.com/",
            "https://a.example.com@127.0.0.1/",
            "//2130706433/",
            "https://[::ffff:127.0.0.1]/",
            "https:moved",
            "https:/a.example.com/",
            "///b.example.com/",
            "\\\\b.example.com/",
            "/\\b.example.com/",
            "/a b",
            "/a\tb",
            "/a#fragment",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://a.example.com:22/",
            "",
        ] {
            let led = led("https://a.example.com/hook", location);
            assert!(
                matches!(led, Err(NotFollowed::Refused(_))),
                "{location}: {led:?}"
            );
        }
        let long = format!("/{}", "a".repeat(UrlRefused::MAX_LENGTH));
        let led = led("https://a.example.com/hook", &long);
        assert!(matches!(led, Err(NotFollowed::Refused(_))), "{led:?}");
    }

    #[test]
    fn one_location_is_wanted_and_a_status_that_keeps_the_request() {
        let from = policy().judge_url("https://a.example.com/").unwrap();
        let location = HeaderValue::from_static("/moved");
        let follow = |status, locations: &[HeaderValue]| {
            follow(status, locations, &from, &policy()).map(|_| ())
        };
        for status in [307, 308] {
            assert_eq!(follow(status, std::slice::from_ref(&location)), Ok(()));
        }
        for status in [300, 301, 302, 303, 304, 305, 306, 309] {
            let followed = follow(status, std::slice::from_ref(&location));
            assert_eq!(followed, Err(NotFollowed::Status), "{status}");
        }
        assert_eq!(follow(307, &[]), Err(NotFollowed::NoLocation));
        let two = [location.clone(), location];
        assert_eq!(follow(307, &two), Err(NotFollowed::ManyLocations));
        let odd = HeaderValue::from_bytes(b"/\xff").unwrap();
        assert_eq!(follow(307, &[odd]), Err(NotFollowed::NotText));
    }
}
