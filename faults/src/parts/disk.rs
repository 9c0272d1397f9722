//! R8: the disk is full. Commands are refused and change nothing, nothing that was acknowledged is lost, and
//! deliveries go on when there is room again. The data directory is a small tmpfs of its own.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::unistd::Uid;
use tokio::process::Command;

use super::setting;
use crate::{
    battery::{Options, Outcome},
    http::{Answer, Call},
    log::Parts,
    stage::{Ground, Setting, Stage},
};

/// The whole disk.
const SIZE: &str = "size=24m";
/// What fills it is written in pieces, the last of them small.
const PIECES: [usize; 2] = [64 * 1024, 512];
/// How long it stays full once a command has been refused.
const FULL_FOR: Duration = Duration::from_millis(1500);
/// Longest until the server notices that it is full, and that it no longer is.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two times.
const PEACE: Duration = Duration::from_millis(800);

/// A tmpfs that is there as long as this is.
struct Disk {
    at: PathBuf,
}

/// 3 times, or 30.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Outcome> {
    if !Uid::effective().is_root() {
        let why = "a small disk takes a mount, and that takes root";
        return Ok(Outcome::Skipped(why.into()));
    }
    let disk = match Disk::mount(folder.join("data")).await {
        Ok(disk) => disk,
        Err(error) => return Ok(Outcome::Skipped(format!("no tmpfs here: {error:#}"))),
    };
    let setting = Setting {
        integrations: options.times(150, 600),
        ..setting(options, Ground::Sqlite)
    };
    let stage = Stage::set(&setting, folder).await?;
    for _ in 0..options.times(3, 30) {
        tokio::time::sleep(PEACE).await;
        let began_us = stage.platform.now_us();
        // The log of the database may be wound back and have room again: it is filled until it stays full.
        let refused = until(|| async {
            disk.fill()?;
            let refused = try_command(&stage).await?;
            Ok((refused.status == 503).then_some(refused))
        });
        let refused = refused.await.context("no command was refused")?;
        ensure!(
            refused.is_problem(),
            "a 503 without a problem document: {}",
            refused.json
        );
        let not_ready = until(|| async {
            disk.fill()?;
            Ok((readiness(&stage).await? == 503).then_some(()))
        });
        not_ready.await.context("/readyz says that all is well")?;
        tokio::time::sleep(FULL_FOR).await;
        disk.clear()?;
        let ready = until(|| async { Ok((readiness(&stage).await? == 200).then_some(())) });
        ready.await.context("/readyz does not see the room")?;
        stage
            .platform
            .note_fault("disk full", began_us, Parts::Records);
    }
    // The server is ended before its disk is taken away.
    let evidence = stage.finish().await;
    disk.unmount().await?;
    Ok(Outcome::Ran(Box::new(evidence?)))
}

/// A command of no consequence: it creates no message.
async fn try_command(stage: &Stage) -> anyhow::Result<Answer> {
    // A new one each time: what changes nothing needs no disk.
    let number = stage.platform.now_us();
    let path = format!("/v1/enterprises/00000000-0000-4000-8000-{number:012x}");
    let call = Call::put(&path, serde_json::json!({"Name": "Hotel"}));
    stage.api.send(&call).await
}

async fn readiness(stage: &Stage) -> anyhow::Result<u16> {
    Ok(stage.api.send(&Call::get("/readyz")).await?.status)
}

/// Looks again and again until it is so.
async fn until<T, F>(look: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    while began.elapsed() < NOTICED_WITHIN {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("not within {NOTICED_WITHIN:?}")
}

impl Disk {
    async fn mount(at: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&at);
        succeed(mount).await?;
        Ok(Self { at })
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> anyhow::Result<()> {
        let ballast = self.ballast();
        let mut file = File::options().create(true).append(true).open(ballast)?;
        for size in PIECES {
            let piece = vec![0; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    fn clear(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    async fn unmount(self) -> anyhow::Result<()> {
        let mut umount = Command::new("umount");
        umount.arg(&self.at);
        succeed(umount).await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a run that broke off; it fails where it is unmounted already. Lazily: the server may live still.
        let mut umount = std::process::Command::new("umount");
        umount.arg("--lazy").arg(&self.at);
        umount.stderr(std::process::Stdio::null());
        let _ = umount.status();
    }
}

async fn succeed(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().await.context("it cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}", said.trim());
    Ok(())
}
