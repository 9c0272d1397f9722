//! One seed: a platform is set up, lives through trouble, gets well, and is judged.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use bellhop::{
    domain::{
        retry::RetrySchedule,
        secret_text::SecretText,
        webhook::{ActionFilter, WebhookState},
    },
    id::WebhookId,
    store::{NewWebhook, WebhookPatch, Write},
};
use bellhop_webhook::{Action, Profile};
use faults::{
    checker,
    log::{ClockSet, Evidence, Subscribed},
    report::Verdict,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    clock::SimulatedClock,
    operator::Platform,
    plant::Plant,
    process::{Process, Surroundings},
    random::Seeded,
    receiver::{Receiver, Temper},
    trouble::{Trouble, Victims},
    weather::Weather,
};

/// How long trouble lasts.
const TROUBLE: Duration = Duration::from_secs(90);
/// When all is well again, everything must have arrived within this.
const SETTLE_WITHIN: Duration = Duration::from_mins(30);
/// The same with a planted bug, of which some send the same again and again until then.
const PLANTED_SETTLES_WITHIN: Duration = Duration::from_mins(2);
/// The longest pause between two looks whether it has.
const LOOK_EVERY_AT_MOST: Duration = Duration::from_mins(1);
/// After the last arrival that is waited for, what must not come has this long to come.
const LISTEN_ON: Duration = Duration::from_secs(20);
/// Waits before the tries of a delivery, in seconds. So many of them that no schedule is used up by trouble.
const WAITS_S: [&[u32]; 3] = [&[0, 1, 2, 5, 10], &[0, 5, 20], &[3, 1, 1, 1, 30]];
const MOST_TRIES: usize = 50;

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// The judgement.
    pub verdict: Verdict,
    /// What was acknowledged, and what arrived.
    pub evidence: Evidence,
    /// A number of all that arrived, when, and what was answered: the same for the same seed.
    pub trace: u64,
}

/// A webhook of the world.
struct Configured {
    id: WebhookId,
    subscribed: Subscribed,
    receiver: Arc<Receiver>,
}

/// Runs a seed.
pub fn run(seed: u64) -> anyhow::Result<Outcome> {
    start(seed, None)
}

/// Runs a seed with a bug.
pub fn run_planted(seed: u64, plant: Plant) -> anyhow::Result<Outcome> {
    start(seed, Some(plant))
}

fn start(seed: u64, plant: Option<Plant>) -> anyhow::Result<Outcome> {
    let folder = folder()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let database = folder.path().join("bellhop.db");
    runtime
        .block_on(World::live(seed, &database, plant))
        .with_context(|| format!("seed {seed}"))
}

/// In memory, where the machine has such a place: nothing here is to survive the machine.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("bellhop-simulation-");
        builder
    };
    builder()
        .tempdir_in(memory)
        .or_else(|_| builder().tempdir())
}

struct World {
    random: Seeded,
    of: Surroundings,
    process: Process,
    platform: Arc<Platform>,
    webhooks: Vec<Configured>,
}

impl World {
    async fn live(seed: u64, database: &Path, plant: Option<Plant>) -> anyhow::Result<Outcome> {
        let mut world = Self::set_up(seed, database, plant).await?;
        let mut lives = JoinSet::new();
        for number in 0..world.random.within(2, 6) {
            let platform = world.platform.clone();
            let random = Seeded::part(seed, &format!("life {number}"));
            let commands = random.within(2, 16);
            lives.spawn(async move { platform.live(random, number, commands).await });
        }
        world.of.weather.set_calm(false);
        world.suffer().await?;
        world.get_well().await?;
        while let Some(life) = lives.join_next().await {
            life??;
        }
        world.settle().await;
        let evidence = world.evidence();
        if evidence.acknowledged.is_empty() {
            bail!("no command was acknowledged: this run shows nothing");
        }
        world.process.kill();
        Ok(Outcome {
            seed,
            verdict: checker::judge(&evidence),
            trace: trace(&evidence),
            evidence,
        })
    }

    async fn set_up(seed: u64, database: &Path, plant: Option<Plant>) -> anyhow::Result<Self> {
        let random = Seeded::part(seed, "world");
        let clock = Arc::new(SimulatedClock::new());
        let mut receivers = BTreeMap::new();
        for number in 0..random.within(1, 4) as u8 {
            let own = Seeded::part(seed, &format!("receiver {number}"));
            let receiver = Receiver::new(Temper::choose(&own), own, clock.clone());
            let address = SocketAddr::from(([10, 0, 1, number], 8080));
            receivers.insert(address, Arc::new(receiver));
        }
        let of = Surroundings {
            database: database.to_owned(),
            weather: Arc::new(Weather::new(Seeded::part(seed, "weather"), clock.clone())),
            random: Seeded::part(seed, "server"),
            max_in_flight: random.within(2, 32) as usize,
            clock,
            receivers,
            plant,
        };
        let process = Process::start(&of)?;
        let platform = Arc::new(Platform::set_up(process.lifecycle.clone()).await?);
        let mut world = Self {
            random,
            of,
            process,
            platform,
            webhooks: Vec::new(),
        };
        for (address, receiver) in world.of.receivers.clone() {
            let configured = world.configure(address, receiver).await?;
            world.webhooks.push(configured);
        }
        Ok(world)
    }

