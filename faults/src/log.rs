//! The two logs that a run leaves: one JSON value a line, so that a run that failed can be judged again.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Name of the producer's log in the folder of a run.
const PRODUCER: &str = "producer.jsonl";
/// What the names of the receivers' logs begin with.
const RECEIVER: &str = "receiver-";

/// One line of the producer's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// A webhook that was configured before the first command.
    Webhook(Subscribed),
    /// A command that was acknowledged and caused a message.
    Acknowledged(Acknowledged),
    /// A fault that was made.
    Fault(Fault),
    /// What an introspection answered.
    Introspected(Introspected),
    /// The server's clock was set.
    ClockSet(ClockSet),
    /// A part of the run in which latencies are comparable.
    Stretch(Stretch),
}

/// A webhook: what it must get, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Names its receiver's log.
    pub name: String,
    /// What signs: `whsec_…`.
    pub secret: String,
    /// Every action that it must get.
    pub actions: Vec<String>,
    /// Seconds before each try.
    pub waits_s: Vec<u64>,
    /// Most requests at a time.
    pub max_in_flight: u64,
}

/// A message that an acknowledged command caused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The integration's id, hyphenated.
    pub integration: String,
    /// Its position in the integration's history.
    pub sequence: u64,
    /// What happened.
    pub action: String,
    /// The bytes that must arrive, made from the contract and the answer.
    pub body: String,
    /// When the request that was acknowledged was sent.
    #[serde(default)]
    pub asked_us: u64,
    /// When its answer had been read.
    #[serde(default)]
    pub at_us: u64,
}

/// A fault, in the time of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Which.
    pub kind: String,
    /// When it began. A process that is killed does nothing after it.
    pub at_us: u64,
    /// When it was over; the same moment for a process that was killed.
    #[serde(default)]
    pub ends_us: u64,
    /// What it can keep apart.
    #[serde(default)]
    pub parts: Parts,
}

/// The kind of a fault that stops a process for a while, and lets it go on.
pub const STOPPED: &str = "stopped";

/// What a fault can keep apart, so that a message is sent again that a receiver has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Parts {
    /// Nothing: it explains no duplicate.
    #[default]
    Nothing,
    /// A 2xx from its record. As nothing was recorded, the attempt is made again under the same number.
    Records,
    /// The same; and the server goes on later, and may record that what it had under way when it was stopped took too long:
    /// unless another one has taken over.
    UnderWay,
    /// Any 2xx from the server as well, which records that the attempt failed.
    Answers,
}

/// What an introspection of an access token answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspected {
    /// Whose token it is.
    pub integration: String,
    /// When the question was sent.
    pub asked_us: u64,
    /// The answer.
    pub active: bool,
}

/// The server's clock was set: so many seconds before or after ours, from this moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSet {
    /// When.
    pub at_us: u64,
    /// The server's clock less ours.
    pub offset_s: i64,
}

/// A part of the run in which latencies are comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Whether sick receivers were there.
    pub with_sick: bool,
    /// When it began.
    pub from_us: u64,
    /// When it ended.
    pub until_us: u64,
}

/// One request that a receiver got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// When it was read to its end, in the time of the run.
    pub at_us: u64,
    /// The same by the calendar: seconds since 1970.
    pub unix_s: i64,
    /// Header names (lower case) and values.
    pub headers: BTreeMap<String, String>,
    /// The bytes.
    pub body: String,
    /// What was answered; nothing if the connection ended before.
    pub answered: Option<Answered>,
    /// Whether the receiver hung up on it. One that is neither answered nor hung up on was cut off by the sender.
    #[serde(default)]
    pub hung_up: bool,
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Just before it was sent.
    pub at_us: u64,
    /// The status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
}

/// Both logs: all that the judge knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The webhooks.
    pub webhooks: Vec<Subscribed>,
    /// What was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// The faults, in order.
    pub faults: Vec<Fault>,
    /// The introspections.
    pub introspected: Vec<Introspected>,
    /// The settings of the server's clock, in order.
    pub clock: Vec<ClockSet>,
    /// Where latencies are compared.
    pub stretches: Vec<Stretch>,
    /// What arrived at each webhook, in order.
    pub arrivals: BTreeMap<String, Vec<Arrival>>,
}

impl Acknowledged {
    /// The `webhook-id` that it must have.
    pub fn message_id(&self) -> String {
        format!(
            "msg_{}_{}",
            self.integration.replace('-', ""),
            self.sequence
        )
    }
}

impl Arrival {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A header that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name).parse().ok()
    }

    /// Whether it was answered with a 2xx.
    pub fn is_delivered(&self) -> bool {
        self.answered
            .is_some_and(|answered| (200..300).contains(&answered.status))
    }
}

impl Evidence {
    /// Adds a line of the producer's log.
    pub fn add(&mut self, line: Line) {
        match line {
            Line::Webhook(webhook) => self.webhooks.push(webhook),
            Line::Acknowledged(acknowledged) => self.acknowledged.push(acknowledged),
            Line::Fault(fault) => self.faults.push(fault),
            Line::Introspected(introspected) => self.introspected.push(introspected),
            Line::ClockSet(set) => self.clock.push(set),
            Line::Stretch(stretch) => self.stretches.push(stretch),
        }
    }

    /// Writes both logs into a folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let webhooks = self.webhooks.iter().cloned().map(Line::Webhook);
        let acknowledged = self.acknowledged.iter().cloned().map(Line::Acknowledged);
        let faults = self.faults.iter().cloned().map(Line::Fault);
        let introspected = self.introspected.iter().cloned().map(Line::Introspected);
        let clock = self.clock.iter().copied().map(Line::ClockSet);
        let stretches = self.stretches.iter().copied().map(Line::Stretch);
        let lines = webhooks.chain(acknowledged).chain(faults);
        let lines = lines.chain(introspected).chain(clock).chain(stretches);
        write_lines(&folder.join(PRODUCER), lines)?;
        for (name, arrivals) in &self.arrivals {
            write_lines(&folder.join(format!("{RECEIVER}{name}.jsonl")), arrivals)?;
        }
        Ok(())
    }

    /// Reads both logs from a folder.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut evidence = Self::default();
        for line in read_lines(&folder.join(PRODUCER))? {
            evidence.add(line);
        }
        let names: Vec<_> = evidence.webhooks.iter().map(|each| &each.name).collect();
        for name in names {
            let arrivals = read_lines(&folder.join(format!("{RECEIVER}{name}.jsonl")))?;
            evidence.arrivals.insert(name.clone(), arrivals);
        }
        Ok(evidence)
    }
}

fn write_lines(path: &Path, lines: impl IntoIterator<Item: Serialize>) -> anyhow::Result<()> {
    let file = fs::File::create(path).with_context(|| path.display().to_string())?;
    let mut file = BufWriter::new(file);
    for line in lines {
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(())
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| path.display().to_string()))
        .collect()
}
