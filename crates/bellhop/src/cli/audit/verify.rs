//! `bellhop audit verify`: hashes the log again and says whether it is what was written.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
};

use anstream::eprintln;
use serde_json::json;

use super::{
    super::{
        Code,
        style::{GOOD, HINT},
    },
    Failure, Place,
    line::{self, Line},
    small_runtime,
};
use crate::{
    domain::audit::{Chain, Digest},
    store::audit::{Broken, Verified, Verifier},
};

/// Verify that the audit log is what was written: nothing changed, left out, put in or moved.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop audit verify                               the log of the server here, which may run
  bellhop audit verify --head 49db7efa…              and that it still has what it had then
  bellhop audit verify --file audit.jsonl            an export, without any database

Who can write to the database can rewrite the whole log, or cut off its end: only a hash
that was kept elsewhere shows that. `bellhop audit head` prints one, and the server logs one
each day. Exit code 7 says that the check failed; the message says where.")]
pub struct Args {
    /// A hash that has to be in the log: 64 hex digits that `bellhop audit head` or the server's log said before.
    #[arg(long, value_name = "HASH")]
    head: Option<Digest>,
    /// Verify this export in place of a database; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "config"])]
    file: Option<PathBuf>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Lines, for people.
    Table,
    /// One document.
    Json,
}

/// Verifies.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (verified, gaps) = if let Some(file) = &args.file {
        of_file(file, args.head)?
    } else {
        let verified = small_runtime()?.block_on(async {
            let log = args.place.open().await?;
            Ok::<_, Failure>(Verifier::new(&*log, args.head).run(&mut ()).await?)
        });
        let verified = verified??;
        let entries = verified.chain.position - verified.purged.position;
        (Sum { verified, entries }, 0)
    };
    match args.output {
        Output::Table => tell(&verified, gaps)?,
        Output::Json => document(&verified, gaps)?,
    }
    Ok(())
}

/// What was verified.
struct Sum {
    verified: Verified,
    entries: u64,
}

fn tell(Sum { verified, entries }: &Sum, gaps: u64) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let span = verified.span.map_or_else(String::new, |(oldest, newest)| {
        format!(
            ", made from {} to {}",
            line::shown(oldest),
            line::shown(newest)
        )
    });
    writeln!(
        out,
        "{GOOD}ok{GOOD:#}    {entries} entries{span}: the chain holds"
    )?;
    let (position, head) = (verified.chain.position, verified.chain.head);
    writeln!(
        out,
        "{GOOD}ok{GOOD:#}    position {position} has the hash {head}"
    )?;
    if let Some(found) = verified.found {
        writeln!(
            out,
            "{GOOD}ok{GOOD:#}    the hash that was asked for is that of position {found}"
        )?;
    }
    if verified.purged.position > 0 {
        eprintln!(
            "{HINT}note:{HINT:#} positions 1 to {} have gone, as audit_retention_seconds says; the chain goes on from the \
             hash {}",
            verified.purged.position, verified.purged.head
        );
    }
    if verified.unlinked > 0 {
        eprintln!(
            "{HINT}note:{HINT:#} the newest {} entries are not linked yet; a server that runs does that within a second \
             or so",
            verified.unlinked
        );
    }
    if gaps > 0 {
        eprintln!(
            "{HINT}note:{HINT:#} positions are missing in {gaps} places: not exported, or taken out of the file"
        );
    }
    Ok(())
}

fn document(Sum { verified, entries }: &Sum, gaps: u64) -> io::Result<()> {
    let document = json!({
        "Entries": entries,
        "PurgedToPosition": verified.purged.position,
        "Position": verified.chain.position,
        "Head": verified.chain.head.to_string(),
        "FromUtc": verified.span.map(|(oldest, _)| line::shown(oldest)),
        "ToUtc": verified.span.map(|(_, newest)| line::shown(newest)),
        "Unlinked": verified.unlinked,
        "Gaps": gaps,
        "FoundAtPosition": verified.found,
    });
    writeln!(anstream::stdout().lock(), "{document:#}")
}

fn of_file(path: &Path, head: Option<Digest>) -> Result<(Sum, u64), Failure> {
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(path).map_err(|error| {
            Failure::new(Code::NotFound, format_args!("{}: {error}", path.display()))
        });
        Box::new(BufReader::new(opened?))
    };
    let (mut chain, mut entries, mut gaps, mut found, mut span) = (Chain::EMPTY, 0, 0, None, None);
    for (number, text) in (1..).zip(reader.lines()) {
        let broken = |why: &str| {
            let cause = format_args!("{}, line {number}: {why}", path.display()).to_string();
            let hint =
                "the file is not what was exported; export it again, or look for another copy";
            Failure::new(Code::CheckFailed, cause).hint(hint)
        };
        let (before, after, at_ms) = Line::verify(&text?).map_err(|why| broken(&why))?;
        if before.position < chain.position {
            return Err(broken("its position is not after that of the line before"));
        }
        if before.position == chain.position && before.head != chain.head {
            return Err(broken("it does not follow from the line before"));
        }
        gaps += u64::from(before.position > chain.position && chain.position > 0);
        if head == Some(after.head) {
            found = Some(after.position);
        }
        let (oldest, newest) = span.unwrap_or((at_ms, at_ms));
        span = Some((oldest.min(at_ms), newest.max(at_ms)));
        (chain, entries) = (after, entries + 1);
    }
    match head {
        Some(head) if found.is_none() => {
            let purged = 0;
            let missing = Broken::NoSuchHead {
                head,
                entries,
                purged,
            };
            Err(missing.into())
        }
        _ => {
            let unlinked = 0;
            let verified = Verified {
                purged: Chain::EMPTY,
                chain,
                span,
                unlinked,
                found,
            };
            Ok((Sum { verified, entries }, gaps))
        }
    }
}
