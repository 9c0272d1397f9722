//! Who is calling: API keys by their hash, in memory.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use http::{HeaderMap, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{code::Code, error::ApiError, rate::Bucket};
use crate::{
    domain::{access_token::TokenHash, api_key::Scope},
    id::ApplicationId,
    store::{Noun, Store, StoreError},
};

/// A key that is not known is looked for in the store at most this often.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// Who is calling.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What the key opens.
    pub scope: Scope,
    /// SHA-256 of the key: the caller's identity.
    pub identity: [u8; 32],
    /// What the key may still ask.
    pub bucket: Arc<Bucket>,
}

/// The keys that are known.
#[derive(Debug)]
pub struct Callers {
    operator: Caller,
    known: RwLock<Arc<Known>>,
    /// When the store was last read; locked while it is.
    read_at: Mutex<Option<Timestamp>>,
}

type Known = HashMap<[u8; 32], KnownKey>;

#[derive(Debug, Clone)]
struct KnownKey {
    scope: Scope,
    expires: Option<Timestamp>,
    bucket: Arc<Bucket>,
}

impl Callers {
    /// With the operator's first key, which is configured and not in the store.
    pub fn new(operator: TokenHash) -> Self {
        Self {
            operator: Caller {
                scope: Scope::Operator,
                identity: operator.0,
                bucket: Arc::default(),
            },
            known: RwLock::default(),
            read_at: Mutex::default(),
        }
    }

    /// Finds out who is calling.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        let key = bearer(headers)?;
        let hash = TokenHash::of(key);
        if self.operator_matches(&hash) {
            return Ok(self.operator.clone());
        }
        if let Some(known) = self.find(&hash) {
            return known.caller(&hash, now).ok_or_else(unknown_key);
        }
        self.read_if_old(store, now).await?;
        self.find(&hash)
            .and_then(|known| known.caller(&hash, now))
            .ok_or_else(unknown_key)
    }

    /// Reads all keys anew: at the start, and after each change.
    pub async fn read(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let mut read_at = self.read_at.lock().await;
        self.read_locked(store).await?;
        *read_at = Some(now);
        Ok(())
    }

    async fn read_if_old(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let mut read_at = self.read_at.lock().await;
        let is_old = read_at.is_none_or(|at| now.duration_since(at).abs() >= READ_AGAIN);
        if is_old {
            self.read_locked(store).await?;
            *read_at = Some(now);
        }
        Ok(())
    }

    async fn read_locked(&self, store: &dyn Store) -> Result<(), StoreError> {
        let keys = store.keys().await?;
        let before = self.snapshot();
        let now = keys
            .into_iter()
            .map(|key| {
                let bucket = before
                    .get(&key.hash.0)
                    .map_or_else(Arc::default, |known| known.bucket.clone());
                let known = KnownKey {
                    scope: key.scope,
                    expires: key.expires,
                    bucket,
                };
                (key.hash.0, known)
            })
            .collect();
        *self.known.write().expect("no holder panics") = Arc::new(now);
        Ok(())
    }

    fn operator_matches(&self, hash: &TokenHash) -> bool {
        TokenHash(self.operator.identity).matches(hash)
    }

    fn find(&self, hash: &TokenHash) -> Option<KnownKey> {
        let known = self.known.read().expect("no holder panics");
        known.get(&hash.0).cloned()
    }

    fn snapshot(&self) -> Arc<Known> {
        self.known.read().expect("no holder panics").clone()
    }
}

impl KnownKey {
    fn caller(self, hash: &TokenHash, now: Timestamp) -> Option<Caller> {
        let is_active = self.expires.is_none_or(|until| now < until);
        is_active.then_some(Caller {
            scope: self.scope,
            identity: hash.0,
            bucket: self.bucket,
        })
    }
}

impl Caller {
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
