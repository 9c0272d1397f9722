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
    ask::{Opened, viewer_of_key},
    components::frame,
    form::Form,
    routes::read_body,
    session::{self, check_form, check_origin, ending, is_secure, opening},
};
use crate::{
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        audit::{Actor, AuditAction, By, Fact, Peer},
        secret_text::SecretText,
        sign_in::{SignIn, Viewer, generate},
    },
    store::{CommitError, SignInWrite, Write},
};

/// How to sign in.
pub async fn page(State(state): State<DashboardState>, headers: HeaderMap) -> Response {
    if session::find(&state, &headers).await.is_ok() {
        return see_other("/dashboard");
    }
    shown(&state, &headers, StatusCode::OK, None)
}

/// A button that uses the link.
pub async fn link(headers: HeaderMap, Path(text): Path<String>) -> Response {
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
    if !state.may_try() {
        return too_many(&state, &headers);
    }
    let link = TokenHash::of(&text);
    let open = |session| SignInWrite::UseLink { link, session };
    // The link knows its scope; the narrowest stands here until then.
    let from = peer.map(|Extension(peer)| peer.0);
    match opened(&state, Scope::Introspect, from, open).await {
        Ok(text) => enter(&text, is_secure(&headers, &uri)),
        Err(CommitError::NotNow(why)) => {
            note_refused(&state, from).await;
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
    if !state.may_try() {
        return too_many(&state, headers);
    }
    let form = match read_body(body).await {
        Ok(bytes) => Form::read(&bytes),
        Err(wrong) => return refused(&state, headers, &wrong),
    };
    let key = SecretText::new(form.text("ApiKey").unwrap_or_default());
    let scope = match viewer_of_key(&state.options.api, key.expose()).await {
        Ok(Some(Opened::Everything)) => Scope::Operator,
        Ok(Some(Opened::Application(id))) => Scope::Application(id),
        Ok(None) => {
            note_refused(&state, session::peer(&parts.extensions)).await;
            let why = "This is not an API key of scope operator or application, or it was deleted or has expired.";
            return shown(&state, headers, StatusCode::UNAUTHORIZED, Some(why));
        }
        Err(wrong) => return refused(&state, headers, &wrong),
    };
    let from = session::peer(&parts.extensions);
    match opened(&state, scope, from, SignInWrite::Keep).await {
        Ok(text) => enter(&text, is_secure(headers, &parts.uri)),
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
    if !state.may_try() {
        return plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many tries to sign in at once. Wait a moment.",
        );
    }
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match viewer_of_key(&state.options.api, key.unwrap_or_default()).await {
        Ok(Some(Opened::Everything)) => {}
        Ok(_) => {
            return plain(
                StatusCode::UNAUTHORIZED,
                "This needs a key of scope operator.",
            );
        }
        Err(_) => {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer.",
            );
        }
    }
    let by = By {
        actor: Actor::OperatorKey,
        from: peer.map(|Extension(peer)| peer.0),
        request_id: None,
    };
    match state.link(Scope::Operator, by).await {
        Ok(text) => {
            let path = format!("{}{}", session::LINK_PATH, text.expose());
            document_of(StatusCode::CREATED, &json!({ "Path": path }))
        }
        Err(_) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not answer.",
        ),
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
        let write = SignInWrite::End {
            session: session.viewer.session,
        };
        let by = Viewer {
            from: peer.map(|Extension(peer)| peer.0),
            ..session.viewer
        }
        .by();
        if let Err(error) = state
            .options
            .lifecycle
            .commit(Write::SignIn(write), by, None)
            .await
        {
            return refused(&state, &headers, &failed(error));
        }
    }
    for cookie in ending() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Somebody could not sign in. There are no more of these than there may be tries.
async fn note_refused(state: &DashboardState, from: Option<IpAddr>) {
    let by = By {
        actor: Actor::Stranger,
        from,
        request_id: None,
    };
    let fact = Fact::of_server(AuditAction::SignInRefused);
    if let Err(error) = state.options.lifecycle.note(fact, by).await {
        tracing::warn!(%error, "a sign-in was refused, and the audit log could not be told");
    }
}

/// A session that is written so.
async fn opened(
    state: &DashboardState,
    scope: Scope,
    from: Option<IpAddr>,
    write: impl FnOnce(SignIn) -> SignInWrite,
) -> Result<SecretText, CommitError> {
    let lifecycle = &state.options.lifecycle;
    let text = generate(&*state.options.random);
    let session = SignIn::session(&text, scope, lifecycle.now());
    let viewer = Viewer {
        scope,
        session: session.hash,
        from,
    };
    let write = Write::SignIn(write(session));
    lifecycle.commit(write, viewer.by(), None).await?;
    Ok(text)
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
