//! R5: the network between the server and its receivers: reset, black hole, half-open, slow, cut in the middle. With
//! replicas it is the network between one of them and PostgreSQL.

use std::{path::Path, time::Duration};

use super::setting;
use crate::{
    battery::Options,
    log::{Evidence, Parts},
    platform::Receivers,
    proxy::Proxy,
    stage::{Ground, Setting, Stage},
};

/// What a kind of harm is called, and how it is done.
type Harm = (&'static str, fn(&Proxy));

/// The harm that is done in turn: to the ways to all receivers at once, or to one replica's way to the database.
const HARM: [Harm; 6] = [
    ("reset", Proxy::reset),
    ("black hole", Proxy::black_hole),
    ("half-open", Proxy::half_open),
    ("slow", Proxy::slow),
    ("cut request", Proxy::cut_request),
    ("cut response", Proxy::cut_response),
];
/// How long harm lasts.
const LASTS_MS: u64 = 600;
/// Longest peace between two.
const PEACE_MS: u64 = 900;

/// 20 times, or 500.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Evidence> {
    let of_database = matches!(ground, Ground::Postgres(_));
    let setting = Setting {
        integrations: options.times(150, 1500),
        receivers: Receivers {
            behind_proxies: !of_database,
            ..Receivers::default()
        },
        // Otherwise the harm meets closed doors for most of the time.
        resumes: !of_database,
        harm_to_database: of_database,
        ..setting(options, ground)
    };
    let stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("network");
    for number in 0..options.times(20, 500) as usize {
        let peace = Duration::from_millis(random.below(PEACE_MS));
        tokio::time::sleep(peace).await;
        let (kind, harm) = HARM[number % HARM.len()];
        let began_us = stage.platform.now_us();
        let (ways, parts): (Vec<&Proxy>, _) = if of_database {
            let way = &stage.before_database[stage.any(&mut random)];
            (vec![way], Parts::Records)
        } else {
            (stage.platform.proxies.values().collect(), Parts::Answers)
        };
        for way in &ways {
            harm(way);
        }
        tokio::time::sleep(Duration::from_millis(LASTS_MS)).await;
        for way in &ways {
            way.heal();
        }
        stage.platform.note_fault(kind, began_us, parts);
        if setting.resumes {
            stage.platform.resume_open(&stage.api).await?;
        }
    }
    stage.finish().await
}
