//! The built-in receiver: addresses that lead to this process and to nothing else.
//!
//! It has no socket. The egress guard knows one name, `play.bellhop.internal`, which no name server is asked for; a
//! connection to it is two ends of memory (`delivery::egress::Inside`). So there is nothing that could be reached by
//! mistake, and nothing that anybody else could reach.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::Semaphore,
};

use super::{Answered, Behaviour, Desk, Received, answer_as, said};
use crate::{
    clock::SharedClock,
    delivery::egress::{Inside, Wire},
    domain::masked::MASK,
    id::ApplicationId,
    random::{SharedRandom, bytes},
};

/// What an address begins with; its id follows.
pub const PLAY_URL: &str = "http://play.bellhop.internal/";
/// The newest so many requests of an address are kept.
pub const MOST_REQUESTS: usize = 50;
/// And of those so many bytes.
const MOST_BYTES: usize = 256 * 1024;
/// Addresses at one time; of more, the one that was not used for the longest time goes.
const MOST_ADDRESSES: usize = 64;
/// The longest body that is taken.
const MOST_BODY_BYTES: usize = 64 * 1024;
/// Connections at one time.
const MOST_CONNECTIONS: usize = 64;
/// What lies between the two ends of a connection at most.
const PIPE_BYTES: usize = 64 * 1024;
/// The longest that anything is kept waiting: no webhook's time-out is longer.
const LONGEST: Duration = Duration::from_secs(90);

/// All addresses of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Play(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    random: SharedRandom,
    receivers: Mutex<HashMap<String, Arc<Receiver>>>,
    connections: Arc<Semaphore>,
}

/// One address.
#[derive(Debug)]
pub struct Receiver {
    /// The application whose people made it; `None` for the operator.
    pub only: Option<ApplicationId>,
    desk: Desk,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    caught: VecDeque<Caught>,
    bytes: usize,
    used: Timestamp,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Caught {
    /// What was made of it.
    pub received: Received,
    /// Its headers, the values of those that may be secrets masked.
    pub headers: Vec<(String, String)>,
}

impl Play {
    /// Without an address yet.
    pub fn new(clock: SharedClock, random: SharedRandom) -> Self {
        Self(Arc::new(Shared {
            clock,
            random,
            receivers: Mutex::default(),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        }))
    }

    /// A new address. What comes back is its id: 128 random bits.
    pub fn make(&self, only: Option<ApplicationId>) -> String {
        let id = uuid::Uuid::from_bytes(bytes(&*self.0.random));
        let id = id.simple().to_string();
        self.open(&id, only);
        id
    }

    /// The address with this id. Whoever has the id may open it again after a restart; while it is open, it is that of
    /// those who opened it. `None` if it is somebody else's, or no id.
    pub fn open(&self, id: &str, only: Option<ApplicationId>) -> Option<Arc<Receiver>> {
        let is_id = id.len() == 32
            && id
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_id {
            return None;
        }
        let now = self.0.clock.now();
        let mut receivers = self.receivers();
        if !receivers.contains_key(id) && receivers.len() >= MOST_ADDRESSES {
            let oldest = receivers.iter().min_by_key(|(_, each)| each.kept().used);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| receivers.remove(&id));
        }
        let receiver = receivers.entry(id.to_owned()).or_insert_with(|| {
            let (clock, random) = (self.0.clock.clone(), self.0.random.clone());
            Arc::new(Receiver {
                only,
                desk: Desk::new(clock, random, None, Behaviour::default()),
                kept: Mutex::new(Kept {
                    caught: VecDeque::new(),
                    bytes: 0,
                    used: now,
                }),
            })
        });
        receiver.kept().used = now;
        // The operator sees all.
        let is_theirs = only.is_none() || receiver.only == only;
        is_theirs.then(|| Arc::clone(receiver))
    }

    /// The open addresses of those who look, by their ids.
    pub fn list(&self, only: Option<ApplicationId>) -> Vec<(String, Arc<Receiver>)> {
        let receivers = self.receivers();
        let theirs = receivers.iter().filter(|(_, each)| each.only == only);
        let mut theirs: Vec<_> = theirs
            .map(|(id, each)| (id.clone(), Arc::clone(each)))
            .collect();
        theirs.sort_by_key(|(_, each)| std::cmp::Reverse(each.kept().used));
        theirs
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<String, Arc<Receiver>>> {
        self.0.receivers.lock().expect("no holder panics")
    }

    async fn handle(self, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let id = head.uri.path().trim_start_matches('/');
        let receiver = self.receivers().get(id).cloned();
        let Some(receiver) = receiver else {
            let text =
                "No such address is open. Open its page in the dashboard, or make another one.\n";
            return Ok(said(StatusCode::NOT_FOUND, text));
        };
        let is_json = head.headers.get(header::CONTENT_TYPE);
        let is_json = is_json.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if head.method != Method::POST || !is_json {
            let text = "This is a receiver of webhooks: POST them here.\n";
            return Ok(said(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let Ok(body) = Limited::new(body, MOST_BODY_BYTES).collect().await else {
            let text = "The body is too large.\n";
            return Ok(said(StatusCode::PAYLOAD_TOO_LARGE, text));
        };
        let (received, behaviour) = receiver.desk.receive(&head, body.to_bytes());
        let status = received.answer;
        receiver.keep(Caught {
            received,
            headers: shown(&head.headers),
        });
        answer_as(behaviour, status).await
    }
}

impl Receiver {
    /// How it behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.desk.behaviour()
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.desk.behave(behaviour);
    }

    /// What came, newest first.
    pub fn caught(&self) -> Vec<Caught> {
        self.kept().caught.iter().rev().cloned().collect()
    }

    /// Forgets what came.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.caught.clear();
        kept.bytes = 0;
    }

    fn keep(&self, caught: Caught) {
        let mut kept = self.kept();
        kept.used = caught.received.at;
        kept.bytes += caught.bytes();
        kept.caught.push_back(caught);
        while kept.caught.len() > MOST_REQUESTS || kept.bytes > MOST_BYTES {
            match kept.caught.pop_front() {
                Some(former) => kept.bytes -= former.bytes(),
                None => break,
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }
}

impl Caught {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len());
        self.received.body.len() + headers.sum::<usize>()
    }

    /// The headers as lines, as people paste them.
    pub fn head(&self) -> String {
        let path = &self.received.path;
        let lines = self.headers.iter();
        let lines = lines.map(|(name, value)| format!("{name}: {value}\n"));
        format!("POST {path} HTTP/1.1\n{}", lines.collect::<String>())
    }
}

/// What every webhook sends is shown; anything else may be a secret of this one.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    const OURS: [&str; 9] = [
        "accept",
        "content-digest",
        "content-length",
        "content-type",
        "host",
        "signature",
        "signature-input",
        "traceparent",
        "user-agent",
    ];
    let pairs = headers.iter().map(|(name, value)| {
        let name = name.as_str();
        let is_ours =
            OURS.contains(&name) || name.starts_with("webhook-") || name.starts_with("bellhop-");
        let value = if is_ours {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        } else {
            MASK.to_owned()
        };
        (name.to_owned(), value)
    });
    pairs.collect()
}

