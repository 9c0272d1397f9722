//! The dashboard over a real store, as a browser without JavaScript meets it.

mod audit;
mod auditing;
mod causes;
mod certificates;
mod commands;
mod forms;
mod markup;
mod masking;
mod play;
mod scope;
mod signing_in;
mod snippets;
mod times;

use std::sync::Arc;

use axum::Router;
use bellhop::{
    api,
    dashboard::{DashboardOptions, DashboardState, LINK_PATH, router},
    domain::api_key::Scope,
    lifecycle::{DEFAULT_TOKEN_OVERLAP, Lifecycle},
    receiving::Play,
};
use http::Method;
use url::form_urlencoded;

use crate::support::{
    answer::{Answer, Asking},
    app::TestApp,
    random::SeededRandom,
};

/// The dashboard in front of an app's API.
struct Desk {
    state: DashboardState,
    router: Router,
}

/// Somebody who is signed in.
struct Browser<'a> {
    desk: &'a Desk,
    cookie: String,
}

impl Desk {
    fn of(app: &TestApp) -> Self {
        Self::with(app, None)
    }

    /// With the built-in receiver, or without.
    fn with(app: &TestApp, play: Option<Play>) -> Self {
        let random = Arc::new(SeededRandom::new(77));
        let lifecycle = Lifecycle::new(
            app.store.clone(),
            app.feed.clone(),
            app.clock.clone(),
            random.clone(),
            DEFAULT_TOKEN_OVERLAP,
        );
        let state = DashboardState::new(DashboardOptions {
            lifecycle: Arc::new(lifecycle),
            feed: app.feed.clone(),
            api: api::router(app.api.clone()),
            keys: Arc::new(app.api.clone()),
            audit: Some(app.place.audit_log()),
            play,
            is_sample: false,
            random,
            link_file: "/var/lib/bellhop/sign-in-link".to_owned(),
        });
        Self {
            router: router(state.clone()),
            state,
        }
    }

    fn ask(&self, method: &Method, path: &str) -> Asking<'_> {
        Asking::new(&self.router, method, path)
    }

    async fn link(&self, scope: Scope) -> String {
        let text = self
            .state
            .link(scope, None, bellhop::domain::audit::By::system())
            .await
            .unwrap();
        format!("{LINK_PATH}{}", text.expose())
    }

    /// Signs in with a fresh link.
    async fn browser(&self, scope: Scope) -> Browser<'_> {
        let link = self.link(scope).await;
        let answer = self.ask(&Method::POST, &link).send().await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        Browser {
            desk: self,
            cookie: cookie(&answer),
        }
    }

    async fn operator(&self) -> Browser<'_> {
        self.browser(Scope::Operator).await
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        let asking = self.desk.ask(&Method::GET, path);
        asking.header("cookie", &self.cookie).send().await
    }

    /// A page that is there.
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// What every form of this session carries.
    async fn form_key(&self) -> String {
        let page = self.page("/dashboard/search").await;
        between(&page, r#"name="Key" value=""#, "\"").to_owned()
    }

    /// Sends a form with its key.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let key = self.form_key().await;
        let mut fields = fields.to_vec();
        fields.push(("Key", &key));
        self.post_as_is(path, &fields).await
    }

    /// Sends just this.
    async fn post_as_is(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let asking = self.desk.ask(&Method::POST, path);
        asking
            .header("cookie", &self.cookie)
            .body(form)
            .send()
            .await
    }
}

/// The session's cookie, name and value.
fn cookie(answer: &Answer) -> String {
    answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

#[track_caller]
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).unwrap().0
}
