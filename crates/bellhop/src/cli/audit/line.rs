//! One entry as a line of an export: all that is hashed, and both hashes, so that the line can be verified by itself.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::from_ms,
    domain::audit::{AuditEntry, Chain, Digest},
    id::ApplicationId,
};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Line {
    position: u64,
    previous: String,
    hash: String,
    id: Uuid,
    at_utc: String,
    action: String,
    actor: String,
    actor_id: Option<Uuid>,
    actor_name: Option<String>,
    from_address: Option<String>,
    request_id: Option<String>,
    subject: String,
    subject_id: Option<Uuid>,
    application_id: Option<ApplicationId>,
    /// JSON as text: its exact bytes are hashed.
    details: Option<String>,
}

impl Line {
    /// Of an entry, with the chain before it and after it.
    pub fn new(entry: &AuditEntry, before: Chain, after: Chain) -> Self {
        Self {
            position: after.position,
            previous: before.head.to_string(),
            hash: after.head.to_string(),
            id: entry.id,
            at_utc: shown(entry.at_ms),
            action: entry.action.to_string(),
            actor: entry.actor.to_string(),
            actor_id: entry.actor_id,
            actor_name: entry.actor_name.as_deref().map(str::to_owned),
            from_address: entry.from_address.clone(),
            request_id: entry.request_id.as_deref().map(str::to_owned),
            subject: entry.subject.to_string(),
            subject_id: entry.subject_id,
            application_id: entry.application_id,
            details: entry.details.clone(),
        }
    }

    /// Writes it.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        writeln!(to, "{text}")
    }

    /// Reads it, and hashes it again: the chain before it and after it, and when it was. Says what is wrong with it.
    pub fn verify(text: &str) -> Result<(Chain, Chain, i64), String> {
        let line: Self = serde_json::from_str(text)
            .map_err(|error| format!("it is no entry of an export: {error}"))?;
        let at: Timestamp = line
            .at_utc
            .parse()
            .map_err(|_| "AtUtc is no moment".to_owned())?;
        let at_ms = at.as_millisecond();
        if shown(at_ms) != line.at_utc {
            return Err("AtUtc is not written as it is in an export".into());
        }
        let before = Chain {
            position: line
                .position
                .checked_sub(1)
                .ok_or("there is no position 0")?,
            head: line.previous.parse()?,
        };
        let hash: Digest = line.hash.parse()?;
        let mut after = before;
        after.add(&line.entry(at_ms));
        if after.head != hash {
            return Err("its hash is not that of what stands in it".into());
        }
        Ok((before, after, at_ms))
    }

    fn entry(self, at_ms: i64) -> AuditEntry {
        AuditEntry {
            id: self.id,
            at_ms,
            action: self.action.into(),
            actor: self.actor.into(),
            actor_id: self.actor_id,
            actor_name: self.actor_name.map(Into::into),
            from_address: self.from_address,
            request_id: self.request_id.map(Into::into),
            subject: self.subject.into(),
            subject_id: self.subject_id,
            application_id: self.application_id,
            details: self.details,
        }
    }
}

/// A moment as exports have it.
pub fn shown(at_ms: i64) -> String {
    format!("{:.3}", from_ms(at_ms))
}
