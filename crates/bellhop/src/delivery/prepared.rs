//! What sending to a webhook needs, made ready once for each revision of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bellhop_webhook::{HttpSigner, Secret, Signer, SigningKey};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;

use crate::{
    delivery::{
        credentials::Credentials,
        egress::{EgressPolicy, TargetUrl, UrlRefused},
        oauth::OAuth,
        sender::Sender,
    },
    domain::{retry::RetrySchedule, signatures::Signature, webhook::Webhook},
    id::WebhookId,
    store::{Store, StoreError},
};

/// What every request says of its sender.
pub const USER_AGENT: &str = concat!("bellhop/", env!("CARGO_PKG_VERSION"));

/// What every body is.
pub const CONTENT_TYPE: &str = "application/json";

/// Most webhooks that are kept ready; beyond it the memory is emptied and fills again.
const MAX_KEPT: usize = 20_000;

/// A webhook, ready to be sent to.
pub struct Prepared {
    /// Which.
    pub id: WebhookId,
    /// The revision that this is of.
    pub revision: u64,
    /// Where to, or why not.
    pub target: Result<TargetUrl, UrlRefused>,
    /// What is counted as one host: scheme, name and port. `None` if the URL is refused.
    pub host: Option<Arc<str>>,
    /// What signs as Standard Webhooks say; with no key if another way was chosen.
    pub signer: Signer,
    /// What signs the whole request (RFC 9421), if that was chosen.
    pub http_signer: Option<HttpSigner>,
    /// The headers that are the same in every request.
    pub headers: HeaderMap,
    /// Values of custom headers, which no kept response may contain.
    pub secrets: Vec<Vec<u8>>,
    /// One deadline for the whole exchange.
    pub timeout: Duration,
    /// When to try again.
    pub schedule: RetrySchedule,
    /// Most requests at a time.
    pub max_in_flight: usize,
    /// Most requests a second, if limited.
    pub rate_limit: Option<u32>,
    /// Whether a redirect within the same origin is followed.
    pub follow_redirects: bool,
    /// What it proves itself with to its receiver, if anything.
    credentials: Option<Arc<Credentials>>,
    /// When one of the secrets stops signing.
    valid_until: Option<Timestamp>,
}

/// The webhooks that are ready.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    policy: Arc<EgressPolicy>,
    ready: Mutex<HashMap<WebhookId, Arc<Prepared>>>,
}

impl Directory {
    /// Of this store, under this policy.
    pub fn new(store: Arc<dyn Store>, policy: Arc<EgressPolicy>) -> Self {
        Self {
            store,
            policy,
            ready: Mutex::default(),
        }
    }

    /// The webhook, if it is ready in this revision and its secrets are those of now.
    pub fn ready(&self, id: WebhookId, revision: u64, now: Timestamp) -> Option<Arc<Prepared>> {
        let ready = self.ready.lock().expect("no holder panics");
        ready
            .get(&id)
            .filter(|prepared| prepared.is_fresh(revision, now))
            .cloned()
    }

    /// The webhook as it was when it was last read, if it is remembered.
    pub fn newest(&self, id: WebhookId) -> Option<Arc<Prepared>> {
        let ready = self.ready.lock().expect("no holder panics");
        ready.get(&id).cloned()
    }

    /// Reads the webhook and makes it ready. `None` if it is gone.
    pub async fn prepare(
        &self,
        id: WebhookId,
        now: Timestamp,
    ) -> Result<Option<Arc<Prepared>>, StoreError> {
        let Some(webhook) = self.store.webhook(id).await? else {
            return Ok(None);
        };
        let former = self.newest(id);
        let prepared = Prepared::after(former.as_deref(), &webhook, &self.policy, now);
        let prepared = Arc::new(prepared);
        let mut ready = self.ready.lock().expect("no holder panics");
        if ready.len() >= MAX_KEPT {
            ready.clear();
        }
        ready.insert(id, prepared.clone());
        Ok(Some(prepared))
    }
}

