//! The raw ceiling: signed POSTs of the same bodies to the same sink in a loop, with hyper, without
//! a store. No sender on this machine can be faster without doing less.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use bellhop_webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Signer};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::arguments::RunOptions;
use crate::body;
use crate::connection::Connection;
use crate::measure::{CpuMeter, now_ns, unix_seconds};
use crate::sink_control::{SinkControl, judge};

/// The loop is so fast that it takes more messages than a round end to end to be worth a figure.
const MORE: u64 = 5;

/// What the loop reached.
#[derive(Debug, Serialize)]
pub struct Raw {
    pub messages: u64,
    pub connections: u16,
    /// From the first request to the last arrival.
    pub per_second: f64,
    /// CPU of the loop.
    pub sender_cpu_us: f64,
    /// CPU of the sink.
    pub sink_cpu_us: f64,
    pub body_bytes: f64,
}

/// Messages that are ready, and the next one to send.
struct Ready {
    messages: Vec<(String, Bytes)>,
    next: Cell<usize>,
    signer: Signer,
}

pub async fn run(options: &RunOptions) -> anyhow::Result<Raw> {
    let sink = SinkControl::start()?;
    let messages = options.messages() * MORE;
    // The first run only warms up.
    pass(&sink, options.connections, messages / 10).await?;
    sink.reset().await?;

    let (sender_cpu, sink_cpu) = (CpuMeter::start(std::process::id())?, sink.cpu()?);
    let started_ns = pass(&sink, options.connections, messages).await?;
    let statistics = sink.wait_for(messages).await?;
    judge(&statistics)?;
    let took = Duration::from_nanos(statistics.last_ns - started_ns);
    let count = messages as f64;
    Ok(Raw {
        messages,
        connections: options.connections,
        per_second: count / took.as_secs_f64(),
        sender_cpu_us: sender_cpu.us_per_message(messages)?,
        sink_cpu_us: sink_cpu.us_per_message(messages)?,
        body_bytes: statistics.body_bytes as f64 / count,
    })
}

/// Sends so many messages; when the first was sent.
async fn pass(sink: &SinkControl, connections: u16, count: u64) -> anyhow::Result<u64> {
    let ready = Rc::new(Ready {
        messages: (0..count).map(prepared).collect(),
        next: Cell::new(0),
        signer: Signer::new(vec![body::secret()], vec![]),
    });
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(sink.address()).await?);
    }
    let started_ns = now_ns();
    let mut senders = JoinSet::new();
    for connection in open {
        senders.spawn_local(send(connection, Rc::clone(&ready)));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(started_ns)
}

async fn send(mut connection: Connection, ready: Rc<Ready>) -> anyhow::Result<()> {
    loop {
        let next = ready.next.get();
        let Some((id, body)) = ready.messages.get(next) else {
            return Ok(());
        };
        ready.next.set(next + 1);
        let timestamp = unix_seconds();
        let request = connection
            .request(Method::POST, "/")
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_ID, id)
            .header(HEADER_TIMESTAMP, timestamp)
            .header(HEADER_SIGNATURE, ready.signer.sign(id, timestamp, body))
            .body(Full::new(body.clone()))?;
        let (status, _) = connection.send(request).await?;
        ensure!(status.is_success(), "the sink answers {status}");
    }
}

fn prepared(number: u64) -> (String, Bytes) {
    let id = format!("msg_{}_1", body::id(3, number).replace('-', ""));
    (id, body::message(number).into())
}
