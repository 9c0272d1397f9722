//! A week before the demo begins, so that its dashboard has something to show.
//!
//! Nothing of it is put into the database from behind. The application itself is built with a clock that is moved by hand,
//! every command goes through its API, every delivery is claimed and recorded as the dispatcher does it; only what the
//! receivers answered is made up, by a script. What could not happen is not there.

mod courier;
mod script;

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use self::{
    courier::Courier,
    script::{APPLICATIONS, Dice, ENTERPRISES, Happening, WEBHOOKS, happenings},
};
use super::super::Failure;
use crate::{
    app::{App, Parts},
    clock::Clock,
    config::Config,
    domain::secret_text::SecretText,
    random::SystemRandom,
};

/// How long before the present it begins.
const BEGINS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Where the receivers of the demo listen: one that takes everything, and one for each way of failing that goes on.
#[derive(Debug)]
pub struct Receivers {
    /// Takes everything.
    pub good: String,
    /// Answers 500.
    pub failing: String,
    /// Answers 404.
    pub lost: String,
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn move_to(&self, at: Timestamp) {
        let mut now = self.0.lock().expect("no holder panics");
        *now = at.max(*now);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder panics")
    }
}

/// Fills the store of this configuration with the week before `end`. No server may have it open.
pub async fn fill(config: &Config, receivers: &Receivers, end: Timestamp) -> Result<(), Failure> {
    let begin = end.checked_sub(BEGINS).unwrap_or(end);
    let hand = Arc::new(Hand(Mutex::new(begin)));
    let parts = Parts {
        clock: hand.clone(),
        random: Arc::new(SystemRandom),
        ..Parts::default()
    };
    let app = App::build(config.clone(), parts).await?;
    let operator = Operator {
        api: app.api(),
        key: config.open_secrets(&SystemRandom)?.operator_key,
    };
    let mut courier = Courier::new(app.store().clone(), end);
    let mut platform = Platform::default();
    for enterprise in ENTERPRISES {
        let id = uuid::Uuid::from_bytes(crate::random::bytes(&SystemRandom));
        let path = format!("/v1/enterprises/{id}");
        let document = json!({ "Name": enterprise });
        operator.ask(Method::PUT, &path, document).await?;
        platform.enterprises.push(id.to_string());
    }
    for application in APPLICATIONS {
        let made = operator
            .post("/v1/applications", json!({ "Name": application }))
            .await?;
        platform.applications.push(id_of(&made));
    }
    let mut dice = Dice::new(7);
    for (after, happening) in happenings(&mut dice) {
        let at = begin.checked_add(after).unwrap_or(end);
        courier.deliver_until(&hand, at.min(end), &mut dice).await?;
        hand.move_to(at.min(end));
        platform
            .live(&operator, &mut courier, receivers, happening)
            .await?;
    }
    courier.deliver_until(&hand, end, &mut dice).await?;
    app.close().await?;
    Ok(())
}

/// What there is, by its place in the script.
#[derive(Debug, Default)]
struct Platform {
    enterprises: Vec<String>,
    applications: Vec<String>,
    webhooks: Vec<String>,
    integrations: Vec<String>,
}

impl Platform {
    /// Lets something happen.
    async fn live(
        &mut self,
        operator: &Operator,
        courier: &mut Courier,
        receivers: &Receivers,
        happening: Happening,
    ) -> Result<(), Failure> {
        match happening {
            Happening::Webhook(place) => {
                let webhook = &WEBHOOKS[place];
                let base = match webhook.receiver {
                    "failing" => &receivers.failing,
                    "lost" => &receivers.lost,
                    _ => &receivers.good,
                };
                let document = json!({
                    "Url": format!("{base}{}", webhook.path),
                    "Description": webhook.name,
                    "Profile": webhook.profile,
                });
                let application = &self.applications[webhook.application];
                let path = format!("/v1/applications/{application}/webhooks");
                let made = operator.post(&path, document).await?;
                let id = id_of(&made);
                courier.knows(&id, webhook.character).await?;
                self.webhooks.push(id);
            }
            Happening::Pause(place, reason) => {
                let path = format!("/v1/webhooks/{}/pause", self.webhooks[place]);
                operator.post(&path, json!({ "Reason": reason })).await?;
            }
            Happening::Connect {
                application,
                enterprise,
                name,
            } => {
                let document = json!({
                    "ApplicationId": self.applications[application],
                    "EnterpriseId": self.enterprises[enterprise],
                    "Name": name,
                });
                let made = operator.post("/v1/integrations", document).await?;
                self.integrations.push(id_of(&made));
            }
            Happening::Command(place, "delete") => {
                let path = format!("/v1/integrations/{}", self.integrations[place]);
                operator.ask(Method::DELETE, &path, Value::Null).await?;
            }
            Happening::Command(place, command) => {
                let path = format!("/v1/integrations/{}/{command}", self.integrations[place]);
                operator.post(&path, json!({})).await?;
            }
        }
        Ok(())
    }
}

