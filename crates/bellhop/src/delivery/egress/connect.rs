//! The only place that opens connections to receivers.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::{
    ClientIdentity, EgressPolicy, FLIGHT, Flight, INSIDE_HOST, IdentityError, Inside, Phase,
    Resolve, ResolveError, Roots, TargetHost,
    address::canonical,
    dial::{Dial, Tcp, Wire},
    flight::micros,
    stream::{ConnectionFacts, Stream, Transport},
    tls::{Tls, is_https},
};
use crate::domain::cause::Cause;

/// How long TCP and TLS may take together, if the request does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// All of a name's addresses are judged, but no more than these are tried.
const TRIED_ADDRESSES: usize = 6;

/// Why no connection was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ConnectError {
    /// The class.
    pub cause: Cause,
    /// What exactly; names hosts and addresses, never a path or a query.
    pub detail: String,
}

impl ConnectError {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }
}

/// Connects to judged addresses only. For hyper-util's client; cheap to clone.
#[derive(Clone)]
pub struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    policy: Arc<EgressPolicy>,
    resolver: Arc<dyn Resolve>,
    dial: Arc<dyn Dial>,
    tls: Tls,
}

/// Where to connect to: addresses that were all judged.
struct Judged {
    sockets: Vec<SocketAddr>,
    dns_us: Option<u64>,
}

impl Connector {
    /// A connector under a policy.
    pub fn new(policy: Arc<EgressPolicy>, resolver: Arc<dyn Resolve>, roots: Roots) -> Self {
        Self::over(Arc::new(Tcp), policy, resolver, roots)
    }

    /// The same over another network.
    pub fn over(
        dial: Arc<dyn Dial>,
        policy: Arc<EgressPolicy>,
        resolver: Arc<dyn Resolve>,
        roots: Roots,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                resolver,
                dial,
                tls: Tls::new(roots),
            }),
        }
    }

    /// The same with a client certificate.
    #[must_use]
    pub fn identified(&self, identity: Result<ClientIdentity, IdentityError>) -> Self {
        let shared = &self.shared;
        Self {
            shared: Arc::new(Shared {
                policy: Arc::clone(&shared.policy),
                resolver: Arc::clone(&shared.resolver),
                dial: Arc::clone(&shared.dial),
                tls: shared.tls.identified(identity),
            }),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.connect(&uri).await.map(TokioIo::new) })
    }
}

impl Shared {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let https = is_https(uri);
        let host = TargetHost::of_uri(uri.host().unwrap_or_default());
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let connect_timeout = FLIGHT
            .try_with(|flight| flight.connect_timeout)
            .unwrap_or(CONNECT_TIMEOUT);

        if let Some(inside) = self.policy.inside_of(&host) {
            return connect_inside(inside, https);
        }
        reach(Phase::Dns);
        let judged = self.resolve_and_judge(&host, port, https).await?;

        reach(Phase::Connect);
        let began = Instant::now();
        let deadline = began + connect_timeout;
        fault_point!("connect-before");
        let wire = dial(&*self.dial, &judged.sockets, deadline).await?;
        fault_point!("connect-after");
        let remote = self.judge_connected(&*wire, &judged.sockets)?;
        let connect_us = micros(began.elapsed());
        let facts = |tls_us| {
            Arc::new(ConnectionFacts::new(
                remote,
                judged.dns_us,
                connect_us,
                tls_us,
            ))
        };
        if !https {
            return Ok(Stream::new(Transport::Plain(wire), facts(None)));
        }

