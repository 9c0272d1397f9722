//! `bellhop backup`: copies of the database, made while the server runs, verified, and put back.

mod create;
mod report;
mod restore;
mod verify;

use std::path::PathBuf;

use super::{Code, Failure, flags::SettingFlags};
use crate::{
    config::{Config, Database},
    store::postgres::Address,
    vault::Vault,
};

/// Back the database up, verify a backup, and put one back.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  bellhop backup create /var/backups/bellhop-$(date -u +%F).db
  bellhop backup verify /var/backups/bellhop-2026-11-26.db
  bellhop backup restore /var/backups/bellhop-2026-11-26.db --data-dir /var/lib/bellhop

The encryption key is not in a backup: keep a copy of it apart. On PostgreSQL, these
commands say which of its own commands do the same.")]
pub enum Command {
    Create(Box<create::Args>),
    Verify(Box<verify::Args>),
    Restore(Box<restore::Args>),
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Restore(args) => restore::run(args),
    }
}

/// The database file of these settings; on PostgreSQL what to run instead.
fn database(config: &Config, instead: &str) -> Result<PathBuf, Failure> {
    match &config.database {
        Database::Sqlite { path } => Ok(path.clone()),
        Database::Postgres { url } => {
            let shown = Address::parse(url).map(|address| address.shown());
            let shown = shown.map_err(|error| Failure::new(Code::Usage, error))?;
            let cause = format!("the database is PostgreSQL ({shown}), which has its own backups");
            Err(Failure::new(Code::Refused, cause).hint(instead.to_owned()))
        }
    }
}

/// The keys that open what is sealed.
fn vault(settings: &SettingFlags) -> Result<Vault, Failure> {
    let config = settings.load()?.config;
    let keys = config.known_keys()?;
    Vault::new(&keys).map_err(|error| Failure::new(Code::Usage, error))
}
