//! `bellhop audit`: the audit log, for those who do not take the server's word for it.

mod export;
mod head;
mod line;
mod verify;

use std::path::PathBuf;

use super::{Code, Failure, small_runtime};
use crate::{
    config::{Database, Sources, load},
    store::{
        AuditLog, StoreError, audit::Broken, postgres::Address, postgres::PostgresAuditLog,
        sqlite::SqliteAuditLog,
    },
};

/// Verify and export the audit log.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Verify(verify::Args),
    Export(export::Args),
    Head(head::Args),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Verify(args) => verify::run(args),
        Command::Export(args) => export::run(args),
        Command::Head(args) => head::run(args),
    }
}

/// Which log.
#[derive(Debug, clap::Args)]
struct Place {
    /// Where the database lives, unless database_url names one [default: ./bellhop-data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Read this file in place of ./bellhop.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// Opens it for reading, beside whatever server runs on it.
    async fn open(&self) -> Result<Box<dyn AuditLog>, Failure> {
        let flags = self.data_dir.iter().cloned();
        let flags = flags.map(|directory| ("data_dir", directory)).collect();
        let config = load(&Sources::of_process(flags, self.config.clone()))?.config;
        Ok(match config.database {
            Database::Sqlite { path } if !path.is_file() => {
                let cause = format!("there is no database at {}", path.display());
                return Err(Failure::new(Code::NotFound, cause)
                    .hint("--data-dir DIRECTORY, or BELLHOP_DATABASE_URL for PostgreSQL"));
            }
            Database::Sqlite { path } => Box::new(SqliteAuditLog::open(&path)?),
            Database::Postgres { url } => {
                let address =
                    Address::parse(&url).map_err(|error| Failure::new(Code::Usage, error))?;
                let opened = PostgresAuditLog::open(&address).await;
                Box::new(opened.map_err(|error| Failure::away(error, &address.shown()))?)
            }
        })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Newer { .. } | StoreError::Older { .. } => Code::Refused,
            StoreError::Corrupt(_) => Code::CheckFailed,
            _ => Code::Other,
        };
        Self::new(code, error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        let code = match &broken {
            Broken::PurgedMeanwhile => Code::Other,
            _ => Code::CheckFailed,
        };
        let hint = match &broken {
            Broken::PurgedMeanwhile => "run the same command again".to_owned(),
            Broken::Changed { good: 0, .. } | Broken::Unlinked { good: 0, .. } => {
                "compare it with an export or a backup that was kept elsewhere".to_owned()
            }
            Broken::Changed { good, .. } | Broken::Unlinked { good, .. } => format!(
                "positions up to {good} are as they were written; compare the rest with an export or a backup that was \
                 kept elsewhere"
            ),
            Broken::NoSuchHead { .. } => {
                "is it from this server's log? If so, what is missing is in an export or a backup from then".to_owned()
            }
        };
        Self::new(code, broken).hint(hint)
    }
}
