//! The log of this process, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, registry,
    util::SubscriberInitExt as _,
};

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
    let filter: Targets = (log.filter.parse()).expect("the filter was checked when it was read");
    let lines = fmt::layer().with_writer(stderr);
    let lines = match written {
        Written::Text => lines
            .with_ansi(anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never)
            .boxed(),
        Written::Json => lines.json().flatten_event(true).boxed(),
    };
    // It fails only if there is a log already.
    let _ = registry().with(filter).with(lines).try_init();
    written
}
