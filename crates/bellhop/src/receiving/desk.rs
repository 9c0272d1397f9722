//! What all connections of a receiver share: how it behaves, what it verifies with, and what it has accepted.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard},
};

use bellhop_webhook::Verifier;
use bytes::Bytes;
use http::{Response, StatusCode, header, request};
use http_body_util::Full;
use uuid::Uuid;

use super::{Answer, Behaviour, Order, Received, Signature, order::Lanes};
use crate::{clock::SharedClock, random::SharedRandom};

/// Judges requests and decides on their answers.
#[derive(Debug)]
pub struct Desk {
    clock: SharedClock,
    random: SharedRandom,
    state: Mutex<State>,
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
pub struct Hangup;

/// What a request comes to.
pub type Answered = Result<Response<Full<Bytes>>, Hangup>;

impl Desk {
    /// One that behaves like this. `clock` tells when requests arrive, `random` decides for a flaky one; without a
    /// verifier signatures are not checked.
    pub fn new(
        clock: SharedClock,
        random: SharedRandom,
        verifier: Option<Verifier>,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            clock,
            random,
            state: Mutex::new(State {
                verifier,
                behaviour,
                ..State::default()
            }),
        }
    }

    /// Verifies from now on with this verifier.
    pub fn verify_with(&self, verifier: Verifier) {
        self.state().verifier = Some(verifier);
    }

    /// How it behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.state().behaviour
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Behaves like this towards one integration's messages, whatever it does with others.
    pub fn behave_for(&self, integration: Uuid, behaviour: Behaviour) {
        self.state().exceptions.insert(integration, behaviour);
    }

    /// Judges a request and decides on the answer.
    pub fn receive(&self, head: &request::Parts, body: Bytes) -> (Received, Behaviour) {
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// Answers as was decided, however long that takes.
pub async fn answer_as(behaviour: Behaviour, status: Answer) -> Answered {
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

/// An answer with a text.
pub fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

async fn never() -> Response<Full<Bytes>> {
    match std::future::pending::<Infallible>().await {}
}

fn plain(status: Answer) -> Response<Full<Bytes>> {
    let code = match status {
        Answer::Status(code) => code,
        Answer::None | Answer::Dropped => 500,
    };
    said(StatusCode::from_u16(code).unwrap_or(StatusCode::OK), "")
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
