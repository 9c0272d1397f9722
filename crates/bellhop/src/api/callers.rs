//! Who is calling: API keys by their hash, in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{code::Code, error::ApiError};
use crate::{
    bucket::Bucket,
    clock::{from_ms, to_ms},
    domain::{
        access_token::TokenHash,
        api_key::{ApiKey, Scope},
        audit::Actor,
        sign_in::Viewer,
    },
    id::{ApplicationId, KeyId},
    store::{Noun, Store, StoreError},
};

/// A key that is not known is looked for in the store at most this often; and where other replicas may end keys, none is
/// believed that was read longer ago.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// Uses closer to each other than this are one.
const USE_MS: i64 = 1000;

/// Who is calling.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What the key opens.
    pub scope: Scope,
    /// As the audit log names it.
    pub actor: Actor,
    /// The caller's identity, a SHA-256: that of its key, or of the first one, if it was rotated.
    pub identity: [u8; 32],
    /// What the key may still ask.
    pub bucket: Arc<Bucket>,
}

/// The keys that are known.
#[derive(Debug)]
pub struct Callers {
    operator: Caller,
    /// What is configured as the operator's key: the newest, and former ones.
    operator_keys: Vec<TokenHash>,
    /// Whether other replicas may make and end keys.
    is_shared: bool,
    known: RwLock<Arc<Known>>,
    /// Locked while the store is read: why it could not be, the last time.
    reading: Mutex<Option<(Timestamp, StoreError)>>,
}

/// All keys as they were at one moment.
#[derive(Debug, Default)]
struct Known {
    read_at: Option<Timestamp>,
    openings: HashMap<[u8; 32], Opening>,
    keys: HashMap<KeyId, Arc<Seen>>,
}

/// What one hash opens.
#[derive(Debug, Clone)]
struct Opening {
    key: Arc<Seen>,
    until: Option<Timestamp>,
}

/// What is remembered of a key for as long as there is one, rotated or not.
#[derive(Debug)]
struct Seen {
    id: KeyId,
    name: Arc<str>,
    scope: Scope,
    identity: TokenHash,
    bucket: Arc<Bucket>,
    used_ms: AtomicI64,
    noted_ms: AtomicI64,
}

impl Callers {
    /// With the operator's key, which is configured and not in the store: the newest one, and former ones that work as
    /// well. All are one caller, known by the oldest: so it stays when a new one is put in front.
    pub fn new(newest: TokenHash, former: &[TokenHash], is_shared: bool) -> Self {
        let oldest = former.last().unwrap_or(&newest);
        Self {
            operator: Caller {
                scope: Scope::Operator,
                actor: Actor::OperatorKey,
                identity: oldest.0,
                bucket: Arc::default(),
            },
            operator_keys: [newest].into_iter().chain(former.iter().copied()).collect(),
            is_shared,
            known: RwLock::default(),
            reading: Mutex::default(),
        }
    }

    /// Finds out who is calling.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        let hash = TokenHash::of(bearer(headers)?);
        let found = self.find(&hash, store, now).await?;
        found.ok_or_else(unknown_key)
    }

    /// Whose key it is; `None` if it opens nothing now.
    pub async fn find(
        &self,
        hash: &TokenHash,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<Caller>, StoreError> {
        if self.operator_matches(hash) {
            return Ok(Some(self.operator.clone()));
        }
        let known = self.snapshot();
        let is_believed = !(self.is_shared && known.is_old(now));
        if is_believed && known.openings.contains_key(&hash.0) {
            return Ok(known.caller(hash, now));
        }
        self.read_if_old(store, now).await?;
        Ok(self.snapshot().caller(hash, now))
    }

    /// Reads all keys anew: at the start, and after each change.
    pub async fn read(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let mut reading = self.reading.lock().await;
        self.read_locked(store, now, &mut reading).await
    }

    async fn read_if_old(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let mut reading = self.reading.lock().await;
        match &*reading {
            // Whoever waited here while the database was away need not wait for it again, one after the other.
            Some((at, why)) if !is_over(*at, now) => Err(why.clone()),
            _ if self.snapshot().is_old(now) => self.read_locked(store, now, &mut reading).await,
            _ => Ok(()),
        }
    }

    async fn read_locked(
        &self,
        store: &dyn Store,
        now: Timestamp,
        failed: &mut Option<(Timestamp, StoreError)>,
    ) -> Result<(), StoreError> {
        match store.keys().await {
            Ok(keys) => {
                *failed = None;
                let known = Known::of(&keys, &self.snapshot(), now);
                *self.known.write().expect("no holder panics") = Arc::new(known);
                Ok(())
            }
            Err(why) => {
                *failed = Some((now, why.clone()));
                Err(why)
            }
        }
    }

    /// When each key was last used, of those whose newest use is not noted in the store.
    pub fn uses(&self) -> Vec<(KeyId, Timestamp)> {
        let known = self.snapshot();
        let unnoted = known.keys.iter().filter_map(|(id, key)| {
            let used = key.used_ms.load(Ordering::Relaxed);
            (used > key.noted_ms.load(Ordering::Relaxed)).then(|| (*id, from_ms(used)))
        });
        unnoted.collect()
    }

    /// They are noted in the store.
    pub fn noted(&self, uses: &[(KeyId, Timestamp)]) {
        let known = self.snapshot();
        for (id, at) in uses {
            if let Some(key) = known.keys.get(id) {
                key.noted_ms.fetch_max(to_ms(*at), Ordering::Relaxed);
            }
        }
    }

    /// When this process was last asked with the key, if it was.
    pub fn last_used(&self, id: KeyId) -> Option<Timestamp> {
        let used = self
            .snapshot()
            .keys
            .get(&id)?
            .used_ms
            .load(Ordering::Relaxed);
        (used > 0).then(|| from_ms(used))
    }

    /// Compares with each of them in constant time.
    fn operator_matches(&self, hash: &TokenHash) -> bool {
        let matching = self.operator_keys.iter().filter(|key| key.matches(hash));
        matching.count() > 0
    }

    fn snapshot(&self) -> Arc<Known> {
        self.known.read().expect("no holder panics").clone()
    }
}

