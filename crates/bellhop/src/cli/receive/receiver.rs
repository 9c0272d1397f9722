//! A receiver of webhooks on loopback.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bellhop_webhook::Verifier;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    clock::SharedClock,
    random::SharedRandom,
    receiving::{Answered, Behaviour, Desk, Received, answer_as, said},
};

/// Larger bodies are refused with 413; the contract's are below a kilobyte.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Events that may wait for whoever reads them; beyond it the receiver answers more slowly.
const MAX_WAITING: usize = 1024;
/// Connections at one time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// Where the behaviour is asked for and changed.
pub const BEHAVE_PATH: &str = "/_behave";

/// A running receiver. It stops when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

/// What a receiver is made of.
#[derive(Debug)]
pub struct ReceiverParts {
    /// Checks signatures; without one they are not checked.
    pub verifier: Option<Verifier>,
    /// Tells when requests arrive.
    pub clock: SharedClock,
    /// Decides for a flaky one.
    pub random: SharedRandom,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    desk: Desk,
    events: mpsc::Sender<Received>,
}

impl Receiver {
    /// Listens on loopback at this port, any free one for 0. Every request comes out of the channel before it is
    /// answered.
    pub async fn start(
        port: u16,
        behaviour: Behaviour,
        parts: ReceiverParts,
    ) -> io::Result<(Self, mpsc::Receiver<Received>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (events, received) = mpsc::channel(MAX_WAITING);
        let ReceiverParts {
            verifier,
            clock,
            random,
        } = parts;
        let shared = Arc::new(Shared {
            desk: Desk::new(clock, random, verifier, behaviour),
            events,
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&shared)));
        let receiver = Self {
            address,
            shared,
            _listening: listening,
        };
        Ok((receiver, received))
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Verifies from now on with this verifier: the secret of a webhook is known only after its URL.
    pub fn verify_with(&self, verifier: Verifier) {
        self.shared.desk.verify_with(verifier);
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.desk.behave(behaviour);
    }

    /// Behaves like this towards one integration's messages, whatever it does with others.
    pub fn behave_for(&self, integration: Uuid, behaviour: Behaviour) {
        self.shared.desk.behave_for(integration, behaviour);
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // The set ends its connections when the listener ends.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: let others end first.
            connections.join_next().await;
            tokio::task::yield_now().await;
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&shared).handle(request));
            // A connection that breaks is the sender's to notice.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Shared {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            let text = "the body is too large\n";
            return Ok(said(StatusCode::PAYLOAD_TOO_LARGE, text));
        };
        let body = body.to_bytes();
        if head.uri.path() == BEHAVE_PATH {
            return Ok(self.change_behaviour(&head.method, &body));
        }
        if head.method != Method::POST {
            let text = "this is a receiver of webhooks: POST them here\n";
            return Ok(said(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let (received, behaviour) = self.desk.receive(&head, body);
        // Nobody may be listening any more; the sender still gets its answer.
        let status = received.answer;
        let _ = self.events.send(received).await;
        answer_as(behaviour, status).await
    }

    fn change_behaviour(&self, method: &Method, body: &Bytes) -> Response<Full<Bytes>> {
        if method == Method::GET {
            let behaviour = self.desk.behaviour();
            return said(StatusCode::OK, &format!("{behaviour}\n"));
        }
        match String::from_utf8_lossy(body).parse::<Behaviour>() {
            Ok(behaviour) => {
                self.desk.behave(behaviour);
                said(StatusCode::OK, &format!("{behaviour}\n"))
            }
            Err(error) => said(StatusCode::BAD_REQUEST, &format!("{error}\n")),
        }
    }
}
