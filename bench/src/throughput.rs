//! End to end, as fast as it goes: create commands over HTTP, each durable before its answer, each
//! delivered, each delivery recorded.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::arguments::RunOptions;
use crate::measure::{Size, now_ns};
use crate::platform::Platform;
use crate::producer::{Load, Plan};
use crate::server::Server;
use crate::sink::Statistics;
use crate::sink_control::{SinkControl, judge};

/// Between two looks whether all is recorded: what the whole may be too long by.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The middle round, and how far the rounds lie apart.
#[derive(Debug, Serialize)]
pub struct EndToEnd {
    pub rounds: u8,
    pub slowest_per_second: f64,
    pub fastest_per_second: f64,
    pub middle: Round,
}

/// One round on an empty directory. CPU is per message.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    pub messages: u64,
    pub connections: u16,
    pub replicas: u8,
    /// From the first request until the last delivery was recorded.
    pub per_second: f64,
    /// Only until the last answer to a command.
    pub commands_per_second: f64,
    /// From the last arrival until nothing was pending.
    pub recorded_after_ms: f64,
    pub server_cpu_us: f64,
    /// On PostgreSQL: of all its processes.
    pub postgres_cpu_us: Option<f64>,
    pub load_cpu_us: f64,
    pub sink_cpu_us: f64,
    pub peak_rss_kib: u64,
    pub database: Size,
    /// The same after the server has ended.
    pub database_at_rest: Size,
    pub ended_after_ms: f64,
    pub sink: Statistics,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<EndToEnd> {
    let mut rounds = Vec::new();
    for number in 0..options.rounds() {
        let data = place.path().join(format!("end-to-end-{number}"));
        std::fs::create_dir(&data)?;
        let done = round(options, &data).await?;
        eprintln!("   round {}: {:.0}/s", number + 1, done.per_second);
        rounds.push(done);
    }
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    Ok(EndToEnd {
        rounds: options.rounds(),
        slowest_per_second: rounds[0].per_second,
        fastest_per_second: rounds[rounds.len() - 1].per_second,
        middle: rounds[rounds.len() / 2].clone(),
    })
}

async fn round(options: &RunOptions, data: &Path) -> anyhow::Result<Round> {
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), data).await?;
    let mut platform = Platform::set_up(&server, &sink).await?;
    let messages = options.messages();
    let mut servers = vec![server];
    for number in 1..options.replicas {
        let data = data.with_extension(format!("replica-{number}"));
        std::fs::create_dir(&data)?;
        servers.push(servers[0].start_beside(options.program(), &data).await?);
    }
    let plans = plans(options, &platform, &servers, messages);

    let cpu = servers.iter().map(Server::cpu);
    let server_cpu = cpu.collect::<anyhow::Result<Vec<_>>>()?;
    let (sink_cpu, postgres_cpu) = (sink.cpu()?, servers[0].database_cpu()?);
    let load = carry_out(plans).await?;
    let statistics = sink.wait_for(messages).await?;
    while !platform.nothing_pending().await? {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let recorded_ns = now_ns();
    let server_cpu_us = server_cpu
        .iter()
        .map(|cpu| cpu.us_per_message(messages))
        .sum::<anyhow::Result<f64>>()?;
    let postgres_cpu_us = postgres_cpu
        .map(|cpu| cpu.us_per_message(messages))
        .transpose()?;
    let sink_cpu_us = sink_cpu.us_per_message(messages)?;
    let statistics = Statistics {
        // Whatever came twice came by now.
        repeated: sink.statistics().await?.repeated,
        ..statistics
    };
    judge(&statistics)?;

    let count = messages as f64;
    let per_second = |until_ns: u64| count * 1e9 / (until_ns - load.first_sent_ns) as f64;
    Ok(Round {
        messages,
        connections: options.connections,
        replicas: options.replicas,
        per_second: per_second(recorded_ns),
        commands_per_second: per_second(load.last_answered_ns),
        recorded_after_ms: (recorded_ns - statistics.last_ns) as f64 / 1e6,
        server_cpu_us,
        postgres_cpu_us,
        load_cpu_us: load.cpu_ms * 1e3 / count,
        sink_cpu_us,
        peak_rss_kib: servers[0].memory()?.peak_kib,
        database: servers[0].size()?,
        ended_after_ms: end(servers).await?.as_secs_f64() * 1e3,
        database_at_rest: Size::of(data)?,
        sink: statistics,
    })
}

/// An equal share of the commands for each server.
fn plans(
    options: &RunOptions,
    platform: &Platform,
    servers: &[Server],
    messages: u64,
) -> Vec<Plan> {
    let count = servers.len() as u64;
    let connections = (options.connections / u16::from(options.replicas)).max(1);
    let plan = |(number, server): (u64, &Server)| Plan {
        with_keys: options.idempotency_keys,
        first: messages * number / count,
        ..platform.plan(
            server,
            messages * (number + 1) / count - messages * number / count,
            connections,
        )
    };
    (0..).zip(servers).map(plan).collect()
}

/// All at once; what came of it as if it were one.
async fn carry_out(plans: Vec<Plan>) -> anyhow::Result<Load> {
    let mut running = JoinSet::new();
    for plan in plans {
        running.spawn_local(async move { plan.carry_out().await });
    }
    let mut whole: Option<Load> = None;
    while let Some(load) = running.join_next().await {
        let load = load??;
        whole = Some(match whole {
            None => load,
            Some(other) => other.beside(load),
        });
    }
    whole.context("there is a server")
}

/// Ends all of them; how long the first took.
async fn end(servers: Vec<Server>) -> anyhow::Result<Duration> {
    let mut first = None;
    for server in servers {
        let took = server.end().await?;
        first.get_or_insert(took);
    }
    first.context("there is a server")
}
