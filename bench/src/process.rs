//! Processes that the bench starts. Each ends with its guard, by its own id, and no other does.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process that was asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A running process, killed when dropped.
pub struct Guarded(Child);

impl Guarded {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Another mode of this binary, which prints its port on loopback. Its stdin stays open as long as this process
    /// lives, and ends it then.
    pub fn start_own(mode: &str) -> anyhow::Result<(Self, SocketAddr)> {
        let own = std::env::current_exe().context("finding this binary")?;
        let mut command = Command::new(own);
        command
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Self::start(&mut command)?;
        let stdout = process.0.stdout.take().context("its stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port: u16 = line.trim().parse().context("it prints its port")?;
        Ok((process, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Fails when the process has ended by itself.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("the process has ended: {status}"),
        }
    }

    /// Asks it to end (SIGTERM) and waits; how long it took. Killed when it does not.
    pub async fn end(mut self) -> anyhow::Result<Duration> {
        let started = std::time::Instant::now();
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM)?;
        while started.elapsed() < END_LIMIT {
            if self.0.try_wait()?.is_some() {
                return Ok(started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::bail!("it did not end within {END_LIMIT:?} of SIGTERM")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
