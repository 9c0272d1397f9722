//! What a backlog costs: how fast one drains when its webhook is let go, and how fast another
//! webhook's messages go meanwhile held ones pile up. Each message of a backlog is the head of a lane
//! of its own and due: nothing is easier to claim for being behind another.

use std::path::Path;

use serde::Serialize;
use tempfile::TempDir;

use crate::arguments::RunOptions;
use crate::connection::Connection;
use crate::measure::{Size, now_ns};
use crate::platform::{Member, Platform};
use crate::postgres::ClusterMeter;
use crate::report::{megabytes, rate, row, us};
use crate::server::Server;
use crate::sink::Arrival;
use crate::sink_control::{SinkControl, judge};

/// So many messages are looked at, at either end of a backlog; of a smaller one all of them.
const WINDOW: usize = 20_000;

/// What one backlog showed. CPU is per message.
#[derive(Debug, Serialize)]
pub struct Backlog {
    pub pending: u64,
    /// Create commands to another application, durable and delivered, while the backlog is held.
    pub beside_per_second: f64,
    pub beside_server_cpu_us: f64,
    /// On PostgreSQL: of all its processes.
    pub beside_postgres_cpu_us: Option<f64>,
    /// After its webhook was resumed: the whole, the first and the last messages of it.
    pub drained_per_second: f64,
    pub first_per_second: f64,
    pub last_per_second: f64,
    pub drain_server_cpu_us: f64,
    pub drain_postgres_cpu_us: Option<f64>,
    /// From the answer to `resume` to the first arrival.
    pub first_after_ms: f64,
    pub peak_rss_kib: u64,
    pub database: Size,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Vec<Backlog>> {
    let mut backlogs = Vec::new();
    for &pending in &options.backlog {
        let data = place.path().join(format!("backlog-{pending}"));
        std::fs::create_dir(&data)?;
        let done = measure(options, &data, pending).await?;
        eprintln!(
            "   {pending} pending: {:.0}/s beside it, {:.0}/s when it drains",
            done.beside_per_second, done.drained_per_second
        );
        backlogs.push(done);
        // A million messages are more than half a gigabyte: make room for the next.
        std::fs::remove_dir_all(&data)?;
    }
    Ok(backlogs)
}

async fn measure(options: &RunOptions, data: &Path, pending: u64) -> anyhow::Result<Backlog> {
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), data).await?;
    let mut platform = Platform::set_up(&server, &sink).await?;
    platform.tell_webhook("pause").await?;
    let fill = platform.plan(&server, pending, options.connections);
    fill.carry_out().await?;

    let messages = options.messages();
    let mut beside = platform.plan(&server, messages, options.connections);
    let mut api = Connection::open(server.address()).await?;
    let other = Member::join(&mut api, sink.address()).await?;
    beside.application_ids = vec![other.application_id];
    let (cpu, postgres) = (server.cpu()?, server.database_cpu()?);
    let load = beside.carry_out().await?;
    let statistics = sink.wait_for(messages).await?;
    judge(&statistics)?;
    let beside_server_cpu_us = cpu.us_per_message(messages)?;
    let of_postgres = |meter: ClusterMeter| meter.us_per_message(messages);
    let beside_postgres_cpu_us = postgres.map(of_postgres).transpose()?;
    let beside_per_second = per_second(messages, load.first_sent_ns, statistics.last_ns);

    sink.reset().await?;
    let (cpu, postgres) = (server.cpu()?, server.database_cpu()?);
    platform.tell_webhook("resume").await?;
    let resumed_ns = now_ns();
    let statistics = sink.wait_for(pending).await?;
    judge(&statistics)?;
    let drain_server_cpu_us = cpu.us_per_message(pending)?;
    let of_postgres = |meter: ClusterMeter| meter.us_per_message(pending);
    let drain_postgres_cpu_us = postgres.map(of_postgres).transpose()?;
    let arrivals = sink.arrivals().await?;
    let window = WINDOW.min(arrivals.len());
    let first_ns = arrivals.first().map_or(resumed_ns, |arrival| arrival.at_ns);
    let done = Backlog {
        pending,
        beside_per_second,
        beside_server_cpu_us,
        beside_postgres_cpu_us,
        drained_per_second: per_second(pending, resumed_ns, statistics.last_ns),
        first_per_second: pace(&arrivals[..window]),
        last_per_second: pace(&arrivals[arrivals.len() - window..]),
        drain_server_cpu_us,
        drain_postgres_cpu_us,
        first_after_ms: (i128::from(first_ns) - i128::from(resumed_ns)) as f64 / 1e6,
        peak_rss_kib: server.memory()?.peak_kib,
        database: server.size()?,
    };
    server.end().await?;
    Ok(done)
}

