//! R9: the connection dies during the answer to a command. The client cannot know what became of it, and asks again
//! with the same Idempotency-Key: each command happens once.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::setting;
use crate::{
    battery::Options,
    log::Evidence,
    producer::Rhythm,
    stage::{Setting, Stage},
};

/// Longest between two cuts.
const BETWEEN_MS: u64 = 25;
/// A cut that nothing comes to in this time shows that nobody asks.
const CUT_WITHIN: Duration = Duration::from_secs(20);

/// 100 cuts, or 5,000.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(150, 3000),
        rhythm: Rhythm {
            workers: 8,
            pause_ms: 30,
        },
        harm_to_api: true,
        ..setting(options)
    };
    let stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("ambiguous");
    for cut in 0..options.times(100, 5000) {
        let proxy = stage.before_api.as_ref().context("no proxy")?;
        let began_us = stage.platform.now_us();
        let began = Instant::now();
        proxy.cut_response();
        while proxy.cuts_made() <= cut {
            ensure!(began.elapsed() < CUT_WITHIN, "no answer came to be cut");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stage.platform.note_fault("answer cut", began_us, false);
        tokio::time::sleep(Duration::from_millis(random.below(BETWEEN_MS))).await;
    }
    stage.finish().await
}
