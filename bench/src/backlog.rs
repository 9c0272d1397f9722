//! What a backlog costs: how fast one drains when its webhook is let go, and how fast another
//! webhook's messages go meanwhile held ones pile up. Each message of a backlog is the head of a lane
//! of its own and due: nothing is easier to claim for being behind another.
//!
//! What is compared is how many of them wait, and nothing else: each database holds as many messages as that
//! with the longest backlog, those that do not wait being delivered. A larger database costs more whether
//! anything waits in it or not.

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

/// So many messages are looked at, at either end of a backlog; of a smaller one all of them, and it is
/// made and drained again until there were so many in all, so that it pays its share of what comes seldom
/// (moving the log into the database) as a long one does.
const WINDOW: u64 = 20_000;

/// At least so many commands beside a backlog: fewer are over before two runs of one binary agree.
const BESIDE: u64 = 60_000;

/// What one backlog showed: the middle of the rounds, each figure from the round that was in the middle of
/// what it belongs to.
#[derive(Debug, Serialize)]
pub struct Backlog {
    pub pending: u64,
    #[serde(flatten)]
    pub beside: Beside,
    #[serde(flatten)]
    pub drained: Drained,
    pub peak_rss_kib: u64,
    pub database: Size,
}

/// Create commands to another application, durable and delivered, while the backlog is held.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Beside {
    #[serde(rename = "beside_per_second")]
    pub per_second: f64,
    /// CPU per message, as below.
    #[serde(rename = "beside_server_cpu_us")]
    pub server_cpu_us: f64,
    /// On PostgreSQL: of all its processes.
    #[serde(rename = "beside_postgres_cpu_us")]
    pub postgres_cpu_us: Option<f64>,
}

/// After its webhook was resumed: the whole, the first and the last messages of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Drained {
    #[serde(rename = "drained_per_second")]
    pub per_second: f64,
    pub first_per_second: f64,
    pub last_per_second: f64,
    #[serde(rename = "drain_server_cpu_us")]
    pub server_cpu_us: f64,
    #[serde(rename = "drain_postgres_cpu_us")]
    pub postgres_cpu_us: Option<f64>,
    /// From the answer to `resume` to the first arrival.
    pub first_after_ms: f64,
}

/// All backlogs in turn, and that in so many rounds: the machine's pace changes by more than 10 % from
/// minute to minute, and a round gives each backlog its share of that.
pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Vec<Backlog>> {
    let mut rounds: Vec<Vec<Backlog>> = options.backlog.iter().map(|_| Vec::new()).collect();
    for number in 0..options.rounds() {
        for (&pending, of) in options.backlog.iter().zip(&mut rounds) {
            let data = place.path().join(format!("backlog-{pending}-{number}"));
            std::fs::create_dir(&data)?;
            let done = measure(options, &data, pending).await?;
            eprintln!(
                "   {pending} pending: {:.0}/s beside it, {:.0}/s when it drains",
                done.beside.per_second, done.drained.per_second
            );
            of.push(done);
            // A million messages are more than half a gigabyte: make room for the next.
            std::fs::remove_dir_all(&data)?;
        }
    }
    Ok(rounds.into_iter().filter_map(middle).collect())
}

fn middle(mut rounds: Vec<Backlog>) -> Option<Backlog> {
    let at = rounds.len() / 2;
    rounds.sort_by(|a, b| a.drained.per_second.total_cmp(&b.drained.per_second));
    let drained = rounds.get(at)?.drained;
    rounds.sort_by(|a, b| a.beside.per_second.total_cmp(&b.beside.per_second));
    let round = rounds.swap_remove(at);
    Some(Backlog { drained, ..round })
}

