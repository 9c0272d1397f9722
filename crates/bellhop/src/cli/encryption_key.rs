//! `bellhop key`: the keys that encrypt secrets in the database.

use std::{io::Write as _, path::Path, sync::Arc};

use serde_json::json;

use super::{Code, Failure, flags::SettingFlags, small_runtime};
use crate::{
    app::pending_entries::PendingEntry,
    clock::{Clock as _, SystemClock},
    config::{Config, Database, KeyRing, change_key_ring, make_encryption_key},
    domain::audit::AuditAction,
    id::Ids,
    random::SystemRandom,
    store::{Census, ResealingShown, postgres, sqlite},
    vault::RingKeyId,
};

/// Look after the encryption keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Rotate(RotateArgs),
    Status(StatusArgs),
    Prune(PruneArgs),
}

/// Make a new encryption key and put it in front of the made ones. A server that runs takes it up by itself,
/// and encrypts everything anew in the background.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop key rotate --data-dir /var/lib/bellhop      one machine
  bellhop key rotate --prepare                        replicas, first: known, encrypts nothing yet
  bellhop key rotate --activate                       replicas, then: on each, once all know it

docs/operating.md has every step, also for keys that are given and not made.")]
pub struct RotateArgs {
    /// Put the new key behind the others: it decrypts, and encrypts nothing yet.
    #[arg(long)]
    prepare: bool,
    /// Make no key: put the one that was prepared in front.
    #[arg(long, conflicts_with = "prepare")]
    activate: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Say which keys there are and how much in the database is encrypted with each.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Take the former keys out of the file, once nothing is encrypted with them any more.
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Aligned columns, for people.
    Table,
    /// One document.
    Json,
}

/// Does it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Rotate(args) => rotate(args),
        Command::Status(args) => status(args),
        Command::Prune(args) => prune(args),
    }
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    let path = made_file(&config, "rotate")?;
    if config.is_shared() && !args.prepare && !args.activate {
        return Err(Failure::new(
            Code::Refused,
            "replicas share this database, and each must know the new key before one of them encrypts with it",
        )
        .hint(
            "bellhop key rotate --prepare, then copy encryption-key into the data directory of every replica; \
             when `bellhop key status` shows the new key on each (5 seconds later the replica knows it, too), \
             run bellhop key rotate --activate on each. With one replica run both, one after the other",
        ));
    }
    let new = make_encryption_key(&SystemRandom);
    let keys = change_key_ring(&path, |mut keys| {
        if args.activate {
            if keys.len() < 2 {
                return Err(Failure::new(
                    Code::Refused,
                    "there is one key, and it encrypts already",
                )
                .hint("bellhop key rotate --prepare makes another"));
            }
            keys.rotate_right(1);
        } else if args.prepare {
            keys.push(new);
        } else {
            keys.insert(0, new);
        }
        let how = match (args.prepare, args.activate) {
            (true, _) => "Prepared",
            (_, true) => "Activated",
            _ => "Rotated",
        };
        let details = json!({ "How": how, "Keys": shown(&ids(&keys)) });
        tell_audit(&config, AuditAction::EncryptionKeyRotated, details)?;
        Ok(keys)
    })?;
    let ids = ids(&keys);
    let mut out = anstream::stdout().lock();
    for line in rotated(args, &ids, &path) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What was done, and what comes next.
