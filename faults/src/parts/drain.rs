//! R10: SIGTERM under load. What is in flight ends and is recorded: no duplicates, no loss, exit code 0.

use std::{path::Path, time::Duration};

use super::setting;
use crate::{
    battery::Options,
    log::Evidence,
    producer::Rhythm,
    stage::{Setting, Stage},
};

/// A life of the server, at least and at most.
const LIFE_MS: (u64, u64) = (300, 2500);

/// 5 times, or 100.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(200, 2000),
        rhythm: Rhythm {
            workers: 8,
            pause_ms: 20,
        },
        ..setting(options)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("drain");
    let (shortest, longest) = LIFE_MS;
    for _ in 0..options.times(5, 100) {
        let life = shortest + random.below(longest - shortest);
        tokio::time::sleep(Duration::from_millis(life)).await;
        let began_us = stage.platform.now_us();
        stage.server.drain().await?;
        // Nothing that it does explains a duplicate: it has time to record.
        stage.platform.note_fault("drain", began_us, false);
        stage.server.restart().await?;
    }
    stage.finish().await
}
