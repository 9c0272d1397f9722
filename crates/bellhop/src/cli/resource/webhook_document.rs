//! The settings of a webhook, as flags and as a file. What is secret in them is never a flag.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::cli::{Code, Failure, secret_input::read_text};

/// Settings of a webhook.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Where to. A URL whose query is a secret belongs into --file.
    #[arg(long)]
    url: Option<String>,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Which actions, with commas between; all unless given.
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',')]
    actions: Option<Vec<String>>,
    /// In which form of the contract: default or 2025.
    #[arg(long)]
    profile: Option<String>,
    /// The deadline of one exchange.
    #[arg(long, value_name = "SECONDS")]
    timeout_seconds: Option<u32>,
    /// Seconds before each try, with commas between, as in 0,5,300.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',')]
    retry_schedule: Option<Vec<u32>>,
    /// Most requests at a time.
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
    /// Most requests a second; none lifts the limit.
    #[arg(long, value_name = "N")]
    rate_limit: Option<RateLimit>,
    /// Whether 307 and 308 within the same origin are followed.
    #[arg(long, value_name = "true|false")]
    follow_redirects: Option<bool>,
    /// How requests are signed, with commas between, as in v1,v1a.
    #[arg(long, value_name = "SIGNATURES", value_delimiter = ',')]
    signatures: Option<Vec<String>>,
    /// A JSON document with these members and all others that the API takes (Headers, Authentication, ClientCertificate);
    /// - is standard input. Flags win.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct RateLimit(Option<u32>);

impl std::str::FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let limit = text.parse().map_err(|_| "a number, or none".to_owned())?;
        Ok(Self(Some(limit)))
    }
}

impl Settings {
    /// The document that the API takes.
    pub fn document(&self) -> Result<Map<String, Value>, Failure> {
        let mut document = match &self.file {
            Some(path) => in_file(path)?,
            None => Map::new(),
        };
        let flags = [
            ("Url", self.url.as_ref().map(|it| json!(it))),
            ("Description", self.description.as_ref().map(|it| json!(it))),
            ("Actions", self.actions.as_ref().map(|it| json!(it))),
            ("Profile", self.profile.as_ref().map(|it| json!(it))),
            ("TimeoutSeconds", self.timeout_seconds.map(|it| json!(it))),
            (
                "RetrySchedule",
                self.retry_schedule.as_ref().map(|it| json!(it)),
            ),
            ("MaxInFlight", self.max_in_flight.map(|it| json!(it))),
            ("RateLimit", self.rate_limit.map(|it| json!(it.0))),
            ("FollowRedirects", self.follow_redirects.map(|it| json!(it))),
            ("Signatures", self.signatures.as_ref().map(|it| json!(it))),
        ];
        for (name, value) in flags {
            document.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(document)
    }
}

fn in_file(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        text
    } else {
        read_text(path)?
    };
    // What serde says names a place and what it expected there, never a value.
    serde_json::from_str(&text).map_err(|error| {
        let cause = format!("{} is no JSON object: {error}", path.display());
        Failure::new(Code::Usage, cause)
            .hint("its members are those of POST /v1/applications/{Id}/webhooks: bellhop openapi")
    })
}
