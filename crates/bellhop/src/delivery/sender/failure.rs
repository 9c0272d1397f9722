//! From the HTTP library's errors to causes.

use std::{error::Error, io};

use hyper_util::client::legacy;

use crate::{
    delivery::egress::{ConnectError, Phase, WireLimitExceeded, cause_of},
    domain::cause::Cause,
};

/// Why there is no response.
pub fn of_request(error: &legacy::Error) -> (Cause, String) {
    if let Some(refused) = find::<ConnectError>(error) {
        return (refused.cause, refused.detail.clone());
    }
    of_connection(error)
}

/// Whether the body ended because it was too long on the wire, not because the connection did.
pub fn is_wire_limit(error: &hyper::Error) -> bool {
    find::<WireLimitExceeded>(error).is_some()
}

/// Where the time was spent when it was over.
pub fn of_timeout(phase: Phase, timeout: std::time::Duration) -> (Cause, String) {
    let (cause, what) = match phase {
        Phase::Dns => (Cause::DnsTimeout, "the host's name was not resolved"),
        Phase::Connect => (
            Cause::ConnectTimeout,
            "the receiver did not take the connection",
        ),
        Phase::Tls => (Cause::TlsTimeout, "the TLS handshake was not finished"),
        Phase::Begun | Phase::Taken => (Cause::Timeout, "there was no complete response"),
    };
    (cause, format!("{what} within {timeout:?}"))
}

fn of_connection(error: &(dyn Error + 'static)) -> (Cause, String) {
    if let Some(limit) = find::<WireLimitExceeded>(error) {
        return (Cause::ResponseTooLarge, limit.to_string());
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return (cause_of(tls), tls.to_string());
    }
    if let Some(hyper) = find::<hyper::Error>(error) {
        if hyper.is_parse_too_large() {
            return (
                Cause::ResponseTooLarge,
                "the response's headers are longer than is read".to_owned(),
            );
        }
        if hyper.is_parse() {
            return (Cause::ProtocolError, hyper.to_string());
        }
        if hyper.is_user() {
            return (Cause::Internal, hyper.to_string());
        }
    }
    if let Some(io) = find::<io::Error>(error) {
        return match io.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => (
                Cause::Reset,
                "the connection was reset before a complete response".to_owned(),
            ),
            io::ErrorKind::UnexpectedEof => closed_early(),
            io::ErrorKind::TimedOut => (
                Cause::Timeout,
                "the network gave the connection up".to_owned(),
            ),
            kind => (
                Cause::ProtocolError,
                format!("the connection broke: {kind}"),
            ),
        };
    }
    closed_early()
}

fn closed_early() -> (Cause, String) {
    (
        Cause::ClosedEarly,
        "the connection was closed before a complete response".to_owned(),
    )
}

/// The first error of a type among an error and its sources. An `io::Error` hides the one it carries from `source`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let carried = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = carried.and_then(|carried| find::<E>(carried)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
