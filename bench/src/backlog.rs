//! What a backlog costs: how fast one drains when its webhook is let go, and how fast another
//! webhook's messages go meanwhile held ones pile up. Each message of a backlog is the head of a lane
//! of its own and due: nothing is easier to claim for being behind another.
//!
//! What is compared is how many of them wait, and nothing else. Each database holds as many messages as that
//! with the longest backlog, those that do not wait being delivered: a larger database costs more whether
//! anything waits in it or not. And all of them are measured in turns of a second or two, in servers that live side by
//! side, of which the others have nothing to do: the machine's pace changes by more than 10 % from minute to minute.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use crate::arguments::RunOptions;
use crate::connection::Connection;
use crate::measure::{CpuMeter, Size, now_ns};
use crate::platform::{Member, Platform};
use crate::postgres::ClusterMeter;
use crate::producer::Plan;
use crate::report::{megabytes, rate, row, us};
use crate::server::Server;
use crate::sink_control::{SinkControl, judge};

/// Messages of one turn, beside a backlog and out of it. A smaller one is made and drained again until there were so many.
const WINDOW: u64 = 20_000;

/// Turns of each backlog.
const TURNS: u8 = 10;

/// When nothing has arrived of a paused webhook for so long, nothing is under way.
const SETTLED: Duration = Duration::from_millis(200);

/// What one backlog showed.
#[derive(Debug, Serialize)]
pub struct Backlog {
    pub pending: u64,
    /// Create commands to another application, durable and delivered, while the backlog is held.
    pub beside: Pace,
    /// From the answer to `resume` on.
    pub drained: Pace,
    /// From the answer to `resume` to the first arrival, on average.
    pub first_after_ms: f64,
    /// All of it at once, at the end.
    pub whole_per_second: f64,
    pub peak_rss_kib: u64,
    pub database: Size,
}

/// How fast it went, in all turns together.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Pace {
    pub per_second: f64,
    /// The slowest and the fastest turn.
    pub slowest_per_second: f64,
    pub fastest_per_second: f64,
    /// CPU per message, as below.
    pub server_cpu_us: f64,
    /// On PostgreSQL: of all its processes.
    pub postgres_cpu_us: Option<f64>,
}

/// One turn, or a part of one.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    messages: u64,
    took_ns: u64,
    server_cpu_us: f64,
    postgres_cpu_us: Option<f64>,
}

/// All backlogs, in turns.
pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Vec<Backlog>> {
    let mut stages = Vec::new();
    for &pending in &options.backlog {
        let data = place.path().join(format!("backlog-{pending}"));
        std::fs::create_dir(&data)?;
        stages.push(Stage::set_up(options, &data, pending).await?);
        eprintln!("   {pending} pending");
    }
    for number in 0..options.small(TURNS, 1).into() {
        // Nobody is always the one after the longest.
        stages.rotate_left(1);
        for stage in &mut stages {
            stage.turn().await?;
        }
        eprintln!("   turn {} of {TURNS}", number + 1);
    }
    stages.sort_by_key(|stage| stage.pending);
    let mut backlogs = Vec::new();
    for stage in stages {
        backlogs.push(stage.end().await?);
    }
    Ok(backlogs)
}

struct Stage<'a> {
    options: &'a RunOptions,
    sink: SinkControl,
    server: Server,
    platform: Platform,
    /// Whose messages go beside the backlog.
    other: Member,
    pending: u64,
    beside: Vec<Turn>,
    drained: Vec<Turn>,
    first_after_ms: Vec<f64>,
}

impl<'a> Stage<'a> {
    /// What went before is delivered, the webhook is paused, and the backlog has come about.
    async fn set_up(options: &'a RunOptions, data: &Path, pending: u64) -> anyhow::Result<Self> {
        let sink = SinkControl::start()?;
        let server = Server::start(options.program(), data).await?;
        server.leave_unanalysed().await?;
        let mut platform = Platform::set_up(&server, &sink).await?;
        let mut api = Connection::open(server.address()).await?;
        let other = Member::join(&mut api, sink.address()).await?;
        let before = options.backlog.iter().max().unwrap_or(&pending) - pending;
        if before > 0 {
            let plan = platform.plan(&server, before, options.connections);
            plan.carry_out().await?;
            judge(&sink.wait_for(before).await?)?;
        }
        platform.tell_webhook("pause").await?;
        let stage = Self {
            options,
            sink,
            server,
            platform,
            other,
            pending,
            beside: Vec::new(),
            drained: Vec::new(),
            first_after_ms: Vec::new(),
        };
        stage.fill(pending).await?;
        Ok(stage)
    }

