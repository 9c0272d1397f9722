//! Signing in and out. A link is shown by GET and used by POST, because programs that scan mail follow links.

use std::net::IpAddr;

use axum::{
    Extension,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    DashboardState, Wrong,
    answer::{document, guarded, see_other},
    components::frame,
    form::Form,
    routes::read_body,
    session::{self, check_form, check_origin, ending, is_secure, opening},
};
use crate::{
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        audit::{Actor, AuditAction, AuditSubject, By, Fact, Peer},
        secret_text::SecretText,
        sign_in::{KeyHolder, SignIn, Viewer, audit_id, generate},
    },
    store::{CommitError, LINK_IS_OVER, SignInWrite, StoreError, Write},
};

/// How to sign in.
pub async fn page(
    State(state): State<DashboardState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    if session::find(&state, &headers).await.is_ok() {
        return see_other("/dashboard");
    }
    if !state.may_look(address(peer)) {
        return too_many(&state, &headers);
    }
    shown(&state, &headers, StatusCode::OK, None)
}

/// A button that uses the link.
pub async fn link(
    State(state): State<DashboardState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Path(text): Path<String>,
) -> Response {
    if !state.may_look(address(peer)) {
        return too_many(&state, &headers);
    }
    let body = html! {
        p { "This link signs you in to Bellhop's dashboard on this browser, once." }
        form method="post" action={ (session::LINK_PATH) (text) } {
            button.primary type="submit" { "Sign in" }
        }
    };
    document(StatusCode::OK, frame::alone(&headers, "Sign in", body))
}

/// Uses the link.
pub async fn use_link(
    State(state): State<DashboardState>,
    Path(text): Path<String>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if check_origin(&headers).is_err() {
        return refused(&state, &headers, &Wrong::ForeignForm);
    }
    let from = address(peer);
    if !state.may_try(from) {
        return too_many(&state, &headers);
    }
    let link = TokenHash::of(&text);
    match opened_with_link(&state, link, from).await {
        Ok(text) => enter(&text, is_secure(&headers, &uri)),
        Err(CommitError::NotNow(why)) => {
            let fact = Fact::new(
                AuditAction::SignInRefused,
                AuditSubject::Session,
                audit_id(&link),
            );
            note_refused(&state, fact.saying(json!({ "With": "Link" })), None, from).await;
            shown(&state, &headers, StatusCode::GONE, Some(&why))
        }
        Err(error) => refused(&state, &headers, &failed(error)),
    }
}

/// Signs in with an API key that was pasted.
pub async fn use_key(State(state): State<DashboardState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    if check_origin(headers).is_err() {
        return refused(&state, headers, &Wrong::ForeignForm);
    }
    let from = session::peer(&parts.extensions);
    if !state.may_try(from) {
        return too_many(&state, headers);
    }
    let form = match read_body(body).await {
        Ok(bytes) => Form::read(&bytes),
        Err(wrong) => return refused(&state, headers, &wrong),
    };
    let key = TokenHash::of(form.text("ApiKey").unwrap_or_default().trim());
    let holder = match holder(&state, &key, from).await {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            let why = "This is not an API key of scope operator or application, or it was deleted or has expired.";
            return shown(&state, headers, StatusCode::UNAUTHORIZED, Some(why));
        }
        Err(error) => return refused(&state, headers, &error.into()),
    };
    let by = By {
        actor: holder.actor,
        from,
        request_id: None,
    };
    let text = generate(&*state.options.random);
    let session = SignIn::session(&text, holder.scope, state.options.lifecycle.now());
    let write = SignInWrite::Keep(session.with_key(Some(key)));
    match commit(&state, write, by).await {
        Ok(()) => enter(&text, is_secure(headers, &parts.uri)),
        Err(error) => refused(&state, headers, &failed(error)),
    }
}

/// Makes a link for whoever has the operator's key: `bellhop sign-in` asks so.
pub async fn make_link(
    State(state): State<DashboardState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let plain =
        |status: StatusCode, detail: &str| document_of(status, &json!({ "detail": detail }));
    let away = || {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        plain(status, "The database does not answer.")
    };
    let from = address(peer);
    if !state.may_try(from) {
        return plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many tries to sign in at once. Wait a moment.",
        );
    }
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let key = TokenHash::of(key.unwrap_or_default().trim());
    let holder = match holder(&state, &key, from).await {
        Ok(Some(holder)) if holder.scope == Scope::Operator => holder,
        Ok(_) => {
            return plain(
                StatusCode::UNAUTHORIZED,
                "This needs a key of scope operator.",
            );
        }
        Err(_) => return away(),
    };
    let by = By {
        actor: holder.actor,
        from,
        request_id: None,
    };
    match state.link(Scope::Operator, Some(key), by).await {
        Ok(text) => {
            let path = format!("{}{}", session::LINK_PATH, text.expose());
            document_of(StatusCode::CREATED, &json!({ "Path": path }))
        }
        Err(_) => away(),
    }
}

