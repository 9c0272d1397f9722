//! `bellhop serve`: parse, build, spawn, wait, drain.

use std::{io, num::NonZero};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    Code, Failure, banner,
    flags::SettingFlags,
    log::{self, Written},
    open_files, sign_in,
};
use crate::{
    app::{App, Parts},
    config::{Config, Database},
    store::StoreError,
};

/// Start the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop serve                                      all settings at their defaults
  bellhop serve --listen 0.0.0.0:8080 --data-dir /var/lib/bellhop
  bellhop serve --egress-allow 127.0.0.0/8           webhooks may reach this machine: for trying out

SIGTERM and Ctrl-C let requests in flight end; a second one stops at once.
`bellhop config show --origin` says which settings hold and why. Secrets are not
flags: see operator_key_file and encryption_key_file in bellhop.default.toml.")]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

/// Serves until a signal says stop.
pub fn run(args: &Args) -> Result<(), Failure> {
    let loaded = args.settings.load()?;
    let written = log::start(&loaded.config.log);
    open_files::raise();
    let is_first_start = is_first_start(&loaded.config);
    let runtime = runtime(&loaded.config.database)?;
    let served = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let app = build(loaded.config.clone()).await?;
        let place = banner::Place {
            address: app.local_addr()?,
            is_first_start,
        };
        let link = sign_in::greet(&app, &loaded.config).await?;
        match written {
            Written::Text => banner::print(&place, &loaded, &link),
            Written::Json => banner::log(&place, &loaded),
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = app.run(async {
            // A dropped sender stops it as well.
            let _ = stopped.await;
        });
        tokio::pin!(running);
        tokio::select! {
            done = &mut running => return Ok(done?),
            () = signals.next() => {}
        }
        banner::stopping(written, &loaded.config);
        let _ = stop.send(());
        tokio::select! {
            done = &mut running => Ok(done?),
            () = signals.next() => Err(Failure::new(
                Code::Other,
                "stopped before requests in flight had ended; they are sent again after the next start",
            )),
        }
    });
    // Whatever still runs is not waited for: it was drained, or the second signal said not to.
    runtime.shutdown_background();
    served
}

/// A thread for each core. The writer of the embedded store has a thread of its own, busy whenever there is load, so
/// that one of the others would only take turns with it: without that one a message costs 9 % less on two cores.
fn runtime(database: &Database) -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match database {
        Database::Sqlite { .. } => cores.saturating_sub(1).max(1),
        Database::Postgres { .. } => cores,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}

/// Builds the server, or says what keeps it from being built.
pub async fn build(config: Config) -> Result<App, Failure> {
    build_of(config, Parts::default()).await
}

/// The same with these parts.
pub async fn build_of(config: Config, parts: Parts) -> Result<App, Failure> {
    let listen = config.listen;
    App::build(config, parts).await.map_err(|error| {
        let is_in_use = error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        });
        let is_moved = error.chain().any(|cause| {
            matches!(cause.downcast_ref(), Some(StoreError::Moved { .. }))
        });
        let failure = Failure::from(error);
        if is_moved {
            return failure.code(Code::Refused).hint(
                "two servers would send everything twice: start this one with BELLHOP_DATABASE_URL; \
                 if the copy was interrupted, run `bellhop store copy` again, which says whether it is there; \
                 to go back to this database, stop what runs there, and then: bellhop store reopen sqlite:DIRECTORY",
            );
        }
        if is_in_use {
            failure.hint(format!(
                "see who listens there: ss -ltnp 'sport = :{}'; or take any free port: bellhop serve --listen {}:0",
                listen.port(),
                listen.ip()
            ))
        } else {
            failure
        }
    })
}

/// Whether the server has made no key here yet.
fn is_first_start(config: &Config) -> bool {
    config
        .operator_key_file()
        .is_some_and(|path| !path.exists())
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
