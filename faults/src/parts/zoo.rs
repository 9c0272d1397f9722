//! R6: hostile receivers beside healthy ones. They get every message that the healthy ones get, and harm nobody.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use serde_json::json;
use zoo::Authority;

use super::setting;
use crate::{
    battery::Options,
    http::Call,
    log::{Evidence, Line, Parts, Stretch},
    platform::Receivers,
    stage::{Ground, Setting, Stage},
};

/// How long commands go on before there are hostile receivers, and then beside them.
const ALONE: Duration = Duration::from_secs(8);
const BESIDE: Duration = Duration::from_secs(12);
/// The first commands find nothing open yet.
const WARMS_UP: Duration = Duration::from_secs(2);

/// Once, or 10 times as long.
pub async fn run(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: 60,
        // The flaky one is healthy as a receiver, but not when one measures how soon it has a message.
        receivers: Receivers {
            only: &["steady", "slow"],
            ..Receivers::default()
        },
        ..setting(options, Ground::Sqlite)
    };
    let stage = Stage::set(&setting, folder).await?;
    tokio::time::sleep(WARMS_UP).await;
    let times = u32::try_from(options.times(1, 10))?;
    stretch(&stage, false, ALONE * times).await;
    let authority = Authority::new();
    let mut beasts = Vec::new();
    let began_us = stage.platform.now_us();
    for beast in zoo::beasts() {
        let receiver = beast.start(&authority).await?;
        let webhook = json!({"Url": beast.url(&receiver, "/hook"), "TimeoutSeconds": 5});
        let path = format!("/v1/applications/{}/webhooks", stage.platform.application);
        let answer = stage.api.send(&Call::post(&path, webhook)).await?;
        ensure!(
            answer.is_success(),
            "a webhook for {} is answered {}: {}",
            beast.name,
            answer.status,
            answer.json
        );
        beasts.push(receiver);
    }
    stretch(&stage, true, BESIDE * times).await;
    stage.platform.note_fault("zoo", began_us, Parts::Nothing);
    let visited = beasts.iter().filter(|beast| beast.connections() > 0);
    let visited = visited.count();
    // Some are only there to refuse; but most must have been met, or this shows nothing.
    ensure!(
        visited * 10 >= beasts.len() * 9,
        "only {visited} of {} hostile receivers were sent anything",
        beasts.len()
    );
    let evidence = stage.finish().await?;
    drop(beasts);
    Ok(evidence)
}

async fn stretch(stage: &Stage, with_sick: bool, lasts: Duration) {
    let from_us = stage.platform.now_us();
    tokio::time::sleep(lasts).await;
    stage.platform.note(Line::Stretch(Stretch {
        with_sick,
        from_us,
        until_us: stage.platform.now_us(),
    }));
}
