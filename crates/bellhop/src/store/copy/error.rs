//! Why nothing was copied.

use std::path::PathBuf;

use crate::{store::StoreError, vault::VaultError};

/// Why nothing was copied: the target is as it was, but for [`CopyError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no source.
    #[error("there is no database at {}", .0.display())]
    NoSource(PathBuf),
    /// The source cannot be read, is open elsewhere, was moved before, or is of a newer version.
    #[error("the source {}: {error}", path.display())]
    Source {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: StoreError,
    },
    /// A value of the source cannot be copied.
    #[error("the source: {table} ({key}): {column} cannot be copied: {why}")]
    Value {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// The column.
        column: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A secret of the source does not open.
    #[error("the source: {table} ({key}): {error}")]
    Sealed {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// Why.
        error: VaultError,
    },
    /// The target cannot be reached.
    #[error("the target {at} cannot be reached: {error}")]
    Away {
        /// Where it should be.
        at: String,
        /// Why.
        error: StoreError,
    },
    /// The target failed or refused; it may have gone away.
    #[error("the target {at}: {error}")]
    Target {
        /// Where it is.
        at: String,
        /// Why.
        error: StoreError,
    },
    /// Somebody else writes to the target.
    #[error("the target {at} is in use: something else has kept it locked for {waited_seconds} s")]
    InUse {
        /// Where it is.
        at: String,
        /// How long it was waited for.
        waited_seconds: u64,
    },
    /// A pooler that does not know prepared statements does not know COPY as it is used here either.
    #[error("the target {at} is behind a pooler: its URL has prepared_statements=off")]
    Pooled {
        /// Where it is.
        at: String,
    },
    /// The target has rows.
    #[error("the target {at} is not empty: there are rows in {table}")]
    NotEmpty {
        /// Where it is.
        at: String,
        /// The first table with rows.
        table: &'static str,
    },
    /// The target did not take every row.
    #[error("verification failed: of {sent} rows of {table} the target has taken {taken}")]
    Count {
        /// The table.
        table: &'static str,
        /// Rows of the source.
        sent: u64,
        /// Rows that the target says it has taken.
        taken: u64,
    },
    /// What the target has is not what the source has.
    #[error("verification failed: {table} ({key}): {what}")]
    Differs {
        /// The table.
        table: &'static str,
        /// The first row that is not the same.
        key: String,
        /// How.
        what: String,
    },
    /// The connection was lost while the copy was committed.
    #[error("it is not known whether the copy was committed to {at}: {error}")]
    Unknown {
        /// Where the target is.
        at: String,
        /// What was seen.
        error: StoreError,
    },
}
