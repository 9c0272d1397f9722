//! R9: the connection dies during the answer to a command. The client cannot know what became of it, and asks again
//! with the same Idempotency-Key: each command happens once. Of replicas another one is asked, and every other time it is
//! the connection to the database that dies, while a transaction commits.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::setting;
use crate::{
    battery::Options,
    log::{Evidence, Parts},
    producer::Rhythm,
    proxy::Proxy,
    stage::{Ground, Setting, Stage},
};

/// Longest between two cuts.
const BETWEEN_MS: u64 = 25;
/// A cut that nothing comes to in this time shows that nobody asks.
const CUT_WITHIN: Duration = Duration::from_secs(20);

/// 100 cuts, or 5,000.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Evidence> {
    let setting = Setting {
        integrations: options.times(150, 3000),
        rhythm: Rhythm {
            workers: 8,
            pause_ms: 30,
        },
        harm_to_api: true,
        ..setting(options, ground)
    };
    let setting = Setting {
        harm_to_database: matches!(setting.ground, Ground::Postgres(_)),
        ..setting
    };
    let stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("ambiguous");
    for number in 0..options.times(100, 5000) {
        let place = stage.any(&mut random);
        let (proxy, cut, kind): (_, fn(&Proxy), _) = match stage.before_database.get(place) {
            Some(proxy) if number % 4 == 1 => (proxy, Proxy::cut_commit, "commit cut"),
            Some(proxy) if number % 4 == 3 => (proxy, Proxy::cut_committed, "committed cut"),
            _ => (&stage.before_api[place], Proxy::cut_response, "answer cut"),
        };
        let (began, began_us) = (Instant::now(), stage.platform.now_us());
        let made = proxy.cuts_made();
        cut(proxy);
        while proxy.cuts_made() <= made {
            ensure!(began.elapsed() < CUT_WITHIN, "no answer came to be cut");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stage.platform.note_fault(kind, began_us, Parts::Nothing);
        tokio::time::sleep(Duration::from_millis(random.below(BETWEEN_MS))).await;
    }
    stage.finish().await
}
