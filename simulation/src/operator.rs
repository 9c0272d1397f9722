//! The operator: asks for things, and keeps a log of what was acknowledged. Makes the bytes that must arrive by itself,
//! from the contract.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use bellhop::{
    domain::audit::By,
    domain::{
        integration::{CommandName, Integration},
        webhook::WebhookState,
    },
    id::{ApplicationId, EnterpriseId, IntegrationId, WebhookId},
    lifecycle::{IntegrationRequest, Lifecycle},
    store::{CommitError, Receipt, WebhookPatch, Write, Written},
};
use faults::log::Acknowledged;
use jiff::Timestamp;

use crate::{random::Seeded, receiver::Receiver};

/// No answer for so long: the process has died.
const NO_ANSWER: Duration = Duration::from_secs(5);
const ENTERPRISE: &str = "Sample Chain Hotel 1";
const COMMANDS: [CommandName; 8] = [
    CommandName::Enable,
    CommandName::Disable,
    CommandName::Enable,
    CommandName::Disable,
    CommandName::Cancel,
    CommandName::Reinstate,
    CommandName::RegenerateAccessToken,
    CommandName::Delete,
];

/// The platform that is operated, over all lives of the process.
#[derive(Debug)]
pub struct Platform {
    current: Mutex<Arc<Lifecycle>>,
    pub enterprise_id: EnterpriseId,
    pub application_id: ApplicationId,
    acknowledged: Mutex<Vec<Acknowledged>>,
}

/// What came of a write.
enum Came {
    /// It is acknowledged.
    Done(Box<Written>),
    /// It was refused; nothing was changed.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Platform {
    /// Sets an enterprise and an application up.
    pub async fn set_up(lifecycle: Arc<Lifecycle>) -> anyhow::Result<Self> {
        let platform = Self {
            enterprise_id: lifecycle.id(),
            application_id: lifecycle.id(),
            current: Mutex::new(lifecycle),
            acknowledged: Mutex::default(),
        };
        let (id, name) = (platform.enterprise_id, ENTERPRISE.to_owned());
        platform.must(Write::PutEnterprise { id, name }).await?;
        let (id, name) = (platform.application_id, "Sample Key Cards".to_owned());
        platform.must(Write::CreateApplication { id, name }).await?;
        Ok(platform)
    }

    /// The lifecycle of the life that the process has now.
    pub fn lifecycle(&self) -> Arc<Lifecycle> {
        self.current.lock().expect("no holder panics").clone()
    }

    /// The process has another life.
    pub fn restarted(&self, lifecycle: Arc<Lifecycle>) {
        *self.current.lock().expect("no holder panics") = lifecycle;
    }

