//! R4: the primary is killed, and its synchronous standby takes its place. The replicas know both.

use std::{path::Path, time::Duration};

use anyhow::Context as _;

use super::setting;
use crate::{
    battery::Options,
    log::{Evidence, Parts},
    server::free_port,
    stage::{Ground, Setting, Stage},
};

/// Between two failovers, with a standby that is synchronous.
const LIFE: Duration = Duration::from_secs(2);

/// Once, or 20 times.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Evidence> {
    let mut free = free_port()?;
    let setting = Setting {
        integrations: options.times(150, 1500),
        second_database: Some(free),
        ..setting(options, ground)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    for _ in 0..options.times(1, 20) {
        let primary = stage.cluster.take().context("no cluster")?;
        let standby = primary.standby(free).await?;
        tokio::time::sleep(LIFE).await;
        let began_us = stage.platform.now_us();
        free = primary.address();
        // Before the other is promoted: what is acknowledged by nobody's leave is lost.
        primary.fence().await?;
        standby.promote().await?;
        stage
            .platform
            .note_fault("failover", began_us, Parts::Records);
        stage.cluster = Some(standby);
        tokio::time::sleep(LIFE).await;
    }
    stage.finish().await
}
