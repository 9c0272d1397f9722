//! The receiver: counts, keeps when each message arrived, checks the order of each integration
//! and the signature of some, and answers 204.
//!
//! Under `/control/` it tells what it saw; every other path is a webhook.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::Context;
use bellhop_webhook::{
    DEFAULT_TOLERANCE_SECONDS, HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId,
    SignatureHeaders, Verifier,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::body;
use crate::measure::{now_ns, unix_seconds};

/// Of so many messages one is verified, so that the sink's own work stays small.
const VERIFY_EVERY: u64 = 64;

/// What the sink has seen since the last reset.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Messages that were seen for the first time.
    pub messages: u64,
    /// Messages that were seen before: allowed ("at least once"), and worth knowing.
    pub repeated: u64,
    /// Messages that came before one that precedes them: never allowed.
    pub out_of_order: u64,
    /// Requests that are no message: no id, or no POST.
    pub malformed: u64,
    /// Signatures that were checked, and those of them that were wrong.
    pub verified: u64,
    pub wrong_signatures: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// When the last message arrived, on the monotonic clock.
    pub last_ns: u64,
}

/// When one message arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The integration's id as a number.
    pub integration: u128,
    pub sequence: u64,
    /// On the monotonic clock, when its body was complete.
    pub at_ns: u64,
}

impl Arrival {
    pub const BYTES: usize = 32;

    pub fn encode(self, into: &mut Vec<u8>) {
        into.extend(self.integration.to_le_bytes());
        into.extend(self.sequence.to_le_bytes());
        into.extend(self.at_ns.to_le_bytes());
    }

    pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Self {
            integration: u128::from(number(0)) | (u128::from(number(8)) << 64),
            sequence: number(16),
            at_ns: number(24),
        }
    }
}

struct Sink {
    seen: RefCell<Seen>,
    arrived: Notify,
    verifier: Verifier,
}

#[derive(Default)]
struct Seen {
    statistics: Statistics,
    arrivals: Vec<Arrival>,
    /// The newest sequence of each integration.
    newest: HashMap<u128, u64>,
}

impl Seen {
    fn message(&mut self, arrival: Arrival) {
        let newest = self.newest.entry(arrival.integration).or_default();
        if arrival.sequence <= *newest {
            self.statistics.repeated += 1;
            return;
        }
        if arrival.sequence > *newest + 1 {
            self.statistics.out_of_order += 1;
        }
        *newest = arrival.sequence;
        self.statistics.messages += 1;
        self.statistics.last_ns = arrival.at_ns;
        self.arrivals.push(arrival);
    }
}

/// Serves until stdin ends, which it does when the process that started this one is gone.
pub async fn run(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .context("binding the sink's port")?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let sink = Rc::new(Sink {
        seen: RefCell::default(),
        arrived: Notify::new(),
        verifier: Verifier::new(vec![body::secret()], vec![]),
    });
    let mut ended = stdin_ended();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = &mut ended => return Ok(()),
        };
        stream.set_nodelay(true)?;
        sink.seen.borrow_mut().statistics.connections += 1;
        let sink = Rc::clone(&sink);
        tokio::task::spawn_local(async move {
            let answer = service_fn(|request| answer(Rc::clone(&sink), request));
            // A sender that hangs up is not the sink's trouble.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn stdin_ended() -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = tell.send(());
    });
    ended
}

async fn answer(
    sink: Rc<Sink>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if let Some(question) = head.uri.path().strip_prefix("/control/") {
        return Ok(sink.control(question).await);
    }
    sink.receive(&head.method, &head.headers, &body);
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

impl Sink {
    fn receive(&self, method: &Method, headers: &HeaderMap, body: &[u8]) {
        let at_ns = now_ns();
        let mut seen = self.seen.borrow_mut();
        let id = text(headers, HEADER_ID).parse().ok();
        let id = id.filter(|_| method == Method::POST);
        let Some((integration, sequence)) = id.and_then(parts) else {
            seen.statistics.malformed += 1;
            return;
        };
        seen.statistics.body_bytes += body.len() as u64;
        if seen.statistics.messages.is_multiple_of(VERIFY_EVERY) {
            seen.statistics.verified += 1;
            if !self.is_signed(headers, body) {
                seen.statistics.wrong_signatures += 1;
            }
        }
        seen.message(Arrival {
            integration,
            sequence,
            at_ns,
        });
        drop(seen);
        self.arrived.notify_waiters();
    }

    fn is_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let headers = SignatureHeaders {
            id: text(headers, HEADER_ID),
            timestamp: text(headers, HEADER_TIMESTAMP),
            signature: text(headers, HEADER_SIGNATURE),
        };
        self.verifier
            .verify(&headers, body, unix_seconds(), DEFAULT_TOLERANCE_SECONDS)
            .is_ok()
    }

    async fn control(&self, question: &str) -> Response<Full<Bytes>> {
        let answer = match question.split_once('/').unwrap_or((question, "")) {
            ("statistics", _) => self.statistics(),
            ("wait", count) => {
                self.wait_for(count.parse().unwrap_or(0)).await;
                self.statistics()
            }
            ("arrivals", _) => self.arrivals(),
            ("reset", _) => {
                *self.seen.borrow_mut() = Seen::default();
                Bytes::new()
            }
            _ => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            }
        };
        Response::new(Full::new(answer))
    }

    /// Until so many different messages have arrived.
    async fn wait_for(&self, count: u64) {
        loop {
            // Taken before looking, so that no arrival in between is missed.
            let arrived = self.arrived.notified();
            if self.seen.borrow().statistics.messages >= count {
                return;
            }
            arrived.await;
        }
    }

    fn statistics(&self) -> Bytes {
        let statistics = self.seen.borrow().statistics;
        serde_json::to_vec(&statistics)
            .expect("numbers always serialise")
            .into()
    }

    fn arrivals(&self) -> Bytes {
        let seen = self.seen.borrow();
        let mut bytes = Vec::with_capacity(seen.arrivals.len() * Arrival::BYTES);
        for arrival in &seen.arrivals {
            arrival.encode(&mut bytes);
        }
        bytes.into()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

/// The integration and the sequence; none for a test message.
fn parts(id: MessageId) -> Option<(u128, u64)> {
    Some((id.integration_id()?.as_u128(), id.sequence()?))
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Seen};

    fn arrival(integration: u128, sequence: u64) -> Arrival {
        Arrival {
            integration,
            sequence,
            at_ns: 5,
        }
    }

    #[test]
    fn order_is_judged_per_integration() {
        let mut seen = Seen::default();
        for (integration, sequence) in [(1, 1), (2, 1), (1, 2), (1, 2), (2, 3), (2, 2)] {
            seen.message(arrival(integration, sequence));
        }
        let statistics = seen.statistics;
        assert_eq!(statistics.messages, 4);
        assert_eq!(statistics.out_of_order, 1, "3 of the second before its 2");
        assert_eq!(statistics.repeated, 2, "the other 2, and the late one");
    }

    #[test]
    fn an_arrival_survives_its_encoding() {
        let mut bytes = Vec::new();
        arrival(u128::MAX - 7, 9).encode(&mut bytes);
        let back = Arrival::decode(bytes.as_slice().try_into().expect("its length"));
        assert_eq!(
            (back.integration, back.sequence, back.at_ns),
            (u128::MAX - 7, 9, 5)
        );
    }
}
