//! `bellhop store`: what is done to a database while no server runs on it.

mod copy;
mod progress;
mod reopen;

use std::path::{Path, PathBuf};

use super::{Code, Failure};
use crate::store::{StoreError, copy::CopyError};

/// Move a database to another place.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Copy(copy::Args),
    Reopen(reopen::Args),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Copy(args) => copy::run(args),
        Command::Reopen(args) => reopen::run(args),
    }
}

/// Names an embedded database, as in `sqlite:DIRECTORY` or `sqlite:FILE`.
#[derive(Debug, Clone)]
struct Embedded {
    /// The data directory, with the key.
    directory: PathBuf,
    /// The database in it.
    file: PathBuf,
}

/// The name of the database in a data directory.
const FILE: &str = "bellhop.db";

impl Embedded {
    fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("sqlite:").filter(|path| !path.is_empty());
        let path = Path::new(path.ok_or(
            "the directory or the file of an embedded database is expected, as in sqlite:/var/lib/bellhop",
        )?);
        if path.is_dir() {
            return Ok(Self {
                directory: path.to_owned(),
                file: path.join(FILE),
            });
        }
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self {
            directory: directory.unwrap_or(Path::new(".")).to_owned(),
            file: path.to_owned(),
        })
    }

    /// As it is written.
    fn named(&self) -> String {
        format!("sqlite:{}", self.file.display())
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        let (code, hint) = advice(&error);
        let failure = Self::new(code, &error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The exit code, and what to do.
fn advice(error: &CopyError) -> (Code, Option<&'static str>) {
    use CopyError as E;
    let (code, hint) = match error {
        E::NoSource(_) => (
            Code::NotFound,
            "name the data directory of a server, as in sqlite:/var/lib/bellhop, or the database file in it",
        ),
        E::Source { error, .. } => return of_source(error),
        E::Target { error, .. } => return of_target(error),
        E::Value { .. } => return (Code::Refused, None),
        E::Sealed { .. } => (
            Code::NotAllowed,
            "take the encryption key that the server ran with: BELLHOP_ENCRYPTION_KEY, or encryption-key beside the database",
        ),
        E::Away { .. } => (
            Code::Unreachable,
            "is it running, and is the URL right? psql takes the same one",
        ),
        E::InUse { .. } => (
            Code::Refused,
            "is another copy under way, or does a server write to it? stop it, and run this again",
        ),
        E::Pooled { .. } => (
            Code::Refused,
            "name the database itself for the copy, without the pooler; the server may use the pooler afterwards",
        ),
        E::NotEmpty { .. } => (
            Code::Refused,
            "name an empty database: createdb makes one; nothing was changed",
        ),
        E::Count { .. } | E::Differs { .. } => (
            Code::CheckFailed,
            "nothing was copied, and the source may be served as before; does a trigger or a rule change rows of the target?",
        ),
        E::Unknown { .. } => (
            Code::Other,
            "run the same command again: it says whether the copy is there, or makes it. Until then the source is marked as moved",
        ),
    };
    (code, Some(hint))
}

fn of_source(error: &StoreError) -> (Code, Option<&'static str>) {
    match error {
        StoreError::InUse(_) => (
            Code::Refused,
            Some(
                "stop the server: `systemctl stop bellhop`, or SIGTERM; it may take drain_seconds",
            ),
        ),
        StoreError::Moved { .. } => (
            Code::Refused,
            Some(
                "to copy it elsewhere all the same, stop what runs there, and then: bellhop store reopen",
            ),
        ),
        StoreError::Newer { .. } => (Code::Refused, None),
        _ => (Code::Other, None),
    }
}

fn of_target(error: &StoreError) -> (Code, Option<&'static str>) {
    match error {
        StoreError::OtherKey => (
            Code::NotAllowed,
            Some(
                "another server has begun to use the target, with another encryption key: name an empty database",
            ),
        ),
        StoreError::Newer { .. } => (Code::Refused, None),
        _ => (
            Code::Other,
            Some("nothing was copied; run it again when the cause is gone"),
        ),
    }
}
