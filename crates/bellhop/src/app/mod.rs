//! The whole: the only module that knows every other. Build, run, drain.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use tokio::{net::TcpListener, sync::watch};

use self::{
    forwarded::Proxies, listen::Bounds, observe::Observe, operational::Operator,
    test_sender::WebhookTest, upkeep::Upkeep,
};
use crate::{
    api::{self, ApiOptions, ApiState, JudgeUrl, Rates, RetireSecrets},
    clock::{SharedClock, SystemClock},
    config::{Config, Egress},
    dashboard::{self, DashboardOptions, DashboardState, KnowsKeys},
    delivery::{
        attempt::Attempts,
        audit_links::AuditLinks,
        dispatcher::{Dispatcher, Parts as DispatcherParts},
        egress::{EgressPolicy, Inside, Roots},
        operational::Operational,
        prepared::Directory,
        replays::ReplayRunner,
        retired::Retired,
        sender::{Sender, SenderOptions},
    },
    domain::{
        access_token::TokenHash, api_key::Scope, audit::By, secret_text::SecretText,
        sign_in::KeyHolder,
    },
    feed::Feed,
    id::WebhookId,
    lifecycle::Lifecycle,
    live::Live,
    random::{self, SharedRandom, SystemRandom},
    receiving::Play,
    store::{Store, StoreError},
    telemetry::traces::Traces,
};

pub mod pending_entries;

mod forwarded;
mod impatient;
mod key_ring;
mod keys;
mod listen;
mod observe;
mod open;
mod operational;
mod replicas;
mod test_sender;
mod traces;
mod upkeep;

/// How long a webhook's former secrets sign after a rotation.
const SECRET_OVERLAP: Duration = Duration::from_hours(24);

/// What the whole is told rather than asks for.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Who tells the time.
    pub clock: SharedClock,
    /// Where random numbers come from.
    pub random: SharedRandom,
    /// Whether what is in the store is a sample, which each page then says.
    pub is_sample: bool,
}

/// Bellhop, built and bound, not yet running.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    state: ApiState,
    dashboard: DashboardState,
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    dispatcher: Dispatcher,
    operational: Operational,
    upkeep: Upkeep,
    replays: ReplayRunner,
    audit: AuditLinks,
    proxies: Proxies,
    traces: Option<Arc<Traces>>,
    drain: Duration,
    /// Whether other replicas may use the database as well.
    is_shared: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            is_sample: false,
        }
    }
}

