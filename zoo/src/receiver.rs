//! A receiver on loopback that plays a behaviour.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use rustls::ServerConfig;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{behaviour::Behaviour, script::Script};

/// How many requests a receiver remembers; those after them are only counted.
pub(crate) const MOST_REMEMBERED: usize = 100_000;

/// A running receiver. It ends when it is dropped, with all its connections.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its last byte was read.
    pub at: Instant,
    /// All of it: head and body.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    connections: AtomicUsize,
    open: AtomicUsize,
    written: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1, without TLS.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), behaviour, None).await
    }

    /// Listens on a free port of 127.0.0.1, with TLS.
    pub async fn start_tls(behaviour: Behaviour, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), behaviour, Some(tls)).await
    }

    /// Listens there.
    pub async fn start_at(
        address: SocketAddr,
        behaviour: Behaviour,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (shared, is_tls) = (Arc::new(Shared::default()), tls.is_some());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, behaviour, tls, shared.clone()));
        Ok(Self {
            address,
            is_tls,
            shared,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Connections taken.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Bytes written, over all connections.
    pub fn written(&self) -> usize {
        self.shared.written.load(SeqCst)
    }

    /// The requests that were read to their end, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared
            .requests
            .lock()
            .expect("no holder panics")
            .clone()
    }

    /// The requests as they came, in order.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.received()
            .into_iter()
            .map(|request| request.bytes)
            .collect()
    }
}

impl Shared {
    pub fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes, SeqCst);
    }

    /// How many requests were read to their end.
    pub fn received(&self) -> usize {
        self.requests.lock().expect("no holder panics").len()
    }

    pub fn note(&self, request: &[u8]) {
        let mut requests = self.requests.lock().expect("no holder panics");
        if requests.len() < MOST_REMEMBERED {
            requests.push(Received {
                at: Instant::now(),
                bytes: request.to_vec(),
            });
        }
    }
}

async fn serve(
    listener: TcpListener,
    behaviour: Behaviour,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                shared.connections.fetch_add(1, SeqCst);
                shared.open.fetch_add(1, SeqCst);
                let script = Script { behaviour: behaviour.clone(), shared: shared.clone() };
                let (tls, shared) = (tls.clone(), shared.clone());
                connections.spawn(async move {
                    match tls {
                        None => script.play(stream).await,
                        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                            Ok(stream) => script.play(stream).await,
                            Err(_) => None,
                        },
                    };
                    shared.open.fetch_sub(1, SeqCst);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The value of a request's header; empty if it is absent. `name` in lower case.
pub fn header(request: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(request);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let value = head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    value.unwrap_or_default().to_owned()
}
