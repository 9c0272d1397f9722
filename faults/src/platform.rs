//! What the commands of a run refer to: enterprises, an application, and three webhooks.

use std::{collections::BTreeMap, sync::Mutex};

use anyhow::ensure;
use serde_json::json;

use crate::{
    clock::Stopwatch,
    http::{Answer, Api, Call},
    log::{Evidence, Fault, Line, Subscribed},
    random::Random,
    receiver::{Behaviour, Receiver},
};

/// Enterprises that integrations are spread over.
const ENTERPRISES: usize = 5;
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

/// The platform of a run, with its receivers and the producer's log.
pub struct Platform {
    pub application: String,
    /// Ids and names.
    pub enterprises: Vec<(String, String)>,
    receivers: BTreeMap<&'static str, Receiver>,
    stopwatch: Stopwatch,
    log: Mutex<Evidence>,
}

impl Platform {
    /// Starts the receivers and configures the server.
    pub async fn set_up(api: &Api, random: &Random, stopwatch: Stopwatch) -> anyhow::Result<Self> {
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
            receivers: BTreeMap::new(),
            stopwatch,
            log: Mutex::default(),
        };
        for plan in &PLANS {
            platform.add_webhook(api, plan, random).await?;
        }
        Ok(platform)
    }

    async fn add_webhook(&mut self, api: &Api, plan: &Plan, random: &Random) -> anyhow::Result<()> {
        let receiver =
            Receiver::start(plan.behaviour, random.part(plan.name), self.stopwatch).await?;
        let mut waits_s = vec![1; TRIES];
        waits_s[0] = 0;
        let webhook = json!({
            "Url": format!("http://{}/{}", receiver.address(), plan.name),
            "Actions": plan.actions,
            "Profile": plan.profile,
            "RetrySchedule": waits_s,
            "MaxInFlight": plan.max_in_flight,
            "TimeoutSeconds": 5,
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
        self.receivers.insert(plan.name, receiver);
        Ok(())
    }

    /// Writes a line of the producer's log.
    pub fn note(&self, line: Line) {
        self.log.lock().expect("no holder panics").add(line);
    }

    /// Notes a fault that was made just now.
    pub fn note_fault(&self, kind: &str) {
        self.note(Line::Fault(Fault {
            kind: kind.to_owned(),
            at_us: self.stopwatch.us(),
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
