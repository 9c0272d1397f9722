//! The producer: random commands, each repeated under its Idempotency-Key until it is acknowledged.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    http::{Answer, Api, Call},
    log::{Acknowledged, Introspected, Line},
    platform::Platform,
    random::Random,
};

/// Between two tries of one command while the server is away.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Tries of one command before the run is given up: a minute and more.
const MOST_TRIES: u32 = 3000;

/// How fast commands come.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Commands that are on their way at a time.
    pub workers: u64,
    /// Longest pause of a worker between two commands.
    pub pause_ms: u64,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            workers: 8,
            pause_ms: 100,
        }
    }
}

/// An integration, as the producer knows it.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    name: String,
    /// The access token that it was created with.
    token: String,
}

/// An answer that settles what became of a command, and when the request was sent that it answers.
struct Settled {
    answer: Answer,
    asked_us: u64,
}

/// Commands a run gives, and what is known by them.
pub struct Producer {
    api: Api,
    platform: Arc<Platform>,
    integrations: u64,
    rhythm: Rhythm,
    known: Mutex<Vec<Known>>,
    created: Mutex<u64>,
    /// The integrations whose deletion was acknowledged.
    deleted: Mutex<HashSet<String>>,
    has_ended: AtomicBool,
}

impl Producer {
    /// Will create so many integrations.
    pub fn new(api: Api, platform: Arc<Platform>, integrations: u64, rhythm: Rhythm) -> Self {
        Self {
            api,
            platform,
            integrations,
            rhythm,
            known: Mutex::default(),
            created: Mutex::new(0),
            deleted: Mutex::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Lets the workers end once every integration exists.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Gives random commands until the end.
    pub async fn work(&self, mut random: Random) -> anyhow::Result<()> {
        loop {
            let number = self.next_to_create(&mut random);
            if number.is_none() && self.has_ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            match number {
                Some(number) => self.create(number, &mut random).await?,
                None => self.command(&mut random).await?,
            }
            let pause = Duration::from_millis(random.below(self.rhythm.pause_ms));
            tokio::time::sleep(pause).await;
        }
    }

    /// The number of an integration to create now. They are created all through the run, half of the time.
    fn next_to_create(&self, random: &mut Random) -> Option<u64> {
        let mut created = self.created.lock().expect("no holder panics");
        let is_wanted = *created < self.rhythm.workers || random.per_mille(500);
        let hurry = self.has_ended.load(Ordering::Relaxed);
        if *created >= self.integrations || !(is_wanted || hurry) {
            return None;
        }
        *created += 1;
        Some(*created)
    }

    async fn create(&self, number: u64, random: &mut Random) -> anyhow::Result<()> {
        let place = random.below(self.platform.enterprises.len() as u64) as usize;
        let (enterprise, enterprise_name) = &self.platform.enterprises[place];
        let (name, is_enabled) = (format!("Integration {number}"), random.per_mille(800));
        let mut wish = json!({
            "ApplicationId": self.platform.application,
            "EnterpriseId": enterprise,
            "Name": name,
            "IsEnabled": is_enabled,
        });
        let mut requestor = "null";
        if random.per_mille(500) {
            wish["Requestor"] = json!({"Name": "Ada", "Email": "ada@example.com"});
            requestor = r#"{"Name":"Ada","Email":"ada@example.com"}"#;
        }
        let call = Call::post("/v1/integrations", wish);
        let settled = self.acknowledged(call, random).await?;
        let Some(Settled { answer, asked_us }) = settled else {
            bail!("creating an integration was refused");
        };
        let (id, token) = (answer.text("Id")?, answer.text("AccessToken")?);
        let created = answer.text("CreatedUtc")?;
        let integration = format!(r#"{{"Id":"{id}","Name":"{name}"}}"#);
        let body = format!(
            r#"{{"Action":"IntegrationCreated","Data":{{"Enterprise":{{"Id":"{enterprise}","Name":"{enterprise_name}"}},"Requestor":{requestor},"AccessToken":"{token}","CreatedUtc":"{created}","IsEnabled":{is_enabled},"Integration":{integration}}}}}"#
        );
        let sequence = answer.number("Sequence")?;
        self.note(id, sequence, "IntegrationCreated", body, asked_us);
        let known = Known {
            id: id.to_owned(),
            name,
            token: token.to_owned(),
        };
        self.known.lock().expect("no holder panics").push(known);
        Ok(())
    }

    /// One command to one integration. Others may be under way to the same one.
    async fn command(&self, random: &mut Random) -> anyhow::Result<()> {
        let integration = {
            let known = self.known.lock().expect("no holder panics");
            let place = random.below(known.len() as u64) as usize;
            known.get(place).cloned()
        };
        let Some(Known { id, name, token }) = integration else {
            return Ok(());
        };
        let (command, action) = match random.below(100) {
            0..32 => ("enable", "IntegrationEnabled"),
            32..64 => ("disable", "IntegrationDisabled"),
            64..76 => ("cancel", "IntegrationCanceled"),
            76..92 => ("reinstate", "IntegrationReinstated"),
            92..98 => ("regenerate-access-token", "IntegrationApiKeyCreated"),
            _ => ("delete", "IntegrationDeleted"),
        };
        let call = if command == "delete" {
            Call {
                method: Method::DELETE,
                ..Call::get(&format!("/v1/integrations/{id}"))
            }
        } else {
            Call::post(&format!("/v1/integrations/{id}/{command}"), json!({}))
        };
        let Some(settled) = self.acknowledged(call, random).await? else {
            return Ok(()); // The state forbids it.
        };
        let Settled { answer, asked_us } = settled;
        let has_changed = if command == "delete" {
            // A DELETE takes no Idempotency-Key: the answer to its first try may have been lost.
            self.deleted
                .lock()
                .expect("no holder panics")
                .insert(id.clone())
        } else {
            answer.json["Changed"] == Value::Bool(true)
        };
        if !has_changed {
            return Ok(());
        }
        let integration = format!(r#""Integration":{{"Id":"{id}","Name":"{name}"}}"#);
        let data = match command {
            "delete" => format!(
                r#""DeletedUtc":"{}",{integration}"#,
                answer.text("DeletedUtc")?
            ),
            "regenerate-access-token" => {
                format!(
                    r#"{integration},"ApiKey":"{}""#,
                    answer.text("AccessToken")?
                )
            }
            _ => integration,
        };
        let body = format!(r#"{{"Action":"{action}","Data":{{{data}}}}}"#);
        self.note(&id, answer.number("Sequence")?, action, body, asked_us);
        if command == "delete" {
            self.introspect(&id, &token).await;
        }
        Ok(())
    }

    /// Asks every server whether a token works, once. One that is away says nothing.
    async fn introspect(&self, integration: &str, token: &str) {
        let call = Call::post_form("/v1/access-tokens/introspect", format!("token={token}"));
        for server in self.api.servers() {
            let asked_us = self.platform.now_us();
            let Ok(answer) = self.api.send_to(server, &call).await else {
                continue;
            };
            if let Some(active) = answer.json["active"].as_bool() {
                self.platform.note(Line::Introspected(Introspected {
                    integration: integration.to_owned(),
                    asked_us,
                    active,
                }));
            }
        }
    }

    fn note(&self, integration: &str, sequence: u64, action: &str, body: String, asked_us: u64) {
        self.platform.note(Line::Acknowledged(Acknowledged {
            integration: integration.to_owned(),
            sequence,
            action: action.to_owned(),
            body,
            asked_us,
            at_us: self.platform.now_us(),
        }));
    }

    /// Repeats a command until the server says what became of it; nothing if the state forbids it.
    async fn acknowledged(
        &self,
        call: Call,
        random: &mut Random,
    ) -> anyhow::Result<Option<Settled>> {
        let call = Call {
            idempotency_key: Some(random.uuid()),
            ..call
        };
        for _ in 0..MOST_TRIES {
            let asked_us = self.platform.now_us();
            let Ok(answer) = self.api.send(&call).await else {
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            };
            match answer.status {
                200..300 => return Ok(Some(Settled { answer, asked_us })),
                409 if answer.code() == "not_allowed_in_state" => return Ok(None),
                // What was acknowledged is gone. The judge says what is lost.
                404 => return Ok(None),
                // A request with this key is under way, or the server cannot answer now.
                409 | 429 | 503 => tokio::time::sleep(AGAIN_AFTER).await,
                status => bail!("{} {}: {status} {}", call.method, call.path, answer.json),
            }
        }
        bail!("{} {} was never acknowledged", call.method, call.path)
    }
}
