//! The load of introspection: one question after the other on each connection, in a process of its own.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measure::{Spread, cpu, now_ns};

/// What to ask.
#[derive(Clone, Serialize, Deserialize)]
pub struct Plan {
    pub server: SocketAddr,
    /// API key; it goes through a pipe, not through arguments that anyone can list.
    pub key: String,
    pub active: Vec<String>,
    pub revoked: Vec<String>,
    /// One in so many questions is about a token that never was.
    pub unknown_every: usize,
    /// All are about tokens that never were, and each about another.
    pub are_strangers: bool,
    pub requests: u64,
    pub connections: u16,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    pub requests: u64,
    pub per_second: f64,
    pub latency_ms: Spread,
    pub load_cpu_us: f64,
    /// How many were said to be active that are not, or the other way round.
    pub wrong: u64,
}

/// Reads a plan on stdin, carries it out, and prints what came of it.
pub async fn run() -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let plan: Plan = serde_json::from_str(&text).context("the plan")?;
    let asked = ask_all(plan).await?;
    serde_json::to_writer(std::io::stdout(), &asked)?;
    Ok(std::io::stdout().flush()?)
}

async fn ask_all(plan: Plan) -> anyhow::Result<Asked> {
    let course = Rc::new(Course::new(plan)?);
    let mut connections = Vec::new();
    for _ in 0..course.plan.connections {
        connections.push(Connection::open(course.plan.server).await?);
    }
    let cpu_before = cpu(std::process::id())?;
    let started_ns = now_ns();
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(ask(connection, course.clone()));
    }
    let mut took_ms = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        took_ms.extend(ended??);
    }
    let seconds = (now_ns() - started_ns) as f64 / 1e9;
    let used = cpu(std::process::id())?.saturating_sub(cpu_before);
    let requests = course.plan.requests;
    Ok(Asked {
        requests,
        per_second: requests as f64 / seconds,
        latency_ms: Spread::of(took_ms),
        load_cpu_us: used.as_secs_f64() * 1e6 / requests as f64,
        wrong: course.wrong.get(),
    })
}

/// What the connections share.
struct Course {
    plan: Plan,
    authorization: HeaderValue,
    next: Cell<u64>,
    wrong: Cell<u64>,
}

impl Course {
    fn new(plan: Plan) -> anyhow::Result<Self> {
        ensure!(!plan.active.is_empty(), "there are tokens to ask about");
        Ok(Self {
            authorization: HeaderValue::from_str(&format!("Bearer {}", plan.key))?,
            plan,
            next: Cell::new(0),
            wrong: Cell::new(0),
        })
    }

    /// The next question, and whether its token is active.
    fn take(&self) -> Option<(String, bool)> {
        let number = self.next.get();
        if number == self.plan.requests {
            return None;
        }
        self.next.set(number + 1);
        let plan = &self.plan;
        let place = number as usize;
        if plan.are_strangers {
            return Some((format!("{number:032X}-{number:031X}"), false));
        }
        if place.is_multiple_of(plan.unknown_every) {
            // Every other one names an integration that there is.
            let known = &plan.active[place % plan.active.len()][..32];
            let unknown = format!("{:032X}", number % 1000);
            let of = if place.is_multiple_of(2 * plan.unknown_every) {
                known
            } else {
                &unknown
            };
            return Some((format!("{of}-{number:031X}"), false));
        }
        let token = place % (plan.active.len() + plan.revoked.len());
        Some(match plan.active.get(token) {
            Some(active) => (active.clone(), true),
            None => (plan.revoked[token - plan.active.len()].clone(), false),
        })
    }
}

async fn ask(mut connection: Connection, course: Rc<Course>) -> anyhow::Result<Vec<f64>> {
    let mut took_ms = Vec::new();
    while let Some((token, is_active)) = course.take() {
        let request = connection
            .request(Method::POST, "/v1/access-tokens/introspect")
            .header(AUTHORIZATION, &course.authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(format!("token={token}"))))?;
        let sent_ns = now_ns();
        let (status, answer) = connection.send(request).await?;
        took_ms.push((now_ns() - sent_ns) as f64 / 1e6);
        ensure!(status == StatusCode::OK, "introspection answers {status}");
        if answer.starts_with(br#"{"active":true"#) != is_active {
            course.wrong.set(course.wrong.get() + 1);
        }
    }
    Ok(took_ms)
}
