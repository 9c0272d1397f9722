//! What every part of the battery needs: a server, receivers, commands that go on, and the evidence at the end.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::task::JoinSet;

use crate::{
    checker,
    clock::Stopwatch,
    http::Api,
    log::Evidence,
    platform::{Platform, Receivers},
    producer::{Producer, Rhythm},
    proxy::Proxy,
    random::Random,
    server::Server,
};

/// After the last thing that was awaited, what must not come has this long to come.
const LISTEN_ON: Duration = Duration::from_secs(1);
/// Between two looks whether everything has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a stage is set.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The server's program.
    pub binary: PathBuf,
    /// What all random choices come from.
    pub seed: u64,
    /// How many integrations live.
    pub integrations: u64,
    /// How fast commands come.
    pub rhythm: Rhythm,
    /// Further environment of the server.
    pub environment: Vec<(String, String)>,
    /// Who receives.
    pub receivers: Receivers,
    /// Whether one stands before the API.
    pub harm_to_api: bool,
    /// Whether circuits that are open at the end are resumed by hand, and not waited for.
    pub resumes: bool,
    /// Longest from the last command until everything has arrived.
    pub settle_within: Duration,
}

/// A server, its receivers, and commands that go on.
pub struct Stage {
    pub server: Server,
    pub platform: Arc<Platform>,
    /// The way to the API that does no harm.
    pub api: Api,
    /// The proxy before the API, if the setting has one.
    pub before_api: Option<Proxy>,
    pub random: Random,
    producer: Arc<Producer>,
    workers: JoinSet<anyhow::Result<()>>,
    resumes: bool,
    settle_within: Duration,
}

impl Stage {
    /// Starts everything. Files are in the folder.
    pub async fn set(setting: &Setting, folder: &Path) -> anyhow::Result<Self> {
        let random = Random::new(setting.seed);
        let key = format!("faults-{:016x}{:016x}", setting.seed, !setting.seed);
        let environment = setting.environment.clone();
        // It starts in a folder of its own, where a relative path leads elsewhere.
        let binary = std::path::absolute(&setting.binary)?;
        let server = Server::start(&binary, folder, &key, environment).await?;
        let api = Api::new(server.address(), &key);
        let stopwatch = Stopwatch::start();
        let platform = Platform::set_up(&api, &random, stopwatch, &setting.receivers).await?;
        let platform = Arc::new(platform);
        let before_api = if setting.harm_to_api {
            Some(Proxy::start(server.address()).await?)
        } else {
            None
        };
        let way = before_api
            .as_ref()
            .map_or_else(|| api.clone(), |proxy| Api::new(proxy.address(), &key));
        let producer = Producer::new(way, platform.clone(), setting.integrations, setting.rhythm);
        let producer = Arc::new(producer);
        let mut workers = JoinSet::new();
        for number in 0..setting.rhythm.workers {
            let producer = producer.clone();
            let random = random.part(&format!("worker {number}"));
            workers.spawn(async move { producer.work(random).await });
        }
        Ok(Self {
            server,
            platform,
            api,
            before_api,
            random,
            producer,
            workers,
            resumes: setting.resumes,
            settle_within: setting.settle_within,
        })
    }

    /// How many messages were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.platform.acknowledged()
    }

    /// Ends the commands, once every integration exists.
    pub async fn end_commands(&mut self) -> anyhow::Result<()> {
        self.producer.end();
        while let Some(worker) = self.workers.join_next().await {
            worker??;
        }
        Ok(())
    }

    /// Ends the commands, waits until everything has arrived and then a little for what should not, and ends the
    /// server. What was written down is the evidence.
    pub async fn finish(mut self) -> anyhow::Result<Evidence> {
        self.end_commands().await?;
        let began = Instant::now();
        loop {
            let looked = Instant::now();
            let missing = checker::missing(&self.platform.evidence());
            if missing.is_empty() {
                break;
            }
            if began.elapsed() > self.settle_within {
                // The judge tells what is lost; this is for who looks on.
                eprintln!("{} messages have not arrived", missing.len());
                break;
            }
            if self.resumes {
                self.platform.resume_open(&self.api).await?;
            }
            // A look at a long log takes longer.
            tokio::time::sleep(LOOK_EVERY.max(looked.elapsed() * 5)).await;
        }
        tokio::time::sleep(LISTEN_ON).await;
        if self.acknowledged() == 0 {
            bail!("no command was acknowledged: this run shows nothing");
        }
        self.server.drain().await?;
        Ok(self.platform.evidence())
    }
}
