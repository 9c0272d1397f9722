//! A private PostgreSQL for the tests: a cluster in a temporary folder, on a free port, gone when it is dropped.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::pooler::Pooler;
use crate::run;

/// Longest from the start of the server until it answers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest from the word to end until it has.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// Installing Debian's package may take a while.
const INSTALL_LIMIT: Duration = Duration::from_mins(5);
/// How to get it.
const ADVICE: &str = "PostgreSQL's server programs (initdb, postgres) are missing; get them from your system \
    (Debian: apt install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), \
    or name a cluster whose databases may be made and dropped in TEST_POSTGRES_URL";

/// A running cluster.
pub struct Cluster {
    /// Where it is, without a database.
    pub url: String,
    /// The certificate by which its name, `localhost`, is known.
    pub certificate: PathBuf,
    /// A pooler in transaction mode in front of it, or how to get one.
    pub pooler: Result<Pooler, String>,
    /// Its version.
    pub version: String,
    child: Child,
    folder: PathBuf,
}

/// Who the server runs as: it refuses to be root.
#[derive(Clone, Copy)]
pub struct Owner {
    user: u32,
    group: u32,
}

/// Whether what is committed reaches the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    Yes,
    /// Tests end processes, and not machines: they take half the time.
    No,
}

/// Starts one, or says how to get it.
pub fn start(offline: bool, durable: Durable) -> Result<Cluster, String> {
    let programs = programs(offline)?;
    try_start(&programs, offline, durable)
        .map_err(|error| format!("PostgreSQL could not be started: {error:#}"))
}

/// The folder of the server programs, or how to get them.
pub fn programs(offline: bool) -> Result<PathBuf, String> {
    match find() {
        Some(programs) => Ok(programs),
        None if !offline && is_root() && install("postgresql") => Ok(find().ok_or(ADVICE)?),
        None => Err(ADVICE.to_owned()),
    }
}

fn try_start(programs: &Path, offline: bool, durable: Durable) -> anyhow::Result<Cluster> {
    let version = run::first_line(Command::new(programs.join("postgres")).arg("--version"))
        .context("postgres --version")?;
    let owner = if is_root() { Some(owner()?) } else { None };
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let folder =
        std::env::temp_dir().join(format!("bellhop-tests-postgres-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    if let Some(owner) = owner {
        std::os::unix::fs::chown(&folder, Some(owner.user), Some(owner.group))?;
    }
    let data = folder.join("data");
    let made = as_owner(&programs.join("initdb"), owner, &folder)
        .arg("--pgdata")
        .arg(&data)
        .args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ])
        .stdout(Stdio::null())
        .status()
        .context("initdb")?;
    ensure!(made.success(), "initdb failed");
    let certificate = certify(&data, owner)?;
    let log = fs::File::create(folder.join("log"))?;
    let child = as_owner(&programs.join("postgres"), owner, &folder)
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=300",
            "-c",
            if durable == Durable::Yes {
                "fsync=on"
            } else {
                "fsync=off"
            },
            "-c",
            "ssl=on",
        ])
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("postgres")?;
    let url = format!("postgres://postgres@127.0.0.1:{port}");
    let mut cluster = Cluster {
        url,
        certificate,
        pooler: Err(String::new()),
        version,
        child,
        folder,
    };
    cluster.ready(&programs.join("pg_isready"), port)?;
    cluster.pooler = Pooler::start(&cluster.folder, port, owner, offline);
    Ok(cluster)
}

impl Cluster {
    /// The id of its first process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn ready(&mut self, asks: &Path, port: u16) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                anyhow::bail!("it ended with {status}\n{said}");
            }
            let asked = Command::new(asks)
                .args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()])
                .status()
                .context("pg_isready")?;
            if asked.success() {
                return Ok(());
            }
            pause();
        }
        anyhow::bail!("it is not ready after {READY_WITHIN:?}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before the cluster that it is in front of.
        self.pooler = Err(String::new());
        // SIGINT is its fast shutdown. What cannot be ended or removed is left: nothing depends on it.
        let _ = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        let began = Instant::now();
        while began.elapsed() < ENDED_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.certificate);
    }
}

/// A key and a certificate of its own, where the server looks for them.
fn certify(data: &Path, owner: Option<Owner>) -> anyhow::Result<PathBuf> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (data.join("server.crt"), data.join("server.key"));
    for (path, text) in [
        (&certificate, made.cert.pem()),
        (&key, made.signing_key.serialize_pem()),
    ] {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        if let Some(owner) = owner {
            std::os::unix::fs::chown(path, Some(owner.user), Some(owner.group))?;
        }
    }
    // The folder is the owner's alone; tests may be somebody else.
    let copy =
        std::env::temp_dir().join(format!("bellhop-tests-postgres-{}.crt", std::process::id()));
    fs::copy(&certificate, &copy)?;
    Ok(copy)
}

/// A program as its owner runs it.
pub fn as_owner(program: &Path, owner: Option<Owner>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).current_dir(folder);
    if let Some(owner) = owner {
        command.uid(owner.user).gid(owner.group);
    }
    command
}

/// The newest server programs: where the system keeps them, or on the path.
fn find() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    let version = |place: &PathBuf| -> u32 {
        let name = place.parent().and_then(Path::file_name);
        name.and_then(|name| name.to_str()?.parse().ok())
            .unwrap_or(0)
    };
    places.sort_by_key(version);
    let named = run::first_line(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
    let mut places = places.into_iter().rev().chain(named);
    places.find(|place| place.join("initdb").exists() && place.join("postgres").exists())
}

/// Whether programs may be installed.
pub fn is_root() -> bool {
    number(&["-u"]).is_ok_and(|id| id == 0)
}

/// The system's user for it, or nobody.
fn owner() -> anyhow::Result<Owner> {
    let of = |name: &str| -> anyhow::Result<Owner> {
        Ok(Owner {
            user: number(&["-u", name])?,
            group: number(&["-g", name])?,
        })
    };
    of("postgres").or_else(|_| of("nobody"))
}

fn number(arguments: &[&str]) -> anyhow::Result<u32> {
    let line = run::first_line(Command::new("id").args(arguments)).context("id")?;
    Ok(line.parse()?)
}

/// One of Debian's packages. Says whether it went well.
pub fn install(package: &str) -> bool {
    if run::first_line(Command::new("apt-get").arg("--version")).is_none() {
        return false;
    }
    let did = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        matches!(run::within(&mut command, INSTALL_LIMIT), Ok(Some(status)) if status.success())
    };
    did(&["update"]) && did(&["install", "--yes", "--no-install-recommends", package])
}

#[expect(
    clippy::disallowed_methods,
    reason = "waiting for a child with a limit; nothing else is served here"
)]
pub fn pause() {
    thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_answers_and_leaves_nothing() {
        // Nothing is installed for a unit test; `cargo xtask test` says what is missing.
        if find().is_none() {
            return;
        }
        let cluster = start(true, Durable::No).unwrap();
        let port = cluster.url.rsplit(':').next().unwrap().to_owned();
        let folder = cluster.folder.clone();
        assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
        drop(cluster);
        assert!(!folder.exists());
        assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
    }
}