        reach(Phase::Tls);
        let tls_began = Instant::now();
        let tls = timeout_at(deadline, self.tls.connect(&host, wire))
            .await
            .map_err(|_| {
                ConnectError::new(
                    Cause::TlsTimeout,
                    format!("no TLS handshake with {remote} in {connect_timeout:?}"),
                )
            })??;
        Ok(Stream::new(
            Transport::Tls(Box::new(tls)),
            facts(Some(micros(tls_began.elapsed()))),
        ))
    }

    /// All addresses of the host, none of which is refused. One bad one among many refuses them all: who can
    /// make a name lead to both is not to be trusted with either.
    async fn resolve_and_judge(
        &self,
        host: &TargetHost,
        port: u16,
        https: bool,
    ) -> Result<Judged, ConnectError> {
        let (addresses, dns_us) = match host {
            TargetHost::Ip(ip) => (vec![*ip], None),
            TargetHost::Name(name) => {
                let began = Instant::now();
                let addresses = self
                    .resolver
                    .resolve(name)
                    .await
                    .map_err(|error| not_resolved(name, error))?;
                (addresses, Some(micros(began.elapsed())))
            }
        };
        let refused_as = if dns_us.is_some() {
            Cause::DnsRefusedAddress
        } else {
            Cause::UrlRefused
        };
        let mut sockets: Vec<SocketAddr> = addresses
            .into_iter()
            .map(|address| SocketAddr::new(canonical(address), port))
            .collect();
        for socket in &sockets {
            self.policy
                .judge_socket(*socket)
                .map_err(|error| ConnectError::new(refused_as, format!("{host}: {error}")))?;
        }
        if !https
            && let Some(public) = sockets
                .iter()
                .find(|socket| !self.policy.allows(socket.ip()))
        {
            let detail = format!(
                "{} is not inside a network that allows plain http",
                public.ip()
            );
            return Err(ConnectError::new(Cause::PlainHttpRefused, detail));
        }
        if sockets.is_empty() {
            return Err(not_resolved(&host.to_string(), ResolveError::NotFound));
        }
        // IPv4 first: where IPv6 is half set up, it hangs rather than fails.
        sockets.sort_by_key(SocketAddr::is_ipv6);
        Ok(Judged { sockets, dns_us })
    }

    /// Looks at the connection's ends: the other one must be a judged address, and not Bellhop itself.
    fn judge_connected(
        &self,
        wire: &dyn Wire,
        judged: &[SocketAddr],
    ) -> Result<IpAddr, ConnectError> {
        let (peer, local) = wire
            .peer_addr()
            .and_then(|peer| Ok((peer, wire.local_addr()?)))
            .map_err(|error| connect_failed(&error, "the new connection"))?;
        let refused = |detail: String| Err(ConnectError::new(Cause::Internal, detail));
        if !judged.contains(&peer) {
            return refused(format!("connected to {peer}, which was not judged"));
        }
        let own_port = self
            .policy
            .own_addresses
            .iter()
            .any(|own| own.ip().is_unspecified() && own.port() == peer.port());
        if own_port && peer.ip() == local.ip() {
            return Err(ConnectError::new(
                Cause::UrlRefused,
                format!("{peer} is Bellhop's own address"),
            ));
        }
        Ok(peer.ip())
    }
}

/// Within this process: no name is looked up, and no socket is opened.
fn connect_inside(inside: &dyn Inside, https: bool) -> Result<Stream, ConnectError> {
    if https {
        let detail = format!("{INSIDE_HOST} is reached over plain http");
        return Err(ConnectError::new(Cause::UrlRefused, detail));
    }
    reach(Phase::Connect);
    let began = Instant::now();
    let wire = inside
        .connect()
        .map_err(|error| connect_failed(&error, INSIDE_HOST))?;
    let remote = wire
        .peer_addr()
        .map_err(|error| connect_failed(&error, INSIDE_HOST))?;
    let facts = ConnectionFacts::new(remote.ip(), None, micros(began.elapsed()), None);
    Ok(Stream::new(Transport::Plain(wire), Arc::new(facts)))
}

fn reach(phase: Phase) {
    // Finished in the background for a later request: nobody to tell.
    let _ = FLIGHT.try_with(|flight: &Arc<Flight>| flight.reach(phase));
}

/// Tries the addresses in turn, each with its share of the time that is left.
async fn dial(
    dial: &dyn Dial,
    sockets: &[SocketAddr],
    deadline: Instant,
) -> Result<Box<dyn Wire>, ConnectError> {
    let mut last_error = None;
    let tried = sockets.len().min(TRIED_ADDRESSES);
    for (index, socket) in sockets.iter().take(tried).enumerate() {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / (tried - index) as u32;
        match timeout_at(now + share, dial.dial(*socket)).await {
            Ok(Ok(wire)) => return Ok(wire),
            Ok(Err(error)) => last_error = Some(connect_failed(&error, &socket.to_string())),
            Err(_) => {
                let detail = format!("{socket} did not take the connection in time");
                last_error = Some(ConnectError::new(Cause::ConnectTimeout, detail));
            }
        }
    }
    Err(last_error
        .unwrap_or_else(|| ConnectError::new(Cause::Internal, "no address to connect to")))
}

fn not_resolved(name: &str, error: ResolveError) -> ConnectError {
    let cause = match error {
        ResolveError::NotFound => Cause::DnsNotFound,
        ResolveError::Failed => Cause::DnsFailed,
        ResolveError::TimedOut => Cause::DnsTimeout,
    };
    ConnectError::new(cause, format!("{name}: {error}"))
}

fn connect_failed(error: &io::Error, whom: &str) -> ConnectError {
    use io::ErrorKind;
    let ours = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EADDRNOTAVAIL,
    ];
    let cause = match error.kind() {
        _ if ours
            .iter()
            .any(|errno| error.raw_os_error() == Some(*errno as i32)) =>
        {
            Cause::Internal
        }
        ErrorKind::ConnectionRefused => Cause::ConnectRefused,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Cause::ConnectUnreachable,
        ErrorKind::TimedOut => Cause::ConnectTimeout,
        // A receiver that resets what it has just taken: its connection was there already.
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::NotConnected => {
            Cause::Reset
        }
        _ => Cause::ConnectFailed,
    };
    ConnectError::new(cause, format!("{whom}: {}", plain(error)))
}

/// The error's text without its number, which means nothing to the reader.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}
