//! A platform that does everything once, and writes down all that it is shown but what belongs to it.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::{
    canaries::{Canaries, Seen},
    credentials::{self, Certified},
    echo::Echo,
    mistakes::make_mistakes,
    visits::visit_everything,
};
use crate::support::server::Server;

/// Ways in which a receiver sends back what it got, and one that does not.
const WAYS: [&str; 8] = [
    "/ok", "/echo", "/fail", "/json", "/html", "/header", "/away", "/cut",
];
const APPLICATIONS: usize = 4;
const INTEGRATIONS: usize = 120;
/// Webhooks of an application that has no integrations, and API keys.
const IDLE_WEBHOOKS: usize = 60;
const KEYS: usize = 100;
/// Commands at a time.
const AT_ONCE: usize = 16;
/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_mins(2);
/// Members that show a secret to whom it belongs.
const SHOWN_ONCE: [&str; 3] = ["Secret", "AccessToken", "Key"];

/// A server with a life behind it.
pub struct Platform {
    pub server: Server,
    echo: Echo,
    applications: Vec<String>,
    webhooks: Vec<String>,
    /// So many of them, from the first, have something to be sent.
    busy: usize,
    integrations: Vec<String>,
}

/// An answer to a command, without what it shows to whom it belongs.
struct Answer {
    id: String,
    secret: Option<String>,
    rest: String,
}

impl Platform {
    /// Lives through everything.
    pub async fn live(
        server: Server,
        echo: Echo,
        certified: &Certified,
        canaries: &mut Canaries,
        seen: &mut Seen,
    ) -> Self {
        let mut platform = Self {
            server,
            echo,
            applications: Vec::new(),
            webhooks: Vec::new(),
            busy: WAYS.len(),
            integrations: Vec::new(),
        };
        platform.connect(canaries, seen).await;
        platform.prove(certified, canaries, seen).await;
        platform.create(canaries, seen).await;
        platform.command(canaries, seen).await;
        platform.try_and_rotate(canaries, seen).await;
        platform.settle().await;
        platform.send_again(seen).await;
        platform.settle().await;
        for token in platform.echo.issued() {
            canaries.add("token of a token endpoint", token);
        }
        assert!(certified.was_visited(), "nobody has shown a certificate");
        let (application, webhook) = (&platform.applications[0], &platform.webhooks[0]);
        make_mistakes(&platform.server, application, webhook, canaries, seen).await;
        visit_everything(&platform.server, application, canaries, seen).await;
        platform.read_everything(seen).await;
        platform.run_commands(seen);
        platform
    }

    /// SIGTERM. Whether it was content.
    pub async fn end(self) -> bool {
        self.server.end().await
    }

    /// Applications with webhooks that each have a secret, a header and a query of their own; and keys.
    async fn connect(&mut self, canaries: &mut Canaries, seen: &mut Seen) {
        for n in 0..APPLICATIONS {
            let name = format!("Application {n}");
            self.applications.push(self.server.application(&name).await);
        }
        let idle = self.server.application("Without integrations").await;
        let of_ways =
            (0..WAYS.len()).map(|n| (self.applications[n % APPLICATIONS].clone(), WAYS[n]));
        let idle = std::iter::repeat_n((idle, "/ok"), IDLE_WEBHOOKS);
        for (application, way) in of_ways.chain(idle).collect::<Vec<_>>() {
            let webhook = self.webhook(&application, way, canaries);
            let path = format!("/v1/applications/{application}/webhooks");
            let answer = self.post(&path, &webhook, seen).await;
            self.webhooks.push(answer.id);
        }
        for n in 0..KEYS {
            let key = json!({ "Name": format!("Key {n}"), "Scope": "introspect" });
            let answer = self.post("/v1/keys", &key, seen).await;
            let key = answer.secret.unwrap();
            canaries.add("API key", key.strip_prefix("bhk_").unwrap());
        }
    }

    /// Webhooks with credentials of their own.
    async fn prove(&mut self, certified: &Certified, canaries: &mut Canaries, seen: &mut Seen) {
        let application = self.server.application("Proves itself").await;
        let path = format!("/v1/applications/{application}/webhooks");
        for mut webhook in credentials::webhooks(&self.echo, certified, canaries) {
            webhook["Secret"] = canaries.signing_secret().into();
            let made = self.post(&path, &webhook, seen).await;
            self.webhooks.insert(0, made.id);
            self.busy += 1;
        }
        for name in ["One", "Two", "Three", "Four"] {
            let made = self.server.integration(&application, name).await;
            let answer = Answer::of(made);
            self.integrations.push(answer.id.clone());
            answer.keep("access token", canaries, seen);
        }
    }

