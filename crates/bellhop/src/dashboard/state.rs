//! What all pages share.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use tokio::sync::{Semaphore, watch};

use crate::{
    bucket::{AddressBuckets, Bucket, Pace},
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        audit::By,
        secret_text::SecretText,
        sign_in::{KeyHolder, SignIn, generate},
    },
    feed::Feed,
    lifecycle::Lifecycle,
    random::SharedRandom,
    receiving::Play,
    store::{AuditLog, CommitError, SignInWrite, StoreError, Write},
};

/// Most pages that listen for news at a time.
const MOST_LISTENERS: usize = 256;
/// How often one address may try to sign in. What is tried has 256 random bits: this bounds the work, not the luck.
const TRIES: Pace = Pace::new(Duration::from_secs(2), 30);
/// How often the audit log is told of tries that failed, wherever they came from: strangers must not fill it.
const REFUSALS_NOTED: Pace = Pace::new(Duration::from_secs(10), 30);
/// How often one address may look at how to sign in.
const LOOKS: Pace = Pace::per_second(10);

/// Finds out whom an API key names.
#[async_trait]
pub trait KnowsKeys: Send + Sync + std::fmt::Debug {
    /// Whom the key with this SHA-256 names now, and what it opens; `None` if it opens nothing any more.
    async fn holder(&self, key: &TokenHash) -> Result<Option<KeyHolder>, StoreError>;
}

/// What the dashboard is made of.
#[derive(Debug)]
pub struct DashboardOptions {
    /// The way to durable changes, and to the store.
    pub lifecycle: Arc<Lifecycle>,
    /// Where commits are announced.
    pub feed: Arc<Feed>,
    /// The API, which commands are given to.
    pub api: Router,
    /// Whom API keys name.
    pub keys: Arc<dyn KnowsKeys>,
    /// The audit log with its links, to be verified; nothing is said of its chain without it.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// The built-in receiver, if there is one.
    pub play: Option<Play>,
    /// Whether all of it is a sample, which each page says.
    pub is_sample: bool,
    /// Where random numbers come from.
    pub random: SharedRandom,
    /// Where the link to sign in is, for people.
    pub link_file: String,
}

/// What all pages share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DashboardState(Arc<Shared>);

/// What is behind a [`DashboardState`].
#[derive(Debug)]
pub struct Shared {
    pub(super) options: DashboardOptions,
    pub(super) listeners: Arc<Semaphore>,
    tries: AddressBuckets,
    looks: AddressBuckets,
    refusals: Bucket,
    stopping: watch::Sender<bool>,
}

impl DashboardState {
    /// From its parts.
    pub fn new(options: DashboardOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            listeners: Arc::new(Semaphore::new(MOST_LISTENERS)),
            tries: AddressBuckets::default(),
            looks: AddressBuckets::default(),
            refusals: Bucket::default(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Makes a link that signs one person in, once. What comes back is the end of its path. If it was asked for with an
    /// API key, what it opens ends with that key.
    pub async fn link(
        &self,
        scope: Scope,
        key: Option<TokenHash>,
        by: By,
    ) -> Result<SecretText, CommitError> {
        let text = generate(&*self.options.random);
        let link = SignIn::link(&text, scope, self.options.lifecycle.now()).with_key(key);
        let write = Write::SignIn(SignInWrite::Keep(link));
        self.options.lifecycle.commit(write, by, None).await?;
        Ok(text)
    }

    /// Ends the streams of news: this server is going away, and another one may be there.
    pub fn drain(&self) {
        self.stopping.send_replace(true);
    }

    /// Says when the streams of news end.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whether somebody at this address may try to sign in now.
    pub(super) fn may_try(&self, from: Option<IpAddr>) -> bool {
        self.may(&self.tries, from, TRIES)
    }

    /// Whether somebody at this address may look at how to sign in now.
    pub(super) fn may_look(&self, from: Option<IpAddr>) -> bool {
        self.may(&self.looks, from, LOOKS)
    }

    /// Whether the audit log is to be told of a try that failed.
    pub(super) fn may_note_refusal(&self) -> bool {
        self.refusals.take(self.now_ns(), REFUSALS_NOTED).wait_s == 0
    }

    /// What comes from nowhere was made within the process, by tests.
    fn may(&self, buckets: &AddressBuckets, from: Option<IpAddr>, pace: Pace) -> bool {
        let address = from.unwrap_or(IpAddr::from([0; 4]));
        buckets.of(address).take(self.now_ns(), pace).wait_s == 0
    }

    fn now_ns(&self) -> u64 {
        self.options.lifecycle.now().as_nanosecond() as u64
    }
}

impl std::ops::Deref for DashboardState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
