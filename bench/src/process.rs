//! Processes that the bench starts. Each ends with its guard, by its own id, and no other does.

use std::process::{Child, Command};
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

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The pipes, if they were asked for.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
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
