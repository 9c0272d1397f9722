//! What somebody asks for, on its way to the store: values are made here, decided by the domain inside
//! the store's transaction, and announced on the feed once they are durable.

use std::{sync::Arc, time::Duration};

use bellhop_webhook::{Requestor, Secret, Service, SigningKey};
use jiff::Timestamp;

use crate::{
    clock::SharedClock,
    domain::{
        access::Access,
        access_token,
        api_key::{self, ApiKey, Scope},
        audit::{By, Fact},
        integration::{Command, CommandName, NewIntegration},
        retry::later,
        secret_text::SecretText,
        signatures::SecretKind,
    },
    feed::{Event, Feed},
    id::{ApplicationId, EnterpriseId, Ids, IntegrationId},
    random::{SharedRandom, bytes},
    store::{Commit, CommitError, Receipt, Remember, Store, Write, Written},
};

/// How long a former access token works after it was regenerated, unless configured.
pub const DEFAULT_TOKEN_OVERLAP: Duration = Duration::from_hours(24);

/// The way from a request to a durable change.
#[derive(Debug)]
pub struct Lifecycle {
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    clock: SharedClock,
    random: SharedRandom,
    ids: Ids,
    token_overlap: Duration,
}

/// An integration that somebody asks for.
#[derive(Debug, Clone)]
pub struct IntegrationRequest {
    /// The application to connect.
    pub application_id: ApplicationId,
    /// The enterprise to connect it to.
    pub enterprise_id: EnterpriseId,
    /// Its name.
    pub name: String,
    /// Its id, if the operator has one.
    pub id: Option<IntegrationId>,
    /// Whether it starts enabled.
    pub is_enabled: bool,
    /// The service of the enterprise (profile `2025`).
    pub service: Option<Service>,
}

/// What an access token is worth (RFC 7662).
#[derive(Debug, Clone)]
pub enum Introspection {
    /// It opens this.
    Active(Arc<Access>),
    /// It opens nothing. Why is nobody's business.
    Inactive,
}

impl Lifecycle {
    /// Over this store.
    pub fn new(
        store: Arc<dyn Store>,
        feed: Arc<Feed>,
        clock: SharedClock,
        random: SharedRandom,
        token_overlap: Duration,
    ) -> Self {
        let ids = Ids::new(random.clone());
        Self {
            store,
            feed,
            clock,
            random,
            ids,
            token_overlap,
        }
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh id.
    pub fn id<Id: From<uuid::Uuid>>(&self) -> Id {
        self.ids.next(self.clock.now())
    }

    /// A fresh secret for a webhook.
    pub fn secret(&self) -> SecretText {
        let secret = Secret::from_bytes(bytes::<32>(&*self.random)).expect("32 bytes are a secret");
        SecretText::new(secret.expose())
    }

    /// A fresh key pair for a webhook, in the form of a secret.
    pub fn key_pair(&self) -> SecretText {
        SecretText::new(SigningKey::from_seed(bytes::<32>(&*self.random)).expose())
    }

    /// Something fresh to sign with, of this kind.
    pub fn secret_of(&self, kind: SecretKind) -> SecretText {
        match kind {
            SecretKind::Shared => self.secret(),
            SecretKind::KeyPair => self.key_pair(),
        }
    }

    /// A fresh API key, and what is kept of it.
    pub fn key(
        &self,
        name: String,
        scope: Scope,
        expires: Option<Timestamp>,
    ) -> (ApiKey, SecretText) {
        let (hash, text) = self.key_text();
        let created = self.now();
        (
            ApiKey {
                id: self.ids.next(created),
                name,
                scope,
                hash,
                previous: None,
                first: None,
                created,
                expires,
                last_used: None,
            },
            text,
        )
    }

    /// A fresh API key for one that there is, and its hash.
    pub fn key_text(&self) -> (access_token::TokenHash, SecretText) {
        let text = api_key::generate(&*self.random);
        (access_token::TokenHash::of(text.expose()), text)
    }

    /// The integration to create, with its access token.
    pub fn integration(&self, request: IntegrationRequest) -> NewIntegration {
        let id = request.id.unwrap_or_else(|| self.id());
        NewIntegration {
            id,
            application_id: request.application_id,
            enterprise_id: request.enterprise_id,
            name: request.name,
            is_enabled: request.is_enabled,
            service: request.service,
            access_token: access_token::generate(id, &*self.random),
        }
    }

    /// The command of that name; regenerating makes the new token.
    pub fn command(&self, name: CommandName, id: IntegrationId) -> Command {
        match name {
            CommandName::Enable => Command::Enable,
            CommandName::Disable => Command::Disable,
            CommandName::Cancel => Command::Cancel,
            CommandName::Reinstate => Command::Reinstate,
            CommandName::Delete => Command::Delete,
            CommandName::RegenerateAccessToken => self.regenerate(id, None),
        }
    }

    /// The command that makes a new access token; the former one works for this long, or as configured.
    pub fn regenerate(&self, id: IntegrationId, overlap: Option<Duration>) -> Command {
        Command::RegenerateAccessToken {
            token: access_token::generate(id, &*self.random),
            overlap_until: later(self.now(), overlap.unwrap_or(self.token_overlap)),
        }
    }

    /// Creates an integration.
    pub async fn create(
        &self,
        new: NewIntegration,
        requestor: Option<Requestor>,
        by: By,
        remember: Option<Remember>,
    ) -> Result<Receipt, CommitError> {
        self.commit(
            Write::CreateIntegration {
                new: Box::new(new),
                requestor,
            },
            by,
            remember,
        )
        .await
    }

    /// Makes a write durable, then announces it.
    pub async fn commit(
        &self,
        write: Write,
        by: By,
        remember: Option<Remember>,
    ) -> Result<Receipt, CommitError> {
        let receipt = self
            .store
            .commit(Commit {
                at: self.now(),
                write,
                by,
                remember,
            })
            .await?;
        if let Receipt::Done { written, due } = &receipt {
            match written {
                Written::Webhook(webhook) => self.feed.tell(Event::Webhook(webhook.id)),
                Written::Delivery(delivery) => self.feed.tell(Event::Delivery(delivery.id)),
                Written::Integration {
                    integration,
                    changed: true,
                } => self.feed.tell(Event::Integration {
                    id: integration.id,
                    sequence: integration.sequence,
                }),
                Written::Replay { .. } => self.feed.wake_replays(),
                _ => {}
            }
            self.feed.due(due.iter().copied());
        }
        Ok(receipt)
    }

    /// Writes into the audit log what changes nothing else: somebody signed in, or could not.
    pub async fn note(&self, fact: Fact, by: By) -> Result<(), CommitError> {
        let write = Write::Note(Box::new(fact));
        self.commit(write, by, None).await.map(drop)
    }

    /// What a token is worth now. What was revoked is seen at once: the store says so.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, crate::store::StoreError> {
        let Some(id) = access_token::integration_of(token) else {
            return Ok(Introspection::Inactive);
        };
        let hash = access_token::TokenHash::of(token);
        let now = self.now();
        let active = self
            .store
            .access(id)
            .await?
            .filter(|access| access.accepts(&hash, now));
        Ok(active.map_or(Introspection::Inactive, Introspection::Active))
    }
}
