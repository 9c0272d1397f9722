//! A PostgreSQL that servers are measured on: a database of its own for each, and what all of its processes spend.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use nix::unistd::{SysconfVar, sysconf};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::measure::cpu;

/// Where it is (`cargo xtask bench --postgres` starts one and says so).
#[derive(Debug, Clone, Args)]
pub struct Cluster {
    /// Measure on this PostgreSQL, without a database in its URL, and not on SQLite
    #[arg(
        long,
        value_name = "URL",
        required = false,
        requires = "postgres_process"
    )]
    pub postgres_url: String,
    /// The id of its first process
    #[arg(long, value_name = "ID", required = false, requires = "postgres_url")]
    pub postgres_process: u32,
}

impl Cluster {
    /// The URL of a new, empty database.
    pub async fn database(&self) -> anyhow::Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "bench_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        self.run(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await?;
        Ok(format!("{}/{name}?sslmode=disable", self.postgres_url))
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        ask(&self.postgres_url, sql).await.map(drop)
    }

    /// The CPU time that it spends from now on.
    pub fn cpu(&self) -> anyhow::Result<ClusterMeter> {
        Ok(ClusterMeter {
            process: self.postgres_process,
            before: spent(self.postgres_process)?,
        })
    }
}

/// Vacuum goes on in this database, but the planner never gets to know what is in its tables.
pub async fn leave_unanalysed(database: &str) -> anyhow::Result<()> {
    let alter = "DO $$ DECLARE of regclass; BEGIN FOR of IN SELECT relid FROM pg_stat_user_tables LOOP \
        EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_threshold = 2147483647)', of); END LOOP; END $$";
    ask(database, alter).await.map(drop)
}

/// Fails if the planner knows of any table of this database what is in it.
pub async fn ensure_unanalysed(database: &str) -> anyhow::Result<()> {
    let analysed = "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let known = ask(database, analysed).await?;
    ensure!(known.is_empty(), "analysed meanwhile: {}", known.join(", "));
    Ok(())
}

/// Statements, and the first column of what they answer.
async fn ask(database: &str, sql: &str) -> anyhow::Result<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(database, NoTls)
        .await
        .context("connecting to PostgreSQL")?;
    let connection = tokio::spawn(connection);
    let answers = client.simple_query(sql).await?;
    drop(client);
    connection.await??;
    let first = |answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(answers.into_iter().filter_map(first).collect())
}

/// The CPU time that a cluster spends from now on.
pub struct ClusterMeter {
    process: u32,
    before: Duration,
}

impl ClusterMeter {
    /// Microseconds for each of so many messages.
    pub fn us_per_message(&self, messages: u64) -> anyhow::Result<f64> {
        let used = spent(self.process)?.saturating_sub(self.before);
        Ok(used.as_secs_f64() * 1e6 / messages as f64)
    }
}

/// Of the first process, its children, and those that have ended (of them, what the system has sampled).
fn spent(process: u32) -> anyhow::Result<Duration> {
    let mut total = cpu(process)?;
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))
        .context("the processes of PostgreSQL")?;
    for child in children.split_whitespace() {
        // One that has ended meanwhile is counted among those.
        total += cpu(child.parse()?).unwrap_or_default();
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name: the 12th and 13th are cutime and cstime, see proc(5).
    let fields = stat.rsplit_once(')').context("proc/stat")?.1;
    let ticks = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the length of a tick")?;
    total += Duration::from_secs_f64(ticks as f64 / per_second as f64);
    Ok(total)
}
