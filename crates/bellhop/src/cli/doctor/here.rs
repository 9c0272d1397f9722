//! This machine: settings, the data directory, keys, disk, open files, the database.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use jiff::Timestamp;
use nix::{
    sys::{
        resource::{Resource, getrlimit},
        statvfs::statvfs,
    },
    unistd::{AccessFlags, access},
};

use super::check::Check;
use crate::{
    clock::{Clock as _, SystemClock},
    config::{Config, Database, Loaded, Origin},
    store::{
        StoreError,
        postgres::{Address, condition},
        sqlite::{FileState, file_state},
    },
    vault::RingKeyId,
};

/// Below so much free space a warning, and below the other a failure.
const LITTLE: u64 = 2 << 30;
const TOO_LITTLE: u64 = 256 << 20;
/// Fewer open files are few.
const FEW_FILES: u64 = 4096;
/// Clocks that are further apart make signatures look old, and leases end early.
pub const APART_SECONDS: i64 = 5;

pub fn version() -> Check {
    Check::ok(
        "version",
        format_args!("bellhop {}", env!("CARGO_PKG_VERSION")),
    )
}

/// The settings are valid, or this is not asked.
pub fn configuration(loaded: &Loaded) -> Check {
    let set = loaded
        .shown
        .iter()
        .filter(|shown| shown.value.is_some() && !matches!(shown.origin, Origin::Default));
    let names: Vec<&str> = set.map(|shown| shown.name).collect();
    let detail = if names.is_empty() {
        "all settings have their defaults".to_owned()
    } else {
        format!("set: {}", names.join(", "))
    };
    Check::ok("configuration", detail)
}

/// What needs no network.
pub fn all(config: &Config) -> Vec<Check> {
    vec![
        data_directory(&config.data_dir),
        keys(config),
        disk(&config.data_dir),
        open_files(),
    ]
}

fn data_directory(path: &Path) -> Check {
    let (name, shown) = ("data directory", path.display());
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail = format!("{shown} is not there yet; the first start makes it");
            return Check::warning(
                name,
                detail,
                "bellhop serve, or name another: --data-dir DIRECTORY",
            );
        }
        Err(error) => {
            return Check::failed(
                name,
                format_args!("{shown}: {error}"),
                format!("ls -ld {shown}"),
            );
        }
    };
    let mode = found.permissions().mode() & 0o777;
    if !found.is_dir() {
        Check::failed(
            name,
            format_args!("{shown} is no directory"),
            "--data-dir names another",
        )
    } else if access(
        path,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
    .is_err()
    {
        let detail = format!("this user may not write in {shown}");
        Check::failed(name, detail, format!("run it as its owner: ls -ld {shown}"))
    } else if mode & 0o077 != 0 {
        let detail = format!("others may look into {shown} (mode {mode:04o})");
        Check::warning(name, detail, format!("chmod 700 {shown}"))
    } else {
        Check::ok(name, format_args!("{shown} (mode {mode:04o})"))
    }
}

/// The operator's key and the encryption key, as far as they are there.
fn keys(config: &Config) -> Check {
    let name = "keys";
    if !config.data_dir.exists() {
        return Check::skipped(name, "the first start makes them");
    }
    for path in [
        config.operator_key_file(),
        Some(config.data_dir.join("encryption-key")),
    ]
    .into_iter()
    .flatten()
    {
        let Ok(found) = fs::metadata(&path) else {
            continue;
        };
        let (mode, shown) = (found.permissions().mode() & 0o777, path.display());
        if mode & 0o077 != 0 {
            let detail = format!("others may read {shown} (mode {mode:04o})");
            return Check::failed(name, detail, format!("chmod 600 {shown}"));
        }
    }
    match config.known_keys() {
        Ok(keys) => {
            let ids: Vec<String> = keys
                .iter()
                .map(|key| RingKeyId::of(key).to_string())
                .collect();
            Check::ok(
                name,
                format_args!("encryption keys, newest first: {}", ids.join(", ")),
            )
        }
        Err(error) => {
            let is_new = matches!(&config.database, Database::Sqlite { path } if !path.exists());
            if is_new {
                Check::skipped(name, "the first start makes them")
            } else {
                Check::failed(name, &error, error.hint())
            }
        }
    }
}

