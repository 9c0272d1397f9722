//! News for open pages (server-sent events): that something happened, never what. A page that hears it reads itself again, so
//! what it shows is what it would show anyway, within what its viewer may see.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::{Instant, sleep_until, timeout_at},
};

use super::{DashboardState, Wrong, answer::guarded, session};
use crate::feed::Event;

/// However much happens, a page is told no more often.
const EVERY: Duration = Duration::from_secs(1);
/// A comment keeps proxies from closing a line on which nothing is said.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after so long; the browser opens another, if it is still signed in.
const LASTS: Duration = Duration::from_mins(30);

/// A stream of news.
pub async fn stream(State(state): State<DashboardState>, headers: HeaderMap) -> Response {
    match session::find(&state, &headers).await {
        Ok(_) => {}
        Err(Wrong::NotSignedIn) => return refused(StatusCode::UNAUTHORIZED, "Sign in first."),
        Err(_) => {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer.",
            );
        }
    }
    let Ok(place) = state.listeners.clone().try_acquire_owned() else {
        return refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many pages listen. Reload this one by hand.",
        );
    };
    let now = Instant::now();
    let listener = Listener {
        state: state.clone(),
        headers,
        events: state.options.feed.listen(),
        stopping: state.stopping(),
        _place: place,
        next: now,
        ends: now + LASTS,
        is_new: true,
    };
    let body = Body::from_stream(stream::unfold(listener, told));
    let kind = HeaderValue::from_static("text/event-stream");
    guarded((StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// A page that listens.
struct Listener {
    state: DashboardState,
    /// With the cookie.
    headers: HeaderMap,
    events: Receiver<Event>,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
    /// Not told anything before.
    next: Instant,
    ends: Instant,
    is_new: bool,
}

/// The next piece of the stream.
async fn told(mut listener: Listener) -> Option<(Result<Bytes, Infallible>, Listener)> {
    if listener.is_new {
        listener.is_new = false;
        // The browser knows at once that it is connected, and how long to wait until it tries again.
        return Some((
            Ok(Bytes::from_static(b"retry: 5000\n\n: here\n\n")),
            listener,
        ));
    }
    if Instant::now() >= listener.ends {
        return None;
    }
    let heartbeat = Instant::now() + HEARTBEAT;
    let news = tokio::select! {
        news = timeout_at(heartbeat, listener.events.recv()) => news,
        _ = listener.stopping.wait_for(|stopping| *stopping) => return None,
    };
    let piece = match news {
        Ok(Ok(event)) => {
            sleep_until(listener.next).await;
            let name = heard(&mut listener.events, event);
            listener.next = Instant::now() + EVERY;
            Bytes::from(format!("event: {name}\ndata: {name}\n\n"))
        }
        Ok(Err(RecvError::Lagged(_))) => {
            Bytes::from_static(b"event: deliveries\ndata: deliveries\n\n")
        }
        Ok(Err(RecvError::Closed)) => return None,
        Err(_) => Bytes::from_static(b": still here\n\n"),
    };
    if !session::is_open(&listener.state, &listener.headers).await {
        return None;
    }
    Some((Ok(piece), listener))
}

/// What to call what was heard; all that came meanwhile is heard with it.
fn heard(events: &mut Receiver<Event>, first: Event) -> &'static str {
    let mut is_of_deliveries = matches!(first, Event::Delivery(_));
    while let Ok(event) = events.try_recv() {
        is_of_deliveries |= matches!(event, Event::Delivery(_));
    }
    if is_of_deliveries {
        "deliveries"
    } else {
        "webhooks"
    }
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    guarded((status, why).into_response())
}
