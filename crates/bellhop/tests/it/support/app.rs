//! The API over a real store in a place of its own, with a clock that is moved by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    answer::{Answer, Asking},
    clock::ManualClock,
    place::Place,
    random::SeededRandom,
};
use async_trait::async_trait;
use axum::Router;
use bellhop::{
    api::{self, ApiOptions, ApiState, JudgeUrl, Rates, TestResult, TestSender, Unsent},
    delivery::retired::Retired,
    domain::{access_token::TokenHash, webhook::Webhook},
    feed::Feed,
    lifecycle::{DEFAULT_TOKEN_OVERLAP, Lifecycle},
    live::Live,
    store::Store,
    telemetry::Metrics,
};
use bellhop_webhook::{Action, MessageId};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

/// The operator's first key.
pub const OPERATOR: &str = "bhk_operator";
/// The operator's key before that: it works as well.
pub const FORMER_OPERATOR: &str = "bhk_former_operator";
/// The enterprise of the contract's sample.
pub const ENTERPRISE: &str = "8865aa96-f62d-4f9b-a912-ab2100f60f42";

/// The API and what is behind it.
#[derive(Debug)]
pub struct TestApp {
    /// What is served.
    pub router: Router,
    /// Its state.
    pub api: ApiState,
    /// The time.
    pub clock: Arc<ManualClock>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The announcements.
    pub feed: Arc<Feed>,
    /// What was asked to be tested.
    pub tested: Arc<RecordedTests>,
    /// Secrets that must not sign any more.
    pub retired: Arc<Retired>,
    /// Where the store is.
    pub place: Place,
}

/// Accepts what begins with `https://`, and receivers on loopback. The guard has tests of its own.
#[derive(Debug)]
struct HttpsOrLoopback;

/// Accepts every URL, as if it were in the store from before a rule was made.
#[derive(Debug)]
struct Anything;

/// Writes down which webhooks were tested, and sends nothing.
#[derive(Debug, Default)]
pub struct RecordedTests(pub Mutex<Vec<(Webhook, Duration)>>);

impl TestApp {
    /// Over an empty store.
    pub fn start() -> Self {
        Self::with_rates(Rates::default())
    }

    /// With these limits.
    pub fn with_rates(rates: Rates) -> Self {
        Self::with(rates, Arc::new(HttpsOrLoopback))
    }

    /// One of several replicas that share the store.
    pub fn as_replica() -> Self {
        Self::over(
            Place::fresh(),
            Arc::new(ManualClock::new()),
            Rates::default(),
            Arc::new(HttpsOrLoopback),
            true,
        )
    }

    /// Accepts every URL for a webhook.
    pub fn accepting_every_url() -> Self {
        Self::with(Rates::default(), Arc::new(Anything))
    }

    fn with(rates: Rates, judge_url: Arc<dyn JudgeUrl>) -> Self {
        Self::over(
            Place::fresh(),
            Arc::new(ManualClock::new()),
            rates,
            judge_url,
            false,
        )
    }

    /// What a restart of the process does: another one over the same place.
    pub async fn restart(self) -> Self {
        let Self {
            store,
            clock,
            place,
            router,
            api,
            ..
        } = self;
        store.close().await.unwrap();
        drop((router, api));
        assert_eq!(
            Arc::strong_count(&store),
            1,
            "somebody still holds the store"
        );
        drop(store);
        let judge_url = Arc::new(HttpsOrLoopback);
        Self::over(place, clock, Rates::default(), judge_url, false)
    }

    fn over(
        place: Place,
        clock: Arc<ManualClock>,
        rates: Rates,
        judge_url: Arc<dyn JudgeUrl>,
        are_keys_shared: bool,
    ) -> Self {
        let store = place.open();
        let feed = Arc::new(Feed::new(clock.clone(), 1, false));
        let tested = Arc::new(RecordedTests::default());
        let retired = Arc::new(Retired::default());
        let lifecycle = Lifecycle::new(
            store.clone(),
            feed.clone(),
            clock.clone(),
            Arc::new(SeededRandom::new(1)),
            DEFAULT_TOKEN_OVERLAP,
        );
        let api = ApiState::new(ApiOptions {
            lifecycle: Arc::new(lifecycle),
            live: Live::new(store.clone(), feed.clone()),
            feed: feed.clone(),
            judge_url,
            test_sender: tested.clone(),
            retire_secrets: retired.clone(),
            operator_key: TokenHash::of(OPERATOR),
            former_operator_keys: vec![TokenHash::of(FORMER_OPERATOR)],
            are_keys_shared,
            metrics: Arc::new(Metrics::new()),
            traces: None,
            rates,
            secret_overlap: Duration::from_hours(24),
            public_url: Some("https://bellhop.example".into()),
        });
        Self {
            router: api::router(api.clone()),
            api,
            clock,
            store,
            feed,
            tested,
            retired,
            place,
        }
    }

