//! The soak: steady load for long, with short times of retention, and whether memory and files come to rest.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::arguments::RunOptions;
use crate::body;
use crate::connection::Connection;
use crate::measure::{Slope, now_ns};
use crate::platform::Platform;
use crate::report::{megabytes, row, us};
use crate::server::{KEY, Server};
use crate::sink::Statistics;
use crate::sink_control::{SinkControl, judge};

/// Integrations that live at a time: each goes through its life again and again, under another id.
const LIVES: u64 = 480;

/// Connections of the load; each has lives of its own, so that their commands are in order.
const CONNECTIONS: u64 = 16;

/// The commands of a life, after its creation; each leads to one message.
const LIFE: [&str; 5] = ["disable", "enable", "cancel", "reinstate", "delete"];

/// How long everything is kept: short, so that what comes and what goes are soon the same.
const KEPT: Duration = Duration::from_mins(1);

/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// What the soak showed.
#[derive(Debug, Serialize)]
pub struct Soak {
    pub minutes: u32,
    pub per_second: u32,
    pub kept_seconds: u64,
    pub messages: u64,
    pub samples: Vec<Sample>,
    /// Over the second half.
    pub rss: Slope,
    pub database: Slope,
    pub wal: Slope,
    pub sink: Statistics,
    pub server_cpu_us: f64,
}

/// The server at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    pub at_seconds: f64,
    /// Commands answered so far.
    pub messages: u64,
    pub rss_bytes: u64,
    pub database_bytes: u64,
    pub wal_bytes: u64,
}

pub async fn run(options: &RunOptions, place: &TempDir, minutes: u32) -> anyhow::Result<Soak> {
    let data = place.path().join("soak");
    std::fs::create_dir(&data)?;
    let sink = SinkControl::start()?;
    let kept = KEPT.as_secs().to_string();
    let short = [
        ("BELLHOP_DELIVERY_RETENTION_SECONDS", &*kept),
        ("BELLHOP_TOMBSTONE_RETENTION_SECONDS", &*kept),
        ("BELLHOP_AUDIT_RETENTION_SECONDS", &*kept),
    ];
    let server = Server::start_with(options.program(), &data, &short).await?;
    let platform = Platform::set_up(&server, &sink).await?;
    let course = Rc::new(Course {
        server: server.address(),
        application_id: platform.application_id.clone(),
        enterprise_ids: platform.enterprise_ids.clone(),
        per_second: options.soak_rate,
        started_ns: now_ns(),
        answered: Cell::new(0),
        is_over: Cell::new(false),
    });
    let cpu = server.cpu()?;
    let mut load = JoinSet::new();
    for number in 0..CONNECTIONS {
        load.spawn_local(live(course.clone(), number));
    }
    let samples = watch(&server, &course, &mut load, minutes).await?;
    course.is_over.set(true);
    while let Some(ended) = load.join_next().await {
        ended??;
    }
    let messages = course.answered.get();
    let sink = sink.wait_for(messages).await?;
    judge(&sink)?;
    let server_cpu_us = cpu.us_per_message(messages)?;
    server.end().await?;
    let half = &samples[samples.len() / 2..];
    let slope = |figure: fn(&Sample) -> u64| {
        Slope::of(
            half.iter()
                .map(|each| (each.at_seconds, figure(each) as f64)),
        )
    };
    Ok(Soak {
        minutes,
        per_second: options.soak_rate,
        kept_seconds: KEPT.as_secs(),
        messages,
        rss: slope(|sample| sample.rss_bytes),
        database: slope(|sample| sample.database_bytes),
        wal: slope(|sample| sample.wal_bytes),
        samples,
        sink,
        server_cpu_us,
    })
}