impl Prepared {
    /// Makes a webhook ready.
    pub fn new(webhook: &Webhook, policy: &EgressPolicy, now: Timestamp) -> Self {
        Self::after(None, webhook, policy, now)
    }

    /// Makes a webhook ready that was so before: what its credentials have got is kept, unless they are others.
    fn after(
        former: Option<&Self>,
        webhook: &Webhook,
        policy: &EgressPolicy,
        now: Timestamp,
    ) -> Self {
        let former = former.and_then(|former| former.credentials.clone());
        let credentials = former
            .filter(|credentials| credentials.are_of(webhook))
            .or_else(|| Credentials::of(webhook, policy).map(Arc::new));
        let mut headers = HeaderMap::with_capacity(16);
        for (name, value) in &webhook.headers {
            // Both were checked when they were configured.
            if let (Ok(name), Ok(mut value)) = (
                name.parse::<HeaderName>(),
                HeaderValue::from_str(value.expose()),
            ) {
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(credentials) = &credentials {
            credentials.add_to(&mut headers);
        }
        let target = policy.judge_url(webhook.url.expose());
        let (signer, http_signer) = signers(webhook, now);
        Self {
            id: webhook.id,
            revision: webhook.revision,
            host: target.as_ref().ok().map(|target| target.origin().into()),
            target,
            signer,
            http_signer,
            headers,
            secrets: webhook
                .headers
                .iter()
                .map(|(_, value)| value.expose().as_bytes().to_vec())
                .chain(
                    credentials
                        .iter()
                        .flat_map(|credentials| credentials.secrets()),
                )
                .collect(),
            credentials,
            timeout: webhook.timeout,
            schedule: webhook.retry_schedule.clone(),
            max_in_flight: webhook.max_in_flight as usize,
            rate_limit: webhook.rate_limit,
            follow_redirects: webhook.follow_redirects,
            valid_until: webhook
                .active_secrets(now)
                .filter_map(|secret| secret.expires)
                .min(),
        }
    }

    /// What fetches tokens for its receiver, if it wants any.
    pub(super) fn oauth(&self) -> Option<&OAuth> {
        self.credentials.as_ref()?.oauth.as_ref()
    }

    /// Who sends to it: the one that all share, unless it shows a certificate.
    pub(super) fn sender<'a>(&'a self, shared: &'a Sender) -> &'a Sender {
        let own = self.credentials.as_ref();
        own.map_or(shared, |credentials| credentials.sender(shared))
    }

    fn is_fresh(&self, revision: u64, now: Timestamp) -> bool {
        self.revision == revision && self.valid_until.is_none_or(|until| now < until)
    }
}

/// What makes the signatures that were chosen, with every secret and key that is active now.
fn signers(webhook: &Webhook, now: Timestamp) -> (Signer, Option<HttpSigner>) {
    let texts = || {
        webhook
            .active_secrets(now)
            .map(|secret| secret.text.expose())
    };
    let secrets = |signature| -> Vec<Secret> {
        let chosen = webhook.signatures.contains(signature);
        let chosen = texts().filter(|_| chosen);
        chosen.filter_map(|text| text.parse().ok()).collect()
    };
    let keys = |signature| -> Vec<SigningKey> {
        let chosen = webhook.signatures.contains(signature);
        let chosen = texts().filter(|_| chosen);
        chosen.filter_map(|text| text.parse().ok()).collect()
    };
    let (hmac, ed25519) = (Signature::Rfc9421HmacSha256, Signature::Rfc9421Ed25519);
    let is_http = webhook.signatures.contains(hmac) || webhook.signatures.contains(ed25519);
    (
        Signer::new(secrets(Signature::V1), keys(Signature::V1a)),
        is_http.then(|| HttpSigner::new(secrets(hmac), keys(ed25519))),
    )
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
