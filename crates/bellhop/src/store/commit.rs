//! What can be made durable, and what comes of it.

use std::{fmt, sync::Arc};

use bellhop_webhook::Requestor;
use jiff::Timestamp;
use thiserror::Error;

use super::{NewReplay, Replay, ReplayStep, Shown, SignInWrite, StoreError};
use crate::{
    domain::{
        api_key::{ApiKey, KeyRotation},
        audit::{By, Fact},
        authentication::{Authentication, ClientCertificate},
        delivery::Delivery,
        enterprise::{Application, Enterprise},
        health::Health,
        integration::{Command, Integration, NewIntegration, Refused},
        replay::ReplayCommand,
        retry::RetrySchedule,
        secret_text::SecretText,
        signatures::{SecretKind, SignatureChoice},
        webhook::{ActionFilter, Webhook, WebhookSecret, WebhookState},
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, IntegrationId, KeyId, ReplayId, WebhookId},
};
use bellhop_webhook::Profile;

/// One write, and when it happens.
#[derive(Debug, Clone)]
pub struct Commit {
    /// When.
    pub at: Timestamp,
    /// What.
    pub write: Write,
    /// Who asked for it: the audit log has it, if anything changes.
    pub by: By,
    /// The idempotency record that is committed with it.
    pub remember: Option<Remember>,
}

/// What can be written.
#[derive(Debug, Clone)]
pub enum Write {
    /// Creates or renames an enterprise.
    PutEnterprise {
        /// The operator's id.
        id: EnterpriseId,
        /// Its name.
        name: String,
    },
    /// Creates an application.
    CreateApplication {
        /// Its id.
        id: ApplicationId,
        /// Its name.
        name: String,
    },
    /// Renames an application.
    RenameApplication {
        /// Which.
        id: ApplicationId,
        /// Its new name.
        name: String,
    },
    /// Creates a webhook.
    CreateWebhook(Box<NewWebhook>),
    /// Changes a webhook.
    UpdateWebhook {
        /// Which.
        id: WebhookId,
        /// Only if it still has this revision.
        if_revision: Option<u64>,
        /// What changes.
        patch: Box<WebhookPatch>,
    },
    /// Deletes a webhook; what it had still to send is discarded with the reason.
    DeleteWebhook {
        /// Which.
        id: WebhookId,
    },
    /// Makes a new secret the newest of its kind; the others of that kind sign until the overlap ends.
    RotateSecret {
        /// Of which webhook.
        id: WebhookId,
        /// The new secret.
        secret: SecretText,
        /// Until when the former ones sign as well.
        overlap_until: Timestamp,
    },
    /// Creates an integration: state, message and deliveries in one.
    CreateIntegration {
        /// What is created.
        new: Box<NewIntegration>,
        /// Who asked.
        requestor: Option<Requestor>,
    },
    /// Runs a command on an integration: state, message and deliveries in one.
    Command {
        /// Which.
        id: IntegrationId,
        /// What.
        command: Command,
        /// Who asked.
        requestor: Option<Requestor>,
    },
    /// Sends a delivery again, once, now.
    Replay {
        /// Which.
        id: DeliveryId,
    },
    /// Ends a delivery that is pending.
    Discard {
        /// Which.
        id: DeliveryId,
        /// Why.
        reason: String,
    },
    /// Starts a replay in bulk or a backfill.
    StartReplay(Box<NewReplay>),
    /// Moves a run on.
    StepReplay(Box<ReplayStep>),
    /// Pauses, resumes or cancels a run.
    CommandReplay {
        /// Which.
        id: ReplayId,
        /// What.
        command: ReplayCommand,
    },
    /// Keeps an API key.
    CreateKey(Box<ApiKey>),
    /// Ends an API key.
    DeleteKey {
        /// Which.
        id: KeyId,
    },
    /// Puts another API key in the place of one.
    RotateKey {
        /// Of which.
        id: KeyId,
        /// The new one.
        to: KeyRotation,
    },
    /// Notes when API keys were used: nothing that anybody asked for. Keys that are gone are passed over, and an earlier
    /// moment than the one that was noted changes nothing.
    NoteKeyUses(Vec<(KeyId, Timestamp)>),
    /// Tells the operator how near the end of a webhook's client certificate is, unless that was told.
    TellCertificate {
        /// Of which webhook.
        id: WebhookId,
    },
    /// Keeps, uses or ends a way into the dashboard.
    SignIn(SignInWrite),
    /// Writes into the audit log what changes nothing else.
    Note(Box<Fact>),
}