fn disk(path: &Path) -> Check {
    let name = "disk";
    let nearest = path
        .ancestors()
        .find(|part| part.exists())
        .unwrap_or(Path::new("/"));
    let nearest = if nearest.as_os_str().is_empty() {
        Path::new(".")
    } else {
        nearest
    };
    let Ok(found) = statvfs(nearest) else {
        return Check::skipped(name, "its free space cannot be told");
    };
    // Their types differ between systems.
    let (blocks, bytes) = (found.blocks_available(), found.fragment_size());
    let free = u64::try_from(u128::from(blocks) * u128::from(bytes)).unwrap_or(u64::MAX);
    let shown = format!(
        "{:.1} GiB are free at {}",
        free as f64 / f64::from(1 << 30),
        nearest.display()
    );
    let next = "make room; delivery_retention_seconds says how long deliveries are kept: docs/operating.md, Retention";
    match free {
        0..TOO_LITTLE => Check::failed(name, shown, next),
        TOO_LITTLE..LITTLE => Check::warning(name, shown, next),
        _ => Check::ok(name, shown),
    }
}

fn open_files() -> Check {
    let name = "open files";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, most)) if most < FEW_FILES => Check::warning(
            name,
            format_args!("{most} at most: few for connections to receivers"),
            "ulimit -Hn 65536; with systemd: LimitNOFILE=65536",
        ),
        Ok((_, most)) => Check::ok(name, format_args!("{most} at most")),
        Err(error) => Check::skipped(name, error),
    }
}

/// The database: whether it is there, opens, and is of this version.
pub async fn database(config: &Config) -> Check {
    let name = "database";
    match &config.database {
        Database::Sqlite { path } if !path.exists() => Check::warning(
            name,
            format_args!(
                "{} is not there yet; the first start makes it",
                path.display()
            ),
            "bellhop serve",
        ),
        Database::Sqlite { path } => match file_state(path) {
            Ok(state) => sqlite(path, state),
            Err(error) => wrong(&error, &path.display().to_string()),
        },
        Database::Postgres { url } => match Address::parse(url) {
            Ok(address) => postgres(&address).await,
            Err(error) => Check::failed(
                name,
                error,
                "postgres://USER@HOST/DATABASE in BELLHOP_DATABASE_URL_FILE",
            ),
        },
    }
}

fn sqlite(path: &Path, state: FileState) -> Check {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let mib = |path: &Path| fs::metadata(path).map_or(0, |found| found.len() >> 20);
    let served = if state.is_served {
        "a server has it open"
    } else {
        "no server has it open"
    };
    let detail = format!(
        "{}: schema {}, {} MiB and {} MiB of log; {served}",
        path.display(),
        state.schema,
        mib(path),
        mib(Path::new(&wal))
    );
    if state.schema < state.known {
        let next = format!(
            "the next start brings it to {}; first: bellhop backup create FILE",
            state.known
        );
        return Check::warning("database", detail, next);
    }
    Check::ok("database", detail)
}

async fn postgres(address: &Address) -> Check {
    let shown = address.shown();
    match condition(address).await {
        Ok(state) => {
            let apart = (state.now_ms - SystemClock.now().as_millisecond()) / 1000;
            let detail = format!(
                "{shown}: PostgreSQL {}, schema {}",
                clean_version(&state.version),
                state.schema
            );
            if apart.abs() > APART_SECONDS {
                return Check::failed(
                    "database",
                    format_args!("{detail}; its clock is {apart} s apart from this one"),
                    "let both machines keep time: chronyc tracking",
                );
            }
            if state.is_read_only {
                return Check::failed(
                    "database",
                    format_args!("{detail}; it takes no writes: a standby?"),
                    "name the primary in BELLHOP_DATABASE_URL",
                );
            }
            Check::ok("database", detail)
        }
        Err(error) => wrong(&error, &shown),
    }
}

fn clean_version(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

fn wrong(error: &StoreError, place: &str) -> Check {
    let next = match error {
        StoreError::Newer { .. } => "run the newer version of bellhop that made it",
        StoreError::Older { .. } => {
            "bellhop serve brings it up to date; first: bellhop backup create FILE"
        }
        StoreError::Corrupt(_) => "bellhop backup verify a backup, and restore it",
        _ => "is it running, and may this user open it? docs/operating.md",
    };
    Check::failed("database", format_args!("{place}: {error}"), next)
}

/// How far the clock of a server is from this one.
pub fn clock(theirs: Timestamp) -> Check {
    let apart = theirs.duration_since(SystemClock.now()).as_secs();
    // A Date header is to the second.
    if apart.abs() > APART_SECONDS {
        Check::failed(
            "clock",
            format_args!("the server's clock is {apart} s apart from this one"),
            "receivers refuse signatures that are 5 minutes old: let both machines keep time (chronyc tracking)",
        )
    } else {
        Check::ok("clock", "the server's and this one agree")
    }
}
