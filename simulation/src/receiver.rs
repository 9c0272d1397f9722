//! Simulated receivers: real HTTP over simulated connections, with what they answer chosen by seed.

use std::{
    future::pending,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use faults::log::{Answered, Arrival};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::DuplexStream, task::JoinSet, time::Sleep};

use crate::{clock::SimulatedClock, random::Seeded};

/// Whether connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// They are.
    Open,
    /// They are refused at once.
    Refuses,
    /// Nobody answers.
    Silent,
}

/// How often in a thousand a receiver does something else than answer 200 soon.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    pub fails: u64,
    pub asks_for_a_pause: u64,
    pub is_gone: u64,
    pub never_answers: u64,
    pub is_late: u64,
    pub hangs_up: u64,
    pub cuts_its_answer: u64,
}

/// A receiver, and what arrived at it.
#[derive(Debug)]
pub struct Receiver {
    temper: Temper,
    random: Seeded,
    clock: Arc<SimulatedClock>,
    state: Mutex<State>,
    connections: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct State {
    door: Door,
    is_well: bool,
    arrivals: Vec<Arrival>,
}

/// What is answered to one request.
enum Reply {
    Soon(u16, Option<u64>),
    Late(Duration),
    Never,
    HangUp,
    Cut,
}

impl Temper {
    /// One of the tempers that a seed chooses from.
    pub fn choose(random: &Seeded) -> Self {
        let steady = Self {
            fails: 0,
            asks_for_a_pause: 0,
            is_gone: 0,
            never_answers: 0,
            is_late: 20,
            hangs_up: 0,
            cuts_its_answer: 0,
        };
        match random.within(0, 4) {
            0 => steady,
            1 => Self {
                fails: 300,
                ..steady
            },
            2 => Self {
                never_answers: 60,
                is_late: 200,
                hangs_up: 100,
                ..steady
            },
            3 => Self {
                asks_for_a_pause: 40,
                fails: 100,
                is_gone: 5,
                ..steady
            },
            _ => Self {
                fails: 120,
                asks_for_a_pause: 10,
                is_gone: 3,
                never_answers: 30,
                is_late: 100,
                hangs_up: 60,
                cuts_its_answer: 60,
            },
        }
    }
}

impl Receiver {
    pub fn new(temper: Temper, random: Seeded, clock: Arc<SimulatedClock>) -> Self {
        let state = State {
            door: Door::Open,
            is_well: false,
            arrivals: Vec::new(),
        };
        Self {
            temper,
            random,
            clock,
            state: Mutex::new(state),
            connections: Mutex::default(),
        }
    }

    pub fn door(&self) -> Door {
        self.state().door
    }

    /// Takes connections, or not. What was connected is cut when it does not.
    pub fn set_door(&self, door: Door) {
        self.state().door = door;
        if door != Door::Open {
            self.connections
                .lock()
                .expect("no holder panics")
                .abort_all();
        }
    }

    /// Whoever was connected has died. What had been sent is still read and answered for a moment.
    pub fn lose(&self) {
        let lost = std::mem::take(&mut *self.connections.lock().expect("no holder panics"));
        let moment = Duration::from_millis(self.random.within(0, 800));
        tokio::spawn(async move {
            tokio::time::sleep(moment).await;
            drop(lost);
        });
    }

    /// A person resumes the webhook, which ends the pauses that were asked for: whoever does that wants it sent to now.
    pub fn lift_pauses(&self) {
        for arrival in &mut self.state().arrivals {
            if let Some(answered) = &mut arrival.answered {
                answered.retry_after_s = None;
            }
        }
    }

    /// From now on it answers 200.
    pub fn get_well(&self) {
        let mut state = self.state();
        state.door = Door::Open;
        state.is_well = true;
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state().arrivals.clone()
    }

