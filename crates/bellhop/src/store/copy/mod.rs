//! Moving up: all that an embedded database holds, copied into an empty PostgreSQL.
//!
//! The copy is one transaction of the target. It is committed only after every row has been read back and compared with
//! the source, row for row; until then the target is as it was, whatever happens. So there is nothing to resume and
//! nothing to clean up: who was interrupted begins again. A process that is killed while it commits has left behind
//! either nothing or everything, and the next copy says which.
//!
//! Two servers on two copies would send everything that is pending twice. Therefore the source is marked as moved, before
//! the target is committed, and is not opened by a server any more.

mod compare;
mod error;
mod row;
mod source;
mod table;
mod tables;
mod target;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use uuid::Uuid;

use self::{source::Source, target::Target};
use super::{postgres::Address, sqlite::Mark};
use crate::{
    random::{Random, bytes},
    vault::Vault,
};

pub use error::CopyError;
pub use table::{Column, Join, Kind, Sealed, Table};
pub use tables::{NOT_COPIED, TABLES};

/// What is to be copied where.
#[derive(Debug)]
pub struct Order {
    /// The file of the embedded database. No process may have it open.
    pub source: PathBuf,
    /// Where the target is.
    pub target: Address,
    /// What opens the secrets of the source: the target is sealed with the same.
    pub vault: Arc<Vault>,
    /// The present moment.
    pub now: Timestamp,
}

/// How far it is. Called from one task, often: it must not wait.
pub trait Progress: Send + Sync {
    /// This begins with so many rows.
    fn begins(&self, phase: Phase, table: &'static str, rows: u64);
    /// So many more of them are done.
    fn did(&self, rows: u64);
}

/// What is done with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its rows go to the target.
    Copying,
    /// Its rows are read back and compared.
    Verifying,
}

/// How a copy ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Everything was copied, verified and committed now.
    Copied(Vec<Copied>),
    /// It was there already, whole: an earlier run was interrupted after it had committed.
    AlreadyThere(Timestamp),
}

/// A table that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Which.
    pub table: &'static str,
    /// Its rows: as many on both sides.
    pub rows: u64,
    /// SHA-256 over all of its rows, in the order of their keys: the same on both sides.
    pub sha256: [u8; 32],
}

/// Copies everything, or changes nothing.
pub async fn copy(
    order: Order,
    random: &dyn Random,
    progress: &dyn Progress,
) -> Result<Done, CopyError> {
    let at = order.target.shown();
    let mut source = Source::open(&order.source)?;
    let former = source.mark()?;
    if let Some(mark) = &former
        && mark.target != at
    {
        return Err(source.failed(mark.refusal()));
    }
    let connection = target::connect(&order.target).await?;
    let target = Target::begin(&connection, &at).await?;
    if let Some(mark) = &former
        && let Some(copied) = target.copied(mark.id).await?
    {
        return Ok(Done::AlreadyThere(copied));
    }
    target.must_be_empty().await?;
    target.check_vault(&order.vault).await?;
    source.bring_up_to_date()?;

    for table in TABLES {
        progress.begins(Phase::Copying, table.name, source.count(table)?);
        let reading = source.read(table, Some(order.vault.clone()));
        target.take(table, reading, progress).await?;
    }
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        progress.begins(Phase::Verifying, table.name, source.count(table)?);
        let reading = source.read(table, None);
        copied.push(compare::compare(table, reading, &target, progress).await?);
    }

    let mark = Mark {
        id: Uuid::from_bytes(bytes(random)),
        target: at.clone(),
        at: order.now,
    };
    target.finish(&mark).await?;
    // From here on a server that finds the source does not start: the target may be committed at any moment.
    source.set_mark(Some(&mark))?;
    match target.commit().await {
        Ok(()) => Ok(Done::Copied(copied)),
        Err(error @ CopyError::Unknown { .. }) => Err(error),
        Err(refused) => {
            source.set_mark(former.as_ref())?;
            Err(refused)
        }
    }
}

/// Takes the mark away from a database that was moved, so that a server opens it again. Says what it was.
pub fn reopen(path: &Path) -> Result<Option<Mark>, CopyError> {
    let mut source = Source::open(path)?;
    let mark = source.mark()?;
    if mark.is_some() {
        source.bring_up_to_date()?;
        source.set_mark(None)?;
    }
    Ok(mark)
}