    fn webhook(&self, application: &str, way: &str, canaries: &mut Canaries) -> Value {
        let url = format!("{way}?{}", canaries.make("query of a URL"));
        json!({
            "Url": self.echo.url(&url), "Secret": canaries.signing_secret(),
            "Headers": { "X-Api-Key": canaries.make("header of a webhook") },
            "Profile": "2025", "RetrySchedule": [0, 1], "Description": application
        })
    }

    async fn create(&mut self, canaries: &mut Canaries, seen: &mut Seen) {
        let made = stream::iter(0..APPLICATIONS * INTEGRATIONS)
            .map(|n| {
                let application = &self.applications[n % APPLICATIONS];
                let server = &self.server;
                async move { server.integration(application, &format!("Hotel {n}")).await }
            })
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for made in made {
            let answer = Answer::of(made);
            self.integrations.push(answer.id.clone());
            answer.keep("access token", canaries, seen);
        }
    }

    /// Every command; half of the integrations get another access token, one of them twice under one idempotency key.
    async fn command(&mut self, canaries: &mut Canaries, seen: &mut Seen) {
        for (n, id) in self.integrations.iter().enumerate() {
            let commands: &[&str] = match n % 8 {
                0 => &["disable", "enable"],
                1 => &["cancel", "reinstate"],
                2 | 4 | 6 => &["regenerate-access-token"],
                3 => &["regenerate-access-token", "cancel"],
                _ => &[],
            };
            for command in commands {
                let path = format!("/v1/integrations/{id}/{command}");
                let answer = self.post(&path, &json!({}), seen).await;
                answer.keep("access token", canaries, seen);
            }
            if n % 8 == 5 {
                let path = format!("/v1/integrations/{id}");
                seen.put(
                    "answers to commands",
                    self.text(Method::DELETE, &path, "").await,
                );
            }
        }
        let path = format!(
            "/v1/integrations/{}/regenerate-access-token",
            self.integrations[0]
        );
        for _ in 0..2 {
            let (status, answer) = self.server.ask_once("the-same", &path, &json!({})).await;
            assert_eq!(status, 200, "{answer}");
            Answer::of(answer).keep("access token", canaries, seen);
        }
    }

    async fn try_and_rotate(&mut self, canaries: &mut Canaries, seen: &mut Seen) {
        for id in &self.webhooks {
            for command in ["test", "rotate-secret", "pause", "resume"] {
                let path = format!("/v1/webhooks/{id}/{command}");
                let answer = self.post(&path, &json!({}), seen).await;
                if let Some(secret) = &answer.secret {
                    let secret = secret.strip_prefix("whsec_").unwrap();
                    canaries.add("secret of a webhook", secret);
                }
            }
        }
    }