/// Takes samples until the time is over; fails at once when the load does.
async fn watch(
    server: &Server,
    course: &Course,
    load: &mut JoinSet<anyhow::Result<()>>,
    minutes: u32,
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for number in 1..=u64::from(minutes) * 60 / SAMPLE_EVERY.as_secs() {
        let due_ns = course.started_ns + number * SAMPLE_EVERY.as_nanos() as u64;
        let pause = Duration::from_nanos(due_ns.saturating_sub(now_ns()));
        if let Ok(Some(ended)) = tokio::time::timeout(pause, load.join_next()).await {
            ended??;
        }
        let size = server.size()?;
        let sample = Sample {
            at_seconds: (now_ns() - course.started_ns) as f64 / 1e9,
            messages: course.answered.get(),
            rss_bytes: server.memory()?.resident_kib * 1024,
            database_bytes: size.total_bytes - size.wal_bytes,
            wal_bytes: size.wal_bytes,
        };
        if number.is_multiple_of(12) {
            eprintln!("   {sample}");
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// What the connections share.
struct Course {
    server: SocketAddr,
    application_id: String,
    enterprise_ids: Vec<String>,
    per_second: u32,
    started_ns: u64,
    answered: Cell<u64>,
    is_over: Cell<bool>,
}

/// One integration on its way through its life.
struct Life {
    number: u64,
    /// Its id; none before it is created and after it was deleted.
    id: Option<String>,
    /// The next command of [`LIFE`].
    next: usize,
}

/// Leads the lives of one connection, one command of each in turn.
async fn live(course: Rc<Course>, connection: u64) -> anyhow::Result<()> {
    let mut to_server = Connection::open(course.server).await?;
    let life = |number| Life {
        number,
        id: None,
        next: 0,
    };
    let mut lives: Vec<Life> = (connection..LIVES)
        .step_by(CONNECTIONS as usize)
        .map(life)
        .collect();
    let mut commands = 0;
    loop {
        for life in &mut lives {
            let due_ns = commands * CONNECTIONS * 1_000_000_000 / u64::from(course.per_second);
            let early_ns = (course.started_ns + due_ns).saturating_sub(now_ns());
            tokio::time::sleep(Duration::from_nanos(early_ns)).await;
            if course.is_over.get() {
                return Ok(());
            }
            life.step(&mut to_server, &course).await?;
            commands += 1;
            course.answered.set(course.answered.get() + 1);
        }
    }
}

impl Life {
    async fn step(&mut self, server: &mut Connection, course: &Course) -> anyhow::Result<()> {
        let (method, path, body) = match (&self.id, LIFE[self.next]) {
            (None, _) => (
                Method::POST,
                "/v1/integrations".to_owned(),
                self.create(course),
            ),
            (Some(id), "delete") => (
                Method::DELETE,
                format!("/v1/integrations/{id}"),
                String::new(),
            ),
            (Some(id), command) => (
                Method::POST,
                format!("/v1/integrations/{id}/{command}"),
                "{}".to_owned(),
            ),
        };
        let request = server
            .request(method, &path)
            .header(AUTHORIZATION, format!("Bearer {KEY}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let (status, answer) = server.send(request).await?;
        ensure!(
            matches!(status, StatusCode::OK | StatusCode::CREATED),
            "{path} is answered {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        if self.id.is_none() {
            let created: serde_json::Value = serde_json::from_slice(&answer)?;
            let id = created["Id"].as_str().context("an integration's Id")?;
            (self.id, self.next) = (Some(id.to_owned()), 0);
        } else {
            self.next += 1;
            if self.next == LIFE.len() {
                (self.id, self.next) = (None, 0);
            }
        }
        Ok(())
    }

    fn create(&self, course: &Course) -> String {
        let enterprises = &course.enterprise_ids;
        let enterprise = &enterprises[self.number as usize % enterprises.len()];
        body::command(&course.application_id, enterprise, self.number)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6.0} s {:>10} messages   RSS {:>9}   database {:>9}   log {:>9}",
            self.at_seconds,
            self.messages,
            megabytes(self.rss_bytes),
            megabytes(self.database_bytes),
            megabytes(self.wal_bytes),
        )
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nsoak: {} messages in {} min, {}/s asked for; deliveries and tombstones are kept for {} s",
            self.messages, self.minutes, self.per_second, self.kept_seconds
        )?;
        let step = self.samples.len().div_ceil(24).max(1);
        for sample in self.samples.iter().skip(step - 1).step_by(step) {
            writeln!(f, "  {sample}")?;
        }
        for (name, slope) in [
            ("RSS", &self.rss),
            ("database", &self.database),
            ("write-ahead log", &self.wal),
        ] {
            let name = format!("{name}, second half");
            row(f, &name, level(slope), "under 2 %")?;
        }
        let sink = &self.sink;
        let seen = format!(
            "{} out of order, {} repeated, {} of {} signatures wrong",
            sink.out_of_order, sink.repeated, sink.wrong_signatures, sink.verified
        );
        row(f, "the sink saw", seen, "none")?;
        row(f, "server CPU per message", us(self.server_cpu_us), "")
    }
}

/// The mean, and what the whole second half adds to it.
fn level(slope: &Slope) -> String {
    let mean = megabytes(slope.mean as u64);
    format!("{mean} {:+.1} %", slope.growth * 100.0)
}