/// A webhook that is to be created.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// The application that owns it.
    pub application_id: ApplicationId,
    /// What signs.
    pub secret: SecretText,
    /// Its settings; what is absent has the default.
    pub settings: WebhookPatch,
}

/// Settings of a webhook that are to change; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookPatch {
    /// Where to.
    pub url: Option<SecretText>,
    /// For people.
    pub description: Option<String>,
    /// Which actions.
    pub actions: Option<ActionFilter>,
    /// In which form of the contract.
    pub profile: Option<Profile>,
    /// Whether it is sent to, and why not.
    pub state: Option<(WebhookState, Option<String>)>,
    /// One deadline for the whole exchange, in milliseconds.
    pub timeout_ms: Option<u32>,
    /// When to try again.
    pub retry_schedule: Option<RetrySchedule>,
    /// Most requests at a time.
    pub max_in_flight: Option<u32>,
    /// Most requests a second; `Some(None)` lifts the limit.
    pub rate_limit: Option<Option<u32>>,
    /// Whether a redirect within the same origin is followed.
    pub follow_redirects: Option<bool>,
    /// Further headers.
    pub headers: Option<Vec<(String, SecretText)>>,
    /// How requests are signed.
    pub signatures: Option<SignatureChoice>,
    /// What stands in `Authorization`; `Some(None)` for nothing.
    pub authentication: Option<Option<Authentication>>,
    /// What is shown in the TLS handshake; `Some(None)` for nothing.
    pub client_certificate: Option<Option<ClientCertificate>>,
}

/// What was written.
#[derive(Debug, Clone)]
pub enum Written {
    /// An enterprise.
    Enterprise {
        /// As it is now.
        enterprise: Enterprise,
        /// Whether it is new.
        is_new: bool,
    },
    /// An application.
    Application(Application),
    /// A webhook.
    Webhook(Box<Webhook>),
    /// An integration.
    Integration {
        /// As it is now.
        integration: Box<Integration>,
        /// Whether anything changed.
        changed: bool,
    },
    /// A delivery.
    Delivery(Box<Delivery>),
    /// A run.
    Replay {
        /// As it is now.
        replay: Box<Replay>,
        /// Whether anything changed.
        changed: bool,
    },
    /// An API key.
    Key(Box<ApiKey>),
    /// A way into the dashboard.
    SignedIn,
    /// Something is gone.
    Deleted,
    /// Something was noted.
    Noted,
}

/// What a commit comes to.
#[derive(Debug, Clone)]
pub enum Receipt {
    /// It is durable.
    Done {
        /// What it is now.
        written: Written,
        /// Webhooks that may have something due by it.
        due: Vec<WebhookId>,
    },
    /// The same request was answered before: that answer again.
    Repeated(Answer),
}

/// Remembers an answer under an idempotency key, in the same commit.
#[derive(Clone)]
pub struct Remember {
    /// SHA-256 of the caller's identity and its key.
    pub key: [u8; 32],
    /// SHA-256 of the request; another request with the same key is refused.
    pub fingerprint: [u8; 32],
    /// Until when it is remembered.
    pub until: Timestamp,
    /// Writes the answer.
    pub render: Arc<dyn Fn(&Written) -> Answer + Send + Sync>,
    /// What secret an answer shows: when it is given again, the audit log has that.
    pub shows: fn(&Answer) -> Option<Shown>,
}

/// An answer as its caller wrote it. May hold a secret: it is kept encrypted, and not shown by Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(pub Vec<u8>);

