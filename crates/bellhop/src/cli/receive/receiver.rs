//! A receiver of webhooks on loopback.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use bellhop_webhook::Verifier;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use uuid::Uuid;

use super::{Answer, Behaviour, Order, Received, Signature, order::Lanes};
use crate::{clock::SharedClock, random::SharedRandom};

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
    desk: Arc<Desk>,
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

/// What all connections of a receiver share.
#[derive(Debug)]
struct Desk {
    clock: SharedClock,
    random: SharedRandom,
    state: Mutex<State>,
    events: mpsc::Sender<Received>,
}

#[derive(Debug, Default)]
struct State {
    verifier: Option<Verifier>,
    behaviour: Behaviour,
    /// Integrations that are treated in another way than the others.
    exceptions: HashMap<Uuid, Behaviour>,
    lanes: Lanes,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the receiver behaves as one that drops connections")]
struct Hangup;

type Answered = Result<Response<Full<Bytes>>, Hangup>;

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
        let desk = Arc::new(Desk {
            clock: parts.clock,
            random: parts.random,
            state: Mutex::new(State {
                verifier: parts.verifier,
                behaviour,
                ..State::default()
            }),
            events,
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&desk)));
        let receiver = Self {
            address,
            desk,
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
        self.desk.state().verifier = Some(verifier);
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.desk.state().behaviour = behaviour;
    }

    /// Behaves like this towards one integration's messages, whatever it does with others.
    pub fn behave_for(&self, integration: Uuid, behaviour: Behaviour) {
        self.desk.state().exceptions.insert(integration, behaviour);
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
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
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&desk).handle(request));
            // A connection that breaks is the sender's to notice.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            return Ok(answer(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large\n",
            ));
        };
        let body = body.to_bytes();
        if head.uri.path() == BEHAVE_PATH {
            return Ok(self.change_behaviour(&head.method, &body));
        }
        if head.method != Method::POST {
            let text = "this is a receiver of webhooks: POST them here\n";
            return Ok(answer(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let (received, behaviour) = self.receive(&head, body);
        // Nobody may be listening any more; the sender still gets its answer.
        let status = received.answer;
        let _ = self.events.send(received).await;
        match behaviour {
            Behaviour::Hang => Ok(never().await),
            Behaviour::Slow(pause) => {
                tokio::time::sleep(pause).await;
                Ok(plain(status))
            }
            Behaviour::Redirect => Ok(with_header(plain(status), header::LOCATION, "/elsewhere")),
            Behaviour::Status(_, Some(seconds)) => Ok(with_header(
                plain(status),
                header::RETRY_AFTER,
                &seconds.to_string(),
            )),
            Behaviour::Drop => Err(Hangup),
            Behaviour::Status(_, None) | Behaviour::Flaky(_) | Behaviour::Failing(_) => {
                Ok(plain(status))
            }
        }
    }

    /// Judges a request and decides on the answer.
    fn receive(&self, head: &http::request::Parts, body: Bytes) -> (Received, Behaviour) {
        let mut state = self.state();
        let path = head.uri.path();
        let verifier = state.verifier.as_ref();
        let mut received = Received::read(self.clock.now(), path, &head.headers, body, verifier);
        let exception = received
            .integration
            .and_then(|id| state.exceptions.get(&id));
        let mut behaviour = exception.copied().unwrap_or(state.behaviour);
        if let Signature::Wrong(_) = received.signature {
            // What is not signed is not worth more than this, and must not count as accepted.
            behaviour = Behaviour::Status(401, None);
        }
        received.answer = self.decide(behaviour, received.attempt);
        if let (Some(integration), Some(sequence)) = (received.integration, received.sequence) {
            received.order = state
                .lanes
                .judge(path, integration, sequence, received.previous);
            if received.answer.is_success() {
                state.lanes.accept(path, integration, sequence);
            }
        } else {
            received.order = Order::None;
        }
        (received, behaviour)
    }

    fn decide(&self, behaviour: Behaviour, attempt: Option<u32>) -> Answer {
        match behaviour {
            Behaviour::Status(status, _) => Answer::Status(status),
            Behaviour::Hang => Answer::None,
            Behaviour::Drop => Answer::Dropped,
            Behaviour::Redirect => Answer::Status(307),
            Behaviour::Flaky(probability) if self.random.unit() < probability => {
                Answer::Status(500)
            }
            Behaviour::Failing(attempts) if attempt.is_none_or(|attempt| attempt <= attempts) => {
                Answer::Status(500)
            }
            Behaviour::Slow(_) | Behaviour::Flaky(_) | Behaviour::Failing(_) => Answer::Status(200),
        }
    }

    fn change_behaviour(&self, method: &Method, body: &Bytes) -> Response<Full<Bytes>> {
        if method == Method::GET {
            let behaviour = self.state().behaviour;
            return answer(StatusCode::OK, &format!("{behaviour}\n"));
        }
        match String::from_utf8_lossy(body).parse::<Behaviour>() {
            Ok(behaviour) => {
                self.state().behaviour = behaviour;
                answer(StatusCode::OK, &format!("{behaviour}\n"))
            }
            Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error}\n")),
        }
    }
}

async fn never() -> Response<Full<Bytes>> {
    match std::future::pending::<Infallible>().await {}
}

fn plain(status: Answer) -> Response<Full<Bytes>> {
    let code = match status {
        Answer::Status(code) => code,
        Answer::None | Answer::Dropped => 500,
    };
    answer(StatusCode::from_u16(code).unwrap_or(StatusCode::OK), "")
}

fn answer(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

fn with_header(
    mut response: Response<Full<Bytes>>,
    name: header::HeaderName,
    value: &str,
) -> Response<Full<Bytes>> {
    let value = value
        .parse()
        .expect("a path and a number are header values");
    response.headers_mut().insert(name, value);
    response
}
