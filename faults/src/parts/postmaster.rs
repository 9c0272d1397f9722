//! R3: SIGKILL of PostgreSQL's first process under load, and its restart. Meanwhile commands get a 503 that says when to
//! ask again.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::setting;
use crate::{
    battery::Options,
    http::Call,
    log::{Evidence, Parts},
    stage::{Ground, Setting, Stage},
};

/// Between two kills, at least and at most.
const LIFE_MS: (u64, u64) = (500, 2500);
/// Longest that it stays away beyond what the replicas take to notice.
const AWAY_MS: u64 = 1500;
/// Longest until a replica has noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// 5 times, or 100.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(200, 2000),
        ..setting(options, ground)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("postmaster");
    let (shortest, longest) = LIFE_MS;
    for _ in 0..options.times(5, 100) {
        let life = shortest + random.below(longest - shortest);
        tokio::time::sleep(Duration::from_millis(life)).await;
        let began_us = stage.platform.now_us();
        let cluster = stage.cluster.as_mut().context("no cluster")?;
        cluster.kill().await?;
        refused_by_each(&stage).await?;
        tokio::time::sleep(Duration::from_millis(random.below(AWAY_MS))).await;
        let cluster = stage.cluster.as_mut().context("no cluster")?;
        cluster.restart().await?;
        stage
            .platform
            .note_fault("postmaster", began_us, Parts::Records);
    }
    stage.finish().await
}

/// Every replica refuses commands, and says when to ask again.
pub async fn refused_by_each(stage: &Stage) -> anyhow::Result<()> {
    let path = "/v1/enterprises/00000000-0000-4000-8000-000000000000";
    let call = Call::put(path, json!({"Name": "Hotel"}));
    for server in stage.api.servers() {
        let began = Instant::now();
        loop {
            let answer = stage.api.send_to(server, &call).await?;
            if answer.status == 503 {
                let told = answer.says_when && answer.is_problem();
                ensure!(told, "a 503 that says nothing: {}", answer.json);
                break;
            }
            let is_late = began.elapsed() > NOTICED_WITHIN;
            ensure!(!is_late, "without a database: {}", answer.status);
        }
    }
    Ok(())
}
