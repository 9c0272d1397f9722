//! A replay in bulk and a backfill whose process is killed again and again: each goes on to its end, nothing is lost, the
//! order of each lane is kept, and what is sent twice is no more than what was under way when it was killed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};
use zoo::{Behaviour, Receiver, header};

use crate::support::server::Server;

const INTEGRATIONS: usize = 30;
/// Of each, its creation among them.
const MESSAGES: usize = 20;
const KILLS: usize = 4;
/// Requests to the webhook at a time: so many may be repeated after each kill.
const IN_FLIGHT: usize = 4;
/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server with a history.
struct World {
    server: Server,
    receiver: Receiver,
    application: String,
    integrations: Vec<String>,
    /// How many messages each has.
    messages: HashMap<String, usize>,
}

/// One request as the receiver got it: lane, sequence, previous, whether it is a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrival {
    integration: String,
    sequence: usize,
    previous: usize,
    is_replay: bool,
}

impl World {
    async fn new() -> Self {
        let server = Server::start(&[("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")]).await;
        let receiver = Receiver::start(Behaviour::healthy()).await.unwrap();
        let application = server.application("Sample Key Cards").await;
        Self {
            server,
            receiver,
            application,
            integrations: Vec::new(),
            messages: HashMap::new(),
        }
    }

    async fn webhook(&self) -> String {
        let path = format!("/v1/applications/{}/webhooks", self.application);
        let settings = json!({
            "Url": self.receiver.url("/hook"), "MaxInFlight": IN_FLIGHT,
            // What a kill cuts off is not a failure; nothing else fails.
            "RetrySchedule": [0, 1, 1]
        });
        let made = self.server.make(&path, &settings).await;
        made["Id"].as_str().unwrap().to_owned()
    }

    async fn history(&mut self) {
        for n in 0..INTEGRATIONS {
            let name = format!("Hotel {n}");
            let made = self.server.integration(&self.application, &name).await;
            let id = made["Id"].as_str().unwrap().to_owned();
            self.messages.insert(id.clone(), 1);
            self.integrations.push(id);
        }
        for _ in 1..MESSAGES {
            for n in 0..INTEGRATIONS {
                self.toggle(n).await;
            }
        }
    }

    /// One more message of an integration.
    async fn toggle(&mut self, n: usize) {
        let id = &self.integrations[n];
        let messages = self.messages.get_mut(id).unwrap();
        let command = if *messages % 2 == 1 {
            "disable"
        } else {
            "enable"
        };
        let path = format!("/v1/integrations/{id}/{command}");
        let (status, answer) = self.server.ask(Method::POST, &path, Some(&json!({}))).await;
        assert_eq!(
            (status, &answer["Changed"]),
            (200, &json!(true)),
            "{answer}"
        );
        *messages += 1;
    }

    fn total(&self) -> usize {
        self.messages.values().sum()
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let of = |bytes: Vec<u8>| {
            let number = |name: &str| header(&bytes, name).parse().unwrap();
            let id = header(&bytes, "webhook-id");
            let hex = id.split('_').nth(1).unwrap();
            let known = self
                .integrations
                .iter()
                .find(|id| id.replace('-', "") == hex);
            Arrival {
                integration: known.unwrap().clone(),
                sequence: number("bellhop-sequence"),
                previous: number("bellhop-previous"),
                is_replay: header(&bytes, "bellhop-replay") == "true",
            }
        };
        self.receiver.requests().into_iter().map(of).collect()
    }

