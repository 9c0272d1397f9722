//! Requests to the server, as any program would make them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// A server that has not answered by then does not.
const DEADLINE: Duration = Duration::from_secs(10);
/// No answer of the server is larger.
const MOST_BYTES: usize = 4 << 20;

/// A client of the HTTP API with the operator's key. It asks replicas in turn, as behind a load balancer that has not
/// noticed yet who is down. Copies share the turn.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    turn: Arc<AtomicUsize>,
    authorization: String,
}

/// An answer: its status and its JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Whether it says how long to wait before asking again.
    pub says_when: bool,
    pub json: Value,
}

/// A request, before it is sent once or more often.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// A form instead of JSON.
    pub form: Option<String>,
    pub idempotency_key: Option<String>,
}

impl Api {
    pub fn new(servers: Vec<SocketAddr>, key: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            servers: Arc::new(Mutex::new(servers)),
            turn: Arc::default(),
            authorization: format!("Bearer {key}"),
        }
    }

    /// All that are asked.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers.lock().expect("no holder panics").clone()
    }

    /// One more is asked.
    pub fn take_in(&self, server: SocketAddr) {
        self.servers.lock().expect("no holder panics").push(server);
    }

    /// One is asked no more.
    pub fn leave_out(&self, server: SocketAddr) {
        let mut servers = self.servers.lock().expect("no holder panics");
        servers.retain(|each| *each != server);
    }

    /// Sends it once, to the next one. An error means that it is unknown what became of it.
    pub async fn send(&self, call: &Call) -> anyhow::Result<Answer> {
        let servers = self.servers();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.send_to(servers[turn % servers.len()], call).await
    }

    /// Sends it once, to this one.
    pub async fn send_to(&self, server: SocketAddr, call: &Call) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("http://{server}{}", call.path))
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if call.form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let json = call.body.as_ref().map(Value::to_string);
        let body = json.or_else(|| call.form.clone()).unwrap_or_default();
        let request = request.body(Full::from(body))?;
        tokio::time::timeout(DEADLINE, self.exchange(request))
            .await
            .context("no answer in time")?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let answer = self.client.request(request).await?;
        let status = answer.status().as_u16();
        let says_when = answer.headers().contains_key(header::RETRY_AFTER);
        let body = Limited::new(answer.into_body(), MOST_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?
            .to_bytes();
        let json = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap_or(Value::Null)
        };
        Ok(Answer {
            status,
            says_when,
            json,
        })
    }
}

impl Call {
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            body: None,
            form: None,
            idempotency_key: None,
        }
    }

    pub fn put(path: &str, body: Value) -> Self {
        Self {
            method: Method::PUT,
            body: Some(body),
            ..Self::get(path)
        }
    }

    pub fn post_form(path: &str, form: String) -> Self {
        Self {
            method: Method::POST,
            form: Some(form),
            ..Self::get(path)
        }
    }

    pub fn post(path: &str, body: Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(path)
        }
    }
}

impl Answer {
    /// Whether it is a problem document (RFC 9457) that tells its own status.
    pub fn is_problem(&self) -> bool {
        self.json["status"] == self.status && self.json["detail"].is_string()
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `code` of a problem document.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or("")
    }

    /// A member that is text.
    pub fn text(&self, member: &str) -> anyhow::Result<&str> {
        self.json[member]
            .as_str()
            .with_context(|| format!("the answer has no {member}: {}", self.json))
    }

    /// A member that is a number.
    pub fn number(&self, member: &str) -> anyhow::Result<u64> {
        self.json[member]
            .as_u64()
            .with_context(|| format!("the answer has no {member}: {}", self.json))
    }
}
