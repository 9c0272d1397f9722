//! What all pages share.

use std::sync::{Arc, Mutex};

use axum::Router;
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use crate::{
    domain::{
        api_key::Scope,
        audit::By,
        secret_text::SecretText,
        sign_in::{SignIn, generate},
    },
    feed::Feed,
    lifecycle::Lifecycle,
    random::SharedRandom,
    store::{CommitError, SignInWrite, Write},
};

/// Most pages that listen for news at a time.
const MOST_LISTENERS: usize = 256;
/// Most tries to sign in at once, and how long it takes until there may be another. What is tried has 256 random bits: this
/// bounds the work, not the luck.
const MOST_TRIES: f64 = 30.0;
const TRIES_PER_SECOND: f64 = 0.5;

/// What the dashboard is made of.
#[derive(Debug)]
pub struct DashboardOptions {
    /// The way to durable changes, and to the store.
    pub lifecycle: Arc<Lifecycle>,
    /// Where commits are announced.
    pub feed: Arc<Feed>,
    /// The API, which commands are given to.
    pub api: Router,
    /// Where random numbers come from.
    pub random: SharedRandom,
    /// Where the link to sign in is, for people.
    pub link_file: String,
}

/// What all pages share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DashboardState(Arc<Shared>);

/// What is behind a [`DashboardState`].
#[derive(Debug)]
pub struct Shared {
    pub(super) options: DashboardOptions,
    pub(super) listeners: Arc<Semaphore>,
    tries: Mutex<Tries>,
    stopping: watch::Sender<bool>,
}

/// How often somebody may still try to sign in.
#[derive(Debug)]
struct Tries {
    left: f64,
    at: Timestamp,
}

impl DashboardState {
    /// From its parts.
    pub fn new(options: DashboardOptions) -> Self {
        let tries = Tries {
            left: MOST_TRIES,
            at: options.lifecycle.now(),
        };
        Self(Arc::new(Shared {
            options,
            listeners: Arc::new(Semaphore::new(MOST_LISTENERS)),
            tries: Mutex::new(tries),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Makes a link that signs one person in, once. What comes back is the end of its path.
    pub async fn link(&self, scope: Scope, by: By) -> Result<SecretText, CommitError> {
        let text = generate(&*self.options.random);
        let link = SignIn::link(&text, scope, self.options.lifecycle.now());
        let write = Write::SignIn(SignInWrite::Keep(link));
        self.options.lifecycle.commit(write, by, None).await?;
        Ok(text)
    }

    /// Ends the streams of news: this server is going away, and another one may be there.
    pub fn drain(&self) {
        self.stopping.send_replace(true);
    }

    /// Says when the streams of news end.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whether somebody may try to sign in now.
    pub(super) fn may_try(&self) -> bool {
        let now = self.options.lifecycle.now();
        let mut tries = self.tries.lock().expect("no holder panics");
        let passed = now.duration_since(tries.at).as_secs_f64().max(0.0);
        tries.left = (tries.left + passed * TRIES_PER_SECOND).min(MOST_TRIES);
        tries.at = now;
        let may = tries.left >= 1.0;
        if may {
            tries.left -= 1.0;
        }
        may
    }
}

impl std::ops::Deref for DashboardState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