async fn measure(options: &RunOptions, data: &Path, pending: u64) -> anyhow::Result<Backlog> {
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), data).await?;
    let platform = Platform::set_up(&server, &sink).await?;
    let mut stage = Stage {
        options,
        sink,
        server,
        platform,
        pending,
    };
    stage
        .deliver(options.backlog.iter().max().unwrap_or(&pending) - pending)
        .await?;
    stage.fill().await?;
    let beside = stage.beside().await?;
    let drained = stage.drain().await?;
    let backlog = Backlog {
        pending,
        beside,
        drained,
        peak_rss_kib: stage.server.memory()?.peak_kib,
        database: stage.server.size()?,
    };
    stage.server.end().await?;
    Ok(backlog)
}

struct Stage<'a> {
    options: &'a RunOptions,
    sink: SinkControl,
    server: Server,
    platform: Platform,
    pending: u64,
}

impl Stage<'_> {
    /// What went before: so many messages, delivered.
    async fn deliver(&mut self, messages: u64) -> anyhow::Result<()> {
        if messages == 0 {
            return Ok(());
        }
        let connections = self.options.connections;
        let plan = self.platform.plan(&self.server, messages, connections);
        plan.carry_out().await?;
        judge(&self.sink.wait_for(messages).await?)?;
        self.sink.reset().await
    }

    /// Pauses the webhook, and lets the backlog come about.
    async fn fill(&mut self) -> anyhow::Result<()> {
        self.platform.tell_webhook("pause").await?;
        let connections = self.options.connections;
        let fill = self.platform.plan(&self.server, self.pending, connections);
        fill.carry_out().await.map(drop)
    }

    async fn beside(&mut self) -> anyhow::Result<Beside> {
        let messages = self.options.small(BESIDE, 500).max(self.options.messages());
        let connections = self.options.connections;
        let mut plan = self.platform.plan(&self.server, messages, connections);
        let mut api = Connection::open(self.server.address()).await?;
        let other = Member::join(&mut api, self.sink.address()).await?;
        plan.application_ids = vec![other.application_id];
        let (cpu, postgres) = (self.server.cpu()?, self.server.database_cpu()?);
        let load = plan.carry_out().await?;
        let statistics = self.sink.wait_for(messages).await?;
        judge(&statistics)?;
        let of_postgres = |meter: ClusterMeter| meter.us_per_message(messages);
        Ok(Beside {
            per_second: per_second(messages, load.first_sent_ns, statistics.last_ns),
            server_cpu_us: cpu.us_per_message(messages)?,
            postgres_cpu_us: postgres.map(of_postgres).transpose()?,
        })
    }

    /// Drains the backlog that is there; a small one is made and drained again, and all count alike.
    async fn drain(&mut self) -> anyhow::Result<Drained> {
        let mut all = vec![self.drain_once().await?];
        for _ in 1..self.options.small(WINDOW, 1) / self.pending {
            self.fill().await?;
            all.push(self.drain_once().await?);
        }
        Ok(Drained::together(&all))
    }

    async fn drain_once(&mut self) -> anyhow::Result<Drained> {
        let pending = self.pending;
        self.sink.reset().await?;
        let (cpu, postgres) = (self.server.cpu()?, self.server.database_cpu()?);
        self.platform.tell_webhook("resume").await?;
        let resumed_ns = now_ns();
        let statistics = self.sink.wait_for(pending).await?;
        judge(&statistics)?;
        let server_cpu_us = cpu.us_per_message(pending)?;
        let of_postgres = |meter: ClusterMeter| meter.us_per_message(pending);
        let postgres_cpu_us = postgres.map(of_postgres).transpose()?;
        let arrivals = self.sink.arrivals().await?;
        let window = arrivals.len().min(WINDOW as usize);
        let first_ns = arrivals.first().map_or(resumed_ns, |arrival| arrival.at_ns);
        Ok(Drained {
            per_second: per_second(pending, resumed_ns, statistics.last_ns),
            first_per_second: pace(&arrivals[..window]),
            last_per_second: pace(&arrivals[arrivals.len() - window..]),
            server_cpu_us,
            postgres_cpu_us,
            first_after_ms: (i128::from(first_ns) - i128::from(resumed_ns)) as f64 / 1e6,
        })
    }
}

