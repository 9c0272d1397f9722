//! What all handlers share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    RetireSecrets, SharedJudge, TestSender, callers::Callers, idempotency::InFlight, rate::Rates,
    refusals::Refusals, streams::Streams,
};
use crate::{
    bucket::AddressBuckets,
    domain::{access_token::TokenHash, audit::By, sign_in::KeyHolder},
    feed::Feed,
    lifecycle::Lifecycle,
    live::Live,
    store::{CommitError, Store, StoreError, Write},
    telemetry::{Metrics, traces::Traces},
};

/// What the API is made of.
#[derive(Debug)]
pub struct ApiOptions {
    /// The way to durable changes.
    pub lifecycle: Arc<Lifecycle>,
    /// Where commits are announced.
    pub feed: Arc<Feed>,
    /// Who hands out what happens.
    pub live: Arc<Live>,
    /// Judges webhooks' URLs.
    pub judge_url: SharedJudge,
    /// Sends test messages.
    pub test_sender: Arc<dyn TestSender>,
    /// Stops signing with secrets that were replaced.
    pub retire_secrets: Arc<dyn RetireSecrets>,
    /// SHA-256 of the operator's key, which is configured and not in the store.
    pub operator_key: TokenHash,
    /// The same of former ones that work as well, newest first.
    pub former_operator_keys: Vec<TokenHash>,
    /// Whether other replicas may make and end keys: then none is believed that was read more than a second ago.
    pub are_keys_shared: bool,
    /// Where figures are kept.
    pub metrics: Arc<Metrics>,
    /// Where requests are traced, if they are.
    pub traces: Option<Arc<Traces>>,
    /// How often a key, or an address without one, may ask.
    pub rates: Rates,
    /// How long a webhook's former secrets sign after a rotation, unless the caller says otherwise.
    pub secret_overlap: Duration,
    /// Where this server is reached from outside, without a slash at its end, if that is known.
    pub public_url: Option<String>,
}

impl ApiOptions {
    /// What is configured as the operator's key: the newest, then former ones.
    pub fn operator_keys(&self) -> impl Iterator<Item = &TokenHash> {
        [&self.operator_key]
            .into_iter()
            .chain(&self.former_operator_keys)
    }
}

/// What all handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiState(Arc<Shared>);

/// What is behind an [`ApiState`].
#[derive(Debug)]
pub struct Shared {
    pub(super) options: ApiOptions,
    pub(super) callers: Callers,
    pub(super) in_flight: InFlight,
    pub(super) refusals: Refusals,
    /// Of those who ask without a key.
    pub(super) keyless: AddressBuckets,
    pub(super) streams: Arc<Streams>,
    draining: watch::Sender<bool>,
    /// Where the buckets' time begins.
    started: Instant,
    request_prefix: String,
    request_count: AtomicU64,
}

impl ApiState {
    /// From its parts.
    pub fn new(options: ApiOptions) -> Self {
        // Ids of requests: eight digits of this process, then a count.
        let process: uuid::Uuid = options.lifecycle.id();
        let request_prefix = format!("req_{:08x}_", process.as_u128() as u32);
        Self(Arc::new(Shared {
            callers: Callers::new(
                options.operator_key,
                &options.former_operator_keys,
                options.are_keys_shared,
            ),
            in_flight: InFlight::default(),
            refusals: Refusals::default(),
            keyless: AddressBuckets::default(),
            streams: Arc::default(),
            draining: watch::Sender::new(false),
            started: Instant::now(),
            request_prefix,
            request_count: AtomicU64::new(0),
            options,
        }))
    }

    /// Reads the API keys, so that the first request need not.
    pub async fn read_keys(&self) -> Result<(), StoreError> {
        let lifecycle = &self.options.lifecycle;
        self.callers
            .read(&**lifecycle.store(), lifecycle.now())
            .await
    }

    /// Whom the API key with this hash names now, and what it opens; `None` if it opens nothing.
    pub async fn holder_of(&self, key: &TokenHash) -> Result<Option<KeyHolder>, StoreError> {
        let now = self.lifecycle().now();
        let caller = self.callers.find(key, self.store(), now).await?;
        Ok(caller.map(|caller| KeyHolder {
            scope: caller.scope,
            actor: caller.actor,
        }))
    }

    /// Notes in the store when keys were used, as far as that is not noted yet. Not done for each request: the store
    /// would write for each reading.
    pub async fn note_key_uses(&self) -> Result<(), CommitError> {
        let uses = self.callers.uses();
        if uses.is_empty() {
            return Ok(());
        }
        let noted = Write::NoteKeyUses(uses.clone());
        self.lifecycle().commit(noted, By::system(), None).await?;
        self.callers.noted(&uses);
        Ok(())
    }

    /// From now on `/readyz` says that this server is going away, and streams end.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether this server is going away.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}

impl Shared {
    /// The way to durable changes.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.options.lifecycle
    }

    /// The store, for reading.
    pub fn store(&self) -> &dyn Store {
        &**self.options.lifecycle.store()
    }

    /// Says when streams end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Nanoseconds since the start, for the buckets.
    pub fn elapsed_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// An id for a request.
    pub fn request_id(&self) -> String {
        let number = self.request_count.fetch_add(1, Ordering::Relaxed);
        format!("{}{number:x}", self.request_prefix)
    }
}

impl std::ops::Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
