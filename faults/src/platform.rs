//! What the commands of a run refer to: enterprises, an application, and three webhooks.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;

use crate::{
    clock::Stopwatch,
    http::{Answer, Api, Call},
    log::{Evidence, Fault, Line, Parts, Subscribed},
    proxy::Proxy,
    random::Random,
    receiver::{Behaviour, Receiver},
};

/// Enterprises that integrations are spread over.
const ENTERPRISES: usize = 5;
/// A circuit is resumed by hand when it has been open for so long: whatever was under way has ended by then.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// Tries that a delivery has: so many that a flaky receiver takes it in the end.
const TRIES: usize = 50;
/// The six actions of the default profile.
const ACTIONS: [&str; 6] = [
    "IntegrationCreated",
    "IntegrationEnabled",
    "IntegrationDisabled",
    "IntegrationCanceled",
    "IntegrationReinstated",
    "IntegrationDeleted",
];

/// A webhook of the run.
struct Plan {
    name: &'static str,
    behaviour: Behaviour,
    /// What it asks for; empty means all of its profile.
    actions: &'static [&'static str],
    profile: &'static str,
    max_in_flight: u64,
}

/// All of one application: a steady one that sees everything of profile 2025, a flaky one, and a slow
/// one that filters, so that its lanes have sequences with gaps.
const PLANS: [Plan; 3] = [
    Plan {
        name: "steady",
        behaviour: Behaviour::Steady,
        actions: &[],
        profile: "2025",
        max_in_flight: 32,
    },
    Plan {
        name: "flaky",
        behaviour: Behaviour::Flaky,
        actions: &[],
        profile: "default",
        max_in_flight: 32,
    },
    Plan {
        name: "slow",
        behaviour: Behaviour::Slow,
        actions: &[
            "IntegrationCreated",
            "IntegrationEnabled",
            "IntegrationDisabled",
            "IntegrationDeleted",
        ],
        profile: "default",
        max_in_flight: 16,
    },
];

/// Which receivers a run has, and how patient the server is with them.
#[derive(Debug, Clone)]
pub struct Receivers {
    /// The names of those that are there; empty means all.
    pub only: &'static [&'static str],
    /// Whether a proxy that does harm stands before each.
    pub behind_proxies: bool,
    /// Seconds before each further try.
    pub wait_s: u64,
    /// Seconds that a request may take.
    pub timeout_s: u64,
}

impl Default for Receivers {
    fn default() -> Self {
        Self {
            only: &[],
            behind_proxies: false,
            wait_s: 1,
            timeout_s: 5,
        }
    }
}

impl Receivers {
    fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }
}

/// The platform of a run, with its receivers and the producer's log.
pub struct Platform {
    pub application: String,
    /// Ids and names.
    pub enterprises: Vec<(String, String)>,
    /// Before each receiver, if harm is to be done there: by name.
    pub proxies: BTreeMap<&'static str, Proxy>,
    receivers: BTreeMap<&'static str, Receiver>,
    /// Their ids, by name.
    webhooks: BTreeMap<&'static str, String>,
    /// Since when a circuit is open, as far as it was seen.
    open_since: Mutex<BTreeMap<&'static str, Instant>>,
    stopwatch: Stopwatch,
    log: Mutex<Evidence>,
}

impl Platform {
    /// Starts the receivers and configures the server.
    pub async fn set_up(
        api: &Api,
        random: &Random,
        stopwatch: Stopwatch,
        receivers: &Receivers,
    ) -> anyhow::Result<Self> {
        let mut ids = random.part("ids");
        let mut enterprises = Vec::new();
        for number in 1..=ENTERPRISES {
            let (id, name) = (ids.uuid(), format!("Hotel {number}"));
            let path = format!("/v1/enterprises/{id}");
            succeed(api, &Call::put(&path, json!({"Name": name}))).await?;
            enterprises.push((id, name));
        }
        let named = json!({"Name": "Booking engine"});
        let answer = succeed(api, &Call::post("/v1/applications", named)).await?;
        let application = answer.text("Id")?.to_owned();
        let mut platform = Self {
            application,
            enterprises,
            proxies: BTreeMap::new(),
            receivers: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            open_since: Mutex::default(),
            stopwatch,
            log: Mutex::default(),
        };
        for plan in PLANS.iter().filter(|plan| receivers.has(plan.name)) {
            platform.add_webhook(api, plan, random, receivers).await?;
        }
        Ok(platform)
    }

