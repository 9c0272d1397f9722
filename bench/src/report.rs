//! The report: as JSON for machines, as a table for people.

use std::fmt;
use std::fs;

use serde::Serialize;
use tempfile::TempDir;

use crate::backlog::{self, Backlog};
use crate::introspection::{Introspection, Round};
use crate::isolation::{self, Isolation};
use crate::latency::Latency;
use crate::measure::{Spread, sync_ms};
use crate::raw::Raw;
use crate::soak::Soak;
use crate::start::Start;
use crate::throughput::EndToEnd;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub raw: Option<Raw>,
    pub end_to_end: Option<EndToEnd>,
    pub latency: Vec<Latency>,
    pub introspection: Option<Introspection>,
    pub start: Option<Start>,
    pub backlogs: Vec<Backlog>,
    pub isolation: Option<Isolation>,
    pub soak: Option<Soak>,
}

/// Where it was measured; figures of two machines are not comparable.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
    /// Load average of the last minute before the run: near 0, or something else was running too.
    pub load_before: f64,
    /// Median of `fdatasync` after 4 KiB, in the directory of the databases.
    pub sync_ms: f64,
}

impl Report {
    pub fn new(place: &TempDir) -> anyhow::Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().and_then(|text| text.parse().ok());
        Ok(Self {
            machine: Machine {
                load_before: load.unwrap_or_default(),
                cores: std::thread::available_parallelism()?.get(),
                processor: processor.to_owned(),
                kernel: kernel.trim().to_owned(),
                sync_ms: sync_ms(place.path())?,
            },
            raw: None,
            end_to_end: None,
            latency: Vec::new(),
            introspection: None,
            start: None,
            backlogs: Vec::new(),
            isolation: None,
            soak: None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "{} cores, {}, Linux {}; load, sink and server share them",
            machine.cores, machine.processor, machine.kernel
        )?;
        let load = format!("{:.2}", machine.load_before);
        row(f, "load average before the run", load, "near 0")?;
        row(f, "fdatasync, p50", ms(machine.sync_ms), "")?;
        if let Some(raw) = &self.raw {
            write_raw(f, raw)?;
        }
        if let Some(end_to_end) = &self.end_to_end {
            write_end_to_end(f, end_to_end, self.raw.as_ref())?;
        }
        for latency in &self.latency {
            write_latency(f, latency)?;
        }
        if let Some(introspection) = &self.introspection {
            write_introspection(f, introspection)?;
        }
        if let Some(start) = &self.start {
            write_start(f, start)?;
        }
        backlog::write(f, &self.backlogs)?;
        if let Some(isolation) = &self.isolation {
            isolation::write(f, isolation)?;
        }
        if let Some(soak) = &self.soak {
            write!(f, "{soak}")?;
        }
        Ok(())
    }
}

fn write_raw(f: &mut fmt::Formatter<'_>, raw: &Raw) -> fmt::Result {
    let Raw {
        messages,
        connections,
        ..
    } = raw;
    writeln!(
        f,
        "\nraw ceiling: {messages} signed POSTs of {:.0} bytes, {connections} connections, no store",
        raw.body_bytes
    )?;
    row(f, "rate", rate(raw.per_second), "")?;
    row(f, "sender CPU per message", us(raw.sender_cpu_us), "")?;
    row(f, "sink CPU per message", us(raw.sink_cpu_us), "")
}

fn to_replicas(n: u8) -> String {
    match n {
        1 => String::new(),
        many => format!(" to {many} replicas"),
    }
}

fn write_end_to_end(f: &mut fmt::Formatter<'_>, all: &EndToEnd, raw: Option<&Raw>) -> fmt::Result {
    let round = &all.middle;
    let bytes = round.sink.body_bytes as f64 / round.messages as f64;
    writeln!(
        f,
        "\nend to end: {} create commands{}, {} connections, messages of {bytes:.0} bytes, \
         durable, delivered, recorded; the middle of {} rounds",
        round.messages,
        to_replicas(round.replicas),
        round.connections,
        all.rounds
    )?;
    row(f, "rate", rate(round.per_second), "at least 15000/s")?;
    let (slowest, fastest) = (all.slowest_per_second, all.fastest_per_second);
    let spread = format!("{slowest:.0} to {fastest:.0}/s");
    row(f, "  rounds", spread, "")?;
    row(
        f,
        "  commands answered",
        rate(round.commands_per_second),
        "",
    )?;
    row(
        f,
        "  last arrival to recorded",
        ms(round.recorded_after_ms),
        "",
    )?;
    if let Some(raw) = raw {
        let share = format!("{:.1} %", 100.0 * round.per_second / raw.per_second);
        row(f, "share of the raw ceiling", share, "")?;
    }
    let server = us(round.server_cpu_us);
    row(f, "server CPU per message", server, "at most 80 us")?;
    if let Some(postgres) = round.postgres_cpu_us {
        row(f, "PostgreSQL CPU per message", us(postgres), "")?;
        let both = us(round.server_cpu_us + postgres);
        row(f, "  both", both, "at most 120 us")?;
    }
    row(f, "load CPU per message", us(round.load_cpu_us), "")?;
    row(f, "sink CPU per message", us(round.sink_cpu_us), "")?;
    row(
        f,
        "server peak RSS",
        megabytes(round.peak_rss_kib * 1024),
        "",
    )?;
    row(f, "database", megabytes(round.database.total_bytes), "")?;
    row(
        f,
        "  of it write-ahead log",
        megabytes(round.database.wal_bytes),
        "",
    )?;
    row(
        f,
        "  after the end",
        megabytes(round.database_at_rest.total_bytes),
        "",
    )?;
    row(f, "SIGTERM to end", ms(round.ended_after_ms), "")?;
    let sink = &round.sink;
    let seen = format!(
        "{} out of order, {} repeated, {} of {} signatures wrong",
        sink.out_of_order, sink.repeated, sink.wrong_signatures, sink.verified
    );
    row(f, "the sink saw", seen, "none")?;
    row(f, "connections to the sink", sink.connections, "")
}

