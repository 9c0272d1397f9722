//! `bellhop backup restore`.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anstream::eprintln;
use tempfile::Builder;

use super::{
    database,
    report::{looked_through, print},
    vault,
};
use crate::cli::{
    Code, Failure,
    flags::SettingFlags,
    remote::Printed,
    secret_input::cannot_read,
    style::{DIM, WARN},
};

/// Put a backup where the server's database belongs, after it was verified. A database that is there is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop backup restore /var/backups/bellhop.db --data-dir /var/lib/bellhop

Put the encryption key of that time into the data directory first: without it nothing in
the backup opens, and the command says so.")]
pub struct Args {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Verifies, copies, and only then gives the copy its name.
pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    let database = database(
        &config,
        "createdb bellhop && pg_restore --dbname \"$BELLHOP_DATABASE_URL\" bellhop.dump",
    )?;
    File::open(&args.file).map_err(|error| cannot_read(&args.file, &error))?;
    refuse_to_overwrite(&database)?;
    let vault = vault(&args.settings)?;
    let report = looked_through(&args.file, &vault)?;
    if !report.is_whole() {
        return print(args.printed.output, &args.file, &report);
    }
    let folder = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut copy = Builder::new()
        .prefix(".bellhop-restore-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    io::copy(&mut File::open(&args.file)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    copy.persist_noclobber(&database)
        .map_err(|_| there_already(&database))?;
    File::open(folder)?.sync_all()?;
    print(args.printed.output, &database, &report)?;
    eprintln!(
        "{WARN}What happened after the backup is not in it.{WARN:#} Sequences that were given since are given again: tell the partners\n\
         to compare GET /v1/integrations with what they have. docs/operating.md says more."
    );
    eprintln!("{DIM}Next: bellhop serve{DIM:#}");
    Ok(())
}

/// A database, or what a server left of one.
fn refuse_to_overwrite(database: &Path) -> Result<(), Failure> {
    for end in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(end);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(there_already(Path::new(&path)));
        }
    }
    Ok(())
}

fn there_already(path: &Path) -> Failure {
    let shown = path.display();
    let cause = format!("{shown} is there, and is not overwritten");
    Failure::new(Code::Refused, cause).hint(format!(
        "stop the server, and move what is there away: mkdir before && mv {}* before/",
        shown
            .to_string()
            .trim_end_matches("-wal")
            .trim_end_matches("-shm")
    ))
}