    async fn add_webhook(
        &mut self,
        api: &Api,
        plan: &Plan,
        random: &Random,
        receivers: &Receivers,
    ) -> anyhow::Result<()> {
        let receiver =
            Receiver::start(plan.behaviour, random.part(plan.name), self.stopwatch).await?;
        let mut address = receiver.address();
        if receivers.behind_proxies {
            let proxy = Proxy::start(address).await?;
            address = proxy.address();
            self.proxies.insert(plan.name, proxy);
        }
        let mut waits_s = vec![receivers.wait_s; TRIES];
        waits_s[0] = 0;
        let webhook = json!({
            "Url": format!("http://{address}/{}", plan.name),
            "Actions": plan.actions,
            "Profile": plan.profile,
            "RetrySchedule": waits_s,
            "MaxInFlight": plan.max_in_flight,
            "TimeoutSeconds": receivers.timeout_s,
        });
        let path = format!("/v1/applications/{}/webhooks", self.application);
        let answer = succeed(api, &Call::post(&path, webhook)).await?;
        let mut actions = plan.actions.to_vec();
        if actions.is_empty() {
            actions.extend(ACTIONS);
            actions.extend((plan.profile == "2025").then_some("IntegrationApiKeyCreated"));
        }
        self.note(Line::Webhook(Subscribed {
            name: plan.name.to_owned(),
            secret: answer.text("Secret")?.to_owned(),
            actions: actions.into_iter().map(str::to_owned).collect(),
            waits_s,
            max_in_flight: plan.max_in_flight,
        }));
        let id = answer.text("Id")?.to_owned();
        self.webhooks.insert(plan.name, id);
        self.receivers.insert(plan.name, receiver);
        Ok(())
    }

    /// Does what a person does who has repaired a receiver: resumes the webhooks whose circuits are open, so that nobody
    /// waits for them. Not one whose receiver asked for a pause: resuming it would end the pause.
    pub async fn resume_open(&self, api: &Api) -> anyhow::Result<()> {
        for (name, id) in &self.webhooks {
            let path = format!("/v1/webhooks/{id}");
            let shown = succeed(api, &Call::get(&path)).await?;
            let is_open = shown.json["Health"]["Circuit"] != "Closed";
            if self.is_open_for_long(name, is_open) && !self.receivers[name].asked_for_a_pause() {
                succeed(api, &Call::post(&format!("{path}/resume"), json!({}))).await?;
            }
        }
        Ok(())
    }

    fn is_open_for_long(&self, name: &'static str, is_open: bool) -> bool {
        let mut open_since = self.open_since.lock().expect("no holder panics");
        if !is_open {
            open_since.remove(name);
            return false;
        }
        let since = open_since.entry(name).or_insert_with(Instant::now);
        since.elapsed() >= OPEN_FOR
    }

    /// Writes a line of the producer's log.
    pub fn note(&self, line: Line) {
        self.log.lock().expect("no holder panics").add(line);
    }

    /// The time of the run.
    pub fn now_us(&self) -> u64 {
        self.stopwatch.us()
    }

    /// No receiver answers, until [`Platform::fail_what_is_held`].
    pub fn hold_answers(&self) {
        for receiver in self.receivers.values() {
            receiver.hold();
        }
    }

    /// Receivers answer 500 to whoever was held, and go on.
    pub fn fail_what_is_held(&self) {
        for receiver in self.receivers.values() {
            receiver.fail();
        }
    }

    /// How many messages were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        let log = self.log.lock().expect("no holder panics");
        log.acknowledged.len() as u64
    }

    /// Notes a kill that was made just now.
    pub fn note_kill(&self, kind: &str) {
        self.note_fault(kind, self.now_us(), Parts::Records);
    }

    /// Notes a fault that began then and is over now.
    pub fn note_fault(&self, kind: &str, began_us: u64, parts: Parts) {
        self.note(Line::Fault(Fault {
            kind: kind.to_owned(),
            at_us: began_us,
            ends_us: self.now_us(),
            parts,
        }));
    }

    /// Both logs as they are now.
    pub fn evidence(&self) -> Evidence {
        let mut evidence = self.log.lock().expect("no holder panics").clone();
        for (name, receiver) in &self.receivers {
            let arrivals = receiver.arrivals();
            evidence.arrivals.insert((*name).to_owned(), arrivals);
        }
        evidence
    }
}

async fn succeed(api: &Api, call: &Call) -> anyhow::Result<Answer> {
    let answer = api.send(call).await?;
    ensure!(
        answer.is_success(),
        "{} {} is answered {}: {}",
        call.method,
        call.path,
        answer.status,
        answer.json
    );
    Ok(answer)
}
