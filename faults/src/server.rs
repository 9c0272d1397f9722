//! The real server as a child process, to be killed by its process id.

use std::{
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
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
    binary: PathBuf,
    data: PathBuf,
    log: PathBuf,
    key: String,
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(binary: &Path, folder: &Path, key: &str) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let (data, log) = (folder.join("data"), folder.join("server.log"));
        let mut server = Self {
            child: spawn(binary, &data, &log, key, address)?,
            binary: binary.to_owned(),
            data,
            log,
            key: key.to_owned(),
            address,
        };
        server.ready().await?;
        Ok(server)
    }

    /// Where it listens, in every life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL: nothing of it has a chance to tidy up.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}\n{}", self.said());
        }
        self.child.kill().await.context("kill")
    }

    /// Starts it again on the same data and port, and waits until it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.binary, &self.data, &self.log, &self.key, self.address)?;
        self.ready().await
    }

    /// SIGTERM, and waits until it has drained and ended.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("the server had ended")?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
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
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let api = Api::new(self.address, &self.key);
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

fn spawn(
    binary: &Path,
    data: &Path,
    log: &Path,
    key: &str,
    address: SocketAddr,
) -> anyhow::Result<Child> {
    let output: File = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(binary)
        .arg("serve")
        // Settings of whoever runs the battery are no part of it.
        .env_clear()
        .env("BELLHOP_LISTEN", address.to_string())
        .env("BELLHOP_DATA_DIR", data)
        .env("BELLHOP_OPERATOR_KEY", key)
        .env("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")
        .current_dir(data.parent().unwrap_or(data))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))
}
