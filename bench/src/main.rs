//! Measures Bellhop from outside: the raw ceiling of signed POSTs, the whole way from command to
//! receiver, latency at a fixed pace, and the start. Receiver, load and server are processes of
//! their own, so that the server's CPU time and memory are its own too.
//!
//! Nothing here passes or fails by the clock: it measures, and says so.

mod arguments;
mod asker;
mod backlog;
mod bare;
mod body;
mod connection;
mod introspection;
mod isolation;
mod latency;
mod measure;
mod platform;
mod postgres;
mod process;
mod producer;
mod raw;
mod report;
mod server;
mod sick;
mod sink;
mod sink_control;
mod soak;
mod start;
mod throughput;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Mode, RunOptions, Scenario};
use crate::report::Report;

fn main() -> ExitCode {
    match obey(Arguments::parse().mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(mode: Mode) -> anyhow::Result<()> {
    if let Mode::Bare = mode {
        return bare::run();
    }
    // One thread: it costs less per message than several, and the cores are for the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match mode {
            Mode::Run(options) => until_signal(run(&options)).await,
            Mode::Sink { port } => sink::run(port).await,
            Mode::Produce => producer::run().await,
            Mode::Ask => asker::run().await,
            Mode::Bare => unreachable!("it has a runtime of its own"),
        }
    })
}

/// Runs the chosen scenarios one after the other and reports.
async fn run(options: &RunOptions) -> anyhow::Result<()> {
    let place = options.place()?;
    let mut report = Report::new(&place)?;
    if options.wants(Scenario::Raw) {
        say("raw ceiling: signed POSTs in a loop, no store");
        report.raw = Some(raw::run(options).await?);
    }
    if options.wants(Scenario::EndToEnd) {
        say("end to end: create commands over HTTP, durable, delivered, recorded");
        report.end_to_end = Some(throughput::run(options, &place).await?);
    }
    if options.wants(Scenario::Latency) {
        say("latency at a fixed pace");
        report.latency = latency::run(options, &place).await?;
    }
    if options.wants(Scenario::Introspection) {
        say("introspection of access tokens");
        report.introspection = Some(introspection::run(options, &place).await?);
    }
    if options.wants(Scenario::Start) {
        say("start");
        report.start = Some(start::run(options, &place).await?);
    }
    if !options.backlog.is_empty() {
        say("backlog: what is held, and how it drains");
        report.backlogs = backlog::run(options, &place).await?;
    }
    if options.isolation {
        say("isolation: sick receivers beside healthy ones");
        report.isolation = Some(isolation::run(options, &place).await?);
    }
    if let Some(minutes) = options.soak {
        say("soak: steady load, short retention");
        report.soak = Some(soak::run(options, &place, minutes).await?);
    }
    println!("{report}");
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn say(text: &str) {
    eprintln!("── {text}");
}

/// Ends early on SIGINT and SIGTERM by dropping the work: its guards end what it has started.
async fn until_signal(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
