//! What a response's status means for a delivery.

use crate::domain::cause::Cause;

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has the message.
    Success,
    /// It has not, and this is why.
    Failure(Cause),
}

/// Only a 2xx is a success. Redirects are failures; what is outside 200 to 599 is not an HTTP answer.
pub const fn classify(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Success,
        300..=399 => Verdict::Failure(Cause::RedirectRefused),
        410 => Verdict::Failure(Cause::Gone),
        429 => Verdict::Failure(Cause::RateLimited),
        400..=499 => Verdict::Failure(Cause::ClientError),
        503 => Verdict::Failure(Cause::Unavailable),
        500..=599 => Verdict::Failure(Cause::ServerError),
        _ => Verdict::Failure(Cause::ProtocolError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_verdict() {
        for status in 0..=u16::MAX {
            let expected = match status {
                200..300 => Verdict::Success,
                410 => Verdict::Failure(Cause::Gone),
                429 => Verdict::Failure(Cause::RateLimited),
                503 => Verdict::Failure(Cause::Unavailable),
                _ => Verdict::Failure(match status / 100 {
                    3 => Cause::RedirectRefused,
                    4 => Cause::ClientError,
                    5 => Cause::ServerError,
                    _ => Cause::ProtocolError,
                }),
            };
            assert_eq!(classify(status), expected, "{status}");
        }
    }
}
