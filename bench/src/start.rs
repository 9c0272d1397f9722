//! The start: time to ready on an empty directory and on one with data, idle memory, binary size.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use crate::arguments::RunOptions;
use crate::measure::{Size, Spread};
use crate::platform::Platform;
use crate::server::Server;
use crate::sink_control::SinkControl;

/// After so long the memory of a server that does nothing is what it stays.
const IDLE: Duration = Duration::from_secs(5);

/// Messages in the directory that exists already.
const EXISTING: u64 = 5_000;

#[derive(Debug, Serialize)]
pub struct Start {
    /// From the start of the process to the first 200 of `/readyz`, on an empty directory.
    pub empty_ms: Spread,
    /// The same where a database is already.
    pub existing_ms: Spread,
    /// What is in that one.
    pub existing_messages: u64,
    pub existing_database: Size,
    pub idle_seconds: f64,
    pub idle_rss_kib: u64,
    pub binary_bytes: u64,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Start> {
    let mut empty_ms = Vec::new();
    for number in 0..options.starts() {
        let data = place.path().join(format!("start-{number}"));
        empty_ms.push(time_to_ready(options, &data).await?);
    }
    let data = place.path().join("existing");
    let existing_messages = EXISTING.min(options.messages());
    fill(options, &data, existing_messages).await?;
    let existing_database = Size::of(&data)?;
    let mut existing_ms = Vec::new();
    for _ in 0..options.starts() {
        existing_ms.push(time_to_ready(options, &data).await?);
    }
    let idle = if options.quick {
        Duration::from_millis(500)
    } else {
        IDLE
    };
    Ok(Start {
        empty_ms: Spread::of(empty_ms),
        existing_ms: Spread::of(existing_ms),
        existing_messages,
        existing_database,
        idle_seconds: idle.as_secs_f64(),
        idle_rss_kib: idle_rss_kib(options, &place.path().join("idle"), idle).await?,
        binary_bytes: std::fs::metadata(&options.bellhop)?.len(),
    })
}

async fn time_to_ready(options: &RunOptions, data: &Path) -> anyhow::Result<f64> {
    let server = Server::start(options.program(), data).await?;
    let ready_after = server.ready_after;
    server.end().await?;
    Ok(ready_after.as_secs_f64() * 1e3)
}

async fn fill(options: &RunOptions, data: &Path, messages: u64) -> anyhow::Result<()> {
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), data).await?;
    let platform = Platform::set_up(&server, &sink).await?;
    let plan = platform.plan(&server, messages, options.connections);
    plan.carry_out().await?;
    sink.wait_for(messages).await?;
    server.end().await?;
    Ok(())
}

async fn idle_rss_kib(options: &RunOptions, data: &Path, idle: Duration) -> anyhow::Result<u64> {
    let server = Server::start(options.program(), data).await?;
    tokio::time::sleep(idle).await;
    let memory = server.memory()?;
    server.end().await?;
    Ok(memory.resident_kib)
}
