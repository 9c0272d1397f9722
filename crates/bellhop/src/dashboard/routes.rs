//! The one list of all pages and commands, and what every one of them has in common.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};

use super::{
    DashboardState, Done, Page, Visit, Wrong,
    answer::{document, guarded, see_other},
    ask::Problem,
    assets,
    components::frame,
    events,
    form::Form,
    pages::{
        applications, audit, backfill, catalogue, debug_signature, deliveries, delivery,
        enterprises, integration, integrations, keys, operational, overview, play, replays, search,
        theme, webhook, webhook_credentials, webhook_secrets, webhook_settings, webhooks,
    },
    session::{self, check_form, check_origin},
    sign_in,
};

/// The longest form, in bytes.
const MOST_FORM_BYTES: usize = 64 * 1024;
/// How long a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);

type PathParts = Result<RawPathParams, RawPathParamsRejection>;

/// The dashboard, in front of the API.
pub fn router(state: DashboardState) -> Router {
    let api = state.options.api.clone();
    let pages = Router::new()
        .route("/", page(overview::show))
        .route("/assets/{Hash}/{*Name}", get(assets::serve))
        .route("/sign-in", get(sign_in::page).post(sign_in::use_key))
        .route(
            "/sign-in/{Text}",
            get(sign_in::link).post(sign_in::use_link),
        )
        .route("/sign-out", post(sign_in::sign_out))
        .route("/links", post(sign_in::make_link))
        .route("/events", get(events::stream))
        .merge(listed())
        .fallback(page(missing))
        .with_state(state);
    let there = async || guarded(Redirect::temporary("/dashboard").into_response());
    Router::new()
        .route("/", get(there))
        .route("/dashboard/", get(there))
        .nest("/dashboard", pages)
        .fallback_service(api)
}

#[rustfmt::skip]
fn listed() -> Router<DashboardState> {
    Router::new()
        .route("/deliveries",                        page(deliveries::list))
        .route("/deliveries/{Id}",                   page(delivery::show))
        .route("/deliveries/{Id}/replay",            command(delivery::replay))
        .route("/deliveries/{Id}/discard",           command(delivery::discard))
        .route("/integrations",                      page(integrations::list))
        .route("/integrations/new",                  both(integrations::form, integrations::create))
        .route("/integrations/{Id}",                 page(integration::show))
        .route("/integrations/{Id}/{Command}",       both(integration::ask, integration::command))
        .route("/applications",                      both(applications::list, applications::create))
        .route("/applications/{Id}",                 both(applications::show, applications::rename))
        .route("/applications/{Id}/sign-in-link",    command(applications::link))
        .route("/applications/{Id}/webhooks/new",    both(webhook_settings::form, webhook_settings::create))
        .route("/webhooks",                          page(webhooks::list))
        .route("/webhooks/{Id}",                     page(webhook::show))
        .route("/webhooks/{Id}/settings",            both(webhook_settings::edit, webhook_settings::update))
        .route("/webhooks/{Id}/pause",               command(webhook::pause))
        .route("/webhooks/{Id}/resume",              command(webhook::resume))
        .route("/webhooks/{Id}/test",                command(webhook::test))
        .route("/webhooks/{Id}/rotate-secret",       both(webhook_secrets::ask_rotation, webhook_secrets::rotate))
        .route("/webhooks/{Id}/signatures",          both(webhook_secrets::signatures, webhook_secrets::choose))
        .route("/webhooks/{Id}/credentials",         both(webhook_credentials::show, webhook_credentials::change))
        .route("/webhooks/{Id}/debug-signature",     both(debug_signature::show, debug_signature::judge))
        .route("/webhooks/{Id}/backfill",            both(backfill::preview, backfill::start))
        .route("/webhooks/{Id}/delete",              both(webhook::ask_deletion, webhook::delete))
        .route("/play",                              both(play::list, play::make))
        .route("/play/{Id}",                         page(play::show))
        .route("/play/{Id}/behaviour",               command(play::behave))
        .route("/play/{Id}/clear",                   command(play::clear))
        .route("/applications/{Id}/play",            command(play::make_for))
        .route("/enterprises",                       both(enterprises::list, enterprises::put))
        .route("/enterprises/{Id}",                  both(enterprises::show, enterprises::rename))
        .route("/replays",                           page(replays::list))
        .route("/replays/new",                       both(replays::preview, replays::start))
        .route("/replays/{Id}",                      page(replays::show))
        .route("/replays/{Id}/{Command}",            command(replays::command))
        .route("/catalogue",                         page(catalogue::list))
        .route("/catalogue/{Action}",                page(catalogue::show))
        .route("/keys",                              both(keys::list, keys::create))
        .route("/keys/{Id}/rotate",                  both(keys::ask_rotation, keys::rotate))
        .route("/keys/{Id}/delete",                  both(keys::ask, keys::delete))
        .route("/audit",                             page(audit::list))
        .route("/operational-messages",              page(operational::list))
        .route("/search",                            page(search::show))
        .route("/theme",                             post(theme::set))
}

