//! R10: SIGTERM under load. What is in flight ends and is recorded: no duplicates, no loss, exit code 0. Replicas are
//! replaced in turn: another one begins while one ends.

use std::{path::Path, time::Duration};

use super::setting;
use crate::{
    battery::Options,
    log::{Evidence, Parts},
    producer::Rhythm,
    stage::{Ground, Setting, Stage},
};

/// A life of the server, at least and at most.
const LIFE_MS: (u64, u64) = (300, 2500);

/// 5 times, or 100.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(200, 2000),
        rhythm: Rhythm {
            workers: 8,
            pause_ms: 20,
        },
        ..setting(options, ground)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("drain");
    let (shortest, longest) = LIFE_MS;
    for number in 0..options.times(5, 100) as usize {
        let life = shortest + random.below(longest - shortest);
        tokio::time::sleep(Duration::from_millis(life)).await;
        let began_us = stage.platform.now_us();
        if stage.servers.len() > 1 {
            stage.replace(number % stage.servers.len()).await?;
        } else {
            stage.servers[0].drain().await?;
            stage.servers[0].restart().await?;
        }
        // Nothing that it does explains a duplicate: it has time to record.
        stage.platform.note_fault("drain", began_us, Parts::Nothing);
    }
    stage.finish().await
}