    /// Some beside the backlog, some out of it; then it is as long as before.
    async fn turn(&mut self) -> anyhow::Result<()> {
        let messages = self.options.small(WINDOW, 500);
        let beside = self.go_beside(messages).await?;
        self.beside.push(beside);
        let mut drained = Turn::default();
        while drained.messages < messages.min(self.options.small(u64::MAX, self.pending)) {
            let part = self.drain(messages.min(self.pending)).await?;
            self.fill(part.messages).await?;
            drained = drained.and(part);
        }
        self.drained.push(drained);
        Ok(())
    }

    fn plan(&self, messages: u64) -> Plan {
        let connections = self.options.connections;
        self.platform.plan(&self.server, messages, connections)
    }

    /// Of a paused webhook: so many more wait.
    async fn fill(&self, messages: u64) -> anyhow::Result<()> {
        self.plan(messages).carry_out().await.map(drop)
    }

    async fn go_beside(&self, messages: u64) -> anyhow::Result<Turn> {
        self.sink.reset().await?;
        let mut plan = self.plan(messages);
        plan.application_ids = vec![self.other.application_id.clone()];
        let meters = self.meters()?;
        let load = plan.carry_out().await?;
        let statistics = self.sink.wait_for(messages).await?;
        judge(&statistics)?;
        meters.turn(messages, statistics.last_ns - load.first_sent_ns)
    }

    /// Lets the webhook go until so many have arrived. A few more do; what counts is all of them.
    async fn drain(&mut self, messages: u64) -> anyhow::Result<Turn> {
        self.sink.reset().await?;
        let meters = self.meters()?;
        self.platform.tell_webhook("resume").await?;
        let resumed_ns = now_ns();
        self.sink.wait_for(messages).await?;
        self.platform.tell_webhook("pause").await?;
        let mut statistics = self.sink.statistics().await?;
        while now_ns() - statistics.last_ns < SETTLED.as_nanos() as u64 {
            tokio::time::sleep(SETTLED).await;
            statistics = self.sink.statistics().await?;
        }
        judge(&statistics)?;
        let arrivals = self.sink.arrivals().await?;
        let first_ns = arrivals.first().map_or(resumed_ns, |first| first.at_ns);
        let first_after_ns = i128::from(first_ns) - i128::from(resumed_ns);
        self.first_after_ms.push(first_after_ns as f64 / 1e6);
        meters.turn(statistics.messages, statistics.last_ns - resumed_ns)
    }

    /// The whole backlog goes.
    async fn end(mut self) -> anyhow::Result<Backlog> {
        self.sink.reset().await?;
        self.platform.tell_webhook("resume").await?;
        let resumed_ns = now_ns();
        let statistics = self.sink.wait_for(self.pending).await?;
        judge(&statistics)?;
        self.server.ensure_unanalysed().await?;
        let backlog = Backlog {
            pending: self.pending,
            beside: Pace::of(&self.beside),
            drained: Pace::of(&self.drained),
            first_after_ms: self.first_after_ms.iter().sum::<f64>()
                / self.first_after_ms.len() as f64,
            whole_per_second: per_second(self.pending, statistics.last_ns - resumed_ns),
            peak_rss_kib: self.server.memory()?.peak_kib,
            database: self.server.size()?,
        };
        self.server.end().await?;
        Ok(backlog)
    }

    fn meters(&self) -> anyhow::Result<Meters> {
        Ok(Meters {
            server: self.server.cpu()?,
            postgres: self.server.database_cpu()?,
        })
    }
}

/// What is spent from now on.
struct Meters {
    server: CpuMeter,
    postgres: Option<ClusterMeter>,
}