impl Drained {
    /// Of several drains of one backlog: the mean time and CPU of a message in all of them.
    fn together(all: &[Self]) -> Self {
        let mean = |of: &dyn Fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let rate = |of: fn(&Self) -> f64| mean(&|drained| of(drained).recip()).recip();
        let postgres = all.iter().all(|drained| drained.postgres_cpu_us.is_some());
        Self {
            per_second: rate(|drained| drained.per_second),
            first_per_second: rate(|drained| drained.first_per_second),
            last_per_second: rate(|drained| drained.last_per_second),
            server_cpu_us: mean(&|drained| drained.server_cpu_us),
            postgres_cpu_us: postgres
                .then(|| mean(&|drained| drained.postgres_cpu_us.unwrap_or(0.0))),
            first_after_ms: mean(&|drained| drained.first_after_ms),
        }
    }
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

/// A table for each backlog, and how far the rates lie apart.
pub fn write(f: &mut std::fmt::Formatter<'_>, backlogs: &[Backlog]) -> std::fmt::Result {
    for backlog in backlogs {
        write_one(f, backlog)?;
    }
    if backlogs.len() < 2 {
        return Ok(());
    }
    let apart = |of: fn(&Backlog) -> f64| {
        let rates = || backlogs.iter().map(of);
        let (least, most) = (
            rates().fold(f64::INFINITY, f64::min),
            rates().fold(0.0, f64::max),
        );
        format!("{:.1} %", 100.0 * (most - least) / most)
    };
    writeln!(
        f,
        "\nbacklogs compared: how far the slowest is behind the fastest"
    )?;
    let aim = "within 10 %";
    row(f, "beside it, held", apart(|b| b.beside.per_second), aim)?;
    row(f, "drained", apart(|b| b.drained.per_second), aim)
}

fn write_one(f: &mut std::fmt::Formatter<'_>, backlog: &Backlog) -> std::fmt::Result {
    let (pending, beside, drained) = (backlog.pending, &backlog.beside, &backlog.drained);
    writeln!(
        f,
        "\nbacklog: {pending} pending, each at the head of its lane"
    )?;
    row(f, "beside it, held: rate", rate(beside.per_second), "")?;
    write_cpu(f, beside.server_cpu_us, beside.postgres_cpu_us)?;
    row(f, "drained: rate", rate(drained.per_second), "")?;
    row(f, "  the first 20,000", rate(drained.first_per_second), "")?;
    row(f, "  the last 20,000", rate(drained.last_per_second), "")?;
    write_cpu(f, drained.server_cpu_us, drained.postgres_cpu_us)?;
    let first_after = format!("{:.2} ms", drained.first_after_ms);
    row(f, "  resume to first arrival", first_after, "")?;
    let peak = megabytes(backlog.peak_rss_kib * 1024);
    row(f, "server peak RSS", peak, "")?;
    row(f, "database", megabytes(backlog.database.total_bytes), "")
}

fn write_cpu(
    f: &mut std::fmt::Formatter<'_>,
    server_us: f64,
    postgres_us: Option<f64>,
) -> std::fmt::Result {
    row(f, "  server CPU per message", us(server_us), "")?;
    postgres_us.map_or(Ok(()), |postgres_us| {
        row(f, "  PostgreSQL CPU per message", us(postgres_us), "")
    })
}

#[cfg(test)]
mod tests {
    use super::{Drained, pace};
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

    #[test]
    fn a_slow_drain_counts_by_its_time() {
        let drained = |per_second: f64| Drained {
            per_second,
            first_per_second: per_second,
            last_per_second: per_second,
            server_cpu_us: 1e6 / per_second,
            postgres_cpu_us: None,
            first_after_ms: 1.0,
        };
        // A thousand messages at either rate take 0.5 s and 1 s: 2,000 in 1.5 s.
        let both = Drained::together(&[drained(2_000.0), drained(1_000.0)]);
        assert!((both.per_second - 2_000.0 / 1.5).abs() < 1e-6);
        assert!((both.server_cpu_us - 750.0).abs() < 1e-6);
        assert!(both.postgres_cpu_us.is_none());
    }
}