fn rotated(args: &RotateArgs, ids: &[RingKeyId], path: &Path) -> Vec<String> {
    let file = path.display();
    let mut lines = Vec::new();
    if args.prepare {
        let new = ids[ids.len() - 1];
        lines.push(format!(
            "New encryption key {new} is behind the others in {file}: it decrypts."
        ));
        lines.push("Next:".into());
        lines.push("  1. Keep a copy of the file where you keep the keys.".into());
        lines.push("  2. Copy it into the data directory of every replica, mode 0600. Each takes it up within 5 seconds, without a restart.".into());
        lines.push("  3. bellhop key rotate --activate, on each.".into());
        return lines;
    }
    let former = shown(&ids[1..]);
    lines.push(format!(
        "Encryption key {} is in front in {file}: it encrypts. Behind it, to decrypt: {}.",
        ids[0],
        former.join(", ")
    ));
    lines.push("Next:".into());
    lines.push(
        "  1. Keep a copy of the file where you keep the keys: from now on a backup needs the new one.".into(),
    );
    lines.push("  2. A server that runs takes it up within 5 seconds, without a restart, and encrypts everything anew in the background.".into());
    lines.push(
        "  3. bellhop key status says when nothing is encrypted with a former key any more.".into(),
    );
    lines.push("  4. Then bellhop key prune takes the former keys out of the file. Backups of before need them: keep them apart.".into());
    lines
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    let known = known(&config)?;
    let census = census(&config)?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", as_json(&known, &census))?,
        Output::Table => {
            writeln!(out, "{:8}  {:8}  VALUES", "KEY", "USE")?;
            for (id, usage, values) in lines(&known, &census) {
                writeln!(out, "{id}  {usage:8}  {values}")?;
            }
            if let Some(newest) = census.newest {
                writeln!(out, "{}", told(&newest))?;
            }
        }
    }
    Ok(())
}

fn prune(args: &PruneArgs) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    let path = made_file(&config, "prune")?;
    let known = known(&config)?;
    if known.len() < 2 {
        anstream::println!("There is one key, {}: nothing to take out.", known[0]);
        return Ok(());
    }
    let census = census(&config)?;
    let is_through = census
        .newest
        .is_some_and(|pass| pass.key == known[0] && pass.ended.is_some());
    if !is_through {
        return Err(Failure::new(
            Code::Refused,
            "not everything has been encrypted with the newest key yet",
        )
        .hint("let the server run; `bellhop key status` says how far it is"));
    }
    for id in &known[1..] {
        let values = count(&census, *id);
        if values > 0 {
            return Err(Failure::new(
                Code::Refused,
                format_args!("{values} values in the database are still encrypted with {id}"),
            )
            .hint(
                "does a replica still encrypt with it? Put the newest key in front there, too, and wait; \
                 a value that did not open is in the server's log",
            ));
        }
    }
    change_key_ring(&path, |mut keys| {
        if RingKeyId::of(&keys[0]) != known[0] {
            return Err(Failure::new(
                Code::Refused,
                "the file has changed meanwhile",
            ));
        }
        keys.truncate(1);
        let details = json!({ "Keys": shown(&known[..1]), "TakenOut": shown(&known[1..]) });
        tell_audit(&config, AuditAction::EncryptionKeysPruned, details)?;
        Ok(keys)
    })?;
    let gone = shown(&known[1..]);
    anstream::println!(
        "Taken out of {}: {}. Backups of before need them: keep them as long as those.",
        path.display(),
        gone.join(", ")
    );
    Ok(())
}

/// Leaves what is about to be done where the server makes it an entry of the audit log. Nothing is done that could not be
/// left there.
fn tell_audit(
    config: &Config,
    action: AuditAction,
    details: serde_json::Value,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    let id = Ids::new(Arc::new(SystemRandom)).next(now);
    let left = PendingEntry::new(id, action, now, details).leave(&config.data_dir);
    left.map_err(|error| {
        let directory = config.data_dir.display();
        Failure::new(
            Code::Other,
            format_args!("cannot write what the audit log is to have into {directory}: {error}"),
        )
        .hint("run it as whoever runs the server")
    })
}

fn ids(keys: &[[u8; 32]]) -> Vec<RingKeyId> {
    keys.iter().map(RingKeyId::of).collect()
}

