//! Signing in to the dashboard: what is kept, so that every replica knows a session.

use jiff::Timestamp;

use crate::{
    domain::{access_token::TokenHash, sign_in::SignIn},
    id::ApplicationId,
};

/// What can be written of it.
#[derive(Debug, Clone)]
pub enum SignInWrite {
    /// Keeps a link or a session. What has ended is let go of.
    Keep(SignIn),
    /// Uses a link up, and keeps the session that it opens, with the link's scope and key. Refused if the link was used,
    /// or is over.
    UseLink {
        /// Of the link.
        link: TokenHash,
        /// The session.
        session: SignIn,
    },
    /// A session is used.
    Prolong {
        /// Which.
        session: TokenHash,
        /// Until when it may idle.
        idle_until: Timestamp,
    },
    /// Ends a session.
    End {
        /// Which.
        session: TokenHash,
        /// The application that it was narrowed to.
        application_id: Option<ApplicationId>,
    },
}

/// Why a link opens nothing, for people.
pub const LINK_IS_OVER: &str =
    "This link was used already, or is more than 30 minutes old. Each link signs in once.";