    /// What was acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.lock().expect("no holder panics").clone()
    }

    /// A write that must be done, in calm weather.
    pub async fn must(&self, write: Write) -> anyhow::Result<Written> {
        match self.ask(write).await {
            Came::Done(written) => Ok(*written),
            Came::Refused | Came::Unknown => bail!("a write was refused or lost in calm weather"),
        }
    }

    /// Sets a webhook's state, if it can be done now.
    pub async fn set_state(&self, id: WebhookId, receiver: &Receiver, state: WebhookState) {
        let patch = WebhookPatch {
            state: Some((state, None)),
            ..WebhookPatch::default()
        };
        let write = Write::UpdateWebhook {
            id,
            if_revision: None,
            patch: Box::new(patch),
        };
        // Whether it was done matters to nobody: all webhooks are resumed in the end.
        let _ = self.ask(write).await;
        if state == WebhookState::Enabled {
            receiver.lift_pauses();
        }
    }

    async fn ask(&self, write: Write) -> Came {
        let lifecycle = self.lifecycle();
        match tokio::time::timeout(NO_ANSWER, lifecycle.commit(write, By::system(), None)).await {
            Ok(Ok(Receipt::Done { written, .. })) => Came::Done(Box::new(written)),
            Ok(Err(CommitError::Store(_)) | Ok(Receipt::Repeated(_))) | Err(_) => Came::Unknown,
            Ok(Err(_)) => Came::Refused,
        }
    }

    /// What the integration is now, asked until somebody answers.
    async fn look(&self, id: IntegrationId) -> Option<Integration> {
        loop {
            let lifecycle = self.lifecycle();
            if let Ok(Ok(found)) =
                tokio::time::timeout(NO_ANSWER, lifecycle.store().integration(id)).await
            {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Lives one integration's life.
    pub async fn live(&self, random: Seeded, number: u64, commands: u64) -> anyhow::Result<()> {
        pause(&random, 20_000).await;
        let mut integration = self.create(&random, number).await?;
        for _ in 0..commands {
            pause(&random, 6_000).await;
            let name = *random.one_of(&COMMANDS);
            integration = self.command(integration, name).await?;
            if integration.deleted.is_some() {
                break;
            }
        }
        Ok(())
    }

    async fn create(&self, random: &Seeded, number: u64) -> anyhow::Result<Integration> {
        let new = self.lifecycle().integration(IntegrationRequest {
            application_id: self.application_id,
            enterprise_id: self.enterprise_id,
            name: format!("Front desk {number}"),
            id: None,
            is_enabled: random.per_mille(800),
            service: None,
        });
        let token = new.access_token.expose().to_owned();
        loop {
            let write = Write::CreateIntegration {
                new: Box::new(new.clone()),
                requestor: None,
            };
            let integration = match self.ask(write).await {
                Came::Done(written) => Some(integration(*written)?),
                Came::Refused => bail!("an integration was refused"),
                Came::Unknown => self.look(new.id).await,
            };
            if let Some(integration) = integration {
                self.acknowledge("IntegrationCreated", &integration, Some(&token));
                return Ok(integration);
            }
        }
    }

    async fn command(&self, before: Integration, name: CommandName) -> anyhow::Result<Integration> {
        let command = self.lifecycle().command(name, before.id);
        let token = match &command {
            bellhop::domain::integration::Command::RegenerateAccessToken { token, .. } => {
                Some(token.expose().to_owned())
            }
            _ => None,
        };
        let write = Write::Command {
            id: before.id,
            command,
            requestor: None,
        };
        let after = match self.ask(write).await {
            Came::Done(written) => integration(*written)?,
            Came::Refused => return Ok(before),
            Came::Unknown => self.look(before.id).await.context("it has gone")?,
        };
        if after.sequence == before.sequence + 1 {
            self.acknowledge(action_of(name), &after, token.as_deref());
        } else if after.sequence != before.sequence {
            bail!("sequence {} after {}", after.sequence, before.sequence);
        }
        Ok(after)
    }

    fn acknowledge(&self, action: &str, integration: &Integration, token: Option<&str>) {
        let acknowledged = Acknowledged {
            integration: integration.id.to_string(),
            sequence: integration.sequence,
            action: action.to_owned(),
            body: self.body(action, integration, token.unwrap_or_default()),
            // For what judges introspections, of which there are none here.
            asked_us: 0,
            at_us: 0,
        };
        self.acknowledged
            .lock()
            .expect("no holder panics")
            .push(acknowledged);
    }

    /// The bytes of the contract.
    fn body(&self, action: &str, integration: &Integration, token: &str) -> String {
        let Integration { id, name, .. } = integration;
        let itself = format!(r#""Integration":{{"Id":"{id}","Name":"{name}"}}"#);
        let data = match action {
            "IntegrationCreated" => format!(
                r#""Enterprise":{{"Id":"{}","Name":"{ENTERPRISE}"}},"Requestor":null,"AccessToken":"{token}","CreatedUtc":"{}","IsEnabled":{},{itself}"#,
                self.enterprise_id,
                utc(integration.created),
                integration.is_enabled
            ),
            "IntegrationDeleted" => {
                let deleted = integration.deleted.map(utc).unwrap_or_default();
                format!(r#""DeletedUtc":"{deleted}",{itself}"#)
            }
            "IntegrationApiKeyCreated" => format!(r#"{itself},"ApiKey":"{token}""#),
            _ => itself,
        };
        format!(r#"{{"Action":"{action}","Data":{{{data}}}}}"#)
    }
}

async fn pause(random: &Seeded, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(random.within(0, most_ms))).await;
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn integration(written: Written) -> anyhow::Result<Integration> {
    match written {
        Written::Integration { integration, .. } => Ok(*integration),
        other => bail!("not an integration: {other:?}"),
    }
}

fn action_of(name: CommandName) -> &'static str {
    match name {
        CommandName::Enable => "IntegrationEnabled",
        CommandName::Disable => "IntegrationDisabled",
        CommandName::Cancel => "IntegrationCanceled",
        CommandName::Reinstate => "IntegrationReinstated",
        CommandName::Delete => "IntegrationDeleted",
        CommandName::RegenerateAccessToken => "IntegrationApiKeyCreated",
    }
}
