//! R1: SIGKILL at random moments, by process id.

use std::{path::Path, time::Duration};

use super::setting;
use crate::{
    battery::Options,
    log::Evidence,
    stage::{Ground, Setting, Stage},
};

/// A life of the server, at least and at most: from ready to killed.
const LIFE_MS: (u64, u64) = (50, 1500);

/// 25 kills, or 500.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(200, 2000),
        ..setting(options, Ground::Sqlite)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("kills");
    let (shortest, longest) = LIFE_MS;
    for _ in 0..options.times(25, 500) {
        let life = shortest + random.below(longest - shortest);
        tokio::time::sleep(Duration::from_millis(life)).await;
        stage.servers[0].kill().await?;
        stage.platform.note_kill("kill");
        stage.servers[0].restart().await?;
    }
    stage.finish().await
}
