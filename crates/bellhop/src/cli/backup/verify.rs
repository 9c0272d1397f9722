//! `bellhop backup verify`.

use std::path::PathBuf;

use super::{
    report::{looked_through, print},
    vault,
};
use crate::cli::{Failure, flags::SettingFlags, remote::Printed, secret_input::cannot_read};

/// Verify a backup: its structure, and that every encrypted value in it opens with the keys that are known here.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop backup verify /var/backups/bellhop.db --data-dir /var/lib/bellhop
  BELLHOP_ENCRYPTION_KEY_FILE=./keys bellhop backup verify bellhop.db -o json

Nothing is written. Exit code 7 says that it is not whole.")]
pub struct Args {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Verifies.
pub fn run(args: &Args) -> Result<(), Failure> {
    std::fs::File::open(&args.file).map_err(|error| cannot_read(&args.file, &error))?;
    let report = looked_through(&args.file, &vault(&args.settings)?)?;
    print(args.printed.output, &args.file, &report)
}
