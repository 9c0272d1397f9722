//! A PostgreSQL cluster of the battery's own: real durability, and no mercy. Its programs run as somebody who is not root.

use std::{
    fs::{self, File, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::server::free_port;

/// Longest from the start of a server until it answers.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One server of a cluster.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    owner: Option<User>,
    log: PathBuf,
    /// What it writes, and nobody else reads.
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Cluster {
    /// Makes one with these programs, and starts it. What it says goes into a file of the folder.
    pub async fn start(programs: &Path, folder: &Path) -> anyhow::Result<Self> {
        let owner = owner()?;
        let data = folder_of(owner.as_ref())?;
        let log = folder.join("postgres.log");
        let mut make = as_owner(&programs.join("initdb"), owner.as_ref(), data.path());
        make.args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(data.path().join("data"));
        succeed(make).await.context("initdb")?;
        let address = free_port()?;
        let mut cluster = Self {
            child: spawn(programs, owner.as_ref(), data.path(), address, &log)?,
            programs: programs.to_owned(),
            owner,
            log,
            folder: data,
            address,
        };
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL to its first process. The others notice by themselves.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("PostgreSQL had ended by itself: {status}\n{}", self.said());
        }
        self.child.kill().await.context("kill")
    }

    /// Starts it again on the same data, and waits until it answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        // The memory that it shared with those before is free when the last of them is gone: until then it refuses.
        while let Err(error) = self.try_restart().await {
            if began.elapsed() > READY_WITHIN {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn try_restart(&mut self) -> anyhow::Result<()> {
        let (owner, folder) = (self.owner.as_ref(), self.folder.path());
        self.child = spawn(&self.programs, owner, folder, self.address, &self.log)?;
        self.ready().await
    }

    /// A standby of this one, at this address. When it is there, no commit of this one is acknowledged without it.
    pub async fn standby(&self, address: SocketAddr) -> anyhow::Result<Self> {
        let owner = self.owner.as_ref();
        let folder = folder_of(owner)?;
        let mut copy = as_owner(&self.programs.join("pg_basebackup"), owner, folder.path());
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--no-sync"])
            .args([
                "--checkpoint=fast",
                "--host=127.0.0.1",
                "--username=postgres",
            ])
            .args(["--port", &self.address.port().to_string(), "--pgdata"])
            .arg(folder.path().join("data"));
        succeed(copy).await.context("pg_basebackup")?;
        let mut standby = Self {
            child: spawn(&self.programs, owner, folder.path(), address, &self.log)?,
            programs: self.programs.clone(),
            owner: self.owner.clone(),
            log: self.log.clone(),
            folder,
            address,
        };
        standby.ready().await?;
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await?;
        self.ask("SELECT pg_reload_conf()").await?;
        let began = Instant::now();
        let is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while self.ask(is_synchronous).await? != "1" {
            ensure!(began.elapsed() < READY_WITHIN, "no standby is synchronous");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(standby)
    }

    /// Makes a standby the primary.
    pub async fn promote(&self) -> anyhow::Result<()> {
        let promoted = self.ask("SELECT pg_promote()").await?;
        ensure!(promoted == "t", "it was not promoted\n{}", self.said());
        Ok(())
    }

    /// SIGKILL to all its processes. It returns when none of them is left that could answer anybody.
    pub async fn fence(mut self) -> anyhow::Result<()> {
        let first = self.child.id().context("PostgreSQL had ended")?;
        let first = Pid::from_raw(i32::try_from(first)?);
        // It starts no other while its children are counted.
        kill(first, Signal::SIGSTOP)?;
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let children: Vec<i32> = children.split(' ').flat_map(str::parse).collect();
        self.child.kill().await.context("kill")?;
        for child in &children {
            // It may have gone by itself.
            let _ = kill(Pid::from_raw(*child), Signal::SIGKILL);
        }
        let began = Instant::now();
        while children.iter().any(|child| is_running(*child)) {
            ensure!(began.elapsed() < READY_WITHIN, "it cannot be killed");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.tidy_up().await
    }

    /// Gives back the few bytes of the system's shared memory that a killed one leaves.
    async fn tidy_up(&self) -> anyhow::Result<()> {
        let noted = fs::read_to_string(self.folder.path().join("data/postmaster.pid"))?;
        // The seventh line is the key and the id of the memory.
        let memory = noted
            .lines()
            .nth(6)
            .and_then(|line| line.split_whitespace().nth(1));
        if let Some(id) = memory {
            let mut remove = Command::new("ipcrm");
            remove.args(["--shmem-id", id]);
            succeed(remove).await.context("ipcrm")?;
        }
        Ok(())
    }

    /// What it answers to one statement.
    async fn ask(&self, sql: &str) -> anyhow::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
            .args(["--host=127.0.0.1", "--username=postgres", "--port"])
            .args([&self.address.port().to_string(), "--command", sql]);
        Ok(succeed(psql).await.context("psql")?.trim().to_owned())
    }

    /// Ends it in good order.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("PostgreSQL had ended")?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGINT)?;
        tokio::time::timeout(READY_WITHIN, self.child.wait()).await??;
        Ok(())
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("PostgreSQL ended with {status}\n{}", self.said());
            }
            let mut ask = Command::new(self.programs.join("pg_isready"));
            ask.args(["--quiet", "--host=127.0.0.1", "--port"])
                .arg(self.address.port().to_string());
            if ask.status().await.context("pg_isready")?.success() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("PostgreSQL is not ready after {READY_WITHIN:?}")
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn spawn(
    programs: &Path,
    owner: Option<&User>,
    folder: &Path,
    address: SocketAddr,
    log: &Path,
) -> anyhow::Result<Child> {
    let said = File::options().create(true).append(true).open(log)?;
    let mut postgres = as_owner(&programs.join("postgres"), owner, folder);
    postgres
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &address.port().to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=200",
        // What a killed one leaves is in its folder.
        "dynamic_shared_memory_type=mmap",
    ] {
        postgres.args(["-c", setting]);
    }
    postgres
        .stdout(said.try_clone()?)
        .stderr(said)
        .kill_on_drop(true)
        .spawn()
        .context("postgres")
}

/// Whether a process is there that is not dead and only waits for its parent to notice.
fn is_running(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Who its programs run as: they refuse to be root.
fn owner() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
}

/// A folder that is the owner's.
fn folder_of(owner: Option<&User>) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("bellhop-faults-postgres-")
        .tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700))?;
    if let Some(owner) = owner {
        std::os::unix::fs::chown(
            folder.path(),
            Some(owner.uid.as_raw()),
            Some(owner.gid.as_raw()),
        )?;
    }
    Ok(folder)
}

fn as_owner(program: &Path, owner: Option<&User>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    if let Some(owner) = owner {
        command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
    }
    command
}

async fn succeed(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().await.context("it cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