/// Why nothing was written.
#[derive(Debug, Clone, Error)]
pub enum CommitError {
    /// It does not exist.
    #[error("no {noun} has the id {id}")]
    NotFound {
        /// What.
        noun: Noun,
        /// Its id.
        id: uuid::Uuid,
    },
    /// It exists already.
    #[error("there is already {noun} {id}")]
    Exists {
        /// What.
        noun: Noun,
        /// Its id.
        id: uuid::Uuid,
    },
    /// The state of the integration forbids it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The state of the delivery forbids it.
    #[error("{0}")]
    NotNow(String),
    /// What is to be sent carried an access token, and was erased.
    #[error("the message of integration {integration_id} was erased at {at}")]
    Erased {
        /// Whose access token it was.
        integration_id: IntegrationId,
        /// When.
        at: Timestamp,
    },
    /// Somebody else changed it since it was read.
    #[error("it was changed since it was read")]
    Changed,
    /// What a run is about is no longer what was previewed, or that was too long ago.
    #[error("it is not what was previewed any more")]
    Outdated,
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// An enterprise.
    Enterprise,
    /// An application.
    Application,
    /// A webhook.
    Webhook,
    /// An integration.
    Integration,
    /// A delivery.
    Delivery,
    /// A replay in bulk or a backfill.
    Replay,
    /// An API key.
    Key,
}

impl NewWebhook {
    /// The webhook as it begins.
    pub fn into_webhook(self, at: Timestamp) -> Webhook {
        use crate::domain::webhook as defaults;
        let settings = self.settings;
        let mut webhook = Webhook {
            id: self.id,
            application_id: self.application_id,
            url: SecretText::new(""),
            description: String::new(),
            actions: ActionFilter::ALL,
            profile: Profile::Default,
            state: WebhookState::Enabled,
            state_reason: None,
            timeout: defaults::DEFAULT_TIMEOUT,
            retry_schedule: RetrySchedule::default(),
            max_in_flight: defaults::DEFAULT_MAX_IN_FLIGHT,
            rate_limit: None,
            follow_redirects: false,
            headers: Vec::new(),
            authentication: None,
            client_certificate: None,
            signatures: SecretKind::of(self.secret.expose()).usual(),
            secrets: vec![WebhookSecret {
                text: self.secret,
                created: at,
                expires: None,
            }],
            created: at,
            not_before: None,
            health: Health::default(),
            revision: 0,
        };
        settings.apply_to(&mut webhook);
        webhook
    }
}

impl WebhookPatch {
    /// Changes the webhook.
    pub fn apply_to(self, webhook: &mut Webhook) {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        if self.url.as_ref().is_some_and(|url| *url != webhook.url) {
            // Another address may fare better: what the former one has shown does not count.
            webhook.health = Health::default();
        }
        set(&mut webhook.url, self.url);
        set(&mut webhook.description, self.description);
        set(&mut webhook.actions, self.actions);
        set(&mut webhook.profile, self.profile);
        set(
            &mut webhook.timeout,
            self.timeout_ms
                .map(|ms| std::time::Duration::from_millis(ms.into())),
        );
        set(&mut webhook.retry_schedule, self.retry_schedule);
        set(&mut webhook.max_in_flight, self.max_in_flight);
        set(&mut webhook.rate_limit, self.rate_limit);
        set(&mut webhook.follow_redirects, self.follow_redirects);
        set(&mut webhook.headers, self.headers);
        set(&mut webhook.authentication, self.authentication);
        set(&mut webhook.client_certificate, self.client_certificate);
        if let Some(choice) = self.signatures {
            choice.apply_to(webhook);
        }
        if let Some((state, reason)) = self.state {
            // Whoever enables a webhook wants it sent to now.
            if state == WebhookState::Enabled {
                webhook.not_before = None;
                webhook.health = Health::default();
            }
            (webhook.state, webhook.state_reason) = (state, reason);
        }
        webhook.revision += 1;
    }
}

impl fmt::Debug for Remember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remember")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enterprise => "enterprise",
            Self::Application => "application",
            Self::Webhook => "webhook",
            Self::Integration => "integration",
            Self::Delivery => "delivery",
            Self::Replay => "replay",
            Self::Key => "key",
        })
    }
}
