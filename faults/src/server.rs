//! The real server as a child process, to be killed by its process id.

use std::{
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::http::{Api, Call};

/// Longest from the start of the process to a 200 from `/readyz`.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest from SIGTERM to the end of the process: the drain has a deadline of its own.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server on a data directory and a port, through all its lives.
#[derive(Debug)]
pub struct Server {
    start: Start,
    child: Child,
}

/// How each of its lives begins.
#[derive(Debug, Clone)]
struct Start {
    binary: PathBuf,
    data: PathBuf,
    log: PathBuf,
    key: String,
    address: SocketAddr,
    /// Beside what every server gets.
    environment: Vec<(String, String)>,
}

/// Tells a build with the feature `fault-points` where to kill itself, as in `commit-before:17`.
const FAULT_POINT: &str = "BATTERY_FAULT_POINT";

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(
        binary: &Path,
        folder: &Path,
        key: &str,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let (data, log) = (folder.join("data"), folder.join("server.log"));
        let start = Start {
            binary: binary.to_owned(),
            data,
            log,
            key: key.to_owned(),
            address: free_port()?,
            environment,
        };
        Self::begin(start).await
    }

    /// Starts another one like it, at a place of its own, and waits until it is ready.
    pub fn successor(&self) -> impl Future<Output = anyhow::Result<Self>> + use<> {
        let start = self.start.clone();
        async move {
            let address = free_port()?;
            Self::begin(Start { address, ..start }).await
        }
    }

    async fn begin(start: Start) -> anyhow::Result<Self> {
        let mut server = Self {
            child: start.spawn(None)?,
            start,
        };
        server.ready().await?;
        Ok(server)
    }

    /// Where it listens, in every life.
    pub fn address(&self) -> SocketAddr {
        self.start.address
    }

    /// Whether its process is there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: nothing of it has a chance to tidy up.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}\n{}", self.said());
        }
        self.child.kill().await.context("kill")
    }

    /// Waits until it has killed itself, and kills it if it has not in this time. Says whether it had.
    pub async fn dies(&mut self, within: Duration) -> anyhow::Result<bool> {
        let Ok(status) = tokio::time::timeout(within, self.child.wait()).await else {
            self.kill().await?;
            return Ok(false);
        };
        let status = status?;
        ensure!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "the server ended with {status} instead of being killed\n{}",
            self.said()
        );
        Ok(true)
    }

    /// Starts it again on the same data and port, and waits until it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = self.start.spawn(None)?;
        self.ready().await
    }

    /// Starts it again, to kill itself at a point. It may do so before it is ready.
    pub fn restart_towards(&mut self, point: &str) -> anyhow::Result<()> {
        self.child = self.start.spawn(Some(point))?;
        Ok(())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("the server had ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// SIGTERM, and waits until it has drained and ended with success.
    pub async fn drain(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = tokio::time::timeout(DRAINED_WITHIN, self.child.wait())
            .await
            .with_context(|| format!("SIGTERM did not end the server\n{}", self.said()))??;
        ensure!(
            status.success(),
            "after SIGTERM the server ended with {status}\n{}",
            self.said()
        );
        Ok(())
    }

    /// The end of what it printed.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.start.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let api = Api::new(vec![self.start.address], &self.start.key);
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            let answer = api.send(&Call::get("/readyz")).await;
            if answer.is_ok_and(|answer| answer.is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}\n{}", self.said());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!(
            "the server is not ready after {READY_WITHIN:?}\n{}",
            self.said()
        )
    }
}

/// A port that nobody listens on.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Start {
    fn spawn(&self, point: Option<&str>) -> anyhow::Result<Child> {
        let Self { data, .. } = self;
        let output: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            // Settings of whoever runs the battery are no part of it.
            .env_clear()
            .env("BELLHOP_LISTEN", self.address.to_string())
            .env("BELLHOP_DATA_DIR", data)
            .env("BELLHOP_OPERATOR_KEY", &self.key)
            .env("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(point.map(|point| (FAULT_POINT, point)))
            .current_dir(data.parent().unwrap_or(data))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))
    }
}
