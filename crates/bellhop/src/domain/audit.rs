//! The audit log: what was done, by whom, from where; and the chain of hashes that shows whether it was touched.
//! `docs/audit.md` is the format for those who verify it without us.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;

use crate::id::{ApplicationId, KeyId};

mod chain;

pub use chain::{Chain, Digest};

/// Makes a closed set of names.
macro_rules! names {
    ($(#[$doc:meta])* $set:ident: $($(#[$of:meta])* $name:ident)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $set {
            $($(#[$of])* $name,)+
        }

        impl $set {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }

        impl FromStr for $set {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|each| each.as_str() == text);
                found.copied().ok_or_else(|| format!("no {} is called {text}", stringify!($set)))
            }
        }
    };
}

names! {
    /// What was done. Names are never given another meaning; new ones may come.
    AuditAction:
    /// An enterprise came.
    EnterpriseCreated
    /// It has another name.
    EnterpriseRenamed
    /// An application came.
    ApplicationCreated
    /// It has another name.
    ApplicationRenamed
    /// A webhook came. Its secret was shown.
    WebhookCreated
    /// Its settings changed.
    WebhookUpdated
    /// A person holds it.
    WebhookPaused
    /// A person lets it go on, or closed its circuit.
    WebhookResumed
    /// The server holds it: the receiver is gone, or failed for too long.
    WebhookDisabled
    /// It has another secret, which was shown.
    WebhookSecretRotated
    /// It is gone.
    WebhookDeleted
    /// An integration came. Its access token was shown.
    IntegrationCreated
    /// It was switched on.
    IntegrationEnabled
    /// It was switched off.
    IntegrationDisabled
    /// Its subscription ended.
    IntegrationCanceled
    /// Its subscription goes on.
    IntegrationReinstated
    /// It is gone for good.
    IntegrationDeleted
    /// It has another access token, which was shown.
    AccessTokenRegenerated
    /// A delivery is sent again.
    DeliveryReplayed
    /// A delivery was given up.
    DeliveryDiscarded
    /// A delivery was shown as it is sent, access token included.
    DeliveryRevealed
    /// Many are sent again.
    ReplayStarted
    /// A webhook is given the history.
    BackfillStarted
    /// A replay or backfill was stopped for a while.
    ReplayPaused
    /// It goes on.
    ReplayResumed
    /// It ended.
    ReplayCanceled
    /// An API key came, and was shown.
    KeyCreated
    /// Another one, which was shown, works in its place.
    KeyRotated
    /// It works no more.
    KeyDeleted
    /// An answer that shows a secret was given once more, to the same `Idempotency-Key`.
    SecretShownAgain
    /// A link that signs in to the dashboard was made, and shown.
    SignInLinkCreated
    /// Somebody signed in to the dashboard.
    SignedIn
    /// Somebody signed out.
    SignedOut
    /// Somebody could not sign in.
    SignInRefused
    /// Requests came with keys that are not known; at most one entry a minute, with their number.
    KeysRefused
    /// The encryption keys that were made here are others, or in another order.
    EncryptionKeyRotated
    /// Former encryption keys were taken out.
    EncryptionKeysPruned
    /// The oldest entries of this log went, as configured.
    AuditLogPurged
    /// A server began to work, in this version.
    ServerStarted
}

names! {
    /// What something was done to.
    AuditSubject:
    /// An enterprise.
    Enterprise
    /// An application.
    Application
    /// A webhook.
    Webhook
    /// An integration. Entries about integrations are the many: stores keep the others apart.
    Integration
    /// A delivery.
    Delivery
    /// A replay in bulk or a backfill.
    Replay
    /// An API key.
    Key
    /// Somebody's visit to the dashboard.
    Session
    /// All of this.
    Server
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the operator's first key, which is configured and has no id.
    OperatorKey,
    /// Whoever has this API key.
    Key {
        /// The key's id.
        id: KeyId,
        /// Its name.
        name: Arc<str>,
    },
    /// Whoever has signed in to the dashboard.
    Session {
        /// The session's id. Nothing that opens it.
        id: Uuid,
        /// For people: how it was opened.
        name: Arc<str>,
    },
    /// Whoever ran a command on the server's machine.
    CommandLine,
    /// The server itself.
    System,
    /// Nobody who is known.
    Stranger,
}

