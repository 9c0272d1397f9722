//! `Idempotency-Key`: the same request twice is done once, and answered twice with the same bytes.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::digest;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{call::Call, code::Code, error::ApiError, reply::Reply};
use crate::{
    domain::{audit::AuditSubject, retry::later},
    id::ApplicationId,
    store::{Answer, Receipt, Remember, Shown, Write, Written},
};

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);
const MAX_KEY: usize = 255;

/// The keys of requests that are being worked on in this process.
#[derive(Debug, Default)]
pub struct InFlight(Arc<Mutex<HashSet<[u8; 32]>>>);

/// Takes the key out again when the request has ended, however it did.
struct Flying {
    keys: Arc<Mutex<HashSet<[u8; 32]>>>,
    key: [u8; 32],
}

impl InFlight {
    fn enter(&self, key: [u8; 32]) -> Result<Flying, ApiError> {
        let is_new = self.0.lock().expect("no holder panics").insert(key);
        if !is_new {
            return Err(ApiError::new(
                Code::IdempotencyInFlight,
                "A request with this Idempotency-Key is being worked on; ask again in a moment.",
            )
            .with_retry_after(1));
        }
        let keys = self.0.clone();
        Ok(Flying { keys, key })
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.keys
            .lock()
            .expect("no holder panics")
            .remove(&self.key);
    }
}

impl Call {
    /// Makes the write durable and answers with what `render` makes of it, or with the answer that the same
    /// request got before.
    pub async fn commit(
        &self,
        write: Write,
        render: impl Fn(&Written) -> Reply + Send + Sync + 'static,
    ) -> Result<Reply, ApiError> {
        let Some((key, _flying)) = self.fly()? else {
            return match self.lifecycle().commit(write, self.by(), None).await? {
                Receipt::Done { written, .. } => Ok(render(&written)),
                Receipt::Repeated(answer) => repeat(&answer),
            };
        };
        let render = Arc::new(render);
        let remembered = {
            let render = render.clone();
            Remember {
                key,
                fingerprint: self.fingerprint(),
                until: later(self.lifecycle().now(), REMEMBERED),
                render: Arc::new(move |written| render(written).to_answer()),
                shows: shown,
            }
        };
        let done = self.lifecycle().commit(write, self.by(), Some(remembered));
        match done.await? {
            Receipt::Done { written, .. } => Ok(render(&written)),
            Receipt::Repeated(answer) => repeat(&answer),
        }
    }

    /// Whether the caller wants the answer remembered.
    pub fn is_idempotent(&self) -> bool {
        self.method == Method::POST && self.headers.contains_key(HEADER)
    }

    /// Refuses a header that has not its form, also where it does nothing.
    pub fn check_idempotency_key(&self) -> Result<(), ApiError> {
        if self.is_idempotent() {
            self.idempotency_key()?;
        }
        Ok(())
    }

    fn fly(&self) -> Result<Option<([u8; 32], Flying)>, ApiError> {
        if !self.is_idempotent() {
            return Ok(None);
        }
        let key = self.idempotency_key()?;
        let flying = self.api.in_flight.enter(key)?;
        Ok(Some((key, flying)))
    }

    /// SHA-256 of the caller's identity and its key: two callers never meet.
    fn idempotency_key(&self) -> Result<[u8; 32], ApiError> {
        let key = self
            .header(HEADER)
            .filter(|key| (1..=MAX_KEY).contains(&key.len()))
            .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| {
                ApiError::new(
                    Code::BadHeader,
                    "Idempotency-Key has 1 to 255 visible ASCII characters; a UUID is a good one.",
                )
            })?;
        Ok(sha256(&[&self.caller.identity, key.as_bytes()]))
    }

    fn fingerprint(&self) -> [u8; 32] {
        sha256(&[
            self.method.as_str().as_bytes(),
            b" ",
            self.uri.path().as_bytes(),
            b"\n",
            &self.body,
        ])
    }
}

fn repeat(answer: &Answer) -> Result<Reply, ApiError> {
    Reply::from_answer(answer)
        .map(|reply| reply.with_header(REPLAYED, HeaderValue::from_static("true")))
        .ok_or_else(|| ApiError::new(Code::Internal, "The remembered answer is damaged."))
}

/// The members of an answer that hold a secret, and whose it is.
const SECRETS: [(&str, AuditSubject); 3] = [
    ("AccessToken", AuditSubject::Integration),
    ("Secret", AuditSubject::Webhook),
    ("Key", AuditSubject::Key),
];

/// What secret a remembered answer shows.
fn shown(answer: &Answer) -> Option<Shown> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct About {
        id: Uuid,
        application_id: Option<ApplicationId>,
    }
    let reply = Reply::from_answer(answer)?;
    let document: Map<String, Value> = serde_json::from_slice(reply.body()).ok()?;
    let (secret, subject) = SECRETS
        .into_iter()
        .find(|(member, _)| document.get(*member).is_some_and(Value::is_string))?;
    let about: About = serde_json::from_value(Value::Object(document)).ok()?;
    Some(Shown {
        secret,
        subject,
        id: about.id,
        application_id: about.application_id,
    })
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let hash = context.finish();
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
