//! What happens, as it happens: a stream of server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{
    ApiError, Call,
    code::Code,
    deliveries::{self, FILTER_PARAMETERS},
    event_objects::{self, End},
    streams::StreamPlace,
};
use crate::{
    feed::Place,
    live::{Heard, Kind, Listener, LiveFilter},
    store::DeliveryFilter,
};

/// A comment keeps proxies from closing a line on which nothing is said, and tells the client that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
const STILL_HERE: &str = ": still here\n\n";
/// How often it is asked whether the key still opens anything.
const ASK_KEY: Duration = Duration::from_secs(1);
/// How long a client is to wait before it comes again, in milliseconds.
const RETRY_MS: u32 = 2000;
/// The longest time that a stream may be asked to end after.
pub const MAX_WAIT_SECONDS: u64 = 3600;

/// What happens to deliveries, webhooks and integrations, as it happens (server-sent events). Each `delivery`, `webhook` and
/// `integration` event has the object as it is now; `webhook-deleted` has its id; `gap` says that something is missing, `end`
/// why the stream ends. `Last-Event-ID` takes up where a stream ended: the server remembers the newest 16,384 events, and
/// of what is older it says that it is missing.
#[utoipa::path(get, path = "/v1/events", tag = "Events",
    params(("Kind" = Option<String>, Query, description = "`Delivery`, `Webhook` or `Integration`: only these."),
        ("WebhookId" = Option<Uuid>, Query, description = "To this webhook."),
        ("ApplicationId" = Option<Uuid>, Query, description = "Of this application."),
        ("IntegrationId" = Option<Uuid>, Query, description = "Of this integration."),
        ("EnterpriseId" = Option<Uuid>, Query, description = "Of this enterprise."),
        ("Action" = Option<String>, Query, description = "Deliveries of this action."),
        ("State" = Option<String>, Query, description = "Deliveries in this state: `Pending`, `Delivered`, `Failed` or `Discarded`."),
        ("Cause" = Option<String>, Query, description = "Deliveries whose newest attempt failed so."),
        ("WaitSeconds" = Option<u64>, Query, description = "The stream ends after so long, at most 3600; 0 for what was missed alone."),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was heard.")),
    responses((status = 200, description = "A stream, until the client goes, the key ends or the server stops.",
        content_type = "text/event-stream", body = String)))]
pub async fn stream(call: Call) -> Result<Body, ApiError> {
    let mut query = call.query(&known());
    let kinds = Kind::ALL.into_iter().map(|kind| (kind.as_str(), kind));
    let kind = query.one_of("Kind", kinds);
    let of = deliveries::filter(&mut query);
    let wait = match query.text("WaitSeconds").map(str::parse) {
        None => None,
        Some(Ok(seconds)) if seconds <= MAX_WAIT_SECONDS => Some(Duration::from_secs(seconds)),
        Some(_) => {
            query.fault(
                "WaitSeconds",
                format!("It is a whole number from 0 to {MAX_WAIT_SECONDS}."),
            );
            None
        }
    };
    query.finish()?;
    let application_id = call.caller.narrow(of.application_id)?;
    let filter = LiveFilter {
        kind,
        of: DeliveryFilter {
            application_id,
            ..of
        },
    };
    let after = last_heard(&call.headers)?;
    let place = call.api.streams.take(&call.caller)?;
    let listener = call.api.options.live.listen(filter, after);
    let streaming = Streaming::new(call, listener, place, wait);
    Ok(Body::from_stream(stream::unfold(
        streaming,
        Streaming::next,
    )))
}

fn known() -> Vec<&'static str> {
    let own = ["Kind", "WaitSeconds"];
    FILTER_PARAMETERS.iter().copied().chain(own).collect()
}

