//! The whole zoo at once, against the real server: each receiver gets its verdict, its cause and its deadline; the
//! server's memory stays where it is; and a healthy webhook beside them notices nothing.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use zoo::{Authority, Beast, Behaviour, Ends, Expected, Flaw, Receiver, Trap};

use crate::support::server::Server;

/// The time-out of the zoo's webhooks.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How much later than its deadline an attempt may end, on a busy machine.
const LATE: Duration = Duration::from_secs(2);
/// What ends at once ends within this.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The longest that a healthy webhook waits for its message meanwhile. Far less than the zoo's time-out.
const HEALTHY_WITHIN: Duration = Duration::from_millis(1500);
/// The most that the server may grow.
const MOST_GROWTH: u64 = 8 << 20;

/// A beast with a webhook.
struct Visited {
    beast: Beast,
    receiver: Receiver,
    application: String,
    webhook: String,
    token: String,
}

/// The healthy webhook beside the zoo.
struct Healthy {
    receiver: Receiver,
    application: String,
    sent: Vec<(String, Instant)>,
}

struct Visit {
    server: Server,
    healthy: Healthy,
    visited: Vec<Visited>,
    proxy: Trap,
    _folder: tempfile::TempDir,
}

impl Visit {
    async fn begin(beasts: Vec<Beast>) -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let authorities = folder.path().join("authorities.pem");
        fs::write(&authorities, authority.pem()).unwrap();
        let proxy = Trap::set().await.unwrap();
        let proxy_url = format!("http://{}", proxy.address());
        let server = Server::start(&[
            ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8"),
            ("BELLHOP_EGRESS_CA_FILE", authorities.to_str().unwrap()),
            ("HTTP_PROXY", &proxy_url),
            ("http_proxy", &proxy_url),
            ("HTTPS_PROXY", &proxy_url),
            ("ALL_PROXY", &proxy_url),
        ])
        .await;
        let tls = authority.server("127.0.0.1", Flaw::None);
        let receiver = Receiver::start_tls(Behaviour::healthy(), tls)
            .await
            .unwrap();
        let application = server.application("Healthy").await;
        hook(&server, &application, &receiver.url("/hook"), &json!({})).await;
        let healthy = Healthy {
            receiver,
            application,
            sent: Vec::new(),
        };
        let mut visit = Self {
            server,
            healthy,
            visited: Vec::new(),
            proxy,
            _folder: folder,
        };
        // So that what is made once is not counted as growth.
        visit.send_healthy(20).await;
        for beast in beasts {
            visit.configure(beast, &authority).await;
        }
        visit
    }

    async fn configure(&mut self, beast: Beast, authority: &Authority) {
        let receiver = beast.start(authority).await.unwrap();
        let application = self.server.application(&beast.name).await;
        let settings = json!({ "RetrySchedule": [0], "TimeoutSeconds": TIMEOUT.as_secs() });
        let url = beast.url(&receiver, "/hook");
        let made = hook(&self.server, &application, &url, &settings).await;
        self.visited.push(Visited {
            webhook: made["Id"].as_str().unwrap().to_owned(),
            beast,
            receiver,
            application,
            token: String::new(),
        });
    }

    /// Sends so many messages to the healthy webhook, one after the other.
    async fn send_healthy(&mut self, messages: usize) {
        let Healthy {
            application, sent, ..
        } = &mut self.healthy;
        for _ in 0..messages {
            let made = self.server.integration(application, "healthy").await;
            sent.push((made["Id"].as_str().unwrap().to_owned(), Instant::now()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends one message to each beast, and answers with the growth of the server until all of them have ended.
    async fn let_loose(&mut self) -> u64 {
        let before = self.server.resident_bytes();
        for visited in &mut self.visited {
            let made = self
                .server
                .integration(&visited.application, "visitor")
                .await;
            made["AccessToken"]
                .as_str()
                .unwrap()
                .clone_into(&mut visited.token);
        }
        let (began, mut most) = (Instant::now(), before);
        while began.elapsed() < TIMEOUT + LATE {
            self.send_healthy(1).await;
            most = most.max(self.server.resident_bytes());
        }
        most - before
    }

    async fn delivery(&self, visited: &Visited) -> Value {
        let list = format!("/v1/deliveries?WebhookId={}", visited.webhook);
        let list = self.server.get(&list).await;
        let id = list["Items"][0]["Id"].as_str().unwrap();
        self.server.get(&format!("/v1/deliveries/{id}")).await
    }

    /// What is wrong with how one beast was taken.
    async fn judge(&self, visited: &Visited) -> Vec<String> {
        let name = &visited.beast.name;
        let delivery = self.delivery(visited).await;
        let attempts = delivery["Attempts"].as_array().unwrap();
        let [attempt] = &attempts[..] else {
            return vec![format!("{name}: {} attempts: {delivery}", attempts.len())];
        };
        let mut faults = Vec::new();
        let cause = attempt["Cause"].as_str();
        let fits = match visited.beast.expected {
            Expected::Delivered => cause.is_none() && delivery["State"] == "Delivered",
            Expected::Failed(causes) => cause.is_some_and(|cause| causes.contains(&cause)),
        };
        if !fits {
            let expected = visited.beast.expected;
            faults.push(format!("{name}: not {expected:?}: {attempt}"));
        }
        let took = Duration::from_secs_f64(attempt["DurationMs"].as_f64().unwrap() / 1000.0);
        let in_time = match visited.beast.ends {
            Ends::AtOnce => took < AT_ONCE,
            Ends::AtTheDeadline => took >= TIMEOUT && took < TIMEOUT + LATE,
        };
        if !in_time {
            faults.push(format!("{name}: it took {took:?}: {attempt}"));
        }
        let requests = visited.receiver.requests().len();
        if requests > 1 {
            faults.push(format!("{name}: {requests} requests for one attempt"));
        }
        if delivery.to_string().contains(&visited.token) {
            faults.push(format!("{name}: the token is shown: {delivery}"));
        }
        faults
    }

    /// How long the slowest message to the healthy webhook took.
    fn slowest(&self) -> Duration {
        let received = self.healthy.receiver.received();
        let arrived = |id: &str| {
            let message = format!("msg_{}_1", id.replace('-', ""));
            let found = received
                .iter()
                .find(|one| zoo::header(&one.bytes, "webhook-id") == message);
            found
                .unwrap_or_else(|| panic!("{message} did not arrive"))
                .at
        };
        let waits = self
            .healthy
            .sent
            .iter()
            .map(|(id, sent)| arrived(id).saturating_duration_since(*sent));
        waits.max().unwrap()
    }
}

async fn hook(server: &Server, application: &str, url: &str, settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["Url"] = url.into();
    server
        .make(
            &format!("/v1/applications/{application}/webhooks"),
            &settings,
        )
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_zoo_does_no_harm() {
    let mut visit = Visit::begin(zoo::beasts()).await;
    let growth = visit.let_loose().await;

    let mut faults = Vec::new();
    for visited in &visit.visited {
        faults.extend(visit.judge(visited).await);
        if visited.beast.name == "gone" {
            let webhook = visit
                .server
                .get(&format!("/v1/webhooks/{}", visited.webhook))
                .await;
            assert_eq!(webhook["State"], "Disabled", "{webhook}");
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));

    let slowest = visit.slowest();
    let messages = visit.healthy.sent.len();
    println!(
        "{} beasts, growth {} KiB, {messages} healthy messages, the slowest {slowest:?}",
        visit.visited.len(),
        growth / 1024
    );
    assert!(growth < MOST_GROWTH, "the server grew by {growth} bytes");
    assert!(messages > 60, "{messages}");
    assert!(slowest < HEALTHY_WITHIN, "{slowest:?}");
    assert_eq!(
        visit.proxy.caught(),
        0,
        "a proxy of the environment was used"
    );

    // A receiver that repeats what it was sent has left no token in a file or in the log.
    let left = visit.server.left_behind();
    let left = String::from_utf8_lossy(&left);
    for Visited { token, beast, .. } in &visit.visited {
        let found = token.len() < 32 || left.contains(token.as_str());
        assert!(!found, "the token for {} was left behind", beast.name);
    }
}