    async fn until(&self, arrived: usize) {
        let began = Instant::now();
        while self.receiver.requests().len() < arrived {
            let log = || self.server.log();
            assert!(began.elapsed() < WITHIN, "it does not go on\n{}", log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills the process in the middle of the run, with commands in between, and then lets the run end.
    async fn kill_during(&mut self, run: &Value) -> Value {
        let path = format!("/v1/replays/{}", run["Id"].as_str().unwrap());
        for kill in 0..KILLS {
            self.until(self.receiver.requests().len() + 40).await;
            let shown = self.server.get(&path).await;
            assert_eq!(shown["State"], "Running", "kill {kill}: {shown}");
            self.server.kill_and_restart().await;
            self.toggle(kill).await;
        }
        let began = Instant::now();
        loop {
            let shown = self.server.get(&path).await;
            if shown["State"] == "Completed" {
                return shown;
            }
            assert!(began.elapsed() < WITHIN, "{shown}\n{}", self.server.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What came of each lane, in order of arrival.
fn lanes(arrivals: &[Arrival]) -> HashMap<&str, Vec<&Arrival>> {
    let mut lanes: HashMap<&str, Vec<&Arrival>> = HashMap::new();
    for arrival in arrivals {
        lanes.entry(&arrival.integration).or_default().push(arrival);
    }
    lanes
}

/// The sequences as they came for the first time, and how many came again. What comes again is what came last: whatever
/// was after it had not been sent.
fn firsts(lane: &[&Arrival]) -> (Vec<usize>, usize) {
    let (mut firsts, mut again) = (Vec::new(), 0);
    for arrival in lane {
        if firsts.last() == Some(&arrival.sequence) {
            again += 1;
        } else {
            firsts.push(arrival.sequence);
        }
    }
    (firsts, again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_in_bulk_goes_on_to_its_end() {
    let mut world = World::new().await;
    let webhook = world.webhook().await;
    world.history().await;
    let total = world.total();
    world.until(total).await;
    let filter = json!({ "WebhookId": webhook, "State": "Delivered", "DryRun": true });
    let began = Instant::now();
    let preview = loop {
        // The last records may be on their way.
        let asked = world.server.ask(Method::POST, "/v1/replays", Some(&filter));
        let preview = asked.await.1;
        if preview["Total"] == total {
            break preview;
        }
        assert!(began.elapsed() < WITHIN, "{preview}");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let token = json!({ "Token": preview["Token"] });
    let run = world.server.make("/v1/replays", &token).await;
    let ended = world.kill_during(&run).await;
    assert_eq!(
        (&ended["Total"], &ended["Succeeded"], &ended["Failed"]),
        (&json!(total), &json!(total), &json!(0)),
        "{ended}"
    );
    let after: usize = KILLS;
    world.until(total * 2 + after).await;

    let arrivals = world.arrivals();
    let (replays, first): (Vec<_>, Vec<_>) = arrivals.into_iter().partition(|one| one.is_replay);
    let mut again = 0;
    for (id, lane) in lanes(&replays) {
        let (order, repeated) = firsts(&lane);
        assert_eq!(order, (1..=MESSAGES).collect::<Vec<_>>(), "{id}");
        again += repeated;
    }
    assert!(again <= KILLS * IN_FLIGHT, "{again} replays came again");
    // What happened meanwhile came too, in order.
    let mut again = 0;
    for (id, lane) in lanes(&first) {
        let (order, repeated) = firsts(&lane);
        assert_eq!(order, (1..=world.messages[id]).collect::<Vec<_>>(), "{id}");
        again += repeated;
    }
    assert!(again <= KILLS * IN_FLIGHT, "{again} deliveries came again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_goes_on_to_its_end() {
    let mut world = World::new().await;
    world.history().await;
    let webhook = world.webhook().await;
    let path = format!("/v1/webhooks/{webhook}/backfill");
    let (status, run) = world
        .server
        .ask(Method::POST, &path, Some(&json!({})))
        .await;
    assert_eq!(status, 202, "{run}");
    let ended = world.kill_during(&run).await;
    assert_eq!(ended["Failed"], 0, "{ended}");
    world.until(world.total()).await;

    let arrivals = world.arrivals();
    let lanes = lanes(&arrivals);
    assert_eq!(lanes.len(), INTEGRATIONS);
    let mut again = 0;
    for (id, lane) in lanes {
        let (order, repeated) = firsts(&lane);
        assert_eq!(order, (1..=world.messages[id]).collect::<Vec<_>>(), "{id}");
        assert!(
            lane.iter().all(|one| one.previous == one.sequence - 1),
            "{id}"
        );
        again += repeated;
    }
    assert!(again <= KILLS * IN_FLIGHT, "{again} deliveries came again");
}
