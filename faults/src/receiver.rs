//! Receivers: real HTTP servers on loopback that write down all that they get, and misbehave by seed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    clock::{Stopwatch, since_1970},
    log::{Answered, Arrival},
    random::Random,
};

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers 200 at once.
    Steady,
    /// Answers 204 after a moment.
    Slow,
    /// Answers most with 200; the rest with 500, 503, late, or not at all; rarely 429 with `Retry-After`.
    Flaky,
}

/// What is answered to one request.
enum Reply {
    Status(u16, Option<u64>),
    Late(Duration),
    Nothing,
}

impl Reply {
    async fn answer(self) -> Option<(u16, Option<u64>)> {
        match self {
            Self::Status(status, retry_after_s) => Some((status, retry_after_s)),
            Self::Late(wait) => {
                tokio::time::sleep(wait).await;
                Some((200, None))
            }
            Self::Nothing => None,
        }
    }
}

/// A running receiver. It ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    random: Mutex<Random>,
    stopwatch: Stopwatch,
    arrivals: Mutex<Vec<Arrival>>,
    /// Whether nobody is answered for now.
    is_holding: watch::Sender<bool>,
}

impl Receiver {
    /// Starts to listen on a free port.
    pub async fn start(
        behaviour: Behaviour,
        random: Random,
        stopwatch: Stopwatch,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour,
            random: Mutex::new(random),
            stopwatch,
            arrivals: Mutex::default(),
            is_holding: watch::Sender::new(false),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nobody is answered from now on, until [`Receiver::fail`].
    pub fn hold(&self) {
        self.shared.is_holding.send_replace(true);
    }

    /// Whoever was held gets 500 now.
    pub fn fail(&self) {
        self.shared.is_holding.send_replace(false);
    }

    /// Whether a pause that it asked for may not be over.
    pub fn asked_for_a_pause(&self) -> bool {
        let arrivals = self.shared.arrivals.lock().expect("no holder panics");
        let asked = |arrival: &Arrival| {
            let answered = arrival.answered.as_ref()?;
            Some((answered.at_us, answered.retry_after_s?))
        };
        let last = arrivals.iter().rev().find_map(asked);
        last.is_some_and(|(at_us, wait_s)| {
            self.shared.stopwatch.us() < at_us + (wait_s + 1) * 1_000_000
        })
    }

    /// What has arrived so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared
            .arrivals
            .lock()
            .expect("no holder panics")
            .clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| receive(request, shared.clone()));
    // Whoever sends was killed, or we hang up: both belong to the run.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn receive(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let arrival = Arrival {
        at_us: 0,
        unix_s: 0,
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        answered: None,
        hung_up: false,
    };
    let position = shared.write_down(arrival);
    let reply = shared.reply();
    let answer = tokio::select! {
        biased;
        () = held_and_let_go(shared.is_holding.subscribe()) => Some((500, None)),
        answer = reply.answer() => answer,
    };
    let Some((status, retry_after_s)) = answer else {
        shared.hang_up(position);
        anyhow::bail!("hangs up")
    };
    shared.answer(position, status, retry_after_s);
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after_s {
        response = response.header("retry-after", seconds);
    }
    Ok(response.body(Full::default())?)
}

/// Until nobody is answered, and after that no longer.
async fn held_and_let_go(mut is_holding: watch::Receiver<bool>) {
    for wanted in [true, false] {
        // Its sender lives as long as the receiver does.
        let _ = is_holding
            .wait_for(|is_holding| *is_holding == wanted)
            .await;
    }
}

impl Shared {
    /// Notes an arrival with its moment, in the order of arrivals, and returns its position.
    fn write_down(&self, arrival: Arrival) -> usize {
        let mut arrivals = self.arrivals.lock().expect("no holder panics");
        arrivals.push(Arrival {
            at_us: self.stopwatch.us(),
            unix_s: since_1970().as_secs() as i64,
            ..arrival
        });
        arrivals.len() - 1
    }

    fn hang_up(&self, position: usize) {
        self.arrivals.lock().expect("no holder panics")[position].hung_up = true;
    }

    fn answer(&self, position: usize, status: u16, retry_after_s: Option<u64>) {
        let mut arrivals = self.arrivals.lock().expect("no holder panics");
        arrivals[position].answered = Some(Answered {
            at_us: self.stopwatch.us(),
            status,
            retry_after_s,
        });
    }

    fn reply(&self) -> Reply {
        let mut random = self.random.lock().expect("no holder panics");
        match self.behaviour {
            Behaviour::Steady => Reply::Status(200, None),
            Behaviour::Slow => Reply::Late(Duration::from_millis(5 + random.below(40))),
            Behaviour::Flaky => match random.below(1000) {
                0..700 => Reply::Status(200, None),
                700..840 => Reply::Status(500, None),
                840..900 => Reply::Status(503, None),
                900..940 => Reply::Nothing,
                940..996 => Reply::Late(Duration::from_millis(50 + random.below(250))),
                _ => Reply::Status(429, Some(2)),
            },
        }
    }
}