fn write_latency(f: &mut fmt::Formatter<'_>, latency: &Latency) -> fmt::Result {
    writeln!(
        f,
        "\nlatency: {}/s for {} s",
        latency.per_second, latency.seconds
    )?;
    let aim = if latency.per_second == 50 {
        "p99 under 10 ms"
    } else {
        ""
    };
    row(
        f,
        "request -> arrival",
        spread(&latency.request_to_arrival_ms),
        aim,
    )?;
    row(
        f,
        "answer -> arrival",
        spread(&latency.answer_to_arrival_ms),
        "",
    )?;
    row(
        f,
        "request -> answer",
        spread(&latency.request_to_answer_ms),
        "",
    )?;
    row(
        f,
        "load behind its pace, at worst",
        ms(latency.behind_ms),
        "",
    )?;
    row(f, "server CPU per message", us(latency.server_cpu_us), "")?;
    match latency.postgres_cpu_us {
        Some(postgres) => row(f, "PostgreSQL CPU per message", us(postgres), ""),
        None => Ok(()),
    }
}

fn write_introspection(f: &mut fmt::Formatter<'_>, all: &Introspection) -> fmt::Result {
    let Introspection {
        connections,
        mix,
        strangers,
        bare,
    } = all;
    writeln!(
        f,
        "\nintrospection: {} requests, {connections} connections, of tokens that are active, revoked, unknown",
        mix.asked.requests
    )?;
    row(f, "rate", rate(mix.asked.per_second), "at least 40000/s")?;
    row(
        f,
        "request -> answer",
        spread(&mix.asked.latency_ms),
        "p99 under 5 ms",
    )?;
    write_cpu(f, mix)?;
    row(f, "bare server: rate", rate(bare.asked.per_second), "")?;
    row(f, "request -> answer", spread(&bare.asked.latency_ms), "")?;
    write_cpu(f, bare)?;
    row(
        f,
        "only strangers' tokens: rate",
        rate(strangers.asked.per_second),
        "",
    )?;
    row(
        f,
        "request -> answer",
        spread(&strangers.asked.latency_ms),
        "",
    )?;
    write_cpu(f, strangers)
}

fn write_cpu(f: &mut fmt::Formatter<'_>, round: &Round) -> fmt::Result {
    let load = format!(
        "{}, load {}",
        us(round.server_cpu_us),
        us(round.asked.load_cpu_us)
    );
    row(f, "  CPU of a request: server", load, "")
}

fn write_start(f: &mut fmt::Formatter<'_>, start: &Start) -> fmt::Result {
    writeln!(f, "\nstart: medians of {}", start.empty_ms.count)?;
    row(
        f,
        "ready on an empty directory",
        ms(start.empty_ms.p50),
        "under 100 ms",
    )?;
    let existing = format!("ready with {} messages", start.existing_messages);
    row(f, &existing, ms(start.existing_ms.p50), "under 50 ms")?;
    let idle = format!("RSS after {} s idle", start.idle_seconds);
    row(
        f,
        &idle,
        megabytes(start.idle_rss_kib * 1024),
        "under 30 MB",
    )?;
    row(
        f,
        "stripped binary",
        megabytes(start.binary_bytes),
        "under 25 MB",
    )
}

/// One figure, with the aim beside it where there is one.
pub fn row(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: impl fmt::Display,
    aim: &str,
) -> fmt::Result {
    let text = format!("  {name:<32}{value}");
    if aim.is_empty() {
        writeln!(f, "{text}")
    } else {
        writeln!(f, "{text:<64} aim: {aim}")
    }
}

pub fn rate(per_second: f64) -> String {
    format!("{per_second:.0}/s")
}

pub fn us(us: f64) -> String {
    format!("{us:.1} us")
}

fn ms(ms: f64) -> String {
    format!("{ms:.2} ms")
}

/// In MB of a million bytes, like the aims.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub fn spread(spread: &Spread) -> String {
    format!("p50 {:.2} ms, p99 {:.2} ms", spread.p50, spread.p99)
}
