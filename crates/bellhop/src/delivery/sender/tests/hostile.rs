//! Receivers that do harm, as scripts over raw TCP, and receivers with all kinds of certificates.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What a receiver does with each connection.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers every request with these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Answers one request and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Answers one request and resets the connection.
    AnswerAndReset(Vec<u8>),
    /// Answers a request, waits for the next one on the same connection, and closes without an answer.
    AnswerOnce(Vec<u8>),
    /// Answers with a 500 whose body is the request, headers and all.
    Echo,
    /// Answers with the head and then the piece, again and again as fast as it goes.
    Endless { head: Vec<u8>, piece: Vec<u8> },
    /// Answers with the head and then the piece every few milliseconds.
    Drip { head: Vec<u8>, piece: Vec<u8> },
    /// Reads the request, and never answers.
    Hang,
    /// Reads one byte every few milliseconds.
    ReadSlowly,
    /// Closes the connection at once.
    Close,
    /// Resets the connection at once.
    Reset,
    /// Reads the request, and resets the connection.
    ReadAndReset,
    /// Answers whatever comes first with these bytes, without reading on.
    Blurt(Vec<u8>),
}

const DRIP: Duration = Duration::from_millis(10);

/// A receiver on loopback.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    /// Connections taken.
    pub connections: Arc<AtomicUsize>,
    /// Bytes written, over all connections.
    pub written: Arc<AtomicUsize>,
    /// The requests as they came.
    pub requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_with(behaviour, None).await
    }

    /// Speaks TLS.
    pub async fn start_with(behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            written: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, written, requests) = (
            receiver.connections.clone(),
            receiver.written.clone(),
            receiver.requests.clone(),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                let script = Script {
                    behaviour: behaviour.clone(),
                    written: written.clone(),
                    requests: requests.clone(),
                };
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => script.play(stream).await,
                        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                            Ok(stream) => script.play(stream).await,
                            Err(_) => Some(()),
                        },
                    }
                });
            }
        });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A connection that can be reset.
trait Link: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset(self);
}

impl Link for TcpStream {
    fn reset(self) {
        self.set_zero_linger().unwrap();
    }
}

impl Link for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) {
        self.into_inner().0.reset();
    }
}

struct Script {
    behaviour: Behaviour,
    written: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Script {
    /// Ends when the connection does.
    async fn play(self, mut stream: impl Link) -> Option<()> {
        match &self.behaviour {
            Behaviour::Close => return None,
            Behaviour::Reset => {
                stream.reset();
                return None;
            }
            Behaviour::Blurt(bytes) => {
                stream.read_u8().await.ok()?;
                self.write(&mut stream, bytes).await?;
                return std::future::pending().await;
            }
            Behaviour::ReadSlowly => loop {
                stream.read_u8().await.ok()?;
                tokio::time::sleep(DRIP).await;
            },
            _ => {}
        }
        loop {
            let request = self.read_request(&mut stream).await?;
            match &self.behaviour {
                Behaviour::Answer(bytes) => self.write(&mut stream, bytes).await?,
                Behaviour::AnswerAndClose(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    stream.shutdown().await.ok()?;
                    return None;
                }
                Behaviour::AnswerAndReset(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    // Otherwise the reset can overtake the answer.
                    tokio::time::sleep(DRIP * 3).await;
                    stream.reset();
                    return None;
                }
                Behaviour::AnswerOnce(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    self.read_request(&mut stream).await?;
                    return None;
                }
                Behaviour::Echo => {
                    let head = format!(
                        "HTTP/1.1 500 No\r\nx-echo: {}\r\n",
                        header(&request, "x-secret")
                    );
                    let head = format!("{head}content-length: {}\r\n\r\n", request.len());
                    self.write(&mut stream, &[head.as_bytes(), &request].concat())
                        .await?;
                }
                Behaviour::Endless { head, piece } => {
                    self.write(&mut stream, head).await?;
                    loop {
                        self.write(&mut stream, piece).await?;
                    }
                }
                Behaviour::Drip { head, piece } => {
                    self.write(&mut stream, head).await?;
                    loop {
                        tokio::time::sleep(DRIP).await;
                        self.write(&mut stream, piece).await?;
                    }
                }
                Behaviour::ReadAndReset => {
                    stream.reset();
                    return None;
                }
                _ => return std::future::pending().await,
            }
        }
    }

    async fn write(&self, stream: &mut impl Link, bytes: &[u8]) -> Option<()> {
        stream.write_all(bytes).await.ok()?;
        stream.flush().await.ok()?;
        self.written.fetch_add(bytes.len(), SeqCst);
        Some(())
    }

    /// One request with a `content-length`.
    async fn read_request(&self, stream: &mut impl Link) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        loop {
            if let Some(head_end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                let length: usize = header(&request[..head_end + 2], "content-length")
                    .parse()
                    .unwrap_or(0);
                if request.len() >= head_end + 4 + length {
                    self.requests.lock().unwrap().push(request.clone());
                    return Some(request);
                }
            }
            if stream.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// The value of a request's header.
pub fn header(request: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(request);
    let prefix = format!("{name}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_default()
        .to_owned()
}

/// A certificate authority for tests, and certificates of it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    SelfSigned,
    SelfSignedAuthority,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A server's configuration with a certificate for `host`.
    pub fn server(&self, host: &str, flaw: Flaw) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(2100, 1, 1),
            Flaw::SelfSignedAuthority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Flaw::None | Flaw::SelfSigned => {}
        }
        let certificate = match flaw {
            Flaw::SelfSigned | Flaw::SelfSignedAuthority => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}
