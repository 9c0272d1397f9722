//! The load: create commands over keep-alive connections, in a process of its own.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::body;
use crate::connection::Connection;
use crate::measure::{cpu, now_ns};

/// What to send.
#[derive(Clone, Serialize, Deserialize)]
pub struct Plan {
    pub server: SocketAddr,
    /// API key; it goes through a pipe, not through arguments that anyone can list.
    pub key: String,
    /// In turn.
    pub application_ids: Vec<String>,
    pub enterprise_ids: Vec<String>,
    /// The number of the first command: what is made of it is no other plan's.
    pub first: u64,
    pub commands: u64,
    pub connections: u16,
    /// Commands a second, each at its time whether or not those before are answered (while a
    /// connection is free); none: as fast as the connections go.
    pub per_second: Option<u32>,
    /// Whether each command has an `Idempotency-Key` of its own.
    pub with_keys: bool,
}

/// What came of it; all times on the monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    pub first_sent_ns: u64,
    pub last_answered_ns: u64,
    pub cpu_ms: f64,
    /// How far the load was behind its own pace, at worst.
    pub behind_ms: f64,
    /// One for each command, only at a pace.
    pub samples: Vec<Sample>,
}

impl Load {
    /// Of two at once.
    pub fn beside(mut self, other: Self) -> Self {
        self.samples.extend(other.samples);
        Self {
            first_sent_ns: self.first_sent_ns.min(other.first_sent_ns),
            last_answered_ns: self.last_answered_ns.max(other.last_answered_ns),
            cpu_ms: self.cpu_ms + other.cpu_ms,
            behind_ms: self.behind_ms.max(other.behind_ms),
            samples: self.samples,
        }
    }
}

/// One command that was answered with 201.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    #[serde(rename = "Id")]
    pub integration_id: String,
    #[serde(rename = "ApplicationId")]
    pub application_id: String,
    #[serde(default)]
    pub sent_ns: u64,
    #[serde(default)]
    pub answered_ns: u64,
}

impl Plan {
    /// Has a process of its own carry the plan out.
    pub async fn carry_out(&self) -> anyhow::Result<Load> {
        let own = std::env::current_exe().context("finding this binary")?;
        let mut process = Command::new(own)
            .arg("produce")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the load")?;
        let mut stdin = process.stdin.take().context("the load's stdin")?;
        stdin.write_all(&serde_json::to_vec(self)?).await?;
        drop(stdin);
        let output = process.wait_with_output().await?;
        ensure!(output.status.success(), "the load failed");
        serde_json::from_slice(&output.stdout).context("the load says what came of it")
    }
}

/// The process: reads a plan on stdin, carries it out, prints a [`Load`].
pub async fn run() -> anyhow::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let plan: Plan = serde_json::from_slice(&text).context("a plan on stdin")?;
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(Connection::open(plan.server).await?);
    }
    let course = Rc::new(Course {
        authorization: format!("Bearer {}", plan.key),
        plan,
        next: Cell::new(0),
        started_ns: now_ns(),
        last_answered_ns: Cell::new(0),
        behind_ns: Cell::new(0),
        samples: RefCell::default(),
    });
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn_local(send(connection, Rc::clone(&course)));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let load = Load {
        first_sent_ns: course.started_ns,
        last_answered_ns: course.last_answered_ns.get(),
        cpu_ms: cpu(std::process::id())?.as_secs_f64() * 1e3,
        behind_ms: course.behind_ns.get() as f64 / 1e6,
        samples: course.samples.take(),
    };
    serde_json::to_writer(std::io::stdout().lock(), &load)?;
    std::io::stdout().flush()?;
    Ok(())
}

/// How far the plan is.
struct Course {
    plan: Plan,
    authorization: String,
    next: Cell<u64>,
    started_ns: u64,
    last_answered_ns: Cell<u64>,
    behind_ns: Cell<u64>,
    samples: RefCell<Vec<Sample>>,
}

impl Course {
    fn take(&self) -> Option<u64> {
        let number = self.next.get();
        self.next.set(number + 1);
        (number < self.plan.commands).then_some(self.plan.first + number)
    }

    /// Waits for the time of a command, if there is a pace.
    async fn wait_for(&self, number: u64) {
        let Some(per_second) = self.plan.per_second else {
            return;
        };
        let number = number - self.plan.first;
        let due_ns = self.started_ns + number * 1_000_000_000 / u64::from(per_second);
        if let Some(early_ns) = due_ns.checked_sub(now_ns()) {
            tokio::time::sleep(Duration::from_nanos(early_ns)).await;
        }
        let behind_ns = now_ns().saturating_sub(due_ns);
        self.behind_ns.set(self.behind_ns.get().max(behind_ns));
    }

    fn body(&self, number: u64) -> Bytes {
        let plan = &self.plan;
        let application = &plan.application_ids[number as usize % plan.application_ids.len()];
        let enterprise = &plan.enterprise_ids[number as usize % plan.enterprise_ids.len()];
        body::command(application, enterprise, number).into()
    }

    fn answered(&self, sent_ns: u64, answer: &Bytes) -> anyhow::Result<()> {
        let answered_ns = now_ns();
        self.last_answered_ns.set(answered_ns);
        if self.plan.per_second.is_some() {
            let sample: Sample = serde_json::from_slice(answer).context("the answer to create")?;
            self.samples.borrow_mut().push(Sample {
                sent_ns,
                answered_ns,
                ..sample
            });
        }
        Ok(())
    }
}

async fn send(mut connection: Connection, course: Rc<Course>) -> anyhow::Result<()> {
    while let Some(number) = course.take() {
        let body = course.body(number);
        course.wait_for(number).await;
        let mut request = connection
            .request(Method::POST, "/v1/integrations")
            .header(AUTHORIZATION, &course.authorization)
            .header(CONTENT_TYPE, "application/json");
        if course.plan.with_keys {
            request = request.header("idempotency-key", body::id(4, number));
        }
        let request = request.body(Full::new(body))?;
        let sent_ns = now_ns();
        let (status, answer) = connection.send(request).await?;
        ensure!(
            status == StatusCode::CREATED,
            "a create command is answered {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        course.answered(sent_ns, &answer)?;
    }
    Ok(())
}
