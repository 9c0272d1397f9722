//! From an HTTP request to a handler and back: what every route has in common, once.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    MAX_BODY_BYTES, access::Operation, call::Call, callers::Caller, code::Code, error::ApiError,
    preconditions, rate::Standing, refusals::refused, reply::Reply, routes::RouteInfo,
    state::ApiState,
};
use crate::{
    bucket::Pace,
    domain::{audit::Peer, sign_in::Viewer},
    telemetry::traces::{AnsweredRequest, Asked},
};

/// The header with the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REQUEST_ID: usize = 128;
const EVENT_STREAM: &str = "text/event-stream";

type PathParts = Result<RawPathParams, RawPathParamsRejection>;

/// What is remembered of a request until its answer.
struct Visit {
    begun: Instant,
    request_id: String,
    known: Option<HeaderValue>,
    /// How the key stands that was asked with, if it is limited.
    standing: Option<Standing>,
    /// What its trace needs, if there is one.
    traced: Option<Asked>,
    /// The code of the problem, if the fault is ours.
    fault: Option<&'static str>,
}

/// A route that answers callers with a key.
pub fn endpoint<F, Answered>(route: &'static RouteInfo, handler: F) -> MethodRouter<ApiState>
where
    F: Fn(Call) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    for_callers(route, handler, |reply| (reply, None))
}

/// A route that answers callers with a key, bit by bit.
pub fn streaming<F, Answered>(route: &'static RouteInfo, handler: F) -> MethodRouter<ApiState>
where
    F: Fn(Call) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Result<Body, ApiError>> + Send + 'static,
{
    for_callers(route, handler, |stream| {
        let head = Reply::of(StatusCode::OK, EVENT_STREAM, Bytes::new());
        (head, Some(stream))
    })
}

/// `split` parts what a handler answers into what is said at once and what is streamed.
fn for_callers<F, Answered, Answer>(
    route: &'static RouteInfo,
    handler: F,
    split: fn(Answer) -> (Reply, Option<Body>),
) -> MethodRouter<ApiState>
where
    F: Fn(Call) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Result<Answer, ApiError>> + Send + 'static,
    Answer: 'static,
{
    on(
        filter(route),
        move |State(api): State<ApiState>, path: PathParts, request: Request| {
            let handler = handler.clone();
            async move {
                let (parts, body) = request.into_parts();
                let mut visit = Visit::begin(&api, &parts.headers).traced(&api, &parts.headers);
                let admitted = admit(route, &api, &mut visit, parts, &path, body);
                let answered = match admitted.await {
                    Ok(call) => handler(call).await,
                    Err(error) => Err(error),
                };
                match answered.map(split) {
                    Ok((reply, None)) => visit.end(route, &api, Ok(reply)),
                    Ok((head, Some(stream))) => {
                        let mut response = visit.end(route, &api, Ok(head));
                        *response.body_mut() = stream;
                        response
                    }
                    Err(error) => visit.end(route, &api, Err(error)),
                }
            }
        },
    )
}

/// A route that answers everybody. It gets what stands in the path.
pub fn public<F, Answered>(route: &'static RouteInfo, handler: F) -> MethodRouter<ApiState>
where
    F: Fn(ApiState, Option<String>) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    on(
        filter(route),
        move |State(api): State<ApiState>, path: PathParts, request: Request| {
            let handler = handler.clone();
            async move {
                let mut visit = Visit::begin(&api, request.headers());
                if !is_asked_all_the_time(route) {
                    visit = visit.traced(&api, request.headers());
                }
                let answered = match take_of_stranger(route, &api, &request) {
                    Ok(()) => handler(api.clone(), first(&path)).await,
                    Err(error) => Err(error),
                };
                visit.end(route, &api, answered)
            }
        },
    )
}

/// Answers what no route takes.
pub fn refuse(api: &ApiState, request: &Request, error: ApiError) -> Response {
    let headers = request.headers();
    let visit = Visit::begin(api, headers).traced(api, headers);
    let reply = error.into_reply(&visit.request_id);
    visit.trace(None, known_method(request.method()), api, &reply);
    // One label for all of them: strangers' paths must not fill the memory.
    visit.finish("none", "any", api, reply)
}

/// A method of HTTP, or the word for any other.
fn known_method(method: &Method) -> &'static str {
    let known = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let found = known.into_iter().find(|name| method == name);
    found.unwrap_or("_OTHER")
}

/// What machines ask every few seconds hides what people ask, so there are no traces of it.
fn is_asked_all_the_time(route: &RouteInfo) -> bool {
    matches!(
        route.operation,
        Operation::Live | Operation::Ready | Operation::ReadMetrics
    )
}

fn filter(route: &RouteInfo) -> MethodFilter {
    MethodFilter::try_from(route.method.clone()).expect("the table has known methods only")
}

/// Who is it, may they, and what have they sent. In this order, so that a stranger's body is not even read.
async fn admit(
    route: &'static RouteInfo,
    api: &ApiState,
    visit: &mut Visit,
    parts: Parts,
    path: &PathParts,
    body: Body,
) -> Result<Call, ApiError> {
    let now = api.lifecycle().now();
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
    // From within: nothing that comes over a connection has it.
    let (caller, from) = if let Some(viewer) = parts.extensions.get::<Viewer>() {
        (Caller::viewer(viewer), viewer.from)
    } else {
        let caller = api.callers.identify(&parts.headers, api.store(), now).await;
        if let Err(error) = &caller
            && error.code() == Code::Unauthorized
            && parts.headers.contains_key(header::AUTHORIZATION)
        {
            refused(api, peer, &visit.request_id).await;
        }
        (caller?, peer)
    };
    let access = route.operation.access();
    if !access.allows(caller.scope) {
        return Err(ApiError::new(
            Code::Forbidden,
            format!(
                "This needs a key of scope {}; this key's scope is {}.",
                access.scopes().join(" or "),
                caller.scope.as_str()
            ),
        ));
    }
    visit.standing = take_from_rate(api, &caller);
    if let Some(refused) = visit.standing.filter(|standing| standing.taken.wait_s > 0) {
        let (per_second, wait_s) = (refused.per_second, refused.taken.wait_s);
        let detail = format!("This key may ask {per_second} times a second; wait {wait_s} s.");
        return Err(ApiError::new(Code::TooManyRequests, detail).with_retry_after(wait_s));
    }
    let call = Call {
        body: read_body(&parts.headers, body).await?,
        api: api.clone(),
        caller,
        from,
        request_id: Arc::from(&*visit.request_id),
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        path_id: first(path),
    };
    call.check_idempotency_key()?;
    Ok(call)
}

