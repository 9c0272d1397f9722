//! R7: the server's clock is set forward and back, while it runs and across a restart, by libfaketime.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::setting;
use crate::{
    battery::{Options, Outcome},
    log::{ClockSet, Line, Parts},
    stage::{Ground, Setting, Stage},
};

/// Where Debian's package and others put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
];
/// How far the clock is set from ours, in turn, in seconds. Each step is a jump.
const OFFSETS_S: [i64; 5] = [3600, -3600, 86_400, 0, -86_400];
/// After a jump the server goes on for so long.
const GOES_ON: Duration = Duration::from_millis(2500);

/// 10 jumps, or 100; every other one while the server is down.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Outcome> {
    let Some(library) = LIBRARIES.iter().find(|path| Path::new(path).exists()) else {
        let why = "libfaketime is missing; get it: apt-get install faketime";
        return Ok(Outcome::Skipped(why.into()));
    };
    let offset = folder.join("clock");
    set_clock(&offset, 0)?;
    let environment = [
        ("LD_PRELOAD", (*library).to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        // It looks into the file again after a second. Waits are on the monotonic clock, which no jump touches.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let setting = Setting {
        integrations: options.times(150, 1000),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..setting(options, Ground::Sqlite)
    };
    let mut stage = Stage::set(&setting, folder).await?;
    for number in 0..options.times(10, 100) as usize {
        tokio::time::sleep(GOES_ON).await;
        let offset_s = OFFSETS_S[number % OFFSETS_S.len()];
        let began_us = stage.platform.now_us();
        let is_restarted = number % 2 == 1;
        if is_restarted {
            stage.servers[0].drain().await?;
        }
        set_clock(&offset, offset_s)?;
        stage.platform.note(Line::ClockSet(ClockSet {
            at_us: stage.platform.now_us(),
            offset_s,
        }));
        if is_restarted {
            stage.servers[0].restart().await?;
        }
        stage.platform.note_fault("clock", began_us, Parts::Nothing);
    }
    Ok(Outcome::Ran(Box::new(stage.finish().await?)))
}

/// Tells libfaketime how far the clock is from ours. Whole or not at all: it reads when it likes.
fn set_clock(file: &Path, offset_s: i64) -> anyhow::Result<()> {
    let draft: PathBuf = file.with_extension("draft");
    fs::write(&draft, format!("{offset_s:+}\n"))?;
    fs::rename(draft, file)?;
    Ok(())
}