impl Known {
    fn of(keys: &[ApiKey], before: &Self, now: Timestamp) -> Self {
        let mut known = Self {
            read_at: Some(now),
            ..Self::default()
        };
        for key in keys {
            let seen = before.keys.get(&key.id).cloned();
            let seen = seen.unwrap_or_else(|| Arc::new(Seen::of(key)));
            for (hash, until) in key.openings() {
                let key = seen.clone();
                known.openings.insert(hash.0, Opening { key, until });
            }
            known.keys.insert(key.id, seen);
        }
        known
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.read_at.is_none_or(|at| is_over(at, now))
    }

    fn caller(&self, hash: &TokenHash, now: Timestamp) -> Option<Caller> {
        self.openings
            .get(&hash.0)
            .filter(|opening| opening.until.is_none_or(|until| now < until))
            .map(|opening| opening.key.caller(now))
    }
}

impl Seen {
    fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            name: (&*key.name).into(),
            scope: key.scope,
            identity: key.identity(),
            bucket: Arc::default(),
            used_ms: AtomicI64::new(0),
            noted_ms: AtomicI64::new(key.last_used.map_or(0, to_ms)),
        }
    }

    fn caller(&self, now: Timestamp) -> Caller {
        let now_ms = to_ms(now);
        // Most requests find that somebody was here a moment ago, and write nothing that others read.
        if now_ms >= self.used_ms.load(Ordering::Relaxed) + USE_MS {
            self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        Caller {
            scope: self.scope,
            actor: Actor::Key {
                id: self.id,
                name: self.name.clone(),
            },
            identity: self.identity.0,
            bucket: self.bucket.clone(),
        }
    }
}

/// Whether it was long enough ago, by a clock that may have been set back.
fn is_over(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() >= READ_AGAIN
}

impl Caller {
    /// Somebody who is signed in to the dashboard, which bounds by itself how often they ask.
    pub fn viewer(viewer: &Viewer) -> Self {
        Self {
            scope: viewer.scope,
            actor: viewer.actor(),
            identity: viewer.session.0,
            bucket: Arc::default(),
        }
    }

    /// Whether the caller may see things of the application; if not, they do not exist for it.
    pub fn sees(
        &self,
        application: ApplicationId,
        noun: Noun,
        id: impl std::fmt::Display,
    ) -> Result<(), ApiError> {
        match self.scope.application_id() {
            Some(own) if own != application => Err(ApiError::not_found(noun, id)),
            _ => Ok(()),
        }
    }

    /// Narrows a filter by application to what the caller may see. Another application's id is not found.
    pub fn narrow(&self, wanted: Option<ApplicationId>) -> Result<Option<ApplicationId>, ApiError> {
        match (self.scope.application_id(), wanted) {
            (Some(own), Some(wanted)) if own != wanted => {
                Err(ApiError::not_found(Noun::Application, wanted))
            }
            (Some(own), _) => Ok(Some(own)),
            (None, wanted) => Ok(wanted),
        }
    }
}

/// The key in the header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let header = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        unauthorized(
            "There is no API key: send Authorization: Bearer bhk_….",
            "Bearer",
        )
    })?;
    header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, key)| key.trim())
        .ok_or_else(|| {
            unauthorized(
                "The Authorization header has not the form Bearer bhk_….",
                "Bearer error=\"invalid_request\"",
            )
        })
}

fn unknown_key() -> ApiError {
    unauthorized(
        "This API key is not known, was deleted, or has expired.",
        "Bearer error=\"invalid_token\"",
    )
}

fn unauthorized(detail: &str, challenge: &'static str) -> ApiError {
    ApiError::new(Code::Unauthorized, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}
