//! Which deliveries: the same flags for lists, tails and replays, as the API has them.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Code, Failure};
use crate::clock::{Clock as _, SystemClock};

/// A parameter and its value, if it is given.
pub type Member = (&'static str, Option<String>);

/// Which deliveries.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which deliveries")]
pub struct Filter {
    /// To this webhook.
    #[arg(long, value_name = "ID")]
    webhook: Option<Uuid>,
    /// Of this application.
    #[arg(long, value_name = "ID")]
    application: Option<Uuid>,
    /// Of this integration.
    #[arg(long, value_name = "ID")]
    integration: Option<Uuid>,
    /// Of this enterprise.
    #[arg(long, value_name = "ID")]
    enterprise: Option<Uuid>,
    /// Of this action, as in IntegrationDisabled.
    #[arg(long)]
    action: Option<String>,
    /// In this state: Pending, Delivered, Failed or Discarded.
    #[arg(long)]
    state: Option<String>,
    /// Whose newest attempt failed so, as in connect_refused.
    #[arg(long)]
    cause: Option<String>,
}

/// From when to when.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which deliveries")]
pub struct Times {
    /// Made at this moment or later, as in 2026-11-26T18:00:00Z.
    #[arg(long, value_name = "UTC")]
    from: Option<Timestamp>,
    /// Made before this moment.
    #[arg(long, value_name = "UTC")]
    to: Option<Timestamp>,
    /// Made within this time before now, as in 90m, 2h or 3d.
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<Since>,
}

/// A time before now.
#[derive(Debug, Clone, Copy)]
struct Since(SignedDuration);

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "a number with s, m, h or d, as in 90m";
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let found = units
            .into_iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let (number, seconds) = found.ok_or(EXPECTED)?;
        let number: u32 = number.parse().map_err(|_| EXPECTED)?;
        Ok(Self(SignedDuration::from_secs(i64::from(number) * seconds)))
    }
}

impl Filter {
    /// As the API takes them.
    pub fn members(&self) -> [Member; 7] {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string());
        [
            ("WebhookId", text(self.webhook)),
            ("ApplicationId", text(self.application)),
            ("IntegrationId", text(self.integration)),
            ("EnterpriseId", text(self.enterprise)),
            ("Action", self.action.clone()),
            ("State", self.state.clone()),
            ("Cause", self.cause.clone()),
        ]
    }
}

impl Times {
    /// As the API takes them.
    pub fn members(&self) -> Result<[Member; 2], Failure> {
        let since = self
            .since
            .map(|Since(before)| SystemClock.now().checked_sub(before));
        let since = since
            .transpose()
            .map_err(|error| Failure::new(Code::Usage, error))?;
        Ok([
            ("FromUtc", self.from.or(since).map(|at| at.to_string())),
            ("ToUtc", self.to.map(|at| at.to_string())),
        ])
    }
}
