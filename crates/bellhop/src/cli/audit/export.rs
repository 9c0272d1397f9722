//! `bellhop audit export`: the log as lines of JSON, verified on the way.

use std::io::{self, BufWriter, Write};

use anstream::eprintln;
use jiff::Timestamp;

use super::{super::style::GOOD, Failure, Place, line::Line, small_runtime};
use crate::{
    domain::audit::{AuditEntry, Chain},
    store::audit::{Verified, Verifier, Watch},
};

/// Print the audit log, oldest first, one JSON object a line, with the hashes that verify it anywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop audit export > audit.jsonl
  bellhop audit export --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
  bellhop audit verify --file audit.jsonl            without the server, and without its database

The server may go on running. The whole log is verified on the way; if it was changed, the
command says where, and ends with exit code 7. docs/audit.md says what is hashed, so that a
few lines of any language verify an export.")]
pub struct Args {
    /// Only what was done at this moment or later.
    #[arg(long, value_name = "UTC")]
    from: Option<Timestamp>,
    /// Only what was done before this moment.
    #[arg(long, value_name = "UTC")]
    to: Option<Timestamp>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Jsonl)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// One document a line.
    Jsonl,
}

/// Exports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Output::Jsonl = args.output;
    let mut exporting = Exporting {
        from_ms: args.from.map(Timestamp::as_millisecond),
        to_ms: args.to.map(Timestamp::as_millisecond),
        to: BufWriter::new(io::stdout().lock()),
        before: Chain::EMPTY,
        written: 0,
        failed: None,
    };
    let verified = small_runtime()?.block_on(async {
        let log = args.place.open().await?;
        Ok::<_, Failure>(Verifier::new(&*log, None).run(&mut exporting).await?)
    });
    exporting.to.flush()?;
    if let Some(failed) = exporting.failed {
        return Err(failed.into());
    }
    let Verified { purged, chain, .. } = verified??;
    eprintln!(
        "{GOOD}ok{GOOD:#}    {} of {} entries; the head is {}",
        exporting.written,
        chain.position - purged.position,
        chain.head
    );
    Ok(())
}

/// Where an export stands.
struct Exporting<W: Write> {
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    to: W,
    before: Chain,
    written: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Watch for Exporting<W> {
    fn begins(&mut self, after: Chain) {
        self.before = after;
    }

    fn entry(&mut self, entry: &AuditEntry, chain: Chain) {
        let is_wanted = self.from_ms.is_none_or(|from| from <= entry.at_ms)
            && self.to_ms.is_none_or(|to| entry.at_ms < to);
        if is_wanted && self.failed.is_none() {
            let line = Line::new(entry, self.before, chain);
            self.failed = line.write(&mut self.to).err();
            self.written += 1;
        }
        self.before = chain;
    }

    fn goes_on(&self) -> bool {
        self.failed.is_none()
    }
}