fn take_from_rate(api: &ApiState, caller: &Caller) -> Option<Standing> {
    let per_second = api.options.rates.of(caller.scope)?;
    let pace = Pace::per_second(per_second);
    Some(Standing {
        per_second,
        taken: caller.bucket.take(api.elapsed_ns(), pace),
    })
}

/// Whoever asks without a key is known by the address. Probes are not counted: whoever balances the load may have the
/// address of all that come through it, and must not take this server for dead because one of them asks too often.
fn take_of_stranger(route: &RouteInfo, api: &ApiState, request: &Request) -> Result<(), ApiError> {
    let is_probe = matches!(route.operation, Operation::Live | Operation::Ready);
    let peer = request.extensions().get::<Peer>().filter(|_| !is_probe);
    let (Some(Peer(address)), Some(per_second)) = (peer, api.options.rates.keyless) else {
        return Ok(());
    };
    let bucket = api.keyless.of(*address);
    match bucket
        .take(api.elapsed_ns(), Pace::per_second(per_second))
        .wait_s
    {
        0 => Ok(()),
        wait_s => {
            let detail = format!(
                "Without a key, one address may ask {per_second} times a second; wait {wait_s} s."
            );
            Err(ApiError::new(Code::TooManyRequests, detail).with_retry_after(wait_s))
        }
    }
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let too_large = || {
        let detail = format!("The body is larger than {MAX_BODY_BYTES} bytes.");
        ApiError::new(Code::BodyTooLarge, detail)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    let read = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::new(
            Code::MalformedBody,
            "The body ended before it was complete.",
        )),
        Err(_) => Err(ApiError::new(
            Code::RequestTimeout,
            format!(
                "The body did not arrive within {} s.",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// No path has more than one part that varies. What is not UTF-8 there names nothing.
fn first(path: &PathParts) -> Option<String> {
    let (_, value) = path.as_ref().ok()?.iter().next()?;
    Some(value.to_owned())
}

impl Visit {
    fn begin(api: &ApiState, headers: &HeaderMap) -> Self {
        Self {
            begun: Instant::now(),
            request_id: given_request_id(headers).unwrap_or_else(|| api.request_id()),
            known: headers.get(header::IF_NONE_MATCH).cloned(),
            standing: None,
            traced: None,
            fault: None,
        }
    }

    /// The same with a span, if requests are traced.
    fn traced(mut self, api: &ApiState, headers: &HeaderMap) -> Self {
        let traces = api.options.traces.as_ref();
        self.traced = traces.map(|traces| traces.asked(headers, api.lifecycle().now()));
        self
    }

    fn end(
        mut self,
        route: &'static RouteInfo,
        api: &ApiState,
        answered: Result<Reply, ApiError>,
    ) -> Response {
        let reply = match answered {
            Ok(reply) => self.conditional(route, reply),
            Err(error) => {
                if error.code().status().is_server_error() {
                    let operation = route.operation.as_str();
                    let (code, request_id) = (error.code().as_str(), &*self.request_id);
                    tracing::error!(operation, code, request_id, "a request failed");
                    self.fault = Some(code);
                }
                error.into_reply(&self.request_id)
            }
        };
        let method = route.method.as_str();
        self.trace(Some(route.path), method, api, &reply);
        self.finish(route.path, method, api, reply)
    }

    fn trace(
        &self,
        route: Option<&'static str>,
        method: &'static str,
        api: &ApiState,
        reply: &Reply,
    ) {
        if let (Some(traces), Some(asked)) = (&api.options.traces, &self.traced) {
            let answer = AnsweredRequest {
                route,
                method,
                status: reply.status().as_u16(),
                fault: self.fault,
                took: self.begun.elapsed(),
            };
            traces.answered(asked, &answer);
        }
    }

    /// 304 if the caller has this version already.
    fn conditional(&self, route: &RouteInfo, reply: Reply) -> Reply {
        match (&self.known, reply.etag()) {
            (Some(known), Some(etag))
                if route.method == Method::GET && preconditions::names(known, etag) =>
            {
                reply.not_modified()
            }
            _ => reply,
        }
    }

    fn finish(
        self,
        route: &'static str,
        method: &'static str,
        api: &ApiState,
        reply: Reply,
    ) -> Response {
        let status = reply.status().as_u16();
        tracing::debug!(route, method, status, request_id = %self.request_id, "answered");
        let metrics = &api.options.metrics;
        metrics.http_request(route, method, status, self.begun.elapsed());
        let mut response = reply.into_response();
        let headers = response.headers_mut();
        // Answers hold what only this caller may see, some of it once.
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.extend(self.standing.map(Standing::headers).into_iter().flatten());
        if let Ok(id) = HeaderValue::try_from(self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }
}

/// The id that the caller gave, if it is harmless in a log.
fn given_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_harmless = (1..=MAX_REQUEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte));
    is_harmless.then(|| id.to_owned())
}
