//! Introspection of access tokens: on the path of every request to the operator's own API. As fast as it goes, and
//! the same load on a bare server beside it: what HTTP alone costs here.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::arguments::RunOptions;
use crate::asker::{Asked, Plan};
use crate::bare::Bare;
use crate::measure::CpuMeter;
use crate::platform::Platform;
use crate::server::{KEY, Server};
use crate::sink_control::SinkControl;

/// Integrations whose tokens are asked for.
const INTEGRATIONS: u64 = 1_000;
/// One in so many of them is deleted before: its token is revoked.
const REVOKED_EVERY: usize = 10;
/// One in so many questions is about a token that never was.
const UNKNOWN_EVERY: usize = 10;
/// Requests of the mix, for each of the server's and the bare one's.
const REQUESTS: u64 = 400_000;
/// Requests about tokens that nobody asked about before.
const STRANGERS: u64 = 50_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Introspection {
    pub connections: u16,
    /// Active, revoked and unknown tokens.
    pub mix: Round,
    /// Each token another, and none of them ours: the store is asked each time.
    pub strangers: Round,
    /// The mix at a bare handler that reads the body and answers as many bytes.
    pub bare: Round,
}

/// One load on one server.
#[derive(Debug, Serialize)]
pub struct Round {
    pub asked: Asked,
    pub server_cpu_us: f64,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Introspection> {
    let data = place.path().join("introspection");
    std::fs::create_dir(&data)?;
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), &data).await?;
    let mut platform = Platform::set_up(&server, &sink).await?;
    let tokens = platform.tokens(INTEGRATIONS, REVOKED_EVERY).await?;
    let requests = options.small(REQUESTS, 2_000);
    let mut plan = Plan {
        server: server.address(),
        key: KEY.to_owned(),
        active: tokens.active,
        revoked: tokens.revoked,
        unknown_every: UNKNOWN_EVERY,
        are_strangers: false,
        requests: requests / 10,
        connections: options.connections,
    };
    // Once to warm up.
    round(&plan, server.address(), server.cpu()?).await?;
    plan.requests = requests;
    let mix = round(&plan, server.address(), server.cpu()?).await?;
    ensure!(
        mix.asked.wrong == 0,
        "{} answers were wrong",
        mix.asked.wrong
    );
    let bare = Bare::start()?;
    let bare = round(&plan, bare.address(), bare.cpu()?).await?;
    plan.are_strangers = true;
    plan.requests = options.small(STRANGERS, 1_000);
    let strangers = round(&plan, server.address(), server.cpu()?).await?;
    ensure!(strangers.asked.wrong == 0, "a stranger's token was active");
    server.end().await?;
    Ok(Introspection {
        connections: options.connections,
        mix,
        strangers,
        bare,
    })
}

async fn round(plan: &Plan, server: SocketAddr, cpu: CpuMeter) -> anyhow::Result<Round> {
    let plan = Plan {
        server,
        ..plan.clone()
    };
    let own = std::env::current_exe().context("finding this binary")?;
    let mut process = tokio::process::Command::new(own)
        .arg("ask")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the load")?;
    let mut stdin = process.stdin.take().context("the load's stdin")?;
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &serde_json::to_vec(&plan)?).await?;
    drop(stdin);
    let output = process.wait_with_output().await?;
    ensure!(output.status.success(), "the load failed");
    Ok(Round {
        asked: serde_json::from_slice(&output.stdout).context("the load says what came of it")?,
        server_cpu_us: cpu.us_per_message(plan.requests)?,
    })
}
