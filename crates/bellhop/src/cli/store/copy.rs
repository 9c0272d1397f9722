//! `bellhop store copy`: moving up from the embedded database to PostgreSQL.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anstream::eprintln;
use serde_json::json;

use super::{
    super::{
        Code, Failure, small_runtime,
        style::{GOOD, HEAD, HINT},
    },
    Embedded,
    progress::Shown,
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{Config, Database, Sources, load},
    domain::secret_text::SecretText,
    random::SystemRandom,
    store::{
        copy::{Copied, Done, Order, copy},
        postgres::Address,
    },
};

/// Copy all that a server on SQLite keeps into an empty PostgreSQL: whole and verified, or not at all.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop store copy --from sqlite:/var/lib/bellhop --to postgres://bellhop@db.internal/bellhop
  bellhop store copy --from sqlite:./bellhop-data       the target is BELLHOP_DATABASE_URL

Stop the server first. The copy is one transaction: it is committed after every row was
read back and compared, and when it is interrupted, the target is as it was. The encryption
key is that of the server: encryption_key, or the file beside the database. The target gets
the same. Afterwards the old database is marked as moved, and `bellhop serve` refuses it,
because two servers would send everything twice; `bellhop store reopen` takes the mark away.")]
pub struct Args {
    /// The data directory of the server on SQLite, or the database file in it: sqlite:PATH.
    #[arg(long, value_name = "SQLITE", value_parser = Embedded::parse)]
    from: Embedded,
    /// The empty database: postgres://USER@HOST/DATABASE [default: database_url]. A password does not belong here, where
    /// every process can read it: set BELLHOP_DATABASE_URL, or BELLHOP_DATABASE_URL_FILE, instead.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// How the summary is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Read this file in place of ./bellhop.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Aligned columns, for people.
    Table,
    /// One document.
    Json,
}

/// Copies, and says what was copied and what comes next.
pub fn run(args: &Args) -> Result<(), Failure> {
    let data_dir = args.from.directory.display().to_string();
    let flags = vec![("data_dir", data_dir)];
    let config = load(&Sources::of_process(flags, args.config.clone()))?.config;
    let target = target(args, &config)?;
    let at = target.shown();
    if !args.from.file.is_file() {
        return Err(crate::store::copy::CopyError::NoSource(args.from.file.clone()).into());
    }
    let order = Order {
        source: args.from.file.clone(),
        target,
        vault: Arc::new(config.open_vault(&args.from.file)?),
        now: SystemClock.now(),
    };
    let began = Instant::now();
    let shown = Shown::new();
    let done = small_runtime()?.block_on(copy(order, &SystemRandom, &shown));
    shown.end();
    let done = done?;
    match args.output {
        Output::Json => document(args, &at, &done, began.elapsed())?,
        Output::Table => match &done {
            Done::Copied(tables) => summary(args, &at, tables, began.elapsed())?,
            Done::AlreadyThere(when) => writeln!(
                anstream::stdout().lock(),
                "{GOOD}ok{GOOD:#}    the copy is at {at} already, whole, since {when}"
            )?,
        },
    }
    next(args, &at);
    Ok(())
}

fn target(args: &Args, config: &Config) -> Result<Address, Failure> {
    let url = match (&args.to, &config.database) {
        (Some(url), _) => SecretText::new(url.as_str()),
        (None, Database::Postgres { url }) => url.clone(),
        (None, Database::Sqlite { .. }) => {
            return Err(Failure::new(
                Code::Usage,
                "no target: neither --to nor database_url is given",
            )
            .hint("--to postgres://USER@HOST/DATABASE, or BELLHOP_DATABASE_URL"));
        }
    };
    let is_postgres = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.expose().starts_with(scheme));
    if !is_postgres {
        return Err(
            Failure::new(Code::Usage, "--to is no URL of a PostgreSQL database")
                .hint("--to postgres://USER@HOST/DATABASE"),
        );
    }
    let address = Address::parse(&url).map_err(|error| Failure::new(Code::Usage, error))?;
    if args.to.is_some() && address.has_password() {
        eprintln!(
            "{HINT}hint:{HINT:#} every process of this machine can read the password in --to; \
             BELLHOP_DATABASE_URL_FILE is for it"
        );
    }
    Ok(address)
}

fn summary(args: &Args, at: &str, tables: &[Copied], took: Duration) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{HEAD}{:22} {:>12}  SHA-256{HEAD:#}", "TABLE", "ROWS")?;
    for table in tables {
        let (name, rows) = (table.table, table.rows);
        writeln!(out, "{name:22} {rows:>12}  {}", hex(&table.sha256))?;
    }
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let seconds = took.as_secs_f64();
    writeln!(
        out,
        "\n{GOOD}ok{GOOD:#}    {rows} rows of {} are at {at} in {seconds:.1} s",
        args.from.named()
    )?;
    writeln!(
        out,
        "{GOOD}ok{GOOD:#}    each was read back and is the same; the digests are those of both sides"
    )?;
    Ok(())
}

fn document(args: &Args, at: &str, done: &Done, took: Duration) -> Result<(), Failure> {
    let mut document = json!({"From": args.from.named(), "To": at});
    match done {
        Done::Copied(tables) => {
            let item = |table: &Copied| {
                let sha256 = hex(&table.sha256);
                json!({"Table": table.table, "Rows": table.rows, "Sha256": sha256})
            };
            document["Seconds"] = took.as_secs_f64().into();
            document["Tables"] = tables.iter().map(item).collect();
        }
        Done::AlreadyThere(when) => document["AlreadyThereSinceUtc"] = when.to_string().into(),
    }
    writeln!(anstream::stdout().lock(), "{document:#}")?;
    Ok(())
}

/// What the operator does now.
fn next(args: &Args, at: &str) {
    let directory = args.from.directory.display();
    eprintln!(
        "\nNext: start the server with BELLHOP_DATABASE_URL for {at}, and with the keys that it had: if they are \
         in {directory}, keep that data directory, or give other replicas encryption-key and operator-key from there.\n\
         The old database is kept, marked as moved: `bellhop serve` refuses it. The way back, if nothing was served \
         from the new one yet: bellhop store reopen {}",
        args.from.named()
    );
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}
