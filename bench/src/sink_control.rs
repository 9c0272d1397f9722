//! The sink as the bench sees it: starts it and asks it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::connection::Connection;
use crate::measure::CpuMeter;
use crate::process::Guarded;
use crate::sink::{Arrival, Statistics};

/// When nothing at all has arrived for so long, nothing will.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// A running sink.
pub struct SinkControl {
    process: Guarded,
    address: SocketAddr,
}

impl SinkControl {
    pub fn start() -> anyhow::Result<Self> {
        let (process, address) = Guarded::start_own("sink")?;
        Ok(Self { process, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Measures the CPU time that it spends from now on.
    pub fn cpu(&self) -> anyhow::Result<CpuMeter> {
        CpuMeter::start(self.process.id())
    }

    pub async fn reset(&self) -> anyhow::Result<()> {
        self.ask("reset").await.map(drop)
    }

    pub async fn statistics(&self) -> anyhow::Result<Statistics> {
        Ok(serde_json::from_slice(&self.ask("statistics").await?)?)
    }

    /// When each message arrived.
    pub async fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let bytes = self.ask("arrivals").await?;
        let (arrivals, rest) = bytes.as_chunks();
        ensure!(rest.is_empty(), "the sink tells whole arrivals");
        Ok(arrivals.iter().map(Arrival::decode).collect())
    }

    /// Waits until so many messages have arrived, as long as there is any progress.
    pub async fn wait_for(&self, count: u64) -> anyhow::Result<Statistics> {
        let question = format!("wait/{count}");
        let mut before = 0;
        loop {
            let waited = tokio::time::timeout(STALL_LIMIT, self.ask(&question)).await;
            if let Ok(answer) = waited {
                return Ok(serde_json::from_slice(&answer?)?);
            }
            let now = self.statistics().await?.messages;
            if now == before {
                bail!("only {now} of {count} messages arrived, and none since {STALL_LIMIT:?}");
            }
            before = now;
        }
    }

    async fn ask(&self, question: &str) -> anyhow::Result<bytes::Bytes> {
        // A connection of its own each time: a question that was given up on leaves its own behind.
        let mut connection = Connection::open(self.address).await?;
        connection.get(&format!("/control/{question}")).await
    }
}

/// Fails when the sink saw anything that may never happen.
pub fn judge(statistics: &Statistics) -> anyhow::Result<()> {
    ensure!(
        statistics.out_of_order == 0,
        "{} messages arrived out of order",
        statistics.out_of_order
    );
    ensure!(
        statistics.wrong_signatures == 0,
        "{} of {} signatures were wrong",
        statistics.wrong_signatures,
        statistics.verified
    );
    ensure!(
        statistics.malformed == 0,
        "{} requests were no messages",
        statistics.malformed
    );
    ensure!(statistics.verified > 0, "no signature was checked");
    Ok(())
}