    async fn configure(
        &self,
        address: SocketAddr,
        receiver: Arc<Receiver>,
    ) -> anyhow::Result<Configured> {
        let random = &self.random;
        let lifecycle = self.platform.lifecycle();
        let profile = *random.one_of(&[Profile::Default, Profile::V2025]);
        let mut actions: Vec<Action> = Action::ALL.into_iter().collect();
        actions.retain(|action| action.in_profile(profile));
        if random.per_mille(300) {
            actions.retain(|_| random.per_mille(600));
        }
        let mut waits = random.one_of(&WAITS_S).to_vec();
        let last = waits.last().copied().unwrap_or(1);
        waits.resize(MOST_TRIES, last);
        let max_in_flight = random.within(1, 8) as u32;
        let (id, secret) = (lifecycle.id(), lifecycle.secret());
        let settings = WebhookPatch {
            url: Some(SecretText::new(format!("http://{address}/hook"))),
            actions: Some(ActionFilter::of(&actions)),
            profile: Some(profile),
            timeout_ms: Some(random.within(1, 15) as u32 * 1000),
            retry_schedule: Some(RetrySchedule::try_new(waits.clone())?),
            max_in_flight: Some(max_in_flight),
            rate_limit: random
                .per_mille(200)
                .then(|| Some(random.within(2, 20) as u32)),
            ..WebhookPatch::default()
        };
        let new = NewWebhook {
            id,
            application_id: self.platform.application_id,
            secret: secret.clone(),
            settings,
        };
        self.platform
            .must(Write::CreateWebhook(Box::new(new)))
            .await?;
        // An empty filter means all that the profile has.
        if actions.is_empty() {
            actions = Action::ALL
                .into_iter()
                .filter(|action| action.in_profile(profile))
                .collect();
        }
        let subscribed = Subscribed {
            name: address.to_string(),
            secret: secret.expose().to_owned(),
            actions: actions
                .iter()
                .map(|action| action.as_str().to_owned())
                .collect(),
            waits_s: waits.into_iter().map(u64::from).collect(),
            max_in_flight: max_in_flight.into(),
        };
        Ok(Configured {
            id,
            subscribed,
            receiver,
        })
    }

    /// Trouble of all kinds, while commands go on.
    async fn suffer(&mut self) -> anyhow::Result<()> {
        let ends = Instant::now() + TROUBLE;
        while Instant::now() < ends {
            let pause = Duration::from_millis(self.random.within(100, 12_000));
            let weather = self.of.weather.clone();
            let has_died = tokio::time::timeout(pause, weather.died()).await.is_ok();
            if has_died {
                self.restart().await?;
                continue;
            }
            let trouble = Trouble::choose(&self.random);
            self.victims().suffer(trouble);
            if matches!(trouble, Trouble::Death) {
                self.restart().await?;
            }
        }
        Ok(())
    }

    fn victims(&self) -> Victims<'_> {
        Victims {
            webhooks: self
                .webhooks
                .iter()
                .map(|each| (each.id, each.receiver.clone()))
                .collect(),
            platform: &self.platform,
            clock: &self.of.clock,
            weather: &self.of.weather,
            random: self.random.clone(),
        }
    }

    /// The process dies, and comes back.
    async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        for Configured { receiver, .. } in &self.webhooks {
            receiver.lose();
        }
        self.of.weather.note("death");
        tokio::time::sleep(Duration::from_millis(self.random.within(0, 4_000))).await;
        self.process = Process::start(&self.of)?;
        self.platform.restarted(self.process.lifecycle.clone());
        Ok(())
    }

    /// Nothing goes wrong any more, and whatever is held is let go.
    async fn get_well(&mut self) -> anyhow::Result<()> {
        let weather = self.of.weather.clone();
        weather.set_calm(true);
        // A death that was decided but not yet seen.
        if tokio::time::timeout(Duration::from_millis(10), weather.died())
            .await
            .is_ok()
        {
            self.restart().await?;
        }
        for Configured { receiver, .. } in &self.webhooks {
            receiver.get_well();
        }
        // Pauses that were asked for in bad weather are still on their way.
        tokio::time::sleep(Duration::from_secs(31)).await;
        for Configured { receiver, .. } in &self.webhooks {
            receiver.get_well();
        }
        for Configured { id, receiver, .. } in &self.webhooks {
            self.platform
                .set_state(*id, receiver, WebhookState::Enabled)
                .await;
        }
        Ok(())
    }

    /// Waits until everything has arrived, and then a little for what should not.
    async fn settle(&self) {
        let began = Instant::now();
        let mut pause = Duration::from_secs(2);
        let within = match self.of.plant {
            None => SETTLE_WITHIN,
            Some(_) => PLANTED_SETTLES_WITHIN,
        };
        while began.elapsed() < within && !checker::missing(&self.evidence()).is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_EVERY_AT_MOST);
        }
        tokio::time::sleep(LISTEN_ON).await;
    }

    fn evidence(&self) -> Evidence {
        let webhooks = self.webhooks.iter();
        let arrivals = webhooks
            .clone()
            .map(|each| (each.subscribed.name.clone(), each.receiver.arrivals()));
        Evidence {
            arrivals: arrivals.collect(),
            webhooks: webhooks.map(|each| each.subscribed.clone()).collect(),
            acknowledged: self.platform.acknowledged(),
            faults: self.of.weather.faults(),
            // The times in the logs have the jumps in them already; this says that there were some.
            clock: if self.of.clock.has_jumped() {
                vec![ClockSet {
                    at_us: 0,
                    offset_s: 0,
                }]
            } else {
                Vec::new()
            },
            ..Evidence::default()
        }
    }
}

fn trace(evidence: &Evidence) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, arrivals) in &evidence.arrivals {
        name.hash(&mut hasher);
        for arrival in arrivals {
            let seen = (
                arrival.at_us,
                arrival.unix_s,
                &arrival.body,
                &arrival.headers,
            );
            seen.hash(&mut hasher);
            let answered = arrival.answered;
            answered
                .map(|answered| (answered.at_us, answered.status))
                .hash(&mut hasher);
        }
    }
    hasher.finish()
}
