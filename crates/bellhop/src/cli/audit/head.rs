//! `bellhop audit head`: the newest hash, to be kept elsewhere.

use std::io::Write as _;

use super::{super::Code, Failure, Place, small_runtime};

/// Print the position and the hash of the newest entry that is linked. Keep the line elsewhere: `verify --head` proves later
/// that nothing up to it was changed or cut off.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop audit head | ssh log.internal 'cat >> bellhop-heads'
  bellhop audit verify --head HASH

The server logs the same line when it starts and once a day.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Prints it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let newest = small_runtime()?.block_on(async {
        let log = args.place.open().await?;
        Ok::<_, Failure>(log.newest().await?)
    });
    let Some(link) = newest? else {
        return Err(Failure::new(Code::NotFound, "the audit log is empty"));
    };
    let (position, head) = (link.chain.position, link.chain.head);
    writeln!(anstream::stdout().lock(), "{position} {head}")?;
    Ok(())
}
