//! Reading a stream of server-sent events.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;

/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(30);

/// A stream that is read.
#[derive(Debug)]
pub struct Events {
    body: Body,
    text: String,
    /// The last id that was heard.
    pub last_id: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its document.
    pub data: Value,
}

impl Events {
    /// Of this answer.
    pub fn of(body: Body) -> Self {
        Self {
            body,
            text: String::new(),
            last_id: String::new(),
        }
    }

    /// The next block, as it came: lines up to an empty one. `None` at the end.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let mut block: String = self.text.drain(..end + 2).collect();
                block.truncate(end);
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                return Some(block);
            }
            let frame = tokio::time::timeout(WITHIN, self.body.frame());
            let frame = frame.await.expect("the stream says nothing")?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event. `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = line("data: ") {
                return Some(Event {
                    name: line("event: ").unwrap().to_owned(),
                    data: serde_json::from_str(data).unwrap(),
                });
            }
        }
    }

    /// The next event, which there must be.
    pub async fn expect(&mut self, name: &str) -> Value {
        let event = self.next().await.expect("the stream ended");
        assert_eq!(event.name, name, "{}", event.data);
        event.data
    }

    /// Waits until the stream is open: what happens from now on is heard.
    pub async fn opened(mut self) -> Self {
        let block = self.block().await.unwrap();
        assert!(block.starts_with("retry: "), "{block}");
        self
    }

    /// Every event up to the end.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
