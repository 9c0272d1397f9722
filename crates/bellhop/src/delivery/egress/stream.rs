//! A connection to a receiver: TCP, with TLS or without, that counts what comes in and keeps an eye on the clock.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::{dial::Wire, flight::micros};

/// The most bytes that one response may take on the wire, informational responses, headers and chunk framing
/// included. The body has a limit of its own; this one stops what never becomes a body.
const RESPONSE_WIRE_LIMIT: u64 = 1024 * 1024;

/// A receiver sent more than [`RESPONSE_WIRE_LIMIT`].
#[derive(Debug, thiserror::Error)]
#[error("the response is longer than {RESPONSE_WIRE_LIMIT} bytes on the wire")]
pub struct WireLimitExceeded;

/// What is known about a connection, shared with every request that it carries.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The receiver's address.
    pub remote: IpAddr,
    /// Resolving the name; `None` for an IP literal.
    pub dns_us: Option<u64>,
    /// The TCP connection.
    pub connect_us: u64,
    /// The TLS handshake; `None` for plain http.
    pub tls_us: Option<u64>,
    /// When it was ready.
    pub established: Instant,
    requests: AtomicU32,
    answered: AtomicBool,
    condemned: AtomicBool,
    response_bytes: AtomicU64,
    wrote_us: AtomicU64,
    first_byte_us: AtomicU64,
}

impl ConnectionFacts {
    pub fn new(remote: IpAddr, dns_us: Option<u64>, connect_us: u64, tls_us: Option<u64>) -> Self {
        Self {
            remote,
            dns_us,
            connect_us,
            tls_us,
            established: Instant::now(),
            requests: AtomicU32::new(0),
            answered: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
            response_bytes: AtomicU64::new(0),
            wrote_us: AtomicU64::new(0),
            first_byte_us: AtomicU64::new(0),
        }
    }

    /// Counts a request on this connection, and tells whether the connection served another one before or was
    /// made before this request began.
    pub fn reused_by(&self, request_began: Instant) -> bool {
        self.requests.fetch_add(1, Relaxed) > 0 || self.established < request_began
    }

    /// Whether any byte came back for the request that this connection took at `taken`. Nothing may have been
    /// written since, when the receiver had closed the connection; then what came back belongs to the one before.
    pub fn answered_since(&self, taken: Option<Instant>) -> bool {
        self.answered.load(Relaxed) && taken.is_some_and(|taken| self.first_byte() >= taken)
    }

    /// No further request may use this connection: its receiver does not keep to HTTP.
    pub fn condemn(&self) {
        self.condemned.store(true, Relaxed);
    }

    /// When the last byte of the request was written.
    pub fn wrote(&self) -> Instant {
        self.established + Duration::from_micros(self.wrote_us.load(Relaxed))
    }

    /// When the first byte of the response came.
    pub fn first_byte(&self) -> Instant {
        self.established + Duration::from_micros(self.first_byte_us.load(Relaxed))
    }

    fn now_us(&self) -> u64 {
        micros(self.established.elapsed())
    }

    fn note_read(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let so_far = if self.answered.swap(true, Relaxed) {
            self.response_bytes.fetch_add(bytes, Relaxed) + bytes
        } else {
            self.first_byte_us.store(self.now_us(), Relaxed);
            self.response_bytes.store(bytes, Relaxed);
            bytes
        };
        if so_far > RESPONSE_WIRE_LIMIT {
            Err(io::Error::other(WireLimitExceeded))
        } else {
            Ok(())
        }
    }

    fn note_written(&self) {
        self.wrote_us.store(self.now_us(), Relaxed);
    }

    /// Notes that a request is about to be written. The first write after an answer is the next request.
    fn begin_write(&self) -> io::Result<()> {
        self.answered.store(false, Relaxed);
        if self.condemned.load(Relaxed) {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

/// A connection to a receiver.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    facts: Arc<ConnectionFacts>,
}

/// With TLS or without.
#[derive(Debug)]
pub enum Transport {
    /// Plain http, inside an allowed network.
    Plain(Box<dyn Wire>),
    /// https.
    Tls(Box<TlsStream<Box<dyn Wire>>>),
}

impl Stream {
    pub const fn new(transport: Transport, facts: Arc<ConnectionFacts>) -> Self {
        Self { transport, facts }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(&self.facts))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(match &mut this.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        })?;
        let bytes = buf.filled().len() - before;
        Poll::Ready(if bytes == 0 {
            Ok(())
        } else {
            this.facts.note_read(bytes)
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.facts.begin_write()?;
        let written = ready!(match &mut this.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        })?;
        this.facts.note_written();
        fault_point!("send-after");
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.facts.begin_write()?;
        let written = ready!(match &mut this.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        })?;
        this.facts.note_written();
        fault_point!("send-after");
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
