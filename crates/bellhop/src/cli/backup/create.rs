//! `bellhop backup create`.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anstream::eprintln;
use tempfile::Builder;

use super::{
    database,
    report::{looked_through, print, refused},
    vault,
};
use crate::{
    cli::{Code, Failure, flags::SettingFlags, remote::Printed, style::DIM},
    store::sqlite::copy_into,
};

/// Copy the database into a file, as it is at one moment, and verify the copy. The server may go on running.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop backup create /var/backups/bellhop.db --data-dir /var/lib/bellhop
  bellhop backup create \"/var/backups/bellhop-$(date -u +%FT%H%M).db\" -o json")]
pub struct Args {
    /// The file to write; it must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Copies, verifies, and only then gives the copy its name.
pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    let database = database(
        &config,
        "pg_dump --format=custom --file bellhop.dump \"$BELLHOP_DATABASE_URL\"; any moment: base backups with an archived log",
    )?;
    if !database.is_file() {
        let cause = format!("there is no database at {}", database.display());
        return Err(
            Failure::new(Code::NotFound, cause).hint("--data-dir DIRECTORY names where it is")
        );
    }
    let vault = vault(&args.settings)?;
    let folder = args
        .file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if args.file.exists() {
        return Err(there_already(&args.file));
    }
    // Beside its place, for its owner alone, and gone if anything fails.
    let copy = Builder::new()
        .prefix(".bellhop-backup-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(|error| {
            let cause = format!("cannot write in {}: {error}", folder.display());
            Failure::new(Code::Other, cause).hint(format!("ls -ld {}", folder.display()))
        })?;
    copy_into(&database, copy.path()).map_err(|error| refused(&database, error))?;
    let report = looked_through(copy.path(), &vault)?;
    copy.as_file().sync_all()?;
    copy.persist_noclobber(&args.file)
        .map_err(|_| there_already(&args.file))?;
    std::fs::File::open(folder)?.sync_all()?;
    print(args.printed.output, &args.file, &report)?;
    eprintln!("{DIM}The encryption key is not in it: keep a copy of it apart.{DIM:#}");
    Ok(())
}

fn there_already(file: &Path) -> Failure {
    let cause = format!(
        "{} is there already, and no backup is overwritten",
        file.display()
    );
    Failure::new(Code::Refused, cause).hint("choose another name, with the date in it for instance")
}
