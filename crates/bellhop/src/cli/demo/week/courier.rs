//! Whoever carries the messages of the week: claims, signs, and records what the script says the receiver did.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{
    Hand,
    script::{Character, Dice},
};
use crate::{
    cli::Failure,
    clock::Clock as _,
    delivery::{egress::EgressPolicy, prepared::Prepared},
    domain::{
        cause::Cause,
        delivery::{Attempt, Outcome, Response, Timings, Tried, decide},
    },
    id::WebhookId,
    store::{Attempted, Claim, ClaimRequest, Store, Want},
};

/// Most that are carried at once.
const AT_ONCE: usize = 64;
/// If nothing can be claimed although something is due, it is asked again after so long.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(20);

/// For how long the broken one is broken at the end.
const BROKEN_FOR: SignedDuration = SignedDuration::from_hours(14);

/// Carries.
pub struct Courier {
    store: Arc<dyn Store>,
    webhooks: HashMap<WebhookId, (Character, Prepared)>,
    /// When the broken one breaks.
    breaks: Timestamp,
}

/// What a receiver did.
struct Did {
    took: Duration,
    cause: Option<Cause>,
    detail: Option<&'static str>,
    answer: Option<(u16, &'static str, &'static str)>,
    retry_after: Option<Duration>,
}

impl Courier {
    /// Into this store, until the end of the week.
    pub fn new(store: Arc<dyn Store>, end: Timestamp) -> Self {
        Self {
            store,
            breaks: end.checked_sub(BROKEN_FOR).unwrap_or(end),
            webhooks: HashMap::new(),
        }
    }

    /// A webhook that there is from now on.
    pub async fn knows(&mut self, id: &str, character: Character) -> Result<(), Failure> {
        let id: WebhookId = id.parse().map_err(anyhow::Error::from)?;
        let webhook = self.store.webhook(id).await?;
        let webhook = webhook.ok_or_else(|| anyhow::anyhow!("the webhook is not there"))?;
        let loopback = "127.0.0.0/8".parse().expect("it is a network");
        let policy = EgressPolicy::allowing([loopback]);
        let prepared = Prepared::new(&webhook, &policy, webhook.created);
        self.webhooks.insert(id, (character, prepared));
        Ok(())
    }

    /// Carries what is due, moment by moment, until then.
    pub async fn deliver_until(
        &mut self,
        hand: &Hand,
        until: Timestamp,
        dice: &mut Dice,
    ) -> Result<(), Failure> {
        loop {
            let due = self.store.due().await?;
            let Some(next) = due.iter().map(|(_, at)| *at).min().filter(|at| *at < until) else {
                return Ok(());
            };
            hand.move_to(next);
            let wants = due.iter().map(|(webhook_id, _)| Want {
                webhook_id: *webhook_id,
                limit: AT_ONCE,
            });
            let request = ClaimRequest {
                now: hand.now(),
                wants: wants.collect(),
            };
            let claimed = self.store.claim(request).await?;
            let claims: Vec<_> = claimed.into_iter().flat_map(|of| of.claims).collect();
            if claims.is_empty() {
                let later = hand.now().checked_add(LOOK_AGAIN).unwrap_or(until);
                if later >= until {
                    return Ok(());
                }
                hand.move_to(later);
                continue;
            }
            let recorded = claims.iter().map(|claim| {
                let attempted = self.attempt(hand.now(), claim, dice);
                self.store.record(attempted)
            });
            for recorded in futures_util::future::join_all(recorded.collect::<Vec<_>>()).await {
                recorded?;
            }
        }
    }

    fn attempt(&self, started: Timestamp, claim: &Claim, dice: &mut Dice) -> Attempted {
        let (character, webhook) = &self.webhooks[&claim.webhook_id];
        let is_broken = started >= self.breaks;
        let did = character.does(started, is_broken, claim.number, dice);
        let body = claim.body.clone().unwrap_or_default();
        let id = claim.message_id().to_string();
        let signature = webhook.signer.sign(&id, started.as_second(), &body);
        let at = started.checked_add(did.took).unwrap_or(started);
        let outcome = match did.cause {
            None => Outcome::Succeeded,
            Some(cause) => Outcome::Failed {
                cause,
                retry_after: did.retry_after,
            },
        };
        let tried = Tried {
            state: claim.state,
            tries: claim.tries,
            planned: claim.planned,
            ended: at,
        };
        let (next, effect) = decide(tried, outcome, &webhook.schedule, dice.unit());
        Attempted {
            delivery_id: claim.delivery_id,
            fence: claim.fence,
            at,
            attempt: did.attempt(claim.number, started, signature, dice),
            next,
            effect,
            unit: dice.unit(),
        }
    }
}

