//! R11: a receiver is down for long; everything waits for it, and arrives in order when it comes back.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::setting;
use crate::{
    battery::Options,
    log::{Evidence, Parts},
    platform::Receivers,
    producer::Rhythm,
    stage::{Ground, Setting, Stage},
};

/// Seconds between two tries. The schedule has 50 of them, so that nothing fails for good while the backlog grows.
const WAIT_S: u64 = 5;
/// Longest until the backlog is there.
const GROWN_WITHIN: Duration = Duration::from_mins(3);

/// A backlog of 5,000, or five of 100,000.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let backlog = options.times(5000, 100_000);
    let setting = Setting {
        // So many that those which commands delete leave enough.
        integrations: backlog / 8,
        rhythm: Rhythm {
            workers: 64,
            pause_ms: 0,
        },
        receivers: Receivers {
            only: &["steady"],
            behind_proxies: true,
            wait_s: WAIT_S,
            ..Receivers::default()
        },
        settle_within: options.settle_within.max(Duration::from_mins(5)),
        ..setting(options, Ground::Sqlite)
    };
    let stage = Stage::set(&setting, folder).await?;
    for _ in 0..options.times(1, 5) {
        let wanted = stage.acknowledged() + backlog;
        let (began, began_us) = (Instant::now(), stage.platform.now_us());
        for proxy in stage.platform.proxies.values() {
            proxy.shut();
        }
        while stage.acknowledged() < wanted {
            ensure!(began.elapsed() < GROWN_WITHIN, "the backlog does not grow");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let proxy = stage.platform.proxies.values().next();
        proxy.context("no proxy")?.heal();
        stage
            .platform
            .note_fault("receiver down", began_us, Parts::Answers);
    }
    stage.finish().await
}
