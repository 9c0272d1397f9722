//! The log of this process, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// How the log is written, once it is known whether anybody reads it on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Lines for people.
    Text,
    /// One object a line.
    Json,
}

/// Sets the log up. A second call changes nothing.
pub fn start(log: &Log) -> Written {
    let written = match log.format {
        LogFormat::Text => Written::Text,
        LogFormat::Auto if stderr().is_terminal() => Written::Text,
        LogFormat::Json | LogFormat::Auto => Written::Json,
    };
    let filter = EnvFilter::try_new(&log.filter).expect("the filter was checked when it was read");
    let lines = fmt().with_env_filter(filter).with_writer(stderr);
    // It fails only if there is a log already.
    let _ = match written {
        Written::Text => lines
            .with_ansi(anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never)
            .try_init(),
        Written::Json => lines.json().flatten_event(true).try_init(),
    };
    written
}
