//! A platform on a running server, set up through its API: enterprises, an application, a webhook.

use std::net::SocketAddr;

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

/// An application with its one webhook.
#[derive(Clone)]
pub struct Member {
    pub application_id: String,
    pub webhook_id: String,
}

/// What the commands refer to.
pub struct Platform {
    api: Connection,
    pub application_id: String,
    pub webhook_id: String,
    pub enterprise_ids: Vec<String>,
}

impl Platform {
    pub async fn set_up(server: &Server, sink: &SinkControl) -> anyhow::Result<Self> {
        let mut platform = Self {
            api: Connection::open(server.address()).await?,
            application_id: String::new(),
            webhook_id: String::new(),
            enterprise_ids: (0..ENTERPRISES).map(|number| body::id(1, number)).collect(),
        };
        for number in 0..ENTERPRISES {
            let path = format!("/v1/enterprises/{}", body::id(1, number));
            let named = json!({"Name": body::enterprise_name(number)});
            platform.call(Method::PUT, &path, &named).await?;
        }
        let member = Member::join(&mut platform.api, sink.address()).await?;
        platform.application_id = member.application_id;
        platform.webhook_id = member.webhook_id;
        Ok(platform)
    }

    /// Holds what the webhook would get (`pause`), or lets it go (`resume`).
    pub async fn tell_webhook(&mut self, command: &str) -> anyhow::Result<()> {
        let path = format!("/v1/webhooks/{}/{command}", self.webhook_id);
        self.call(Method::POST, &path, &Value::Null).await?;
        Ok(())
    }

    /// A plan for commands to this platform.
    pub fn plan(&self, server: &Server, commands: u64, connections: u16) -> Plan {
        Plan {
            server: server.address(),
            key: KEY.to_owned(),
            application_ids: vec![self.application_id.clone()],
            enterprise_ids: self.enterprise_ids.clone(),
            first: 0,
            commands,
            connections,
            per_second: None,
            with_keys: false,
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
        call(&mut self.api, method, path, body).await
    }
}

impl Member {
    /// A new one, whose webhook goes there.
    pub async fn join(api: &mut Connection, receiver: SocketAddr) -> anyhow::Result<Self> {
        let named = json!({"Name": "Booking engine"});
        let application = call(api, Method::POST, "/v1/applications", &named).await?;
        let id = application["Id"].as_str().context("an application's Id")?;
        let webhook = json!({
            "Url": url(receiver),
            "Secret": body::secret().expose(),
            "MaxInFlight": MAX_IN_FLIGHT,
        });
        let path = format!("/v1/applications/{id}/webhooks");
        let webhook = call(api, Method::POST, &path, &webhook).await?;
        Ok(Self {
            application_id: id.to_owned(),
            webhook_id: webhook["Id"].as_str().context("a webhook's Id")?.to_owned(),
        })
    }

    /// Points its webhook somewhere else.
    pub async fn move_to(&self, api: &mut Connection, receiver: SocketAddr) -> anyhow::Result<()> {
        let path = format!("/v1/webhooks/{}", self.webhook_id);
        let there = json!({"Url": url(receiver)});
        call(api, Method::PATCH, &path, &there).await?;
        Ok(())
    }
}

fn url(receiver: SocketAddr) -> String {
    format!("http://{receiver}/receive")
}

/// One request to the API that must succeed, as the operator; its answer.
pub async fn call(
    api: &mut Connection,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = api
        .request(method.clone(), path)
        .header(AUTHORIZATION, format!("Bearer {KEY}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(text))?;
    let (status, answer) = api.send(request).await?;
    ensure!(
        status.is_success(),
        "{method} {path} is answered {status}: {}",
        String::from_utf8_lossy(&answer)
    );
    serde_json::from_slice(&answer).with_context(|| format!("the answer to {method} {path}"))
}