fn shown(ids: &[RingKeyId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// The file that was made, or what to do where there is none.
fn made_file(config: &Config, doing: &str) -> Result<std::path::PathBuf, Failure> {
    let how = match config.key_ring() {
        KeyRing::Made(path) if path.exists() => return Ok(path),
        KeyRing::Made(path) => return Err(not_made(&path)),
        KeyRing::Given(path) => format!("in {}", path.display()),
        KeyRing::Value => "in BELLHOP_ENCRYPTION_KEY or bellhop.toml".to_owned(),
    };
    let is_file = matches!(config.key_ring(), KeyRing::Given(_));
    let then = if is_file {
        "wait 5 seconds"
    } else {
        "restart it"
    };
    let steps = if doing == "rotate" {
        format!(
            "make a key with `openssl rand -hex 32`; put it behind the present ones, with a comma, on every replica, and {then}; \
             put it in front on every replica, and {then}; when `bellhop key status` shows 0 values for the former ones, \
             take them out"
        )
    } else {
        format!(
            "when `bellhop key status` shows 0 values for the former keys, take them out on every replica, and {then}"
        )
    };
    Err(Failure::new(
        Code::Refused,
        format_args!("the encryption keys are given, {how}, and were not made by Bellhop"),
    )
    .hint(steps))
}

fn not_made(path: &Path) -> Failure {
    Failure::new(
        Code::NotFound,
        format_args!("there is no {}", path.display()),
    )
    .hint("the first `bellhop serve` makes it; --data-dir names another place")
}

/// The keys that this machine's server knows, newest first.
fn known(config: &Config) -> Result<Vec<RingKeyId>, Failure> {
    if let KeyRing::Made(path) = config.key_ring()
        && !path.exists()
    {
        return Err(not_made(&path));
    }
    Ok(ids(&config.known_keys()?))
}

fn census(config: &Config) -> Result<Census, Failure> {
    let counted = match &config.database {
        Database::Sqlite { path } if !path.exists() => {
            return Err(Failure::new(
                Code::NotFound,
                format_args!("there is no database {}", path.display()),
            )
            .hint("the first `bellhop serve` makes it; --data-dir names another place"));
        }
        Database::Sqlite { path } => sqlite::census(path),
        Database::Postgres { url } => {
            let address = postgres::Address::parse(url).map_err(anyhow::Error::from)?;
            let counted = small_runtime()?.block_on(postgres::census(&address));
            return counted.map_err(|error| Failure::away(error, &address.shown()));
        }
    };
    counted.map_err(|error| Failure::from(anyhow::Error::from(error)))
}

fn count(census: &Census, id: RingKeyId) -> u64 {
    let mut counted = census.by_key.iter();
    counted
        .find(|(key, _)| *key == id)
        .map_or(0, |(_, count)| *count)
}

/// Every key that there is, its use, and how many values it has encrypted.
fn lines(known: &[RingKeyId], census: &Census) -> Vec<(RingKeyId, &'static str, u64)> {
    let usage = |place| if place == 0 { "encrypts" } else { "decrypts" };
    let ours = known
        .iter()
        .enumerate()
        .map(|(place, id)| (*id, usage(place), count(census, *id)));
    let others = census
        .by_key
        .iter()
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, count)| (*id, "unknown", *count));
    ours.chain(others).collect()
}

fn told(pass: &ResealingShown) -> String {
    let ResealingShown {
        key,
        resealed,
        unreadable,
        begun,
        ended,
    } = pass;
    let unread = match unreadable {
        0 => String::new(),
        n => format!(" {n} did not open: see the server's log."),
    };
    match ended {
        Some(ended) => format!(
            "Everything has been encrypted with {key} since {ended:.0}: {resealed} values were encrypted anew.{unread}"
        ),
        None => format!(
            "Encrypting anew with {key} since {begun:.0}: {resealed} values so far.{unread}"
        ),
    }
}

fn as_json(known: &[RingKeyId], census: &Census) -> serde_json::Value {
    let keys: Vec<_> = lines(known, census)
        .into_iter()
        .map(|(id, usage, values)| json!({"Id": id.to_string(), "Use": usage, "Values": values}))
        .collect();
    let pass = census.newest.map(|pass| {
        json!({
            "Key": pass.key.to_string(), "Resealed": pass.resealed, "Unreadable": pass.unreadable,
            "BegunUtc": format!("{:.0}", pass.begun), "EndedUtc": pass.ended.map(|at| format!("{at:.0}")),
        })
    });
    json!({"Keys": keys, "Resealing": pass})
}
