//! How a webhook fares: its circuit, and what each attempt makes of it. A receiver that fails again and again is
//! left alone for a while, asked by one attempt at a time, and given its backlog slowly when it answers.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::domain::{
    cause::Cause,
    delivery::{Next, WebhookEffect},
    retry::later,
    webhook::WebhookState,
};

/// How many consecutive failures open a circuit.
pub const FAILURES_TO_OPEN: u32 = 10;
/// How long a circuit stays open for the first time. Each further time is twice as long.
pub const FIRST_OPEN: Duration = Duration::from_secs(5);
/// The longest that it stays open, with jitter.
pub const LONGEST_OPEN: Duration = Duration::from_mins(5);
/// After so long without one success, a webhook that fails is disabled.
pub const FAILING_FOR_TOO_LONG: Duration = Duration::from_hours(5 * 24);
/// Each opening is up to this part longer, so that receivers behind one fault are not all asked at once.
const JITTER: f64 = 0.2;

/// What the attempts have shown of a webhook. The default is what a healthy one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures since the last success.
    pub failures: u32,
    /// When the first of them ended.
    pub failing_since: Option<Timestamp>,
    /// How often the circuit has opened since the webhook was last healthy.
    pub opened: u32,
    /// Until when the circuit is open; then it is half-open until an attempt closes it. `None` if it is closed.
    pub open_until: Option<Timestamp>,
    /// After the circuit has closed, until the webhook is healthy: how many requests may be in flight.
    pub ramp: Option<u32>,
}

/// Whether a webhook is attempted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// It is.
    Closed,
    /// It is not, before this moment.
    Open {
        /// When one attempt may find out.
        until: Timestamp,
    },
    /// One attempt at a time finds out.
    HalfOpen,
}

/// What a record says of the health of its webhook.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Why the attempt failed; `None` if it succeeded.
    pub cause: Option<Cause>,
    /// When the attempt began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Most requests that the webhook may have in flight: the ramp ends there.
    pub max_in_flight: u32,
    /// The state of the webhook before it.
    pub state: WebhookState,
    /// Random, in `0..1`.
    pub unit: f64,
}

/// What people must learn of a record: it is known inside the transaction that makes it durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthEvent {
    /// The circuit has opened, after it was closed.
    Failing {
        /// When the first of the failures ended.
        since: Timestamp,
        /// How many there were without a success between them.
        failures: u32,
        /// The newest cause.
        cause: Cause,
        /// When one attempt finds out whether the receiver is back.
        open_until: Timestamp,
    },
    /// The circuit has closed: what was held is sent.
    Recovered {
        /// Since when it had failed.
        failing_since: Timestamp,
    },
    /// The webhook was disabled, and not by a person.
    Disabled {
        /// Why, for people.
        reason: String,
    },
    /// The schedule of the delivery is used up.
    DeliveryFailed {
        /// The newest cause.
        cause: Cause,
    },
}

/// What a record comes to, for the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its health from now on.
    pub health: Health,
    /// Why it is disabled from now on, if it is.
    pub disabled: Option<String>,
    /// What people must learn of it. Empty for most.
    pub events: Vec<HealthEvent>,
}