    /// Takes a connection.
    pub fn take(self: &Arc<Self>, stream: DuplexStream) {
        let receiver = self.clone();
        let mut connections = self.connections.lock().expect("no holder panics");
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let service = service_fn(|request| receiver.receive(request));
            // Whoever sends has died, or we hang up: both belong to the run.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }

    async fn receive(&self, request: Request<Incoming>) -> io::Result<Response<AnswerBody>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut arrival = Arrival {
            at_us: self.clock.elapsed_us(),
            unix_s: 0,
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
            answered: None,
            // The simulated network cuts without a fault that is noted: who hung up is not judged here.
            hung_up: true,
        };
        let told = arrival.header("webhook-timestamp").parse().unwrap_or(0);
        arrival.unix_s = self.clock.unix_s_as_seen(told);
        let position = self.write_down(arrival);
        let (status, retry_after_s, body) = match self.reply() {
            Reply::Soon(status, retry_after_s) => {
                self.dawdle(100, 30_000).await;
                (status, retry_after_s, AnswerBody::whole())
            }
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                (200, None, AnswerBody::whole())
            }
            Reply::Never => pending().await,
            Reply::HangUp => return Err(io::ErrorKind::ConnectionReset.into()),
            Reply::Cut => (200, None, AnswerBody::cut()),
        };
        self.note_answer(position, status, retry_after_s);
        let mut response = Response::builder().status(status);
        if let Some(seconds) = retry_after_s {
            response = response.header("retry-after", seconds);
        }
        response.body(body).map_err(io::Error::other)
    }

    async fn dawdle(&self, least_us: u64, most_us: u64) {
        tokio::time::sleep(Duration::from_micros(self.random.within(least_us, most_us))).await;
    }

    fn reply(&self) -> Reply {
        let random = &self.random;
        if self.state().is_well {
            return Reply::Soon(200, None);
        }
        let mut left = random.within(0, 999);
        let mut falls_to = |share: u64| {
            let hit = left < share;
            left = left.saturating_sub(share);
            hit
        };
        let Temper {
            fails,
            asks_for_a_pause,
            is_gone,
            never_answers,
            is_late,
            hangs_up,
            cuts_its_answer,
        } = self.temper;
        if falls_to(fails) {
            Reply::Soon(*random.one_of(&[500, 502, 503, 404, 301]), None)
        } else if falls_to(asks_for_a_pause) {
            Reply::Soon(*random.one_of(&[429, 503]), Some(random.within(0, 90)))
        } else if falls_to(is_gone) {
            Reply::Soon(410, None)
        } else if falls_to(never_answers) {
            Reply::Never
        } else if falls_to(is_late) {
            Reply::Late(Duration::from_millis(off_the_second(
                random.within(50, 4_000),
            )))
        } else if falls_to(hangs_up) {
            Reply::HangUp
        } else if falls_to(cuts_its_answer) {
            Reply::Cut
        } else {
            Reply::Soon(*random.one_of(&[200, 201, 204]), None)
        }
    }

    fn write_down(&self, arrival: Arrival) -> usize {
        let mut state = self.state();
        state.arrivals.push(arrival);
        state.arrivals.len() - 1
    }

    fn note_answer(&self, position: usize, status: u16, retry_after_s: Option<u64>) {
        let at_us = self.clock.elapsed_us();
        self.state().arrivals[position].answered = Some(Answered {
            at_us,
            status,
            retry_after_s,
        });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// Not where a second ends. Time-outs are whole seconds, and begin up to 10 ms before a request arrives: of an answer
/// that is written as the time runs out, nobody can say whether it was in time.
fn off_the_second(wait_ms: u64) -> u64 {
    match wait_ms % 1_000 {
        0..20 | 980.. => wait_ms + 40,
        _ => wait_ms,
    }
}

/// The body of an answer.
enum AnswerBody {
    /// Empty.
    Whole(Full<Bytes>),
    /// The connection ends where it should begin, a moment after the head.
    Cut(Pin<Box<Sleep>>),
}

impl AnswerBody {
    fn whole() -> Self {
        Self::Whole(Full::default())
    }

    fn cut() -> Self {
        Self::Cut(Box::pin(tokio::time::sleep(Duration::from_millis(5))))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Cut(moment) => {
                ready!(moment.as_mut().poll(cx));
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Cut(_) => false,
        }
    }
}