    /// Waits until nothing is on its way but what a circuit holds; and lets circuits go.
    async fn settle(&self) {
        let began = Instant::now();
        loop {
            let waiting = self
                .server
                .get("/v1/deliveries?State=Pending&Limit=1")
                .await;
            if waiting["Items"].as_array().unwrap().is_empty() {
                return;
            }
            assert!(began.elapsed() < WITHIN, "{waiting}");
            for id in &self.webhooks[..self.busy] {
                let path = format!("/v1/webhooks/{id}/resume");
                self.server.ask(Method::POST, &path, Some(&json!({}))).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A replay, a bulk replay, a backfill for a webhook that is new.
    async fn send_again(&mut self, seen: &mut Seen) {
        let failed = self
            .server
            .get("/v1/deliveries?State=Failed&Limit=20")
            .await;
        for delivery in failed["Items"].as_array().unwrap() {
            let path = format!("/v1/deliveries/{}/replay", delivery["Id"].as_str().unwrap());
            let (status, answer) = self.server.ask(Method::POST, &path, Some(&json!({}))).await;
            assert!(status < 300, "{answer}");
            seen.put("answers to commands", answer.to_string());
        }
        for webhook in &self.webhooks[..2] {
            let filter = json!({ "WebhookId": webhook, "DryRun": true });
            let counted = self
                .server
                .ask(Method::POST, "/v1/replays", Some(&filter))
                .await
                .1;
            let token = json!({ "Token": counted["Token"] });
            let run = self.server.make("/v1/replays", &token).await;
            seen.put("answers to commands", format!("{counted}{run}"));
        }
        let path = format!("/v1/applications/{}/webhooks", self.applications[0]);
        let webhook = json!({ "Url": self.echo.url("/echo") });
        let late = self.server.make(&path, &webhook).await;
        let path = format!("/v1/webhooks/{}/backfill", late["Id"].as_str().unwrap());
        let run = self.server.ask(Method::POST, &path, Some(&json!({}))).await;
        assert_eq!(run.0, 202, "{}", run.1);
        self.runs_end().await;
    }

    async fn runs_end(&self) {
        let began = Instant::now();
        loop {
            let runs = self.server.get("/v1/replays").await;
            let is_over = |run: &Value| run["State"] == "Completed";
            if runs["Items"].as_array().unwrap().iter().all(is_over) {
                return;
            }
            assert!(began.elapsed() < WITHIN, "{runs}");
            self.settle().await;
        }
    }

    /// All that can be read.
    async fn read_everything(&self, seen: &mut Seen) {
        for path in ["/metrics", "/openapi.json", "/docs"] {
            seen.put(
                "metrics and documents",
                self.text(Method::GET, path, "").await,
            );
        }
        for list in [
            "applications",
            "enterprises",
            "webhooks",
            "integrations",
            "replays",
            "keys",
            "operational-messages",
            "audit",
        ] {
            self.read_list(&format!("/v1/{list}"), seen).await;
        }
        for id in &self.webhooks {
            seen.put(
                "answers",
                self.text(Method::GET, &format!("/v1/webhooks/{id}"), "")
                    .await,
            );
        }
        for id in &self.integrations {
            for path in [
                format!("/v1/integrations/{id}"),
                format!("/v1/integrations/{id}/messages"),
            ] {
                seen.put("answers", self.text(Method::GET, &path, "").await);
            }
        }
        for delivery in self.read_list("/v1/deliveries", seen).await {
            let path = format!("/v1/deliveries/{}", delivery["Id"].as_str().unwrap());
            seen.put("deliveries", self.text(Method::GET, &path, "").await);
        }
    }

    /// What the command line prints of what there is.
    fn run_commands(&self, seen: &mut Seen) {
        for command in [
            &["audit", "export"][..],
            &["audit", "verify"],
            &["audit", "head"],
            &["key", "status"],
            &["config", "show", "--origin"],
        ] {
            let output = self.server.command(command);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}");
            seen.put("commands", [output.stdout, output.stderr].concat());
        }
    }

    async fn read_list(&self, path: &str, seen: &mut Seen) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = format!("{path}?Limit=1000");
        loop {
            let page = self.server.get(&next).await;
            seen.put("lists", page.to_string());
            items.extend(page["Items"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["NextCursor"].as_str() else {
                return items;
            };
            next = format!("{path}?Limit=1000&Cursor={cursor}");
        }
    }

    async fn post(&self, path: &str, document: &Value, seen: &mut Seen) -> Answer {
        let (status, made) = self.server.ask(Method::POST, path, Some(document)).await;
        assert!(status < 300, "{path}: {made}");
        let answer = Answer::of(made);
        seen.put("answers to commands", &answer.rest);
        answer
    }

    async fn text(&self, method: Method, path: &str, body: &str) -> Vec<u8> {
        let (status, headers, body) = self.server.fetch(method, path, &[], body).await;
        assert_eq!(status, 200, "{path}");
        [format!("{headers:?}\n").as_bytes(), &body].concat()
    }
}

impl Answer {
    fn of(mut document: Value) -> Self {
        let members = document.as_object_mut().unwrap();
        let mut secret = None;
        for name in SHOWN_ONCE {
            if let Some(Value::String(shown)) = members.remove(name) {
                secret = Some(shown);
            }
        }
        Self {
            id: document["Id"].as_str().unwrap_or_default().to_owned(),
            secret,
            rest: document.to_string(),
        }
    }

    /// An access token is secret from its 33rd character on: before, it names its integration.
    fn keep(self, kind: &'static str, canaries: &mut Canaries, seen: &mut Seen) {
        if let Some(token) = self.secret {
            canaries.add(kind, &token[33..]);
        }
        seen.put("answers to commands", self.rest);
    }
}
