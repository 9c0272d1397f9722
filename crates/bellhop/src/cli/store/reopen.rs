//! `bellhop store reopen`: the way back from `bellhop store copy`.

use anstream::eprintln;

use super::{super::Failure, Embedded};
use crate::store::copy::reopen;

/// Let `serve` open a database again that was copied elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop store reopen sqlite:/var/lib/bellhop

Stop what runs on the copy first. What it has sent since is sent again from here, and what
happened there since is not here: sequences that were given there are given again.")]
pub struct Args {
    /// The data directory, or the database file in it: sqlite:PATH.
    #[arg(value_name = "SQLITE", value_parser = Embedded::parse)]
    database: Embedded,
}

/// Takes the mark away.
pub fn run(args: &Args) -> Result<(), Failure> {
    let named = args.database.named();
    match reopen(&args.database.file)? {
        Some(mark) => eprintln!(
            "{named} may be served again. It was moved to {} at {}: nothing may run there any more.",
            mark.target,
            mark.shown()
        ),
        None => eprintln!("{named} was not marked as moved; nothing was changed."),
    }
    Ok(())
}
