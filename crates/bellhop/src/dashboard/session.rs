//! Sessions: the cookie, the guard against foreign forms, and how the dashboard looks for this browser.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{Extensions, HeaderMap, HeaderValue, Uri, header};

use super::{DashboardState, Wrong, form::Form};
use crate::{
    domain::{
        access_token::TokenHash,
        audit::{By, Peer},
        secret_text::SecretText,
        sign_in::{SESSION_LASTS, SignIn, SignInKind, Viewer},
    },
    store::{SignInWrite, Write},
};

/// Where a link that signs in leads; its text follows.
pub const LINK_PATH: &str = "/dashboard/sign-in/";

/// The cookie over plain http, which only makes sense on the machine itself or behind nothing.
const PLAIN: &str = "bellhop-session";
/// The cookie over https: browsers take the prefix for a promise that it is of this host alone, whole and secure (RFC 6265bis
/// section 4.1.3.2).
const SECURE: &str = "__Host-bellhop-session";
const THEME: &str = "bellhop-theme";
const A_YEAR: u64 = 365 * 86_400;

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// A session that is open.
#[derive(Debug)]
pub struct Session {
    /// Who looks.
    pub viewer: Viewer,
    /// What each of its forms carries.
    pub form_key: String,
}

impl Session {
    /// With the address that the request came from.
    pub fn from(mut self, extensions: &Extensions) -> Self {
        self.viewer.from = peer(extensions);
        self
    }
}

/// Where a request came from.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.0)
}

/// Finds the session that the cookie names, and lets it last longer.
pub async fn find(state: &DashboardState, headers: &HeaderMap) -> Result<Session, Wrong> {
    let text = text(headers).ok_or(Wrong::NotSignedIn)?;
    let session = open(state, text).await?;
    let lifecycle = &state.options.lifecycle;
    if let Some(idle_until) = session.prolonged(lifecycle.now()) {
        let write = SignInWrite::Prolong {
            session: session.hash,
            idle_until,
        };
        // Reading goes on although nothing can be written.
        if let Err(error) = lifecycle
            .commit(Write::SignIn(write), By::system(), None)
            .await
        {
            tracing::warn!(%error, "a session was not prolonged");
        }
    }
    Ok(Session {
        viewer: Viewer {
            scope: session.scope,
            session: session.hash,
            from: None,
        },
        form_key: form_key(text),
    })
}

/// Whether the cookie still opens anything. Asking so keeps no session from idling.
pub async fn is_open(state: &DashboardState, headers: &HeaderMap) -> bool {
    match text(headers) {
        Some(text) => open(state, text).await.is_ok(),
        None => false,
    }
}

/// The session with this text, if it is open: one that was opened with an API key is no longer open than the key is.
async fn open(state: &DashboardState, text: &str) -> Result<SignIn, Wrong> {
    let lifecycle = &state.options.lifecycle;
    let found = lifecycle.store().sign_in(TokenHash::of(text)).await?;
    let now = lifecycle.now();
    let session = found
        .filter(|kept| kept.kind == SignInKind::Session && kept.is_open(now))
        .ok_or(Wrong::NotSignedIn)?;
    if let Some(key) = &session.key {
        let holder = state.options.keys.holder(key).await?;
        holder
            .filter(|holder| holder.scope == session.scope)
            .ok_or(Wrong::NotSignedIn)?;
    }
    Ok(session)
}

fn text(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, SECURE).or_else(|| cookie(headers, PLAIN))
}

/// The cookie that opens a session.
pub fn opening(text: &SecretText, is_secure: bool) -> HeaderValue {
    let seconds = SESSION_LASTS.as_secs();
    let (name, more) = if is_secure {
        (SECURE, "; Secure")
    } else {
        (PLAIN, "")
    };
    let text = text.expose();
    let cookie = format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{more}");
    let mut value = HeaderValue::try_from(cookie).expect("hex digits and ASCII");
    value.set_sensitive(true);
    value
}

/// The cookies that end it, whichever it was.
pub fn ending() -> [HeaderValue; 2] {
    let ended = |name: &str, more: &str| {
        let cookie = format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{more}");
        HeaderValue::try_from(cookie).expect("ASCII")
    };
    [ended(PLAIN, ""), ended(SECURE, "; Secure")]
}

/// What each form of a session carries: nobody else can know it, and it does not give the session away.
fn form_key(session: &str) -> String {
    let TokenHash(hash) = TokenHash::of(&format!("bellhop form {session}"));
    hash.iter().take(16).fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Refuses a form that another site made the browser send.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Wrong> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let of = origin.split_once("://").map(|(_, host)| host);
            of.is_some() && of == text("host")
        }
        // No browser: whoever it is must know the form's key all the same.
        (None, None) => true,
    };
    if is_own {
        Ok(())
    } else {
        Err(Wrong::ForeignForm)
    }
}

/// Refuses a form that was not made for this session.
pub fn check_form(session: &Session, form: &Form) -> Result<(), Wrong> {
    let given = form.text("Key").unwrap_or_default();
    verify_slices_are_equal(given.as_bytes(), session.form_key.as_bytes())
        .map_err(|_| Wrong::ForeignForm)
}

/// Whether the browser came over https: it says so itself, or the proxy before us does. Nobody has to be believed here:
/// it decides how this browser keeps its own cookie, and nothing else.
pub fn is_secure(headers: &HeaderMap, uri: &Uri) -> bool {
    let begins = |name: &str, with: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.starts_with(with))
    };
    begins("origin", "https://")
        || begins("x-forwarded-proto", "https")
        || uri.scheme_str() == Some("https")
}

/// How the dashboard looks for this browser.
pub fn theme(headers: &HeaderMap) -> Theme {
    match cookie(headers, THEME) {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::System,
    }
}

/// The cookie that keeps it.
pub fn keeping(theme: Theme) -> HeaderValue {
    let (text, seconds) = match theme {
        Theme::System => ("", 0),
        Theme::Light => ("light", A_YEAR),
        Theme::Dark => ("dark", A_YEAR),
    };
    let cookie = format!("{THEME}={text}; Path=/; Max-Age={seconds}; SameSite=Lax");
    HeaderValue::try_from(cookie).expect("ASCII")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs
            .collect::<Vec<(http::HeaderName, _)>>()
            .into_iter()
            .collect()
    }

    #[test]
    fn a_foreign_site_cannot_send_a_form() {
        for (given, fine) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "http://h:1"), ("host", "h:1")], true),
            (&[("origin", "http://evil"), ("host", "h:1")], false),
            (&[("origin", "null"), ("host", "h:1")], false),
            (&[], true),
        ] {
            assert_eq!(check_origin(&headers(given)).is_ok(), fine, "{given:?}");
        }
    }

    #[test]
    fn the_right_cookie_is_found() {
        let given = headers(&[("cookie", "a=b; bellhop-theme=dark; bellhop-session=x")]);
        assert_eq!(theme(&given), Theme::Dark);
        assert_eq!(cookie(&given, PLAIN), Some("x"));
        assert_eq!(cookie(&given, "session"), None);
    }
}