impl App {
    /// Opens the store and the port. Sends nothing yet.
    pub async fn build(config: Config, parts: Parts) -> anyhow::Result<Self> {
        random::warm();
        let secrets = config.open_secrets(&*parts.random)?;
        let (listener, own) = bind(config.listen).await?;

        let observe = Arc::new(Observe::new(&config, &parts)?);
        let feed = feed(&config, &parts);
        let (policy, play) = egress(&config, &parts, own);
        let attempts = attempts(&config, policy.clone(), &parts)?;
        let operator = Operator::of(&config, secrets.operator_webhook_secret, &policy, &attempts)?;
        let vault = Arc::new(secrets.vault);
        let shared = open::Shared {
            vault: vault.clone(),
            random: parts.random.clone(),
            destinations: operator.destinations(),
            observer: observe.clone(),
            feed: feed.clone(),
        };
        let store = open::open(&config.database, shared).await?;
        let operational = operator.teller(store.clone(), feed.clone(), &attempts);
        let dispatcher = Dispatcher::new(Arc::new(DispatcherParts {
            store: store.clone(),
            feed: feed.clone(),
            attempts: attempts.clone(),
            directory: Directory::new(store.clone(), policy.clone()),
            observer: observe.clone(),
            max_in_flight: config.max_in_flight,
            max_in_flight_per_host: config.max_in_flight_per_host,
        }));
        let upkeep = Upkeep::new(&config, &store, &parts.clock, &observe, vault);
        let replays = ReplayRunner::new(store.clone(), feed.clone(), parts.clock.clone());
        let audit = AuditLinks::new(store.clone(), parts.clock.clone());
        let lifecycle = lifecycle(&config, &store, &feed, &parts);
        let state = ApiState::new(ApiOptions {
            lifecycle: lifecycle.clone(),
            live: Live::new(store.clone(), feed.clone()),
            feed: feed.clone(),
            retire_secrets: attempts.retired.clone(),
            judge_url: Arc::new(Judge(policy.clone())),
            test_sender: WebhookTest::shared(attempts, policy, &parts.random),
            operator_key: hash(&secrets.operator_key),
            former_operator_keys: secrets.former_operator_keys.iter().map(hash).collect(),
            are_keys_shared: config.is_shared(),
            metrics: observe.metrics.clone(),
            traces: observe.traces.clone(),
            rates: rates(&config),
            secret_overlap: SECRET_OVERLAP,
            public_url: config.public_url.clone(),
        });
        state.read_keys().await?;
        let dashboard = dashboard(&config, &state, lifecycle, feed.clone(), play, parts).await?;
        Ok(Self {
            listener,
            state,
            dashboard,
            store,
            feed,
            dispatcher,
            operational,
            upkeep,
            replays,
            audit,
            proxies: Proxies::of(&config),
            traces: observe.traces.clone(),
            drain: config.drain,
            is_shared: config.is_shared(),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        self.listener
            .local_addr()
            .context("the listener has no address")
    }

    /// Makes a link that signs the operator in to the dashboard, once. What comes back is its path.
    pub async fn sign_in_link(&self) -> anyhow::Result<SecretText> {
        let text = self
            .dashboard
            .link(Scope::Operator, None, By::system())
            .await;
        let text = text.context("no link to sign in could be made")?;
        let path = format!("{}{}", dashboard::LINK_PATH, text.expose());
        Ok(SecretText::new(path))
    }

    /// The API, for requests within the process.
    pub fn api(&self) -> axum::Router {
        api::router(self.state.clone())
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Closes the store without having served.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.store.close().await?)
    }

    /// Answers and sends until `stop`. Then answers that it is going away, lets what is under way end,
    /// records it, and closes the store.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let wait = |mut stopped: watch::Receiver<bool>| async move {
            // An error means that the sender is gone: stopped all the same.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let dispatcher = tokio::spawn(self.dispatcher.run(wait(stopped.clone()), self.drain));
        let operational = tokio::spawn(self.operational.run(wait(stopped.clone()), self.drain));
        let until = stopped.clone();
        let upkeep = tokio::spawn(self.upkeep.run(move || wait(until.clone())));
        let replays = tokio::spawn(self.replays.run(wait(stopped.clone())));
        // It links what all others write, and so it is the last to stop.
        let (written, all_written) = watch::channel(false);
        let audit = tokio::spawn(self.audit.run(wait(all_written)));
        let telling = tokio::spawn(replicas::tell(self.feed, self.store.clone()));
        let router = dashboard::router(self.dashboard.clone());
        let server = tokio::spawn(listen::serve(
            self.listener,
            router,
            Bounds::STANDARD,
            self.proxies,
            wait(stopped),
            self.drain,
        ));
        let (serving, served) = tokio::sync::oneshot::channel::<()>();
        let keys = tokio::spawn(keys::look_after(
            self.state.clone(),
            self.is_shared,
            async {
                // It is dropped: no request is left that could use a key.
                let _ = served.await;
            },
        ));
        stop.await;
        self.state.drain();
        self.dashboard.drain();
        let _ = stopping.send(true);
        server.await.context("the listener stopped")?;
        drop(serving);
        keys.await.context("the API keys' keeper stopped")?;
        replays.await.context("the replays stopped")?;
        dispatcher.await.context("the dispatcher stopped")?;
        operational
            .await
            .context("the sender of operational messages stopped")?;
        upkeep.await.context("the upkeep stopped")?;
        telling.abort();
        let _ = written.send(true);
        audit.await.context("the keeper of the audit log stopped")?;
        self.store.close().await?;
        traces::close(self.traces).await;
        Ok(())
    }
}

fn rates(config: &Config) -> Rates {
    Rates {
        application: config.application_key_rate,
        keyless: config.keyless_rate,
        ..Rates::default()
    }
}

fn hash(key: &SecretText) -> TokenHash {
    TokenHash::of(key.expose())
}

