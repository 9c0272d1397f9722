//! One life of the process: the store opened, the lifecycle and the dispatcher upon it.

use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use bellhop::{
    clock::SharedClock,
    delivery::{
        DeliveryObserver,
        attempt::Attempts,
        dispatcher::{Dispatcher, Parts},
        egress::EgressPolicy,
        prepared::Directory,
        sender::{Sender, SenderOptions},
    },
    domain::cause::Cause,
    feed::Feed,
    lifecycle::Lifecycle,
    store::sqlite::{SqliteOptions, SqliteStore, StoreObserver},
    vault::Vault,
};
use tokio::task::JoinHandle;

use crate::{
    clock::SimulatedClock, network::Network, plant::Plant, random::Seeded, receiver::Receiver,
    store::BrokenStore, weather::Weather,
};

/// What every life of the process shares.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub database: PathBuf,
    pub clock: Arc<SimulatedClock>,
    pub random: Seeded,
    pub receivers: BTreeMap<SocketAddr, Arc<Receiver>>,
    pub weather: Arc<Weather>,
    pub max_in_flight: usize,
    pub plant: Option<Plant>,
}

/// A process that runs.
#[derive(Debug)]
pub struct Process {
    pub lifecycle: Arc<Lifecycle>,
    store: Arc<BrokenStore>,
    alive: Arc<AtomicBool>,
    dispatching: JoinHandle<()>,
}

#[derive(Debug)]
struct NobodyCounts;

impl Process {
    /// Starts on what is in the database.
    pub fn start(of: &Surroundings) -> anyhow::Result<Self> {
        let alive = Arc::new(AtomicBool::new(true));
        let store = Arc::new(BrokenStore::new(
            open(&of.database, of)?,
            alive.clone(),
            of.weather.clone(),
            of.plant,
        ));
        let feed = Arc::new(Feed::default());
        let clock: SharedClock = of.clock.clone();
        let random = Arc::new(of.random.clone());
        let allowed = "10.0.0.0/8".parse().context("a network")?;
        let policy = Arc::new(EgressPolicy::allowing([allowed]));
        let network = Network {
            receivers: of.receivers.clone(),
            random: of.random.clone(),
            alive: alive.clone(),
        };
        let sender = Sender::new(SenderOptions {
            dial: Arc::new(network),
            ..SenderOptions::new(policy.clone())
        });
        let dispatcher = Dispatcher::new(Arc::new(Parts {
            store: store.clone(),
            feed: feed.clone(),
            attempts: Attempts {
                sender,
                clock: clock.clone(),
                random: random.clone(),
                retired: Arc::default(),
            },
            directory: Directory::new(store.clone(), policy),
            observer: Arc::new(NobodyCounts),
            max_in_flight: of.max_in_flight,
            max_in_flight_per_host: of.max_in_flight,
        }));
        let overlap = Duration::from_hours(24);
        let lifecycle = Lifecycle::new(store.clone(), feed, clock, random, overlap);
        Ok(Self {
            lifecycle: Arc::new(lifecycle),
            store,
            alive,
            // It is never asked to stop: it dies.
            dispatching: tokio::spawn(dispatcher.run(pending(), Duration::ZERO)),
        })
    }

    /// Dies. Whatever of it is still under way writes nothing, sends nothing and learns nothing more.
    pub fn kill(&self) {
        self.alive.store(false, Relaxed);
        self.dispatching.abort();
        self.store.let_go();
    }
}

fn open(database: &Path, of: &Surroundings) -> anyhow::Result<SqliteStore> {
    let vault = Vault::new(&[[7; 32]]).context("a vault")?;
    Ok(SqliteStore::open(SqliteOptions {
        path: database.to_owned(),
        vault: Arc::new(vault),
        random: Arc::new(of.random.clone()),
        destinations: Vec::new(),
        observer: Arc::new(NobodyCounts),
    })?)
}

impl DeliveryObserver for NobodyCounts {
    fn attempted(&self, _: Option<Cause>, _: Duration) {}
    fn first_attempt(&self, _: Duration) {}
}

impl StoreObserver for NobodyCounts {
    fn wrote(&self, _: usize, _: Duration) {}
}
