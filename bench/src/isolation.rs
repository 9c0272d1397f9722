//! Whether sick receivers harm healthy ones: thousands of webhooks of as many applications, commands
//! at a fixed pace to all of them in turn, first with every receiver healthy, then with some of them
//! hanging (they accept and never answer) or dead (nobody listens).

use std::collections::HashSet;
use std::rc::Rc;

use serde::Serialize;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::arguments::RunOptions;
use crate::connection::Connection;
use crate::latency::compare;
use crate::measure::Spread;
use crate::platform::{Member, Platform};
use crate::producer::Load;
use crate::report::{row, spread};
use crate::server::Server;
use crate::sick::{Hanging, dead};
use crate::sink_control::{SinkControl, judge};

/// Webhooks in all, and those of them that fall sick.
const WEBHOOKS: usize = 10_000;
const SICK: usize = 1_000;
/// Of the second part: all of these hang.
const HANGING: usize = 2_000;
/// Commands a second, to all webhooks in turn.
const PACE: u32 = 500;
/// Connections that set the webhooks up.
const SETTERS: usize = 16;

#[derive(Debug, Serialize)]
pub struct Isolation {
    pub webhooks: usize,
    pub per_second: u32,
    pub phases: Vec<Phase>,
}

/// What the healthy webhooks saw.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub hanging: usize,
    pub dead: usize,
    /// From the command to the arrival, healthy webhooks only.
    pub healthy_ms: Spread,
    /// The most connections that the hanging receivers held.
    pub held_connections: usize,
    pub peak_rss_kib: u64,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Isolation> {
    let data = place.path().join("isolation");
    std::fs::create_dir(&data)?;
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), &data).await?;
    let platform = Platform::set_up(&server, &sink).await?;
    let webhooks = options.small(WEBHOOKS, 40);
    let stage = Stage {
        options,
        members: join(&server, &sink, webhooks).await?,
        server,
        sink,
        platform,
        hanging: Hanging::start().await?,
    };
    // Connections to the sink are opened and code is warm before anything is measured.
    stage.phase(0, 0).await?;
    let sick = webhooks * SICK / WEBHOOKS;
    let mut phases = vec![stage.phase(0, 0).await?];
    stage.fall_sick(sick / 2, sick / 2).await?;
    phases.push(stage.phase(sick / 2, sick / 2).await?);
    let hanging = webhooks * HANGING / WEBHOOKS;
    stage.fall_sick(hanging, 0).await?;
    phases.push(stage.phase(hanging, 0).await?);
    stage.server.end().await?;
    Ok(Isolation {
        webhooks,
        per_second: PACE,
        phases,
    })
}

/// Everything that the phases share.
struct Stage<'a> {
    options: &'a RunOptions,
    server: Server,
    sink: SinkControl,
    platform: Platform,
    members: Vec<Member>,
    hanging: Hanging,
}

impl Stage<'_> {
    /// The first webhooks hang, those after them are dead; the others stay as they are.
    async fn fall_sick(&self, hanging: usize, dead_ones: usize) -> anyhow::Result<()> {
        let mut api = Connection::open(self.server.address()).await?;
        for (number, member) in self.members[..hanging + dead_ones].iter().enumerate() {
            let receiver = if number < hanging {
                self.hanging.address(number)
            } else {
                dead(number)?
            };
            member.move_to(&mut api, receiver).await?;
        }
        Ok(())
    }

    /// Each webhook gets the same number of messages; the healthy ones' are timed.
    async fn phase(&self, hanging: usize, dead: usize) -> anyhow::Result<Phase> {
        self.sink.reset().await?;
        let count = self.members.len() * self.options.small(2, 1);
        let mut plan = self
            .platform
            .plan(&self.server, count as u64, self.options.connections);
        plan.application_ids = self
            .members
            .iter()
            .map(|of| of.application_id.clone())
            .collect();
        plan.per_second = Some(PACE);
        let mut load = plan.carry_out().await?;

        let sick = &self.members[..hanging + dead];
        let sick: HashSet<&str> = sick.iter().map(|of| of.application_id.as_str()).collect();
        load.samples
            .retain(|sample| !sick.contains(sample.application_id.as_str()));
        judge(&self.sink.wait_for(load.samples.len() as u64).await?)?;
        Ok(Phase {
            hanging,
            dead,
            healthy_ms: self.healthy(&load).await?,
            held_connections: self.hanging.most_open(),
            peak_rss_kib: self.server.memory()?.peak_kib,
        })
    }

    async fn healthy(&self, load: &Load) -> anyhow::Result<Spread> {
        let arrivals = self.sink.arrivals().await?;
        Ok(compare(load, &arrivals)?.request_to_arrival_ms)
    }
}

/// So many applications, each with a webhook that goes to the sink.
async fn join(server: &Server, sink: &SinkControl, count: usize) -> anyhow::Result<Vec<Member>> {
    let next = Rc::new(std::cell::Cell::new(0));
    let mut setters = JoinSet::new();
    for _ in 0..SETTERS {
        let (next, server, sink) = (next.clone(), server.address(), sink.address());
        setters.spawn_local(async move {
            let mut api = Connection::open(server).await?;
            let mut members = Vec::new();
            while next.get() < count {
                next.set(next.get() + 1);
                members.push(Member::join(&mut api, sink).await?);
            }
            anyhow::Ok(members)
        });
    }
    let mut members = Vec::new();
    while let Some(joined) = setters.join_next().await {
        members.extend(joined??);
    }
    Ok(members)
}

/// A line for each phase, and how much worse than the first.
pub fn write(f: &mut std::fmt::Formatter<'_>, all: &Isolation) -> std::fmt::Result {
    writeln!(
        f,
        "\nisolation: {} webhooks, {} commands a second to all in turn; request -> arrival of the healthy ones",
        all.webhooks, all.per_second
    )?;
    let baseline = all.phases.first().map_or(0.0, |phase| phase.healthy_ms.p99);
    for phase in &all.phases {
        let name = format!("{} hanging, {} dead", phase.hanging, phase.dead);
        row(f, &name, spread(&phase.healthy_ms), "")?;
        if phase.hanging + phase.dead > 0 {
            let times = format!("{:.2} times", phase.healthy_ms.p99 / baseline);
            row(f, "  p99, of the baseline", times, "at most 2 times")?;
            row(
                f,
                "  connections that hung, at most",
                phase.held_connections,
                "",
            )?;
        }
        row(
            f,
            "  server peak RSS",
            crate::report::megabytes(phase.peak_rss_kib * 1024),
            "",
        )?;
    }
    Ok(())
}
