//! The server's stream of events, read for as long as it takes: it comes again where it was.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use anstream::eprintln;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Code, Failure, client::Client, style::WARN};

/// A stream that says nothing, not even that it is there, is broken: it says so every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// How long to wait before coming again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Longer blocks are no events of ours.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `delivery`, `webhook`, `webhook-deleted`, `integration`, `gap` or `end`.
    pub name: String,
    /// Its document.
    pub data: Value,
}

/// A stream of events.
#[derive(Debug)]
pub struct EventStream<'a> {
    client: &'a Client,
    path: String,
    last_id: String,
    body: Option<Incoming>,
    text: Vec<u8>,
    ready: VecDeque<Event>,
    pause: Duration,
    /// When it was opened first, by the server's clock.
    opened: SystemTime,
}

/// Goes on until Ctrl-C, which is how one that has no end is ended well.
pub async fn until_stopped(
    follow: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        done = follow => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

impl<'a> EventStream<'a> {
    /// Opens it. What is wrong now, the command says; what breaks later is mended.
    pub async fn open(
        client: &'a Client,
        query: &[(&str, Option<String>)],
    ) -> Result<Self, Failure> {
        let given = query.iter().filter_map(|(name, value)| {
            let value = super::remote::encoded(value.as_deref()?);
            Some(format!("{name}={value}"))
        });
        let query = given.collect::<Vec<_>>().join("&");
        let mut stream = Self {
            client,
            path: format!("/v1/events?{query}"),
            last_id: String::new(),
            body: None,
            text: Vec::new(),
            ready: VecDeque::new(),
            pause: FIRST_PAUSE,
            opened: SystemTime::UNIX_EPOCH,
        };
        stream.opened = stream.connect().await?.unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(stream)
    }

    /// When it was opened first, by the server's clock.
    pub fn opened(&self) -> SystemTime {
        self.opened
    }

    /// The next event. `None` once the stream has come to the end that was asked for.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.name == "end" {
                    self.body = None;
                    if event.data["Reason"] == "WaitIsOver" {
                        return Ok(None);
                    }
                    continue;
                }
                return Ok(Some(event));
            }
            if self.body.is_none() {
                self.come_again().await?;
            }
            if self.read().await.is_err() {
                self.body = None;
            }
        }
    }

    /// Connects; says what time it is there.
    async fn connect(&mut self) -> Result<Option<SystemTime>, Failure> {
        let mut asking = self.client.ask(Method::GET, self.path.clone());
        if !self.last_id.is_empty() {
            asking = asking.header("last-event-id", self.last_id.clone());
        }
        let answer = asking.open().await?;
        let date = answer.headers().get(http::header::DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        self.body = Some(answer.into_body());
        self.text.clear();
        Ok(date)
    }

    async fn come_again(&mut self) -> Result<(), Failure> {
        let mut is_told = false;
        loop {
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            match self.connect().await {
                Ok(_) => return Ok(()),
                // Waiting mends these; nothing mends a key that has ended.
                Err(failure) if failure.has(Code::NotAllowed) || failure.has(Code::NotFound) => {
                    return Err(failure);
                }
                Err(failure) => {
                    if !is_told {
                        eprintln!("{WARN}warning:{WARN:#} {failure}; trying again");
                        is_told = true;
                    }
                }
            }
        }
    }

    /// Reads some more of it.
    async fn read(&mut self) -> Result<(), ()> {
        let body = self.body.as_mut().ok_or(())?;
        let frame = timeout(SILENCE, body.frame()).await.map_err(drop)?;
        let frame = frame.ok_or(())?.map_err(drop)?;
        if let Ok(bytes) = frame.into_data() {
            self.text.extend_from_slice(&bytes);
        }
        while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            self.take(&String::from_utf8_lossy(&block));
        }
        if self.text.len() > MOST_BYTES {
            return Err(());
        }
        Ok(())
    }

    fn take(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        if let Some(id) = field("id: ") {
            id.clone_into(&mut self.last_id);
        }
        self.pause = FIRST_PAUSE;
        let event = field("event: ").zip(field("data: "));
        let event = event.and_then(|(name, data)| {
            Some(Event {
                name: name.to_owned(),
                data: serde_json::from_str(data).ok()?,
            })
        });
        self.ready.extend(event);
    }
}