fn id_of(made: &Value) -> String {
    made["Id"].as_str().unwrap_or_default().to_owned()
}

/// Whoever gives commands, through the API.
struct Operator {
    api: Router,
    key: SecretText,
}

impl Operator {
    async fn post(&self, path: &str, document: Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, document).await
    }

    async fn ask(&self, method: Method, path: &str, document: Value) -> Result<Value, Failure> {
        let body = if document.is_null() {
            Body::empty()
        } else {
            Body::from(document.to_string())
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.key.expose()),
            )
            .body(body)
            .map_err(anyhow::Error::from)?;
        let Ok(response) = self.api.clone().oneshot(request).await;
        let status: StatusCode = response.status();
        let collected = response.into_body().collect().await;
        let bytes = collected.map_err(anyhow::Error::from)?.to_bytes();
        let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(document);
        }
        let why = document["detail"].as_str().unwrap_or_default();
        Err(anyhow::anyhow!("the sample week: {path}: {status} {why}").into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        domain::delivery::{Delivery, DeliveryState},
        store::{DeliveryFilter, Page, audit::Verifier, sqlite::SqliteAuditLog},
    };

    #[tokio::test]
    async fn a_week_is_there_and_could_have_happened() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::of_flags(vec![
            ("listen", "127.0.0.1:0".to_owned()),
            ("data_dir", folder.path().display().to_string()),
            ("egress_allow", "127.0.0.0/8".to_owned()),
        ])
        .unwrap();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let receivers = Receivers {
            good: url(9001),
            failing: url(9002),
            lost: url(9003),
        };
        let end: Timestamp = "2026-01-31T09:30:00Z".parse().unwrap();
        fill(&config, &receivers, end).await.unwrap();

        let app = App::build(config, Parts::default()).await.unwrap();
        let page = Page {
            after: None,
            limit: 1000,
        };
        let all = app
            .store()
            .deliveries(DeliveryFilter::default(), page)
            .await
            .unwrap();
        assert!((250..1000).contains(&all.len()), "{}", all.len());
        let oldest = all.last().unwrap().created;
        assert!(end.duration_since(oldest).as_hours() >= 6 * 24);
        assert!(all[0].created <= end);
        let mut states = BTreeMap::<_, usize>::new();
        let (mut causes, mut attempts) = (BTreeSet::new(), 0);
        for delivery in &all {
            *states.entry(delivery.state.as_str()).or_default() += 1;
            let mut last = delivery.created;
            for attempt in app.store().attempts(delivery.id).await.unwrap() {
                // Each attempt is after what it is about, and after the one before.
                assert!(attempt.started >= last, "{delivery:?}");
                last = attempt.started;
                causes.extend(attempt.cause);
                attempts += 1;
            }
            assert!(last <= end);
        }
        assert!(
            states["Delivered"] > 200 && states["Failed"] > 0 && states["Pending"] > 5,
            "{states:?}"
        );
        assert!(causes.len() >= 6, "{causes:?}");
        assert!(attempts > all.len());
        order_holds(&all);
        let log = SqliteAuditLog::open(&folder.path().join("bellhop.db")).unwrap();
        let verified = Verifier::new(&log, None).run(&mut ()).await.unwrap();
        assert!(verified.unwrap().chain.position > 100);
        app.close().await.unwrap();
    }

    /// Behind one that is pending, nothing was tried.
    fn order_holds(all: &[Delivery]) {
        for pending in all
            .iter()
            .filter(|each| each.state == DeliveryState::Pending)
        {
            let behind = all.iter().filter(|each| {
                each.webhook_id == pending.webhook_id
                    && each.integration_id == pending.integration_id
                    && each.sequence > pending.sequence
            });
            for each in behind {
                assert_eq!(
                    (each.state, each.attempt_count),
                    (DeliveryState::Pending, 0)
                );
            }
        }
    }
}