impl Health {
    /// Whether a success would change nothing: no failure is remembered.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Where the circuit stands at this moment.
    pub fn circuit(&self, now: Timestamp) -> Circuit {
        match self.open_until {
            None => Circuit::Closed,
            Some(until) if now < until => Circuit::Open { until },
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// How many requests may be in flight at this moment; `None` for as many as the webhook's settings say.
    pub fn most_in_flight(&self, now: Timestamp) -> Option<u32> {
        match self.circuit(now) {
            Circuit::Closed => self.ramp,
            Circuit::Open { .. } => Some(0),
            Circuit::HalfOpen => Some(1),
        }
    }

    /// What an attempt makes of it: the health from now on, and what people must learn.
    pub fn after(
        self,
        observed: Observed,
        next: Next,
        effect: Option<&WebhookEffect>,
    ) -> Diagnosis {
        let mut diagnosis = match observed.cause {
            None => self.after_success(observed.max_in_flight),
            // What is our own fault says nothing of the receiver.
            Some(Cause::Internal | Cause::Erased) => Diagnosis::quiet(self),
            Some(cause) => self.after_failure(observed, cause),
        };
        if let Some(WebhookEffect::Disable { reason }) = effect {
            diagnosis.disable(observed.state, reason.clone());
        }
        if let (Next::Failed, Some(cause)) = (next, observed.cause) {
            diagnosis.events.push(HealthEvent::DeliveryFailed { cause });
        }
        diagnosis
    }

    fn after_success(self, max_in_flight: u32) -> Diagnosis {
        let healthy = Self {
            failures: 0,
            failing_since: None,
            ..self
        };
        if self.open_until.is_some() {
            let mut closed = Diagnosis::quiet(Self {
                open_until: None,
                ramp: Some(1),
                ..healthy
            });
            closed.events.extend(
                self.failing_since
                    .map(|failing_since| HealthEvent::Recovered { failing_since }),
            );
            return closed;
        }
        let ramp = self.ramp.map(|ramp| ramp.saturating_mul(2));
        Diagnosis::quiet(match ramp.filter(|ramp| *ramp < max_in_flight) {
            Some(ramp) => Self {
                ramp: Some(ramp),
                ..healthy
            },
            None => Self::default(),
        })
    }

    fn after_failure(self, observed: Observed, cause: Cause) -> Diagnosis {
        let since = self.failing_since.unwrap_or(observed.ended);
        let failures = self.failures.saturating_add(1);
        let mut diagnosis = Diagnosis::quiet(Self {
            failures,
            failing_since: Some(since),
            // A receiver that fails while its backlog drains gets it as slowly as at the beginning.
            ramp: self.ramp.map(|_| 1),
            ..self
        });
        // An attempt that was under way when the circuit opened is no answer to the question of the next one.
        let is_asked = self
            .open_until
            .is_none_or(|until| observed.started >= until);
        if failures >= FAILURES_TO_OPEN && is_asked {
            let open_until = later(observed.ended, open_for(self.opened, observed.unit));
            diagnosis.health.opened = self.opened.saturating_add(1);
            diagnosis.health.open_until = Some(open_until);
            diagnosis.health.ramp = None;
            if self.open_until.is_none() {
                diagnosis.events.push(HealthEvent::Failing {
                    since,
                    failures,
                    cause,
                    open_until,
                });
            }
        }
        if failures >= FAILURES_TO_OPEN && has_failed_for_too_long(since, observed.ended) {
            let reason = format!(
                "No request has succeeded since {}. After 5 days of nothing but failures Bellhop stopped sending; \
                 repair the receiver and resume the webhook: what is held is then sent in order.",
                bellhop_webhook::UtcSecond::new(since)
            );
            diagnosis.disable(observed.state, reason);
        }
        diagnosis
    }
}

impl Diagnosis {
    fn quiet(health: Health) -> Self {
        Self {
            health,
            disabled: None,
            events: Vec::new(),
        }
    }

    /// What is disabled already stays as it is: the first reason counts, and is told once.
    fn disable(&mut self, state: WebhookState, reason: String) {
        if state != WebhookState::Disabled && self.disabled.is_none() {
            self.events.push(HealthEvent::Disabled {
                reason: reason.clone(),
            });
            self.disabled = Some(reason);
        }
    }
}

/// How long the circuit stays open when it has opened so often before.
fn open_for(before: u32, unit: f64) -> Duration {
    let longest = LONGEST_OPEN.div_f64(1.0 + JITTER);
    let doubled = 2_u32
        .checked_pow(before)
        .and_then(|times| FIRST_OPEN.checked_mul(times))
        .unwrap_or(longest);
    doubled.min(longest).mul_f64(1.0 + JITTER * unit)
}

fn has_failed_for_too_long(since: Timestamp, now: Timestamp) -> bool {
    SignedDuration::try_from(FAILING_FOR_TOO_LONG)
        .is_ok_and(|limit| now.duration_since(since) >= limit)
}

impl Circuit {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Open { .. } => "Open",
            Self::HalfOpen => "HalfOpen",
        }
    }
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
