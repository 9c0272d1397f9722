//! One behaviour of the zoo, and what a sender must make of it.

use std::io;

use crate::{
    behaviour::Behaviour,
    certificates::{Authority, Flaw},
    receiver::Receiver,
};

/// A receiver that does harm, by name.
#[derive(Debug, Clone)]
pub struct Beast {
    /// Its name, for messages: `gzip_bomb`.
    pub name: String,
    /// What it does.
    pub behaviour: Behaviour,
    /// Whether it speaks TLS, and with what certificate for 127.0.0.1.
    pub tls: Tls,
    /// What a sender must make of it.
    pub expected: Expected,
    /// When the attempt must be over.
    pub ends: Ends,
}

/// Whether a beast speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Plain http.
    Never,
    /// With a certificate.
    With(Flaw),
    /// Its URL is https, but what it says is in its behaviour.
    Claimed,
}

/// What a sender must make of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It said 2xx: it has the message.
    Delivered,
    /// It has not; one of these causes says why.
    Failed(&'static [&'static str]),
}

/// When an attempt must be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Long before the webhook's time-out.
    AtOnce,
    /// At the webhook's time-out, neither earlier nor later.
    AtTheDeadline,
}

impl Beast {
    /// One without TLS that ends at once.
    pub(crate) fn new(name: impl Into<String>, behaviour: Behaviour, expected: Expected) -> Self {
        Self {
            name: name.into(),
            behaviour,
            tls: Tls::Never,
            expected,
            ends: Ends::AtOnce,
        }
    }

    /// The same, when it goes on until the deadline.
    pub(crate) fn slow(self) -> Self {
        Self {
            ends: Ends::AtTheDeadline,
            ..self
        }
    }

    /// The same, with TLS.
    pub(crate) fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Lets it loose on a free port of 127.0.0.1; its certificate is of this authority.
    pub async fn start(&self, authority: &Authority) -> io::Result<Receiver> {
        match self.tls {
            Tls::With(flaw) => {
                let config = authority.server("127.0.0.1", flaw);
                Receiver::start_tls(self.behaviour.clone(), config).await
            }
            Tls::Never | Tls::Claimed => Receiver::start(self.behaviour.clone()).await,
        }
    }

    /// The URL under which a sender finds it.
    pub fn url(&self, receiver: &Receiver, path: &str) -> String {
        let scheme = if self.tls == Tls::Never {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{}{path}", receiver.address())
    }
}

/// Answers with a redirect.
pub fn redirect(status: u16, to: &str) -> Behaviour {
    Behaviour::status(status, &[("location", to)])
}

/// Answers 429 or 503 with these `Retry-After` headers.
pub fn overload(status: u16, retry_after: &[&str]) -> Behaviour {
    let headers: Vec<(&str, &str)> = retry_after
        .iter()
        .map(|value| ("retry-after", *value))
        .collect();
    Behaviour::status(status, &headers)
}