fn per_second(count: u64, from_ns: u64, until_ns: u64) -> f64 {
    count as f64 * 1e9 / until_ns.saturating_sub(from_ns).max(1) as f64
}

/// How fast these came one after the other.
fn pace(arrivals: &[Arrival]) -> f64 {
    let at = |arrival: Option<&Arrival>| arrival.map_or(0, |arrival| arrival.at_ns);
    let gaps = arrivals.len().saturating_sub(1) as u64;
    per_second(gaps, at(arrivals.first()), at(arrivals.last()))
}

fn write_postgres(f: &mut std::fmt::Formatter<'_>, cpu_us: Option<f64>) -> std::fmt::Result {
    match cpu_us {
        Some(cpu_us) => row(f, "  PostgreSQL CPU per message", us(cpu_us), ""),
        None => Ok(()),
    }
}

/// A table with a line for each backlog, and how far the rates lie apart.
pub fn write(f: &mut std::fmt::Formatter<'_>, backlogs: &[Backlog]) -> std::fmt::Result {
    for backlog in backlogs {
        writeln!(
            f,
            "\nbacklog: {} pending, each at the head of its lane",
            backlog.pending
        )?;
        row(
            f,
            "beside it, held: rate",
            rate(backlog.beside_per_second),
            "",
        )?;
        row(
            f,
            "  server CPU per message",
            us(backlog.beside_server_cpu_us),
            "",
        )?;
        write_postgres(f, backlog.beside_postgres_cpu_us)?;
        row(f, "drained: rate", rate(backlog.drained_per_second), "")?;
        row(f, "  the first 20,000", rate(backlog.first_per_second), "")?;
        row(f, "  the last 20,000", rate(backlog.last_per_second), "")?;
        row(
            f,
            "  server CPU per message",
            us(backlog.drain_server_cpu_us),
            "",
        )?;
        write_postgres(f, backlog.drain_postgres_cpu_us)?;
        row(
            f,
            "  resume to first arrival",
            format!("{:.2} ms", backlog.first_after_ms),
            "",
        )?;
        row(
            f,
            "server peak RSS",
            megabytes(backlog.peak_rss_kib * 1024),
            "",
        )?;
        row(f, "database", megabytes(backlog.database.total_bytes), "")?;
    }
    let apart = |of: fn(&Backlog) -> f64| {
        let rates = || backlogs.iter().map(of);
        let (least, most) = (
            rates().fold(f64::INFINITY, f64::min),
            rates().fold(0.0, f64::max),
        );
        format!("{:.1} %", 100.0 * (most - least) / most)
    };
    if backlogs.len() > 1 {
        writeln!(
            f,
            "\nbacklogs compared: how far the slowest is behind the fastest"
        )?;
        row(
            f,
            "beside it, held",
            apart(|b| b.beside_per_second),
            "within 10 %",
        )?;
        row(f, "drained", apart(|b| b.drained_per_second), "within 10 %")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pace;
    use crate::sink::Arrival;

    #[test]
    fn a_pace_is_of_the_gaps() {
        let at = |at_ns| Arrival {
            integration: 0,
            sequence: 1,
            at_ns,
        };
        let arrivals: Vec<_> = (0..11).map(|n| at(n * 1_000_000)).collect();
        assert!((pace(&arrivals) - 1000.0).abs() < 1e-6);
        assert!(pace(&[]).abs() < 1e-6, "none, and no division by zero");
    }
}
