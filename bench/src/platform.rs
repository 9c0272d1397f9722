//! A platform on a running server, set up through its API: enterprises, an application, a webhook.

use anyhow::{Context, ensure};
use http_body_util::Full;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::body;
use crate::connection::Connection;
use crate::producer::Plan;
use crate::server::{KEY, Server};
use crate::sink_control::SinkControl;

/// Enterprises that the integrations are spread over.
const ENTERPRISES: u64 = 16;

/// How many requests the webhook may have in flight: the receiver is fast, and the order of each
/// integration holds whatever this is.
const MAX_IN_FLIGHT: u32 = 256;

/// Access tokens of integrations.
#[derive(Default)]
pub struct Tokens {
    pub active: Vec<String>,
    pub revoked: Vec<String>,
}

/// What the commands refer to.
pub struct Platform {
    api: Connection,
    pub application_id: String,
    pub enterprise_ids: Vec<String>,
}

impl Platform {
    pub async fn set_up(server: &Server, sink: &SinkControl) -> anyhow::Result<Self> {
        let mut platform = Self {
            api: Connection::open(server.address()).await?,
            application_id: String::new(),
            enterprise_ids: (0..ENTERPRISES).map(|number| body::id(1, number)).collect(),
        };
        for number in 0..ENTERPRISES {
            let path = format!("/v1/enterprises/{}", body::id(1, number));
            let named = json!({"Name": body::enterprise_name(number)});
            platform.call(Method::PUT, &path, &named).await?;
        }
        let named = json!({"Name": "Booking engine"});
        let application = platform
            .call(Method::POST, "/v1/applications", &named)
            .await?;
        let id = application["Id"].as_str().context("an application's Id")?;
        id.clone_into(&mut platform.application_id);
        let webhook = json!({
            "Url": format!("http://{}/receive", sink.address()),
            "Secret": body::secret().expose(),
            "MaxInFlight": MAX_IN_FLIGHT,
        });
        let path = format!("/v1/applications/{id}/webhooks");
        platform.call(Method::POST, &path, &webhook).await?;
        Ok(platform)
    }

    /// A plan for commands to this platform.
    pub fn plan(&self, server: &Server, commands: u64, connections: u16) -> Plan {
        Plan {
            server: server.address(),
            key: KEY.to_owned(),
            application_id: self.application_id.clone(),
            enterprise_ids: self.enterprise_ids.clone(),
            commands,
            connections,
            per_second: None,
        }
    }

    /// Makes integrations and takes their access tokens; one in so many is deleted again.
    pub async fn tokens(&mut self, count: u64, revoked_every: usize) -> anyhow::Result<Tokens> {
        let mut tokens = Tokens::default();
        for number in 0..count {
            let enterprise = &self.enterprise_ids[(number % ENTERPRISES) as usize];
            let command = body::command(&self.application_id, enterprise, number);
            let command = serde_json::from_str(&command)?;
            let made = self
                .call(Method::POST, "/v1/integrations", &command)
                .await?;
            let token = made["AccessToken"].as_str().context("an AccessToken")?;
            if (number as usize).is_multiple_of(revoked_every) {
                let id = made["Id"].as_str().context("an integration's Id")?;
                let path = format!("/v1/integrations/{id}");
                self.call(Method::DELETE, &path, &Value::Null).await?;
                tokens.revoked.push(token.to_owned());
            } else {
                tokens.active.push(token.to_owned());
            }
        }
        Ok(tokens)
    }

    /// Whether no delivery waits any more: all that arrived is on record.
    pub async fn nothing_pending(&mut self) -> anyhow::Result<bool> {
        let path = "/v1/deliveries?State=Pending&Limit=1";
        let page = self.call(Method::GET, path, &Value::Null).await?;
        let items = page["Items"].as_array().context("a page has Items")?;
        Ok(items.is_empty())
    }

    async fn call(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = self
            .api
            .request(method.clone(), path)
            .header(AUTHORIZATION, format!("Bearer {KEY}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(text))?;
        let (status, answer) = self.api.send(request).await?;
        ensure!(
            status.is_success(),
            "{method} {path} is answered {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        serde_json::from_slice(&answer).with_context(|| format!("the answer to {method} {path}"))
    }
}
