//! Ways into the dashboard for people: a link that is used once, and the session that it opens.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        audit::{Actor, By},
        retry::later,
        secret_text::SecretText,
    },
    random::{Random, bytes},
};

/// How long a link waits to be used.
pub const LINK_LASTS: Duration = Duration::from_mins(30);
/// How long a session lasts without a request.
pub const SESSION_IDLES: Duration = Duration::from_hours(12);
/// How long a session lasts at most.
pub const SESSION_LASTS: Duration = Duration::from_hours(7 * 24);
/// A session is prolonged no more often than this, so that reading pages seldom writes.
const PROLONGED_EVERY: Duration = Duration::from_mins(5);

/// A link or a session as it is kept: its hash, never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// SHA-256 of the text in the link or the cookie.
    pub hash: TokenHash,
    /// Which of the two.
    pub kind: SignInKind,
    /// What it opens: everything, or what one application may see.
    pub scope: Scope,
    /// SHA-256 of the API key that it was opened with, if it was: it opens nothing once that key opens nothing.
    pub key: Option<TokenHash>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends unless it is used before.
    pub idle_until: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A link, or a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInKind {
    /// It opens one session.
    Link,
    /// It is what the cookie names.
    Session,
}

/// Whom an API key names, and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// What it opens.
    pub scope: Scope,
    /// As the audit log names whoever has it.
    pub actor: Actor,
}

/// Who looks at a page. Pages and commands show and do what this one may see and do, and nothing else exists for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// Everything, or one application.
    pub scope: Scope,
    /// The hash of the session: the viewer's identity.
    pub session: TokenHash,
    /// Where the request came from.
    pub from: Option<IpAddr>,
}

/// Names a link or a session in the audit log: half of its hash, which opens nothing.
pub fn audit_id(hash: &TokenHash) -> Uuid {
    let [half, _] = hash.0.as_chunks::<16>().0 else {
        return Uuid::nil();
    };
    Uuid::from_bytes(*half)
}

impl Viewer {
    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor::Session {
            id: audit_id(&self.session),
            name: self.scope.as_str().into(),
        }
    }

    /// Who asks, from where.
    pub fn by(&self) -> By {
        By {
            actor: self.actor(),
            from: self.from,
            request_id: None,
        }
    }
}

/// The text of a link or a session: 256 random bits in hex.
pub fn generate(random: &dyn Random) -> SecretText {
    let mut text = String::with_capacity(64);
    for byte in bytes::<32>(random) {
        use fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
    }
    SecretText::new(text)
}

impl SignIn {
    /// A link that opens one session of this scope.
    pub fn link(text: &SecretText, scope: Scope, now: Timestamp) -> Self {
        let expires = later(now, LINK_LASTS);
        Self {
            hash: TokenHash::of(text.expose()),
            kind: SignInKind::Link,
            scope,
            key: None,
            created: now,
            idle_until: expires,
            expires,
        }
    }

    /// A session of this scope.
    pub fn session(text: &SecretText, scope: Scope, now: Timestamp) -> Self {
        Self {
            hash: TokenHash::of(text.expose()),
            kind: SignInKind::Session,
            scope,
            key: None,
            created: now,
            idle_until: later(now, SESSION_IDLES),
            expires: later(now, SESSION_LASTS),
        }
    }

    /// Made with this API key, and over when the key is.
    #[must_use]
    pub fn with_key(mut self, key: Option<TokenHash>) -> Self {
        self.key = key;
        self
    }

    /// Whether it still opens anything.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.idle_until && now < self.expires
    }

    /// Until when a session that is used now may idle; `None` if that is not worth a write.
    pub fn prolonged(&self, now: Timestamp) -> Option<Timestamp> {
        let until = later(now, SESSION_IDLES).min(self.expires);
        (until > later(self.idle_until, PROLONGED_EVERY)).then_some(until)
    }
}

impl SignInKind {
    /// As stores keep it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "Link",
            Self::Session => "Session",
        }
    }
}

impl FromStr for SignInKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Link" => Ok(Self::Link),
            "Session" => Ok(Self::Session),
            _ => Err(format!("{text} is neither a link nor a session")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    #[test]
    fn a_session_ends_when_idle_and_at_last() {
        let text = SecretText::new("x");
        let mut session = SignIn::session(&text, Scope::Operator, at(0));
        assert!(session.is_open(at(11)) && !session.is_open(at(12)));
        assert_eq!(session.prolonged(at(0)), None);
        for hour in (11..7 * 24).step_by(11) {
            assert!(session.is_open(at(hour)));
            if let Some(until) = session.prolonged(at(hour)) {
                session.idle_until = until;
            }
        }
        assert!(session.is_open(at(7 * 24 - 1)) && !session.is_open(at(7 * 24)));
    }

    #[test]
    fn a_link_waits_for_half_an_hour() {
        let link = SignIn::link(&SecretText::new("x"), Scope::Operator, at(0));
        let minute = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        assert!(link.is_open(minute(29)) && !link.is_open(minute(30)));
    }
}