impl Meters {
    fn turn(self, messages: u64, took_ns: u64) -> anyhow::Result<Turn> {
        let of_postgres = |meter: ClusterMeter| meter.us_per_message(messages);
        Ok(Turn {
            messages,
            took_ns,
            server_cpu_us: self.server.us_per_message(messages)?,
            postgres_cpu_us: self.postgres.map(of_postgres).transpose()?,
        })
    }
}

impl Turn {
    /// Both as one.
    fn and(self, other: Self) -> Self {
        let messages = self.messages + other.messages;
        let mean = |us: f64, other_us: f64| {
            (us * self.messages as f64 + other_us * other.messages as f64) / messages as f64
        };
        let postgres = [self.postgres_cpu_us, other.postgres_cpu_us];
        Self {
            messages,
            took_ns: self.took_ns + other.took_ns,
            server_cpu_us: mean(self.server_cpu_us, other.server_cpu_us),
            postgres_cpu_us: postgres
                .iter()
                .any(Option::is_some)
                .then(|| mean(postgres[0].unwrap_or(0.0), postgres[1].unwrap_or(0.0))),
        }
    }

    fn per_second(&self) -> f64 {
        per_second(self.messages, self.took_ns)
    }
}

impl Pace {
    /// A slow turn counts by its time.
    fn of(turns: &[Turn]) -> Self {
        let whole = turns
            .iter()
            .fold(Turn::default(), |whole, turn| whole.and(*turn));
        let rates = || turns.iter().map(Turn::per_second);
        Self {
            per_second: whole.per_second(),
            slowest_per_second: rates().fold(f64::INFINITY, f64::min),
            fastest_per_second: rates().fold(0.0, f64::max),
            server_cpu_us: whole.server_cpu_us,
            postgres_cpu_us: whole.postgres_cpu_us,
        }
    }
}

fn per_second(count: u64, took_ns: u64) -> f64 {
    count as f64 * 1e9 / took_ns.max(1) as f64
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
    let pending = backlog.pending;
    writeln!(
        f,
        "\nbacklog: {pending} pending, each at the head of its lane"
    )?;
    write_pace(f, "beside it, held", &backlog.beside)?;
    write_pace(f, "drained", &backlog.drained)?;
    let first_after = format!("{:.2} ms", backlog.first_after_ms);
    row(f, "  resume to first arrival", first_after, "")?;
    let whole = rate(backlog.whole_per_second);
    row(f, "drained whole, at the end", whole, "")?;
    let peak = megabytes(backlog.peak_rss_kib * 1024);
    row(f, "server peak RSS", peak, "")?;
    row(f, "database", megabytes(backlog.database.total_bytes), "")
}

fn write_pace(f: &mut std::fmt::Formatter<'_>, what: &str, pace: &Pace) -> std::fmt::Result {
    row(f, what, rate(pace.per_second), "")?;
    let (slowest, fastest) = (pace.slowest_per_second, pace.fastest_per_second);
    row(f, "  slowest turn", rate(slowest), "")?;
    row(f, "  fastest turn", rate(fastest), "")?;
    row(f, "  server CPU per message", us(pace.server_cpu_us), "")?;
    pace.postgres_cpu_us.map_or(Ok(()), |postgres_us| {
        row(f, "  PostgreSQL CPU per message", us(postgres_us), "")
    })
}

#[cfg(test)]
mod tests {
    use super::{Pace, Turn};

    #[test]
    fn a_slow_turn_counts_by_its_time() {
        let turn = |per_second: f64| Turn {
            messages: 1_000,
            took_ns: (1e12 / per_second) as u64,
            server_cpu_us: 1e6 / per_second,
            postgres_cpu_us: None,
        };
        // A thousand messages at either rate take 0.5 s and 1 s: 2,000 in 1.5 s.
        let both = Pace::of(&[turn(2_000.0), turn(1_000.0)]);
        assert!((both.per_second - 2_000.0 / 1.5).abs() < 1e-6);
        assert!((both.slowest_per_second - 1_000.0).abs() < 1e-6);
        assert!((both.fastest_per_second - 2_000.0).abs() < 1e-6);
        assert!((both.server_cpu_us - 750.0).abs() < 1e-6);
        assert!(both.postgres_cpu_us.is_none());
    }
}