/// Ends the session.
pub async fn sign_out(
    State(state): State<DashboardState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut response = see_other("/dashboard/sign-in");
    if let Ok(session) = session::find(&state, &headers).await {
        let form = Form::read(&body);
        let checked = check_origin(&headers).and_then(|()| check_form(&session, &form));
        if let Err(wrong) = checked {
            return refused(&state, &headers, &wrong);
        }
        let viewer = Viewer {
            from: address(peer),
            ..session.viewer
        };
        let write = SignInWrite::End {
            session: viewer.session,
            application_id: viewer.scope.application_id(),
        };
        if let Err(error) = commit(&state, write, viewer.by()).await {
            return refused(&state, &headers, &failed(error));
        }
    }
    for cookie in ending() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn address(peer: Option<Extension<Peer>>) -> Option<IpAddr> {
    peer.map(|Extension(Peer(address))| address)
}

/// Whose key it is, if it opens anything here. If not, the audit log is told.
async fn holder(
    state: &DashboardState,
    key: &TokenHash,
    from: Option<IpAddr>,
) -> Result<Option<KeyHolder>, StoreError> {
    let holder = state.options.keys.holder(key).await?;
    let (opens, others) = match holder {
        Some(holder) if holder.scope != Scope::Introspect => (Some(holder), None),
        Some(holder) => (None, Some(holder.actor)),
        None => (None, None),
    };
    if opens.is_none() {
        let fact = Fact::of_server(AuditAction::SignInRefused);
        note_refused(state, fact.saying(json!({ "With": "Key" })), others, from).await;
    }
    Ok(opens)
}

/// Somebody could not sign in.
async fn note_refused(
    state: &DashboardState,
    fact: Fact,
    known: Option<Actor>,
    from: Option<IpAddr>,
) {
    if !state.may_note_refusal() {
        return;
    }
    let by = By {
        actor: known.unwrap_or(Actor::Stranger),
        from,
        request_id: None,
    };
    if let Err(error) = state.options.lifecycle.note(fact, by).await {
        tracing::warn!(%error, "a sign-in was refused, and the audit log could not be told");
    }
}

/// The session that a link opens. What it opens is read first, so that the audit log has it; the link itself is judged
/// by the write, which uses it up.
async fn opened_with_link(
    state: &DashboardState,
    link: TokenHash,
    from: Option<IpAddr>,
) -> Result<SecretText, CommitError> {
    let over = || CommitError::NotNow(LINK_IS_OVER.into());
    let kept = state.options.lifecycle.store().sign_in(link).await?;
    let kept = kept.ok_or_else(over)?;
    if let Some(key) = &kept.key
        && state.options.keys.holder(key).await?.is_none()
    {
        return Err(over());
    }
    let text = generate(&*state.options.random);
    let now = state.options.lifecycle.now();
    let session = SignIn::session(&text, kept.scope, now).with_key(kept.key);
    let viewer = Viewer {
        scope: session.scope,
        session: session.hash,
        from,
    };
    commit(state, SignInWrite::UseLink { link, session }, viewer.by()).await?;
    Ok(text)
}

async fn commit(state: &DashboardState, write: SignInWrite, by: By) -> Result<(), CommitError> {
    let lifecycle = &state.options.lifecycle;
    lifecycle.commit(Write::SignIn(write), by, None).await?;
    Ok(())
}

fn enter(text: &SecretText, is_secure: bool) -> Response {
    let mut response = see_other("/dashboard");
    let cookie = opening(text, is_secure);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn failed(error: CommitError) -> Wrong {
    match error {
        CommitError::Store(error) => Wrong::Store(error),
        _ => Wrong::Unexpected,
    }
}

fn too_many(state: &DashboardState, headers: &HeaderMap) -> Response {
    let why = "Too many tries to sign in at once. Wait a moment.";
    shown(state, headers, StatusCode::TOO_MANY_REQUESTS, Some(why))
}

fn refused(state: &DashboardState, headers: &HeaderMap, wrong: &Wrong) -> Response {
    let page = wrong.page();
    let detail = match wrong {
        Wrong::ForeignForm => "The form came from another site. Sign in here.",
        _ => &page.title,
    };
    shown(state, headers, page.status, Some(detail))
}

fn shown(
    state: &DashboardState,
    headers: &HeaderMap,
    status: StatusCode,
    wrong: Option<&str>,
) -> Response {
    let body = ways(&state.options.link_file, wrong);
    document(status, frame::alone(headers, "Sign in", body))
}

fn ways(link_file: &str, wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong {
            p.notice.bad role="alert" { (wrong) }
        }
        section {
            h2 { "With a link" }
            p {
                "Bellhop prints a link when it starts, and keeps it in the file " code { (link_file) }
                ". It works once, within 30 minutes. For another one, on the server’s machine:"
            }
            pre tabindex="0" { code { "bellhop sign-in" } }
        }
        section {
            h2 { "With an API key" }
            form.stack method="post" action="/dashboard/sign-in" {
                label for="ApiKey" { "Operator key, or an application’s key" }
                input #ApiKey name="ApiKey" type="password" autocomplete="off" spellcheck="false" required;
                button.primary type="submit" { "Sign in" }
            }
        }
    }
}

fn document_of(status: StatusCode, document: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    guarded((status, json, document.to_string()).into_response())
}