fn attempts(config: &Config, policy: Arc<EgressPolicy>, parts: &Parts) -> anyhow::Result<Attempts> {
    Ok(Attempts {
        sender: sender(&config.egress, policy)?,
        clock: parts.clock.clone(),
        random: parts.random.clone(),
        retired: Arc::default(),
    })
}

fn feed(config: &Config, parts: &Parts) -> Arc<Feed> {
    let origin = u32::from_ne_bytes(random::bytes(&*parts.random));
    let feed = Feed::new(parts.clock.clone(), origin, config.is_shared());
    Arc::new(feed)
}

fn lifecycle(
    config: &Config,
    store: &Arc<dyn Store>,
    feed: &Arc<Feed>,
    parts: &Parts,
) -> Arc<Lifecycle> {
    Arc::new(Lifecycle::new(
        store.clone(),
        feed.clone(),
        parts.clock.clone(),
        parts.random.clone(),
        config.token_overlap,
    ))
}

async fn dashboard(
    config: &Config,
    api: &ApiState,
    lifecycle: Arc<Lifecycle>,
    feed: Arc<Feed>,
    play: Option<Play>,
    parts: Parts,
) -> anyhow::Result<DashboardState> {
    Ok(DashboardState::new(DashboardOptions {
        lifecycle,
        feed,
        api: api::router(api.clone()),
        keys: Arc::new(api.clone()),
        audit: Some(open::audit_log(&config.database).await?),
        play,
        is_sample: parts.is_sample,
        random: parts.random,
        link_file: config.sign_in_link_file().display().to_string(),
    }))
}

async fn bind(listen: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (BELLHOP_LISTEN)"))?;
    let own = listener
        .local_addr()
        .context("the listener has no address")?;
    Ok((listener, own))
}

/// The built-in receiver. It is in this process: another replica would not find what it sends.
fn play(config: &Config, parts: &Parts) -> Option<Play> {
    let has_play = config.play && !config.is_shared();
    has_play.then(|| Play::new(parts.clock.clone(), parts.random.clone()))
}

/// What may be reached, and the built-in receiver, which is part of that.
fn egress(config: &Config, parts: &Parts, own: SocketAddr) -> (Arc<EgressPolicy>, Option<Play>) {
    let play = play(config, parts);
    let inside = play.clone();
    let policy = EgressPolicy {
        allow: config.egress.allow.clone(),
        ports: config.egress.ports.clone(),
        inside: inside.map(|play| Arc::new(play) as Arc<dyn Inside>),
        own_addresses: vec![own],
    };
    (Arc::new(policy), play)
}

fn sender(egress: &Egress, policy: Arc<EgressPolicy>) -> anyhow::Result<Sender> {
    Ok(Sender::new(SenderOptions {
        roots: roots(egress.ca_file.as_deref())?,
        ..SenderOptions::new(policy)
    }))
}

/// Whose certificates are trusted: what this machine trusts, and the authorities in this file.
pub fn roots(ca_file: Option<&Path>) -> anyhow::Result<Roots> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let Some(path) = ca_file else {
        return Ok(Roots::System);
    };
    let named = || {
        format!(
            "the authorities in {} (BELLHOP_EGRESS_CA_FILE)",
            path.display()
        )
    };
    let pem = fs::read(path).with_context(named)?;
    let further = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(named)?;
    Ok(Roots::SystemAnd(further))
}

#[async_trait]
impl KnowsKeys for ApiState {
    async fn holder(&self, key: &TokenHash) -> Result<Option<KeyHolder>, StoreError> {
        self.holder_of(key).await
    }
}

impl RetireSecrets for Retired {
    fn retire(&self, webhook: WebhookId, before: u64) {
        Self::retire(self, webhook, before);
    }
}

/// The guard's first layer, as the API asks it.
#[derive(Debug)]
struct Judge(Arc<EgressPolicy>);

impl JudgeUrl for Judge {
    fn judge(&self, url: &str) -> Result<String, String> {
        self.0
            .judge_url(url)
            .map(|target| target.as_str().to_owned())
            .map_err(|refused| refused.to_string())
    }
}
