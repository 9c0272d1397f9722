//! The lock of a data directory: one process at a time.

use std::{fs::File, fs::TryLockError, path::Path};

use crate::store::StoreError;

/// Takes the lock beside a database. It is held until the file is dropped, or the process is gone.
pub fn lock(database: &Path) -> Result<File, StoreError> {
    let path = database.with_extension("lock");
    let failed = |error| StoreError::Database(format!("{}: {error}", path.display()));
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path)),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
