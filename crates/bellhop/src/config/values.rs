//! From text to a valid value. Each error says what is allowed, and never repeats what was given.

use std::{
    fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::Database;
use crate::{delivery::egress::PortRange, domain::secret_text::SecretText, vault::Vault};

/// Shorter keys can be guessed.
const OPERATOR_KEY_MIN: usize = 32;
/// Longer ones do not fit a header comfortably.
const OPERATOR_KEY_MAX: usize = 512;
/// Most of them at a time: each is compared with what a caller bears.
const OPERATOR_KEYS_MAX: usize = 8;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One object a line.
    Json,
}

type Parsed<T> = Result<T, String>;

pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        "an IP address and a port are expected, as in 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080"
            .to_owned()
    })
}

pub(super) fn yes_or_no(text: &str) -> Parsed<bool> {
    text.parse()
        .map_err(|_| "true or false is expected".to_owned())
}

/// Where links begin: what is added to it is a path.
pub(super) fn public_url(text: &str) -> Parsed<String> {
    let is_base = url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !is_base {
        return Err(
            "an http or https URL without query is expected, as in https://bellhop.example.com"
                .to_owned(),
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() {
        return Err("a path is expected".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// What else is in it is for the store to read.
pub(super) fn database_url(text: &str) -> Parsed<Database> {
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if !is_postgres {
        return Err(
            "a URL of a PostgreSQL database is expected, as in postgres://user:password@host:5432/database; \
             leave it unset for SQLite in the data directory"
                .to_owned(),
        );
    }
    Ok(Database::Postgres {
        url: SecretText::new(text),
    })
}

/// One, or several with commas between: the newest first.
pub(super) fn operator_key(text: &str) -> Parsed<SecretText> {
    let keys = operator_keys(text);
    let fits = |key: &&str| {
        (OPERATOR_KEY_MIN..=OPERATOR_KEY_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if keys.len() > OPERATOR_KEYS_MAX || !keys.iter().all(fits) {
        return Err(format!(
            "{OPERATOR_KEY_MIN} to {OPERATOR_KEY_MAX} visible ASCII characters are expected, \
             or up to {OPERATOR_KEYS_MAX} such keys with commas between; \
             make one with `openssl rand -hex 32`"
        ));
    }
    Ok(SecretText::new(text))
}

/// Those in the text of the setting or of the file.
pub(super) fn operator_keys(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).collect()
}

pub(super) fn encryption_key(text: &str) -> Parsed<SecretText> {
    Vault::from_hex(text).map_err(|error| error.to_string())?;
    Ok(SecretText::new(text))
}

/// The guard judges it when it knows which networks are allowed.
pub(super) fn webhook_url(text: &str) -> Parsed<SecretText> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(SecretText::new(text)),
        _ => Err("an https URL is expected, as in https://ops.example.com/bellhop".to_owned()),
    }
}

pub(super) fn webhook_secret(text: &str) -> Parsed<SecretText> {
    let is_key = text.parse::<bellhop_webhook::SigningKey>().is_ok();
    if !is_key && text.parse::<bellhop_webhook::Secret>().is_err() {
        return Err(
            "whsec_ and base64 of 24 to 64 bytes is expected; make one with \
             `echo whsec_$(openssl rand -base64 32)`"
                .to_owned(),
        );
    }
    Ok(SecretText::new(text))
}

/// Items with commas between; spaces around them and empty ones do not count.
pub(super) fn list<T: FromStr<Err: Display>>(text: &str) -> Parsed<Vec<T>> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| item.parse().map_err(|error: T::Err| error.to_string()))
        .collect()
}

/// Ports that a URL may name: at least one.
pub(super) fn ports(text: &str) -> Parsed<Vec<PortRange>> {
    let ports: Vec<_> = list(text)?;
    if ports.is_empty() {
        return Err("at least one port is expected, as in 443 or 8000-8999".to_owned());
    }
    Ok(ports)
}

pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Parsed<usize> {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("a whole number from {least} to {most} is expected")
            })
    }
}

/// So many a second; 0 is no limit.
pub(super) fn rate(text: &str) -> Parsed<Option<u32>> {
    let rate =
        count(0..=1_000_000)(text).map_err(|allowed| format!("{allowed} (0 is no limit)"))?;
    Ok((rate > 0).then_some(rate as u32))
}

pub(super) fn seconds(range: RangeInclusive<usize>) -> impl Fn(&str) -> Parsed<Duration> {
    let number = count(range);
    move |text| {
        number(text)
            .map(|seconds| Duration::from_secs(seconds as u64))
            .map_err(|allowed| format!("{allowed}, in seconds"))
    }
}

/// How long something waits that is done at once with 0, and not at all with `never`.
pub(super) fn wait_or_never(text: &str) -> Parsed<Option<Duration>> {
    const LONGEST: usize = 365 * 86_400;
    if text == "never" {
        return Ok(None);
    }
    let wait = seconds(0..=LONGEST)(text).map_err(|allowed| format!("{allowed}, or never"))?;
    Ok(Some(wait))
}

/// How long something is kept: 0 is for ever.
pub(super) fn kept(text: &str) -> Parsed<Option<Duration>> {
    const LONGEST: usize = 100 * 365 * 86_400;
    let kept =
        seconds(0..=LONGEST)(text).map_err(|allowed| format!("{allowed} (0 is for ever)"))?;
    Ok((!kept.is_zero()).then_some(kept))
}

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    // Valid for the library too, and silent: nothing, and a word that is the name of no module.
    let is_level = |part: &str| {
        let is_named = part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
        is_named && !part.trim().is_empty()
    };
    if !text.split(',').all(is_level) || text.parse::<Targets>().is_err() {
        return Err(
            "error, warn, info, debug or trace is expected, or levels by module as in \
             info,bellhop::delivery=debug"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// The header in which a proxy says who connected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which most proxies write.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

pub(super) fn forwarded_header(text: &str) -> Parsed<ForwardedHeader> {
    match &*text.to_ascii_lowercase() {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("x-forwarded-for or forwarded is expected".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("auto, text or json is expected".to_owned()),
    }
}