/// A page and the command that its form gives.
fn both<P, PF, C, CF>(show: P, run: C) -> MethodRouter<DashboardState>
where
    P: Fn(Visit) -> PF + Clone + Send + Sync + 'static,
    PF: Future<Output = Result<Page, Wrong>> + Send,
    C: Fn(Visit) -> CF + Clone + Send + Sync + 'static,
    CF: Future<Output = Result<Done, Wrong>> + Send,
{
    page(show).merge(command(run))
}

/// A page.
fn page<P, F>(show: P) -> MethodRouter<DashboardState>
where
    P: Fn(Visit) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Page, Wrong>> + Send,
{
    get(
        async move |State(state): State<DashboardState>, path: PathParts, request: Request| {
            let (parts, _) = request.into_parts();
            let theme = session::theme(&parts.headers);
            let session = match session::find(&state, &parts.headers).await {
                Ok(session) => session.from(&parts.extensions),
                Err(Wrong::NotSignedIn) => return see_other("/dashboard/sign-in"),
                Err(wrong) => return framed(None, wrong.page()),
            };
            let form = Form::default();
            let visit = Visit::new(state, session, theme, parts.uri, path.ok().as_ref(), form);
            match show(visit.clone()).await {
                Ok(page) => framed(Some(&visit), page),
                Err(wrong) => framed(Some(&visit), wrong.page()),
            }
        },
    )
}

/// A command, given by a form.
fn command<C, F>(run: C) -> MethodRouter<DashboardState>
where
    C: Fn(Visit) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Done, Wrong>> + Send,
{
    post(
        async move |State(state): State<DashboardState>, path: PathParts, request: Request| {
            let (parts, body) = request.into_parts();
            let theme = session::theme(&parts.headers);
            let session = match session::find(&state, &parts.headers).await {
                Ok(session) => session.from(&parts.extensions),
                Err(Wrong::NotSignedIn) => return see_other("/dashboard/sign-in"),
                Err(wrong) => return framed(None, wrong.page()),
            };
            let form = match read_body(body).await {
                Ok(bytes) => Form::read(&bytes),
                Err(wrong) => return framed(None, wrong.page()),
            };
            let checked = check_origin(&parts.headers).and_then(|()| check_form(&session, &form));
            let visit = Visit::new(state, session, theme, parts.uri, path.ok().as_ref(), form);
            let done = match checked {
                Ok(()) => run(visit.clone()).await,
                Err(wrong) => Err(wrong),
            };
            match done {
                Ok(Done::See(path)) => see_other(&path),
                Ok(Done::Page(page)) => framed(Some(&visit), *page),
                Err(wrong) => framed(Some(&visit), wrong.page()),
            }
        },
    )
}

fn framed(visit: Option<&Visit>, page: Page) -> Response {
    document(page.status, frame::whole(visit, page))
}

async fn missing(visit: Visit) -> Result<Page, Wrong> {
    let path: String = visit.path().chars().take(128).collect();
    Err(Wrong::NotFound(format!("There is no page {path}.")))
}

/// The bytes of a form.
pub async fn read_body(body: Body) -> Result<Bytes, Wrong> {
    let read = Limited::new(body, MOST_FORM_BYTES).collect();
    let problem = |status, title: &str, detail: String| {
        Wrong::Problem(Box::new(Problem {
            status,
            title: title.to_owned(),
            detail,
            faults: Vec::new(),
            allowed: Vec::new(),
        }))
    };
    match tokio::time::timeout(FORM_TIMEOUT, read).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(_)) => Err(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The form is too large",
            format!("A form has at most {} KiB.", MOST_FORM_BYTES / 1024),
        )),
        Err(_) => Err(problem(
            StatusCode::REQUEST_TIMEOUT,
            "The form did not arrive in time",
            format!("It has {} s. Send it again.", FORM_TIMEOUT.as_secs()),
        )),
    }
}