    /// Asks without a key.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    pub fn ask(&self, method: Method, path: &str) -> Asking<'_> {
        Asking::new(&self.router, &method, path)
    }

    /// The operator asks.
    pub fn operator(&self, method: Method, path: &str) -> Asking<'_> {
        self.ask(method, path).key(OPERATOR)
    }

    /// The operator reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.operator(Method::GET, path).send().await
    }

    /// The operator posts a document.
    pub async fn post(&self, path: &str, document: &Value) -> Answer {
        self.operator(Method::POST, path)
            .json(document)
            .send()
            .await
    }

    /// Makes the enterprise of the contract's sample.
    pub async fn enterprise(&self) -> &'static str {
        self.operator(Method::PUT, &format!("/v1/enterprises/{ENTERPRISE}"))
            .json(&json!({ "Name": "Sample Chain Hotel 1" }))
            .send()
            .await
            .expect(201);
        ENTERPRISE
    }

    /// Makes an application; answers with its id.
    pub async fn application(&self, name: &str) -> String {
        let made = self
            .post("/v1/applications", &json!({ "Name": name }))
            .await;
        text(&made.expect(201)["Id"])
    }

    /// Makes a webhook; answers with all of it.
    pub async fn webhook(&self, application: &str, mut settings: Value) -> Value {
        if settings["Url"].is_null() {
            settings["Url"] = "https://hooks.example.com/in?secret=hush".into();
        }
        let path = format!("/v1/applications/{application}/webhooks");
        self.post(&path, &settings).await.expect(201)
    }

    /// Makes an integration; answers with all of it.
    pub async fn integration(&self, application: &str, name: &str) -> Value {
        let document = json!({
            "ApplicationId": application, "EnterpriseId": ENTERPRISE, "Name": name
        });
        self.post("/v1/integrations", &document).await.expect(201)
    }

    /// Makes a key; answers with itself.
    pub async fn key(&self, document: &Value) -> String {
        text(&self.post("/v1/keys", document).await.expect(201)["Key"])
    }

    /// All that lists show, to compare before and after.
    pub async fn everything(&self) -> Value {
        let mut all = serde_json::Map::new();
        for list in [
            "enterprises",
            "applications",
            "webhooks",
            "integrations?WithDeleted=true",
            "deliveries",
            "replays",
            "keys",
        ] {
            let path = format!("/v1/{list}");
            all.insert(path.clone(), self.get(&path).await.expect(200));
        }
        let integrations = all["/v1/integrations?WithDeleted=true"]["Items"].clone();
        for integration in integrations.as_array().unwrap() {
            let path = format!("/v1/integrations/{}/messages", text(&integration["Id"]));
            all.insert(path.clone(), self.get(&path).await.expect(200));
        }
        Value::Object(all)
    }

    /// Lets go of the store.
    pub async fn stop(self) {
        self.store.close().await.unwrap();
    }
}

/// The text of a member.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl JudgeUrl for HttpsOrLoopback {
    fn judge(&self, url: &str) -> Result<String, String> {
        match url
            .strip_prefix("https://")
            .or(url.strip_prefix("http://127.0.0.1:"))
        {
            Some(rest) if !rest.is_empty() => Ok(url.to_owned()),
            _ => Err("A webhook's URL is https.".to_owned()),
        }
    }
}

impl JudgeUrl for Anything {
    fn judge(&self, url: &str) -> Result<String, String> {
        Ok(url.to_owned())
    }
}

#[async_trait]
impl TestSender for RecordedTests {
    fn make_test(&self, _webhook: &Webhook, action: Action) -> Unsent {
        Unsent {
            message_id: MessageId::test([5; 16]),
            action,
            sequence: 0,
            previous: 0,
            number: 1,
            body: Bytes::from_static(b"{}"),
        }
    }

    fn sign(&self, webhook: &Webhook, message: &Unsent) -> Option<Vec<(String, String)>> {
        let id = ("webhook-id".to_owned(), message.message_id.to_string());
        let of = ("webhook".to_owned(), webhook.revision.to_string());
        Some(vec![id, of])
    }

    async fn send_test(&self, webhook: &Webhook, action: Action, wait: Duration) -> TestResult {
        self.0.lock().unwrap().push((webhook.clone(), wait));
        TestResult {
            message_id: MessageId::test([5; 16]),
            action,
            body: Bytes::from_static(b"{}"),
            attempt: None,
        }
    }
}
