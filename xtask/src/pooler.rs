//! A pooler in transaction mode, as operators put it in front of PostgreSQL.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::postgres::{Owner, as_owner, install, is_root, pause};

const READY_WITHIN: Duration = Duration::from_secs(10);
/// How to get it.
const ADVICE: &str =
    "the pooler's tests are skipped: PgBouncer is missing (Debian: apt install pgbouncer)";

/// A running pooler.
pub struct Pooler {
    /// Where it is, without a database.
    pub url: String,
    child: Child,
}

impl Pooler {
    /// Starts one in front of the cluster at this port.
    pub fn start(
        folder: &Path,
        cluster: u16,
        owner: Option<Owner>,
        offline: bool,
    ) -> Result<Self, String> {
        let program = [
            "/usr/sbin/pgbouncer",
            "/usr/bin/pgbouncer",
            "/opt/homebrew/bin/pgbouncer",
        ]
        .map(Path::new)
        .into_iter()
        .find(|program| program.exists());
        let program = match program {
            Some(program) => program,
            None if !offline && is_root() && install("pgbouncer") => {
                Path::new("/usr/sbin/pgbouncer")
            }
            None => return Err(ADVICE.to_owned()),
        };
        Self::try_start(program, folder, cluster, owner)
            .map_err(|error| format!("the pooler's tests are skipped: {error:#}"))
    }

    fn try_start(
        program: &Path,
        folder: &Path,
        cluster: u16,
        owner: Option<Owner>,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let settings = folder.join("pgbouncer.ini");
        // Few connections to the server: statements of one client meet those of another on them.
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host=127.0.0.1 port={cluster} user=postgres\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
                 pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n"
            ),
        )?;
        let log = fs::File::create(folder.join("pgbouncer.log"))?;
        let mut child = as_owner(program, owner, folder)
            .arg(&settings)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if began.elapsed() > READY_WITHIN || child.try_wait()?.is_some() {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(folder.join("pgbouncer.log")).unwrap_or_default();
                anyhow::bail!("PgBouncer did not start\n{said}");
            }
            pause();
        }
        Ok(Self {
            url: format!("postgres://postgres@127.0.0.1:{port}"),
            child,
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
