//! From what was seen of an exchange to what is recorded of it.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::{
    RetryAfter, Verdict,
    answer::{Answer, BodyEnd, Limits},
    classify,
    exchange::{Exchange, SendFailure, Timings},
};
use crate::{
    delivery::egress::{ConnectionFacts, Flight, micros},
    domain::cause::Cause,
};

/// What is known about an exchange while it goes on. Outside the deadline, so that it outlives it.
#[derive(Default)]
pub struct Seen {
    pub facts: Option<Arc<ConnectionFacts>>,
    pub reused: bool,
    pub answer: Option<Answer>,
    pub retry_after: Option<RetryAfter>,
    /// Where a redirect that may be followed leads, as it was sent.
    pub locations: Vec<HeaderValue>,
    /// When the request was written and when the response began.
    pub marks: Option<(Instant, Instant)>,
}

/// How an exchange ended within its deadline.
pub enum End {
    /// There was a head, and this is how its body ended.
    Body(BodyEnd),
    /// There was none, or the time was over before its body was.
    Failed(Cause, String),
}

/// Turns what was seen into what is recorded.
pub fn conclude(end: End, seen: Seen, flight: &Flight, limits: Limits<'_>) -> Exchange {
    let timings = timings(&seen, flight);
    let Seen {
        facts,
        reused,
        answer,
        retry_after,
        ..
    } = seen;
    let failure = judge(answer.as_ref(), end, limits);
    let response = answer.map(|answer| answer.into_response(limits));
    let outcome = match (failure, response) {
        (None, Some(response)) => Ok(response),
        (Some((cause, detail)), response) => Err(SendFailure {
            cause,
            detail,
            response,
        }),
        (None, None) => Err(SendFailure {
            cause: Cause::Internal,
            detail: "no response".to_owned(),
            response: None,
        }),
    };
    Exchange {
        outcome,
        timings,
        remote: facts.map(|facts| facts.remote),
        followed: None,
        connection_reused: reused,
        retry_after,
    }
}

/// Why it failed, if it did. A status that is a failure stays that failure, however its body ended; a 2xx whose body
/// was cut is a success, since the receiver has said that it has the message.
fn judge(answer: Option<&Answer>, end: End, limits: Limits<'_>) -> Option<(Cause, String)> {
    let status = answer.map(Answer::status);
    match (status.map(|status| classify(status.as_u16())), end) {
        (Some(Verdict::Failure(cause)), End::Body(_) | End::Failed(Cause::Timeout, _)) => {
            Some((cause, of_status(status)))
        }
        (_, End::Failed(cause, detail)) => Some((cause, detail)),
        (_, End::Body(BodyEnd::TooLong)) => {
            let detail = format!(
                "the response's body is longer than {} bytes",
                limits.response_limit
            );
            Some((Cause::ResponseTooLarge, detail))
        }
        (_, End::Body(BodyEnd::Complete | BodyEnd::Cut)) => None,
    }
}

fn of_status(status: Option<StatusCode>) -> String {
    status.map_or_else(String::new, |status| {
        format!("the receiver answered {status}")
    })
}

fn timings(seen: &Seen, flight: &Flight) -> Timings {
    let ended = Instant::now();
    let mut timings = Timings {
        total_us: micros(ended - flight.started),
        ..Timings::default()
    };
    let Some(facts) = &seen.facts else {
        return timings;
    };
    if !seen.reused {
        timings.dns_us = facts.dns_us;
        timings.connect_us = Some(facts.connect_us);
        timings.tls_us = facts.tls_us;
    }
    // The next request on the connection may have moved the marks already; then the split is not known.
    if let (Some(taken), Some((wrote, first_byte))) = (flight.taken(), seen.marks)
        && wrote <= first_byte
        && first_byte <= ended
    {
        timings.send_us = Some(micros(wrote.saturating_duration_since(taken)));
        timings.wait_us = Some(micros(first_byte - wrote));
        timings.receive_us = Some(micros(ended - first_byte));
    }
    timings
}
