//! The sender: a pool of connections, and one POST over it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{HOST, LOCATION},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout_at};

use super::{
    RetryAfter, Verdict,
    answer::{Answer, Limits},
    classify,
    conclude::{End, Seen, conclude},
    exchange::Exchange,
    failure,
    payload::Payload,
    scrub::Scrubber,
};
use crate::{
    delivery::egress::{
        ClientIdentity, ConnectionFacts, Connector, Dial, EgressPolicy, FLIGHT, Flight,
        IdentityError, Resolve, Roots, SystemResolver, TargetUrl, Tcp,
    },
    domain::{cause::Cause, webhook::MAX_IN_FLIGHT},
};

/// The most that is buffered of a response's head, and of a piece of its body.
const READ_BUFFER: usize = 32 * 1024;

/// How a [`Sender`] is made.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// What may be reached.
    pub policy: Arc<EgressPolicy>,
    /// Who finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// What opens connections.
    pub dial: Arc<dyn Dial>,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// How many idle connections are kept for one origin.
    pub max_idle_per_host: usize,
    /// For how long they are kept.
    pub idle_timeout: Duration,
}

impl SenderOptions {
    /// The system's name servers and authorities; idle connections are kept for a minute, as many for an origin as a
    /// webhook may have requests in flight: fewer would be closed and opened again under load.
    pub fn new(policy: Arc<EgressPolicy>) -> Self {
        Self {
            policy,
            resolver: Arc::new(SystemResolver::new()),
            dial: Arc::new(Tcp),
            roots: Roots::System,
            max_idle_per_host: MAX_IN_FLIGHT as usize,
            idle_timeout: Duration::from_mins(1),
        }
    }
}

/// One POST to make.
pub struct PostRequest<'a> {
    /// Where to.
    pub target: &'a TargetUrl,
    /// All headers but `host` and `content-length`, which are set here.
    pub headers: HeaderMap,
    /// The exact bytes.
    pub body: Bytes,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// For all of it, the response's body included.
    pub timeout: Duration,
    /// The longest response body that is read; a longer one is a failure.
    pub response_limit: usize,
    /// How much of the response body is kept.
    pub kept: usize,
    /// What the kept response must not contain: access token, custom header values. The values in the URL's query
    /// are known already.
    pub secrets: &'a [&'a [u8]],
    /// Whether a redirect within the same origin is followed (307 and 308).
    pub follow_redirects: bool,
    /// Whether secrets are taken out of what is kept of the response, as out of all that is stored.
    pub scrubs: bool,
    /// Adds the headers that depend on where a request goes, for the first and for each that a redirect leads to.
    pub per_target: Option<PerTarget<'a>>,
}

/// See [`PostRequest::per_target`].
pub type PerTarget<'a> = &'a (dyn Fn(&TargetUrl, &mut HeaderMap) + Sync);

impl<'a> PostRequest<'a> {
    /// With the default limits: 5 s to connect, 15 s for all, 64 KiB read, 4 KiB kept.
    pub const fn new(target: &'a TargetUrl, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            target,
            headers,
            body,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            response_limit: 64 * 1024,
            kept: 4 * 1024,
            secrets: &[],
            follow_redirects: false,
            scrubs: true,
            per_target: None,
        }
    }
}

/// Shows the masked target and the body's length: headers and body hold secrets.
impl fmt::Debug for PostRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostRequest")
            .field("target", self.target)
            .field("body_len", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Sends requests to receivers. Cheap to clone; clones share the pool.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client<Connector, Payload>,
    pub(super) policy: Arc<EgressPolicy>,
    connector: Connector,
    pool: Pool,
}

/// How many connections are kept, and for how long.
#[derive(Debug, Clone, Copy)]
struct Pool {
    max_idle_per_host: usize,
    idle_timeout: Duration,
}

impl Sender {
    /// A sender with an empty pool. Opens nothing and reads nothing yet.
    pub fn new(options: SenderOptions) -> Self {
        let policy = Arc::clone(&options.policy);
        let connector = Connector::over(
            options.dial,
            options.policy,
            options.resolver,
            options.roots,
        );
        let pool = Pool {
            max_idle_per_host: options.max_idle_per_host,
            idle_timeout: options.idle_timeout,
        };
        Self::over(connector, policy, pool)
    }

    /// One with a client certificate and a pool of its own: no connection that was opened with this certificate carries
    /// a request that was not to have it, and the other way round.
    #[must_use]
    pub fn identified(&self, identity: Result<ClientIdentity, IdentityError>) -> Self {
        let connector = self.connector.identified(identity);
        Self::over(connector, Arc::clone(&self.policy), self.pool)
    }