impl Character {
    /// What a receiver of this character does at that moment.
    fn does(self, at: Timestamp, is_broken: bool, number: u32, dice: &mut Dice) -> Did {
        let ms = |least: f64, spread: f64, dice: &mut Dice| {
            Duration::from_secs_f64((least + spread * dice.unit().powi(3)) / 1e3)
        };
        let hour = at.as_second().rem_euclid(86_400) / 3600;
        let luck = dice.below(100);
        match self {
            Self::Steady if luck == 0 && number == 1 => Did::closed(ms(30.0, 40.0, dice)),
            Self::Steady if luck == 1 && number == 1 => Did::unavailable(ms(20.0, 30.0, dice)),
            Self::Steady => Did::took(ms(38.0, 160.0, dice)),
            Self::Broken if is_broken => Did::failed(ms(90.0, 200.0, dice)),
            Self::Broken if luck < 4 && number == 1 => Did::reset(ms(5.0, 20.0, dice)),
            Self::Broken => Did::took(ms(60.0, 300.0, dice)),
            Self::Nightly if hour == 2 => Did::refused(),
            Self::Nightly if matches!(hour, 1 | 3) && luck < 40 => Did::timed_out(),
            Self::Nightly => Did::took(ms(120.0, 1400.0, dice)),
            Self::Lost => Did::lost(ms(15.0, 20.0, dice)),
            Self::Strict if luck < 9 => Did::limited(ms(8.0, 10.0, dice)),
            Self::Strict => Did::took(ms(24.0, 90.0, dice)),
        }
    }
}

impl Did {
    fn took(took: Duration) -> Self {
        Self {
            took,
            cause: None,
            detail: None,
            answer: Some((204, "text/plain", "")),
            retry_after: None,
        }
    }

    fn wrong(took: Duration, cause: Cause, detail: &'static str) -> Self {
        Self {
            took,
            cause: Some(cause),
            detail: Some(detail),
            answer: None,
            retry_after: None,
        }
    }

    fn answered(took: Duration, cause: Cause, answer: (u16, &'static str, &'static str)) -> Self {
        Self {
            took,
            cause: Some(cause),
            detail: None,
            answer: Some(answer),
            retry_after: None,
        }
    }

    fn failed(took: Duration) -> Self {
        let body = r#"{"error":"relation \"stays_v2\" does not exist","release":"2.14.0"}"#;
        Self::answered(took, Cause::ServerError, (500, "application/json", body))
    }

    fn lost(took: Duration) -> Self {
        let body =
            "<html><head><title>404 Not Found</title></head><body>No such page.</body></html>";
        Self::answered(took, Cause::ClientError, (404, "text/html", body))
    }

    fn unavailable(took: Duration) -> Self {
        let body = "deploying, back in a minute";
        Self::answered(took, Cause::Unavailable, (503, "text/plain", body))
    }

    fn limited(took: Duration) -> Self {
        let body = r#"{"error":"too many requests"}"#;
        Self {
            retry_after: Some(Duration::from_secs(30)),
            ..Self::answered(took, Cause::RateLimited, (429, "application/json", body))
        }
    }

    fn closed(took: Duration) -> Self {
        Self::wrong(
            took,
            Cause::ClosedEarly,
            "the connection was closed before an answer came",
        )
    }

    fn reset(took: Duration) -> Self {
        Self::wrong(took, Cause::Reset, "connection reset by peer")
    }

    fn refused() -> Self {
        let took = Duration::from_micros(400);
        Self::wrong(took, Cause::ConnectRefused, "127.0.0.1: connection refused")
    }

    fn timed_out() -> Self {
        let took = Duration::from_secs(15);
        Self::wrong(took, Cause::Timeout, "no answer within 15 s")
    }

    fn attempt(
        self,
        number: u32,
        started: Timestamp,
        signature: String,
        dice: &mut Dice,
    ) -> Attempt {
        let is_connected = self.cause != Some(Cause::ConnectRefused);
        let us = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        let response = self.answer.map(|(status, kind, body)| {
            Arc::new(Response {
                status,
                headers: vec![("content-type".to_owned(), kind.to_owned())],
                body: Bytes::from_static(body.as_bytes()),
                is_truncated: false,
            })
        });
        let timings = Timings {
            connect_us: is_connected.then(|| 120 + dice.below(400) as u32),
            send_us: is_connected.then(|| 30 + dice.below(90) as u32),
            wait_us: response.as_ref().map(|_| us(self.took).saturating_sub(700)),
            receive_us: response.as_ref().map(|_| 20 + dice.below(60) as u32),
            ..Timings::default()
        };
        Attempt {
            number,
            is_replay: false,
            started,
            duration: self.took,
            cause: self.cause,
            detail: self.detail.map(str::to_owned),
            signature,
            traceparent: format!(
                "00-{:016x}{:016x}-{:016x}-01",
                number,
                dice.below(usize::MAX),
                dice.below(usize::MAX) | 1
            ),
            response,
            timings,
            remote: is_connected.then_some(Ipv4Addr::LOCALHOST.into()),
        }
    }
}
