//! `bellhop doctor`: looks at what a server and its clients need, and says for each what is wrong and what to do.

mod check;
mod here;
mod network;
mod server;

use super::{
    Code, Failure,
    flags::SettingFlags,
    remote::{Output, Printed},
    small_runtime,
};
use check::{Check, Verdict, show};

/// Look at everything that can be wrong, and say what to do about it.
///
/// It looks at the server that is set up here, whether it runs or not; with --server at one elsewhere, as its clients see it.
/// Nothing is changed. Exit code 7 says that something has to be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop doctor                                   the server that is set up here
  bellhop doctor --data-dir /var/lib/bellhop
  bellhop doctor --server https://hooks.example.com -o json
  bellhop doctor --url https://hooks.partner.com/in   whether a webhook's URL can be reached from here")]
pub struct Args {
    /// The server [env: BELLHOP_SERVER] [default: the one that is set up here].
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A webhook's URL: may it be reached, does its name resolve, does it answer? Nothing is sent to it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Looks at everything.
pub fn run(args: &Args) -> Result<(), Failure> {
    let server = server::named(args.server.as_deref());
    let checks = small_runtime()?.block_on(async {
        let mut checks = vec![here::version()];
        match args.settings.load() {
            Ok(loaded) => {
                checks.push(here::configuration(&loaded));
                let config = &loaded.config;
                if server.is_none() {
                    checks.extend(here::all(config));
                    checks.push(here::database(config).await);
                    checks.extend(network::all(config));
                }
                if let Some(url) = &args.url {
                    checks.push(network::url(config, url).await);
                }
                checks.extend(server::all(server.as_deref(), config).await);
            }
            Err(wrong) => {
                let failed = Check::failed("configuration", &wrong, wrong.hint());
                checks.push(failed);
            }
        }
        checks
    });
    match args.printed.output {
        Output::Table => show(&checks)?,
        output => {
            let all: Vec<_> = checks.iter().map(Check::document).collect();
            if output == Output::Jsonl {
                for each in &all {
                    output.one(&each.to_string())?;
                }
            } else {
                output.one(&serde_json::json!({ "Checks": all }).to_string())?;
            }
        }
    }
    if checks.iter().any(|check| check.verdict == Verdict::Failed) {
        return Err(Failure::told(Code::CheckFailed));
    }
    Ok(())
}