impl Inside for Play {
    fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let connections = Arc::clone(&self.0.connections);
        let permit = connections.try_acquire_owned().map_err(|_| refused())?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let play = self.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| play.clone().handle(request));
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new());
            let connection = connection.serve_connection(TokioIo::new(theirs), answer);
            // A connection that breaks is the sender's to notice.
            let _ = tokio::time::timeout(LONGEST, connection).await;
            drop(permit);
        });
        Ok(Box::new(End(ours)))
    }
}

/// One end of a connection within this process.
#[derive(Debug)]
struct End(DuplexStream);

impl Wire for End {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, 80).into())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, 0).into())
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{clock::SystemClock, delivery::egress::INSIDE_HOST, random::SystemRandom};

    fn play() -> Play {
        Play::new(Arc::new(SystemClock), Arc::new(SystemRandom))
    }

    /// What a client on the other end is answered.
    async fn post(play: &Play, path: &str, body: Vec<u8>) -> StatusCode {
        let wire = play.connect().unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::post(path)
            .header("host", INSIDE_HOST)
            .header("content-type", "application/json")
            .header("authorization", "Bearer canary")
            .body(http_body_util::Full::new(Bytes::from(body)))
            .unwrap();
        sender.send_request(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn it_keeps_the_newest_and_no_more_than_it_may() {
        let play = play();
        let id = play.make(None);
        let receiver = play.open(&id, None).unwrap();
        for number in 0..300_usize {
            let body = vec![b'x'; if number < 200 { 20_000 } else { number }];
            assert_eq!(post(&play, &format!("/{id}"), body).await, 200);
            assert!(receiver.kept().bytes <= MOST_BYTES);
        }
        let caught = receiver.caught();
        assert_eq!(caught.len(), MOST_REQUESTS);
        assert_eq!(caught[0].received.body.len(), 299);
        let bytes: usize = caught.iter().map(Caught::bytes).sum();
        assert_eq!(receiver.kept().bytes, bytes);
        assert!(!format!("{:?}", caught[0].headers).contains("canary"));
        let large = vec![b'x'; MOST_BODY_BYTES + 1];
        assert_eq!(post(&play, &format!("/{id}"), large).await, 413);
        receiver.clear();
        assert_eq!((receiver.caught().len(), receiver.kept().bytes), (0, 0));
    }

    #[tokio::test]
    async fn what_is_not_open_keeps_nothing() {
        let play = play();
        for path in ["/", "/x", "/0123456789abcdef0123456789abcdef", "/../x"] {
            assert_eq!(post(&play, path, b"{}".to_vec()).await, 404, "{path}");
        }
        assert!(play.receivers().is_empty());
        for id in [
            "",
            "x",
            "0123456789ABCDEF0123456789ABCDEF",
            "../../etc/passwd",
        ] {
            assert!(play.open(id, None).is_none(), "{id}");
        }
    }

    #[tokio::test]
    async fn addresses_are_few_and_of_those_who_made_them() {
        let play = play();
        let of = |number: u128| Some(ApplicationId(uuid::Uuid::from_u128(number)));
        let id = play.make(of(1));
        assert!(play.open(&id, of(2)).is_none());
        assert!(play.open(&id, of(1)).is_some() && play.open(&id, None).is_some());
        assert!(play.list(of(2)).is_empty() && play.list(None).is_empty());
        for _ in 0..1000 {
            play.make(of(2));
        }
        assert_eq!(play.receivers().len(), MOST_ADDRESSES);
        let ids: std::collections::HashSet<_> =
            play.list(of(2)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), MOST_ADDRESSES);
    }

    #[tokio::test]
    async fn connections_are_few() {
        let play = play();
        let held: Vec<_> = (0..MOST_CONNECTIONS)
            .map(|_| play.connect().unwrap())
            .collect();
        let refused = play.connect().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        drop(held);
        while play.connect().is_err() {
            tokio::task::yield_now().await;
        }
    }
}
