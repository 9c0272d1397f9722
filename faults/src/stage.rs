//! What every part of the battery needs: servers, receivers, commands that go on, and the evidence at the end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::task::JoinSet;

use crate::{
    checker,
    clock::Stopwatch,
    cluster::Cluster,
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
/// Replicas that share a PostgreSQL.
const REPLICAS: usize = 3;

/// What is under the servers of a stage.
#[derive(Debug, Clone)]
pub enum Ground {
    /// One server, and its SQLite.
    Sqlite,
    /// Three replicas on a PostgreSQL of their own, whose programs are in this folder.
    Postgres(PathBuf),
}

/// How a stage is set.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The server's program.
    pub binary: PathBuf,
    /// What is under the servers.
    pub ground: Ground,
    /// What all random choices come from.
    pub seed: u64,
    /// How many integrations live.
    pub integrations: u64,
    /// How fast commands come.
    pub rhythm: Rhythm,
    /// Further environment of the servers.
    pub environment: Vec<(String, String)>,
    /// Who receives.
    pub receivers: Receivers,
    /// Whether a proxy that does harm stands before each API.
    pub harm_to_api: bool,
    /// Whether one stands between each replica and the database.
    pub harm_to_database: bool,
    /// Where the replicas find their database too, if it is not where it was.
    pub second_database: Option<SocketAddr>,
    /// Whether circuits that are open at the end are resumed by hand, and not waited for.
    pub resumes: bool,
    /// Longest from the last command until everything has arrived.
    pub settle_within: Duration,
}

/// Servers, their receivers, and commands that go on.
pub struct Stage {
    pub servers: Vec<Server>,
    /// The PostgreSQL under replicas.
    pub cluster: Option<Cluster>,
    pub platform: Arc<Platform>,
    /// The way to the API that does no harm.
    pub api: Api,
    /// The proxies before each API, if the setting has them.
    pub before_api: Vec<Proxy>,
    /// Those between each replica and the database.
    pub before_database: Vec<Proxy>,
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
        let cluster = match &setting.ground {
            Ground::Sqlite => None,
            Ground::Postgres(programs) => Some(Cluster::start(programs, folder).await?),
        };
        // They start in a folder of their own, where a relative path leads elsewhere.
        let binary = std::path::absolute(&setting.binary)?;
        let (mut servers, mut before_database) = (Vec::new(), Vec::new());
        for _ in 0..if cluster.is_some() { REPLICAS } else { 1 } {
            let mut environment = setting.environment.clone();
            if let Some(cluster) = &cluster {
                let mut database = cluster.address();
                if setting.harm_to_database {
                    let proxy = Proxy::start(database).await?;
                    database = proxy.address();
                    before_database.push(proxy);
                }
                environment.extend(shared(database, setting));
            }
            servers.push(Server::start(&binary, folder, &key, environment).await?);
        }
        let addresses: Vec<_> = servers.iter().map(Server::address).collect();
        let api = Api::new(addresses, &key);
        let stopwatch = Stopwatch::start();
        let platform = Platform::set_up(&api, &random, stopwatch, &setting.receivers).await?;
        let platform = Arc::new(platform);
        let mut before_api = Vec::new();
        let mut way = api.clone();
        if setting.harm_to_api {
            for server in &servers {
                before_api.push(Proxy::start(server.address()).await?);
            }
            way = Api::new(before_api.iter().map(Proxy::address).collect(), &key);
        }
        let producer = Producer::new(way, platform.clone(), setting.integrations, setting.rhythm);
        let producer = Arc::new(producer);
        let mut workers = JoinSet::new();
        for number in 0..setting.rhythm.workers {
            let producer = producer.clone();
            let random = random.part(&format!("worker {number}"));
            workers.spawn(async move { producer.work(random).await });
        }
        Ok(Self {
            servers,
            cluster,
            platform,
            api,
            before_api,
            before_database,
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
        for server in &mut self.servers {
            server.drain().await?;
        }
        if let Some(cluster) = self.cluster {
            cluster.end().await?;
        }
        Ok(self.platform.evidence())
    }

    /// Which of the servers, by chance.
    pub fn any(&self, random: &mut Random) -> usize {
        random.below(self.servers.len() as u64) as usize
    }

    /// Ends a server in good order while another one begins elsewhere, and then takes its place.
    pub async fn replace(&mut self, place: usize) -> anyhow::Result<()> {
        let leaving = &mut self.servers[place];
        let begins = leaving.successor();
        let (left, successor) = tokio::try_join!(leaving.drain(), begins)?;
        self.api.take_in(successor.address());
        self.api.leave_out(leaving.address());
        *leaving = successor;
        Ok(left)
    }
}

/// What makes a server a replica of this database.
fn shared(database: SocketAddr, setting: &Setting) -> [(String, String); 2] {
    let mut hosts = database.to_string();
    if let Some(second) = setting.second_database {
        hosts = format!("{hosts},{second}");
    }
    let url = format!(
        "postgres://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs=read-write"
    );
    let key = format!("{:064x}", setting.seed);
    [
        ("BELLHOP_DATABASE_URL", url),
        ("BELLHOP_ENCRYPTION_KEY", key),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