    fn over(connector: Connector, policy: Arc<EgressPolicy>, pool: Pool) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(pool.idle_timeout)
            .pool_max_idle_per_host(pool.max_idle_per_host)
            .http1_max_buf_size(READ_BUFFER)
            .set_host(false)
            .build(connector.clone());
        Self {
            client,
            policy,
            connector,
            pool,
        }
    }

    /// Makes one POST, and follows its redirects if it may. Always comes back, at the latest when the request's time
    /// is over.
    pub async fn post(&self, request: PostRequest<'_>) -> Exchange {
        let deadline = Instant::now() + request.timeout;
        if request.follow_redirects {
            // Boxed: the future of all others stays as small as it was.
            return Box::pin(self.post_along(request, deadline)).await;
        }
        self.post_once(request, deadline).await.0
    }

    /// Makes one POST. Answers also with where a redirect that may be followed leads.
    pub(super) async fn post_once(
        &self,
        request: PostRequest<'_>,
        deadline: Instant,
    ) -> (Exchange, Vec<HeaderValue>) {
        let flight = Arc::new(Flight::new(request.connect_timeout));
        let timeout = request.timeout;
        let of_query = request.target.query_values().iter().map(Vec::as_slice);
        let secrets = request.secrets.iter().copied().chain(of_query);
        let scrubber = Scrubber::new(secrets.filter(|_| request.scrubs));
        let limits = Limits {
            response_limit: request.response_limit,
            kept: request.kept,
            scrubber: &scrubber,
        };

        let mut seen = Seen::default();
        let exchanging = FLIGHT.scope(
            Arc::clone(&flight),
            self.exchange(request, limits, &flight, &mut seen),
        );
        let end = timeout_at(deadline, exchanging).await.unwrap_or_else(|_| {
            let (cause, detail) = failure::of_timeout(flight.phase(), timeout);
            End::Failed(cause, detail)
        });
        let locations = std::mem::take(&mut seen.locations);
        (conclude(end, seen, &flight, limits), locations)
    }

    async fn exchange(
        &self,
        request: PostRequest<'_>,
        limits: Limits<'_>,
        flight: &Arc<Flight>,
        seen: &mut Seen,
    ) -> End {
        let follows = request.follow_redirects;
        let response = match self.send(request, flight, seen).await {
            Ok(response) => response,
            Err((cause, detail)) => return End::Failed(cause, detail),
        };
        let (head, body) = response.into_parts();
        if let Some(facts) = &seen.facts {
            seen.marks = Some((facts.wrote(), facts.first_byte()));
        }
        let answer = seen.answer.insert(Answer::begin(&head, limits));
        if let Some(flaw) = Answer::flaw(&head) {
            if let Some(facts) = &seen.facts {
                facts.condemn();
            }
            return End::Failed(Cause::ProtocolError, flaw.to_owned());
        }
        if matches!(
            classify(head.status.as_u16()),
            Verdict::Failure(Cause::RateLimited | Cause::Unavailable)
        ) {
            seen.retry_after = RetryAfter::of(&head.headers);
        }
        if follows && is_redirect(head.status) {
            seen.locations = head.headers.get_all(LOCATION).iter().cloned().collect();
        }
        fault_point!("response-before");
        let read = answer.read(body, limits).await;
        fault_point!("response-after");
        End::Body(read)
    }

    /// Sends the request and waits for the head of the response. A connection from the pool may have been closed by
    /// the receiver in the meantime; then the same request goes out once more at once, as part of the same attempt.
    async fn send(
        &self,
        request: PostRequest<'_>,
        flight: &Arc<Flight>,
        seen: &mut Seen,
    ) -> Result<http::Response<Incoming>, (Cause, String)> {
        let PostRequest {
            target,
            mut headers,
            body,
            per_target,
            ..
        } = request;
        headers.insert(HOST, target.host_header().clone());
        if let Some(add) = per_target {
            add(target, &mut headers);
        }
        let spare = headers.clone();
        let error = match self
            .send_once(target, headers, body.clone(), flight, seen)
            .await
        {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let stale = seen.reused
            && seen
                .facts
                .as_ref()
                .is_some_and(|facts| !facts.answered_since(flight.taken()));
        if !stale {
            return Err(failure::of_request(&error));
        }
        *seen = Seen::default();
        self.send_once(target, spare, body, flight, seen)
            .await
            .map_err(|error| failure::of_request(&error))
    }

    async fn send_once(
        &self,
        target: &TargetUrl,
        headers: HeaderMap,
        body: Bytes,
        flight: &Arc<Flight>,
        seen: &mut Seen,
    ) -> Result<http::Response<Incoming>, legacy::Error> {
        let mut request = Request::new(Payload::new(body, Arc::clone(flight)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri().clone();
        *request.headers_mut() = headers;
        fault_point!("send-before");
        let sent = self.client.request(request).await;
        seen.facts = match &sent {
            Ok(response) => response.extensions().get::<Arc<ConnectionFacts>>().cloned(),
            Err(error) => facts_of(error),
        };
        seen.reused = seen
            .facts
            .as_ref()
            .is_some_and(|facts| facts.reused_by(flight.started));
        sent
    }
}

/// Whether it says: the same request, elsewhere (RFC 9110, 15.4.8 and 15.4.9).
pub(super) const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 307 | 308)
}

fn facts_of(error: &legacy::Error) -> Option<Arc<ConnectionFacts>> {
    let mut extensions = http::Extensions::new();
    error.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}