/// Who does something, from where, and with which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// The address that the request came from.
    pub from: Option<IpAddr>,
    /// The id of the request, as its answer has it.
    pub request_id: Option<Arc<str>>,
}

/// Where a request came from: an extension of each, made by whoever accepts connections.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What was done, without who did it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub action: AuditAction,
    /// What it was done to.
    pub subject: AuditSubject,
    /// The id of that.
    pub subject_id: Option<Uuid>,
    /// The application that it belongs to.
    pub application_id: Option<ApplicationId>,
    /// More of it: a JSON object.
    pub details: Option<String>,
}

/// One entry, as it is kept and hashed. The texts are as they were written, so that entries of later versions can be
/// verified as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What: an [`AuditAction`].
    pub action: Cow<'static, str>,
    /// Who: the kind of an [`Actor`].
    pub actor: Cow<'static, str>,
    /// The id of who, if there is one.
    pub actor_id: Option<Uuid>,
    /// The name of who, if there is one.
    pub actor_name: Option<Arc<str>>,
    /// From where.
    pub from_address: Option<String>,
    /// With which request.
    pub request_id: Option<Arc<str>>,
    /// What it was done to: an [`AuditSubject`].
    pub subject: Cow<'static, str>,
    /// The id of that.
    pub subject_id: Option<Uuid>,
    /// The application that it belongs to.
    pub application_id: Option<ApplicationId>,
    /// A JSON object.
    pub details: Option<String>,
}

impl Actor {
    /// The kind, as the API spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OperatorKey => "OperatorKey",
            Self::Key { .. } => "Key",
            Self::Session { .. } => "Session",
            Self::CommandLine => "CommandLine",
            Self::System => "System",
            Self::Stranger => "Stranger",
        }
    }

    fn id(&self) -> Option<Uuid> {
        match self {
            Self::Key { id, .. } => Some(id.0),
            Self::Session { id, .. } => Some(*id),
            Self::OperatorKey | Self::CommandLine | Self::System | Self::Stranger => None,
        }
    }

    fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Key { name, .. } | Self::Session { name, .. } => Some(name),
            Self::OperatorKey | Self::CommandLine | Self::System | Self::Stranger => None,
        }
    }
}

impl By {
    /// The server itself.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            from: None,
            request_id: None,
        }
    }
}

impl Fact {
    /// Something was done to this.
    pub fn new(action: AuditAction, subject: AuditSubject, id: Uuid) -> Self {
        Self {
            action,
            subject,
            subject_id: Some(id),
            application_id: None,
            details: None,
        }
    }

    /// Something was done to all of this.
    pub fn of_server(action: AuditAction) -> Self {
        Self {
            action,
            subject: AuditSubject::Server,
            subject_id: None,
            application_id: None,
            details: None,
        }
    }

    /// Of this application.
    #[must_use]
    pub fn of(mut self, application: Option<ApplicationId>) -> Self {
        self.application_id = application;
        self
    }

    /// With this to say of it: a JSON object.
    #[must_use]
    pub fn saying(mut self, details: impl fmt::Display) -> Self {
        self.details = Some(details.to_string());
        self
    }

    /// The entry that is kept.
    pub fn entry(self, id: Uuid, at: Timestamp, by: &By) -> AuditEntry {
        AuditEntry {
            id,
            at_ms: at.as_millisecond(),
            action: self.action.as_str().into(),
            actor: by.actor.kind().into(),
            actor_id: by.actor.id(),
            actor_name: by.actor.name().cloned(),
            from_address: by.from.map(|from| from.to_canonical().to_string()),
            request_id: by.request_id.clone(),
            subject: self.subject.as_str().into(),
            subject_id: self.subject_id,
            application_id: self.application_id,
            details: self.details,
        }
    }
}

impl AuditAction {
    /// Whether entries with this action can have such a subject.
    pub fn can_be_of(self, subject: AuditSubject) -> bool {
        use AuditAction as A;
        match self {
            A::IntegrationCreated
            | A::IntegrationEnabled
            | A::IntegrationDisabled
            | A::IntegrationCanceled
            | A::IntegrationReinstated
            | A::IntegrationDeleted
            | A::AccessTokenRegenerated => subject == AuditSubject::Integration,
            A::SecretShownAgain => true,
            _ => subject != AuditSubject::Integration,
        }
    }
}
