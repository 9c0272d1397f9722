//! What the command line did beside a server, on its way into the audit log. The server alone writes to its database; so a
//! command leaves a file in the data directory, before it does what the file says, and the server makes it an entry.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::SharedClock,
    domain::audit::{Actor, AuditAction, AuditSubject, By, Fact},
    store::{AuditFilter, Commit, CommitError, Store, StoreError, Write},
};

/// How a file that waits is called; an id follows.
const PREFIX: &str = "audit-pending-";
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No file of ours is longer.
const MOST_BYTES: u64 = 64 * 1024;

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PendingEntry {
    /// Names it, so that it becomes one entry, whatever happens.
    id: Uuid,
    action: String,
    details: serde_json::Value,
}

impl PendingEntry {
    /// This was done now; the details are an object.
    pub fn new(
        id: Uuid,
        action: AuditAction,
        ran: Timestamp,
        mut details: serde_json::Value,
    ) -> Self {
        details["RanUtc"] = format!("{ran:.3}").into();
        Self {
            id,
            action: action.as_str().to_owned(),
            details,
        }
    }

    /// Leaves it in the data directory, whole or not at all, for whoever owns that.
    pub fn leave(&self, data_dir: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        crate::config::give_to_owner_of(data_dir, file.as_file())?;
        file.as_file().sync_all()?;
        let path = data_dir.join(format!("{PREFIX}{}", self.id));
        file.persist(path).map_err(|error| error.error)?;
        File::open(data_dir)?.sync_all()
    }

    fn read(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.len() > MOST_BYTES {
            return Err(io::Error::other("it is too long"));
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

/// Makes entries of what is left.
#[derive(Debug)]
pub struct PendingEntries {
    /// Where the audit log is.
    pub store: Arc<dyn Store>,
    /// Who tells the time.
    pub clock: SharedClock,
    /// Where it is left.
    pub data_dir: PathBuf,
}

impl PendingEntries {
    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut said = None;
        loop {
            match self.step().await {
                Ok(()) => said = None,
                // The same every other second helps nobody.
                Err(error) if said.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::warn!(
                        error,
                        "what the command line did could not be written into the audit log; trying again"
                    );
                    said = Some(error);
                }
            }
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Makes entries of all that is there now.
    async fn step(&self) -> Result<(), String> {
        for path in self.found().map_err(|error| error.to_string())? {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let pending = PendingEntry::read(&path).map_err(|error| failed(&error))?;
            self.note(&pending).await.map_err(|error| failed(&error))?;
            fs::remove_file(&path).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// In the order in which they were made: their ids begin with the time.
    fn found(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.data_dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    async fn note(&self, pending: &PendingEntry) -> Result<(), CommitError> {
        let action: AuditAction = pending.action.parse().map_err(StoreError::Corrupt)?;
        let filter = AuditFilter {
            action: Some(action),
            subject_id: Some(pending.id),
            ..AuditFilter::default()
        };
        // Killed between the entry and the removal of the file.
        if !self
            .store
            .audited(filter, None, 1)
            .await?
            .entries
            .is_empty()
        {
            return Ok(());
        }
        let fact = Fact::new(action, AuditSubject::Server, pending.id).saying(&pending.details);
        let commit = Commit {
            at: self.clock.now(),
            write: Write::Note(Box::new(fact)),
            by: By {
                actor: Actor::CommandLine,
                from: None,
                request_id: None,
            },
            remember: None,
        };
        self.store.commit(commit).await.map(drop)
    }
}