/// Where the client was.
fn last_heard(headers: &HeaderMap) -> Result<Option<Place>, ApiError> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = id.to_str().unwrap_or("?");
    if text.is_empty() {
        // A client that has heard nothing yet.
        return Ok(None);
    }
    let place = text.parse().map_err(|()| {
        let detail = "Last-Event-ID is the id of an event of this stream. Leave it out to begin with what happens now.";
        ApiError::new(Code::BadHeader, detail)
    })?;
    Ok(Some(place))
}

/// A stream on its way.
struct Streaming {
    call: Call,
    listener: Listener,
    stopping: watch::Receiver<bool>,
    ask_key: Interval,
    heartbeat: Instant,
    ends: Option<Instant>,
    /// Everything up to here was heard, or was not wanted.
    at: Place,
    stage: Stage,
    _place: StreamPlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Open,
    Ended,
}

/// Why a stream goes on.
enum Woken {
    By(Heard),
    Stopping,
    ToAskKey,
    ByTime,
}

type Piece = Result<Bytes, Infallible>;

impl Streaming {
    fn new(call: Call, listener: Listener, place: StreamPlace, wait: Option<Duration>) -> Self {
        let mut ask_key = interval(ASK_KEY);
        ask_key.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        Self {
            at: listener.place(),
            stopping: call.api.stopping(),
            ask_key,
            heartbeat: now + HEARTBEAT,
            ends: wait.map(|wait| now + wait),
            stage: Stage::New,
            call,
            listener,
            _place: place,
        }
    }

    /// The next piece.
    async fn next(mut self) -> Option<(Piece, Self)> {
        let text = match self.stage {
            Stage::Ended => return None,
            Stage::New => {
                self.stage = Stage::Open;
                self.begins()
            }
            Stage::Open => self.goes_on().await,
        };
        self.heartbeat = Instant::now() + HEARTBEAT;
        Some((Ok(text.into()), self))
    }

    /// Whoever comes again before anything happened takes up from here.
    fn begins(&self) -> String {
        if self.listener.is_behind() {
            format!("retry: {RETRY_MS}\n\n")
        } else {
            format!("retry: {RETRY_MS}\nid: {}\n\n", self.at)
        }
    }

    async fn goes_on(&mut self) -> String {
        loop {
            if self.ends.is_some_and(|at| Instant::now() >= at) && !self.listener.is_behind() {
                return self.end(End::Waited);
            }
            match self.wake().await {
                Woken::By(Heard::Told(told)) => {
                    self.at = told.place.unwrap_or(self.at);
                    return event_objects::write(&self.call, &told);
                }
                Woken::By(Heard::Nothing(place)) => self.at = place,
                Woken::By(Heard::Behind(dropped)) => return self.end(End::Behind(dropped)),
                Woken::By(Heard::Over) | Woken::Stopping => return self.end(End::Stopping),
                Woken::ToAskKey if self.call.has_ended().await => return self.end(End::Key),
                Woken::ToAskKey => {}
                Woken::ByTime if Instant::now() < self.heartbeat => {}
                // Before it has heard what it missed, its place is where it was.
                Woken::ByTime if self.listener.is_behind() => return STILL_HERE.to_owned(),
                Woken::ByTime => return format!("{STILL_HERE}id: {}\n\n", self.at),
            }
        }
    }

    async fn wake(&mut self) -> Woken {
        // The end waits for what was missed: a moment that is over would give up reading it, again and again.
        let ends = self.ends.filter(|_| !self.listener.is_behind());
        let by = ends.unwrap_or(self.heartbeat).min(self.heartbeat);
        let stopping = &mut self.stopping;
        let stopping = async {
            // An error means that the server is gone: stopping all the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        tokio::select! {
            heard = self.listener.hear() => Woken::By(heard),
            () = stopping => Woken::Stopping,
            _ = self.ask_key.tick() => Woken::ToAskKey,
            () = sleep_until(by) => Woken::ByTime,
        }
    }

    fn end(&mut self, why: End) -> String {
        self.stage = Stage::Ended;
        event_objects::end(why)
    }
}
