//! The server that is measured: the real binary, as a process of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::{Method, StatusCode};

use crate::connection::{Body, Connection};
use crate::measure::{CpuMeter, Memory, Size};
use crate::postgres::{self, Cluster, ClusterMeter};
use crate::process::Guarded;

/// One key ring for all replicas on a database.
const ENCRYPTION_KEY: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

/// The bootstrap key of servers that live for seconds and listen on loopback.
pub const KEY: &str = "bench-0123456789abcdef0123456789abcdef";

/// When the server is not ready by then, it will not be.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// Between two looks whether it is ready: what the time to ready may be too long by.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What is started: the binary, and where its database is, if that is not in the data directory.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    pub bellhop: &'a Path,
    pub postgres: Option<&'a Cluster>,
}

/// A running server on a data directory.
pub struct Server {
    cluster: Option<Cluster>,
    /// The URL of its database, if that is not in the data directory.
    database: Option<String>,
    process: Guarded,
    address: SocketAddr,
    data: PathBuf,
    /// From the start of the process to the first 200 of `/readyz`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it is ready. What it prints goes to a file beside the data.
    pub async fn start(program: Program<'_>, data: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, data, &[]).await
    }

    /// The same, with further settings.
    pub async fn start_with(
        program: Program<'_>,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let database = match program.postgres {
            Some(cluster) => Some(cluster.database().await?),
            None => None,
        };
        Self::start_on(database, program, data, settings).await
    }

    /// Another replica, on the same database.
    pub async fn start_beside(&self, program: Program<'_>, data: &Path) -> anyhow::Result<Self> {
        let database = self.database.clone();
        Self::start_on(database, program, data, &[]).await
    }

    async fn start_on(
        database: Option<String>,
        program: Program<'_>,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log = data.with_extension("log");
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(program.bellhop);
        command
            .arg("serve")
            // Settings of the person who measures are not part of what is measured.
            .env_clear()
            .env("BELLHOP_LISTEN", address.to_string())
            .env("BELLHOP_DATA_DIR", data)
            .env("BELLHOP_OPERATOR_KEY", KEY)
            .env("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")
            .envs(settings.iter().copied())
            .current_dir(data.parent().unwrap_or(data))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(url) = &database {
            command
                .env("BELLHOP_DATABASE_URL", url)
                .env("BELLHOP_ENCRYPTION_KEY", ENCRYPTION_KEY);
        }
        let started = Instant::now();
        let mut process = Guarded::start(&mut command)?;
        let ready_after = ready(&mut process, address, started)
            .await
            .with_context(|| {
                let said = fs::read_to_string(&log).unwrap_or_default();
                format!("the server is not ready; it said:\n{said}")
            })?;
        Ok(Self {
            cluster: program.postgres.cloned(),
            database,
            process,
            address,
            data: data.to_path_buf(),
            ready_after,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Measures the CPU time that it spends from now on.
    pub fn cpu(&self) -> anyhow::Result<CpuMeter> {
        CpuMeter::start(self.process.id())
    }

    /// The same of its PostgreSQL, if it has one.
    pub fn database_cpu(&self) -> anyhow::Result<Option<ClusterMeter>> {
        self.cluster.as_ref().map(Cluster::cpu).transpose()
    }

    /// On PostgreSQL: the planner never gets to know what is in its tables.
    pub async fn leave_unanalysed(&self) -> anyhow::Result<()> {
        match &self.database {
            Some(database) => postgres::leave_unanalysed(database).await,
            None => Ok(()),
        }
    }

    /// Fails if it does all the same.
    pub async fn ensure_unanalysed(&self) -> anyhow::Result<()> {
        match &self.database {
            Some(database) => postgres::ensure_unanalysed(database).await,
            None => Ok(()),
        }
    }

    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.process.id())
    }

    /// What is on the disk now.
    pub fn size(&self) -> anyhow::Result<Size> {
        Size::of(&self.data)
    }

    /// SIGTERM, and how long it took to end.
    pub async fn end(self) -> anyhow::Result<Duration> {
        self.process.end().await.context("the server")
    }
}

async fn ready(
    process: &mut Guarded,
    address: SocketAddr,
    started: Instant,
) -> anyhow::Result<Duration> {
    while started.elapsed() < READY_LIMIT {
        if is_ready(address).await {
            return Ok(started.elapsed());
        }
        process.still_runs()?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("no 200 from /readyz within {READY_LIMIT:?}")
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else {
        return false;
    };
    let request = connection
        .request(Method::GET, "/readyz")
        .body(Body::default());
    let Ok(request) = request else { return false };
    matches!(connection.send(request).await, Ok((StatusCode::OK, _)))
}

/// An address whose port was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
