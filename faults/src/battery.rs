//! A run: commands all the while, the server killed at random moments, and then the judgement.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use crate::{
    checker,
    clock::{Stopwatch, since_1970},
    http::Api,
    log::Evidence,
    platform::Platform,
    producer::{Producer, WORKERS},
    random::Random,
    report::Verdict,
    server::Server,
};

/// After the last thing that was awaited, what must not come has this long to come.
const LISTEN_ON: Duration = Duration::from_secs(1);
/// Between two looks whether everything has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a run does.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's program.
    pub binary: PathBuf,
    /// What all random choices come from.
    pub seed: u64,
    /// How often the server is killed.
    pub kills: u64,
    /// How many integrations live.
    pub integrations: u64,
    /// A life of the server, at least and at most: from ready to killed.
    pub life_ms: (u64, u64),
    /// Longest from the last command until everything has arrived.
    pub settle_within: Duration,
    /// Where to keep the logs, whatever the verdict; otherwise they are kept if it does not hold.
    pub keep: Option<PathBuf>,
}

impl Options {
    /// The short form: 25 kills in half a minute.
    pub fn short(binary: PathBuf, seed: u64) -> Self {
        Self {
            binary,
            seed,
            kills: 25,
            integrations: 200,
            life_ms: (50, 1500),
            settle_within: Duration::from_mins(1),
            keep: None,
        }
    }
}

/// A seed that has not been used.
pub fn fresh_seed() -> u64 {
    Random::new(since_1970().as_nanos() as u64).next()
}

/// Runs the battery and judges it.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let folder = tempfile::Builder::new()
        .prefix("bellhop-faults-")
        .tempdir()?;
    let evidence = match gather(options, folder.path()).await {
        Ok(evidence) => evidence,
        Err(error) => {
            let kept = folder.keep();
            let seed = options.seed;
            return Err(error.context(format!("seed {seed}, files in {}", kept.display())));
        }
    };
    let mut verdict = checker::judge(&evidence);
    if let Some(keep) = &options.keep {
        evidence.write(keep)?;
    }
    if !verdict.holds() {
        let kept = folder.keep();
        evidence.write(&kept)?;
        verdict.notes.insert(
            0,
            format!("seed {}, logs in {}", options.seed, kept.display()),
        );
    }
    Ok(verdict)
}

async fn gather(options: &Options, folder: &Path) -> anyhow::Result<Evidence> {
    let random = Random::new(options.seed);
    let key = format!("faults-{:016x}{:016x}", options.seed, !options.seed);
    let mut server = Server::start(&options.binary, folder, &key).await?;
    let api = Api::new(server.address(), &key);
    let platform = Platform::set_up(&api, &random, Stopwatch::start()).await?;
    let platform = Arc::new(platform);
    let producer = Producer::new(api, platform.clone(), options.integrations);
    let producer = Arc::new(producer);
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let (producer, random) = (producer.clone(), random.part(&format!("worker {number}")));
        workers.spawn(async move { producer.work(random).await });
    }
    kill_again_and_again(options, &mut server, &platform, random.part("kills"))
        .await
        .with_context(|| format!("the server said:\n{}", server.said()))?;
    producer.end();
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    settle(options, &platform).await?;
    server.end().await?;
    Ok(platform.evidence())
}

async fn kill_again_and_again(
    options: &Options,
    server: &mut Server,
    platform: &Platform,
    mut random: Random,
) -> anyhow::Result<()> {
    let (shortest, longest) = options.life_ms;
    for _ in 0..options.kills {
        let life = shortest + random.below(longest - shortest);
        tokio::time::sleep(Duration::from_millis(life)).await;
        server.kill().await?;
        platform.note_fault("kill");
        server.restart().await?;
    }
    Ok(())
}

/// Waits until everything has arrived, and then a little for what should not.
async fn settle(options: &Options, platform: &Platform) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let missing = checker::missing(&platform.evidence());
        if missing.is_empty() {
            break;
        }
        if began.elapsed() > options.settle_within {
            // The judge tells what is lost; this is for who looks on.
            eprintln!("{} messages have not arrived", missing.len());
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(LISTEN_ON).await;
    if platform.evidence().acknowledged.is_empty() {
        bail!("no command was acknowledged: this run shows nothing");
    }
    Ok(())
}
