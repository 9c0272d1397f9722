//! `bellhop receive`: a receiver to try things out on, whose behaviour can be switched while it runs.

pub(super) mod print;
mod receiver;

#[cfg(test)]
mod tests;

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    sync::Arc,
};

use anstream::eprintln;
use tokio::sync::mpsc;

pub use receiver::{BEHAVE_PATH, Receiver, ReceiverParts};

use super::{
    Code, Failure,
    secret_input::{self, SecretArgs},
    small_runtime,
    style::{BAD, DIM, HEAD},
};
use crate::{
    clock::SystemClock,
    random::SystemRandom,
    receiving::{Behaviour, Received, masked},
};

/// Receive webhooks on this machine, and behave well or badly.
///
/// Shows each one with the verdict on its signature and its order.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop receive --secret-file webhook.secret
  bellhop receive --port 9001 --behave 429:30
  curl -d slow:8s http://127.0.0.1:9000/_behave      change the behaviour while it runs

On a terminal, type a behaviour and press Enter to change it.
Behaviours: 200 (any status), 429:30 (with Retry-After), slow:8s, hang, drop, redirect,
flaky:0.5 (fails that often), failing:2 (fails the first two attempts of each message).")]
pub struct Args {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// What to do with each request.
    #[arg(long, default_value = "200", value_name = "BEHAVIOUR")]
    behave: Behaviour,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Show each body beneath its line; access tokens are masked.
    #[arg(long)]
    bodies: bool,
    /// How to print what arrives.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Aligned columns, for people.
    Table,
    /// One JSON object a line.
    Jsonl,
}

/// Receives until it is stopped.
pub fn run(args: &Args) -> Result<(), Failure> {
    let verifier = secret_input::verifier(&args.secrets.read()?)?;
    let is_checking = verifier.is_some();
    small_runtime()?.block_on(async {
        let parts = ReceiverParts {
            verifier,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let (receiver, received) = Receiver::start(args.port, args.behave, parts)
            .await
            .map_err(|error| {
                Failure::new(
                    Code::Other,
                    format_args!("cannot listen on 127.0.0.1:{}: {error}", args.port),
                )
                .hint("bellhop receive --port 0 takes any free port")
            })?;
        introduce(&receiver, args, is_checking);
        let typed = if std::io::stdin().is_terminal() && !args.secrets.takes_stdin() {
            Some(typed_lines())
        } else {
            None
        };
        tokio::select! {
            done = show_all(args, received) => done,
            () = obey(&receiver, typed) => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

fn introduce(receiver: &Receiver, args: &Args, is_checking: bool) {
    let address = receiver.address();
    eprintln!("{HEAD}Receiving at http://{address}/{HEAD:#}  (any path)");
    if is_checking {
        eprintln!("Signatures are checked; a wrong one is answered with 401.");
    } else {
        eprintln!("Signatures are not checked: give the webhook's secret with --secret-file FILE.");
    }
    eprintln!(
        "Answers {}. To change it: curl -d 500 http://{address}{BEHAVE_PATH}",
        args.behave
    );
    eprintln!("{DIM}Bellhop sends here only with --egress-allow 127.0.0.0/8.{DIM:#}");
    eprintln!();
}

async fn show_all(args: &Args, mut received: mpsc::Receiver<Received>) -> Result<(), Failure> {
    if args.output == Output::Table {
        writeln!(anstream::stdout(), "{}", print::heading())?;
    }
    while let Some(received) = received.recv().await {
        let mut out = anstream::stdout().lock();
        match args.output {
            Output::Table => {
                writeln!(out, "{}", print::line(&received))?;
                if args.bodies {
                    writeln!(out, "    {DIM}{}{DIM:#}", masked(&received.body))?;
                }
            }
            Output::Jsonl => writeln!(out, "{}", print::object(&received))?,
        }
        out.flush()?;
    }
    Ok(())
}

/// Changes the behaviour as lines are typed; never ends.
async fn obey(receiver: &Receiver, typed: Option<mpsc::Receiver<String>>) {
    if let Some(mut typed) = typed {
        while let Some(line) = typed.recv().await {
            match line.parse::<Behaviour>() {
                Ok(behaviour) => {
                    receiver.behave(behaviour);
                    eprintln!("{DIM}answers {behaviour} from now on{DIM:#}");
                }
                Err(_) if line.trim().is_empty() => {}
                Err(error) => eprintln!("{BAD}{error}{BAD:#}"),
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Lines of the terminal. Reading it blocks and cannot be called off, so a thread of its own does it.
fn typed_lines() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    typed
}
